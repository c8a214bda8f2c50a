"""Sentences whose tags depend on context, and a small BERT that reads their words."""

import random

import keras

NAMES = ["jordan", "chelsea", "paris", "sydney", "austin", "florence", "kent", "york"]
OTHERS = ["the", "old", "house", "was", "very", "quiet", "today", "and", "people", "came", "late"]
# A name after these is a person, a place, or none.
BEFORE = {"PER": ["mr", "dr"], "LOC": ["in", "to"], None: ["brand"]}
WORDS = [*OTHERS, *(word for words in BEFORE.values() for word in words), "."]
# Names of several pieces.
PIECES = [*NAMES[:6], "ke", "##nt", "yo", "##r", "##k"]


def sentences(count, seed=0):
    """`(words, tags)` of each sentence, in IOB2."""
    draw = random.Random(seed)
    for _ in range(count):
        words, tags = [], []
        for _ in range(draw.randint(1, 3)):
            kind = draw.choice([*BEFORE, "PER", "LOC"])
            before = [*draw.choices(OTHERS, k=draw.randint(1, 3)), draw.choice(BEFORE[kind])]
            names = draw.choices(NAMES, k=draw.randint(1, 2))
            words += [*before, *names]
            marks = [f"B-{kind}", f"I-{kind}"] if kind else ["O", "O"]
            tags += [*["O"] * len(before), *marks[: len(names)]]
        yield [*words, "."], [*tags, "O"]


def write_conll(path, count, seed=0):
    """Writes a file of sentences with a word and its tag a line."""
    of_each = ["\n".join(map(" ".join, zip(*one, strict=True))) for one in sentences(count, seed)]
    path.write_text("\n\n".join(of_each) + "\n", encoding="utf-8")
    return str(path)


def write_bert(folder, width=32):
    """A BERT of two layers with random weights, which reads the words of `sentences`."""
    from keras_hub.models import BertBackbone, BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES]
    keras.utils.set_random_seed(0)
    backbone = BertBackbone(
        vocabulary_size=len(pieces),
        num_layers=2,
        num_heads=4,
        hidden_dim=width,
        intermediate_dim=2 * width,
        max_sequence_length=64,
    )
    backbone.save_to_preset(str(folder))
    BertTokenizer(pieces, lowercase=True, strip_accents=True).save_to_preset(str(folder))
    return str(folder)
