"""GLUE tasks in miniature, as TFDS stores them, and a small BERT that reads them."""

import keras
import numpy as np
import pytest

WORDS = ["is", "a", "fine", "film", "dull", "very", "what", "?", "not", "bad"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
CLS, SEP = PIECES.index("[CLS]"), PIECES.index("[SEP]")
LABELS = {
    "sst2": ["negative", "positive"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
}
SENTENCES = {
    "sst2": ("sentence",),
    "mrpc": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
}
COUNTS = {"train": 12, "validation": 7, "test": 11}
COUNTS |= {"validation_matched": 7, "validation_mismatched": 5}
COUNTS |= {"test_matched": 11, "test_mismatched": 9}


def split_names(task):
    suffixes = ("_matched", "_mismatched") if task == "mnli" else ("",)
    return ["train", *(f"{part}{suffix}" for part in ("validation", "test") for suffix in suffixes)]


def rows_of(task, split):
    """Rows as TFDS stores them, the label by its name; hidden in test splits."""
    random = np.random.default_rng(sorted(COUNTS).index(split))
    names = SENTENCES[task]
    for idx in range(COUNTS[split]):
        texts = [" ".join(random.choice(WORDS, size=random.integers(2, 9))) for _ in names]
        label = -1 if split.startswith("test") else LABELS[task][idx % len(LABELS[task])]
        yield idx, {**dict(zip(names, texts, strict=True)), "label": label, "idx": idx}


def write_glue(folder, tasks, *, splits=split_names, rows=rows_of):
    """Writes tasks by TFDS with its own schemas; it shuffles the rows."""
    import tensorflow_datasets as tfds

    for task in tasks:
        builder = tfds.builder(f"glue/{task}", data_dir=folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                type(builder),
                "_split_generators",
                lambda self, manager, task=task: {s: rows(task, s) for s in splits(task)},
            )
            builder.download_and_prepare()


def write_bert(folder, words=WORDS, num_layers=2, *, max_length=128, num_segments=2):
    """A BERT of small layers with random weights, which reads `words`."""
    from keras_hub.models import BertBackbone, BertTokenizer

    pieces = [*PIECES[: -len(WORDS)], *words]
    keras.utils.set_random_seed(0)
    backbone = BertBackbone(
        vocabulary_size=len(pieces),
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=max_length,
        num_segments=num_segments,
    )
    for variable in backbone.trainable_variables:  # trained weights are larger than 0.02
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.5))
    backbone.save_to_preset(folder)
    BertTokenizer(pieces, lowercase=True, strip_accents=True).save_to_preset(folder)
