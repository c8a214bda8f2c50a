"""Sequences of word pieces: those of keras-hub's packer and of TensorFlow Text's trimmer."""

import numpy as np
import pytest

from keras_prokt.front_ends.packing import pack

pytestmark = pytest.mark.slow

tf = pytest.importorskip("tensorflow")

SPECIAL = {"cls_id": 2, "sep_id": 3, "pad_id": 0}


def random_ids(seed, count=400, longest=12):
    """Ragged ids; lengths from 0, which are frequent."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest + 1, count) * (random.random(count) < 0.9)
    rows = [random.integers(5, 1000, length).tolist() for length in lengths]
    return tf.ragged.constant(rows, dtype="int32", ragged_rank=1)


def of_keras_hub(columns, max_length):
    from keras_hub.layers import MultiSegmentPacker

    packer = MultiSegmentPacker(max_length, start_value=2, end_value=3, pad_value=0)
    # As `tf.data` runs it: TensorFlow Text's trimmer, whatever the backend.
    dataset = tf.data.Dataset.from_tensors(columns).map(lambda *batch: packer(batch))
    return dataset.get_single_element()


@pytest.mark.parametrize("max_length", range(3, 30))
def test_single_texts(max_length):
    columns = (random_ids(max_length),)
    for ours, theirs in zip(
        pack(columns, max_length=max_length, **SPECIAL),
        of_keras_hub(columns, max_length),
        strict=True,
    ):
        assert ours.dtype == theirs.dtype == "int32" and ours.shape == (400, max_length)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("max_length", range(5, 30))
def test_pairs(max_length):
    columns = (random_ids(max_length), random_ids(max_length + 100))
    assert any(not len(one) and not len(two) for one, two in zip(*columns, strict=True))
    token_ids, segment_ids = pack(columns, max_length=max_length, **SPECIAL)
    of_hub = of_keras_hub(columns, max_length)
    np.testing.assert_array_equal(token_ids, of_hub[0])
    np.testing.assert_array_equal(segment_ids, of_hub[1])

    text = pytest.importorskip("tensorflow_text")
    trimmed = text.RoundRobinTrimmer(max_length - 3).trim(list(columns))
    for row, (one, two) in enumerate(zip(*(part.to_list() for part in trimmed), strict=True)):
        expected = [2, *one, 3, *two, 3]
        assert token_ids[row].numpy().tolist()[: len(expected)] == expected


def test_no_texts_at_all():
    empty = tf.RaggedTensor.from_row_splits(tf.zeros((0,), tf.int32), [0])
    for columns in ((empty,), (empty, empty)):
        for values in pack(columns, max_length=7, **SPECIAL):
            assert values.shape == (0, 7)
