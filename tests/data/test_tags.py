"""Tags of entities: schemes, conversion, F1. Oracle: seqeval, by another author."""

import random

import pytest

from keras_prokt.data.tags import (
    commonest_tags,
    entities,
    entity_f1,
    iob2_classes,
    scheme_of,
    to_iob2,
)

ENTITIES = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC"]
WRITTEN = {
    "IOB2": ENTITIES,
    "IOB1": ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC"],
    "BIOES": ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC"],
    "BILOU": ["B-PER", "L-PER", "O", "U-LOC", "B-LOC", "L-LOC"],
    "IOB": ["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC"],
}


def at_random(letters, seed=0, sentences=400):
    """Sentences whose tags follow each other in every way, wrong ones too."""
    generator = random.Random(seed)
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC"))]
    return [generator.choices(tags, k=generator.randint(1, 9)) for _ in range(sentences)]


@pytest.mark.parametrize("scheme", WRITTEN)
def test_each_scheme_is_recognised_and_gives_the_same_entities(scheme):
    tags = WRITTEN[scheme]
    assert scheme_of([["O"], tags]) == scheme
    assert to_iob2(tags) == ENTITIES
    assert [one[:2] for one in entities(tags)] == [(0, 2), (3, 4), (4, 6)]


@pytest.mark.parametrize("tags", [["NOUN", "O"], ["O", "O"], ["PER", "O"], ["B-", "O"], ["X-Y"]])
def test_other_tags_stand_for_themselves(tags):
    assert scheme_of([tags]) == "plain"


@pytest.mark.parametrize("letters", ["BI", "BIES"])
def test_entities_and_f1_are_those_of_seqeval(letters):
    labeling = pytest.importorskip(
        "seqeval.metrics.sequence_labeling", reason="an implementation by others"
    )
    right, predicted = at_random(letters, 0), at_random(letters, 1)
    predicted = [(p + r)[: len(r)] for p, r in zip(predicted, right, strict=True)]
    for tags in right:
        expected = [(first, last + 1, kind) for kind, first, last in labeling.get_entities(tags)]
        assert entities(tags) == expected
        assert entities(to_iob2(tags)) == expected
    expected = labeling.f1_score(right, predicted)
    assert 0.05 < expected < 0.95
    assert entity_f1(right, predicted) == pytest.approx(expected, abs=1e-12)


def test_f1_without_entities_is_0():
    assert entity_f1([["O"]], [["O"]]) == 0.0


def test_classes_are_in_pairs():
    assert iob2_classes(["B", "A", "B"]) == ["O", "B-A", "I-A", "B-B", "I-B"]


def test_the_commonest_tag_of_each_word_and_of_all():
    known = commonest_tags([["a", "a", "a", "b", "c"]], [["X", "Y", "Y", "Z", "Y"]])
    assert list(known.answers([["a", "b", "new"]])) == [["Y", "Z", "Y"]]
