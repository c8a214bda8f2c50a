"""Batches: the order is a function of seed and epoch; padding is little and hidden nowhere."""

import keras
import numpy as np
import pytest

from keras_prokt.data.batches import Batches


def ragged(count=200, seed=0):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 60, count)
    return [np.arange(1, n + 1, dtype="int32") for n in lengths]


def labels_of(batches, epoch):
    return [labels.tolist() for _, labels in batches.epoch(epoch)]


@pytest.mark.parametrize("inputs", [np.zeros((200, 3)), ragged()], ids=["array", "ragged"])
def test_order_depends_on_seed_and_epoch_alone(inputs):
    batches = Batches(inputs, np.arange(200), batch_size=16, seed=3, shuffle=True)
    again = Batches(inputs, np.arange(200), batch_size=16, seed=3, shuffle=True)
    labels_of(again, 0)
    assert labels_of(batches, 5) == labels_of(again, 5)
    assert labels_of(batches, 5) != labels_of(batches, 6)
    other = Batches(inputs, np.arange(200), batch_size=16, seed=4, shuffle=True)
    assert labels_of(batches, 5) != labels_of(other, 5)
    for epoch in range(3):
        assert sorted(sum(labels_of(batches, epoch), [])) == list(range(200))
        assert len(labels_of(batches, epoch)) == len(batches) == 13


def test_without_shuffling_the_order_is_that_of_the_data():
    batches = Batches(ragged(), np.arange(200), batch_size=16)
    assert sum(labels_of(batches, 7), []) == list(range(200))


def padded_lengths():
    """Lengths that batches may have on this backend, on a machine without accelerators."""
    if keras.backend.backend() == "jax":
        return [8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    return range(1, 257)


def test_long_batches_have_few_lengths_where_each_is_compiled():
    inputs = [np.ones(n, "int32") for n in range(1, 257)]
    batches = Batches(inputs, np.zeros(256), batch_size=1)
    assert {x.shape[1] for x, _ in batches.epoch()} == set(padded_lengths())


def test_no_batch_is_longer_than_the_models_can_read():
    few = keras.backend.backend() == "jax"
    inputs = [np.ones(n, "int32") for n in (3, 9, 42)]
    for of in (Batches, lambda *args, **kwargs: Batches(*args, **kwargs).longest_first()):
        batches = of(inputs, np.zeros(3), batch_size=1, max_length=42)
        assert sorted(x.shape[1] for x, _ in batches.epoch()) == (
            [8, 16, 42] if few else [3, 9, 42]
        )
    assert batches.lengths()["padded_lengths"] == 3


def test_ragged_inputs_are_padded_with_zeros():
    inputs = ragged()
    batches = Batches({"ids": inputs}, np.arange(200), batch_size=16, shuffle=True)
    real = padded = 0
    for features, labels in batches.epoch(0):
        ids = features["ids"]
        longest = max(len(inputs[label]) for label in labels)
        assert ids.shape[1] == min(n for n in padded_lengths() if n >= longest)
        for row, label in zip(ids, labels, strict=True):
            np.testing.assert_array_equal(row[: len(inputs[label])], inputs[label])
            assert not row[len(inputs[label]) :].any()
        real += sum(len(inputs[label]) for label in labels)
        padded += ids.size
    assert real / padded > 0.75
    by_chance = Batches({"ids": inputs}, np.arange(200), batch_size=16)
    assert padded < sum(features["ids"].size for features, _ in by_chance.epoch(0))


def test_training_data_goes_on_from_the_first_epoch_asked_for():
    batches = Batches(np.zeros((10, 2), "float32"), np.arange(10), batch_size=4, shuffle=True)
    stream = iter(batches.for_training(first_epoch=2))
    seen = [np.asarray(next(stream)[1]).tolist() for _ in range(6)]
    assert seen == labels_of(batches, 2) + labels_of(batches, 3)


def test_evaluation_data_can_be_read_again():
    batches = Batches(np.zeros((10, 2), "float32"), np.arange(10), batch_size=4)
    data = batches.for_evaluation()
    for _ in range(2):
        parts = [data[i] for i in range(len(data))] if hasattr(data, "__getitem__") else list(data)
        assert [len(np.asarray(labels)) for _, labels in parts] == [4, 4, 2]


def test_limited_is_the_same_for_the_same_seed():
    batches = Batches(np.zeros((50, 2)), np.arange(50), batch_size=4, seed=1)
    few = batches.limited(10)
    assert few.num_examples == 10
    assert few.labels.tolist() == batches.limited(10).labels.tolist()
    assert len(set(few.labels.tolist())) == 10


def test_longest_first_is_a_stable_order_by_length():
    ragged = {"a": [np.arange(n) for n in (1, 3, 2, 3)], "b": [np.arange(n) for n in (2, 1, 4, 3)]}
    batches = Batches(
        ragged,
        np.array([10, 11, 12, 13]),
        batch_size=2,
        sample_weight=np.array([0.0, 0.1, 0.2, 0.3]),
    ).longest_first()
    assert batches.labels.tolist() == [12, 11, 13, 10]
    assert [len(row) for row in batches.inputs["a"]] == [2, 3, 3, 1]
    assert batches.sample_weight.tolist() == [0.2, 0.1, 0.3, 0.0]
    with pytest.raises(ValueError, match="Expected ragged inputs"):
        Batches(np.zeros((2, 3)), np.zeros(2), batch_size=1).longest_first()


def test_batches_by_length_hold_each_example_once_the_longest_first():
    ragged = [np.arange(n) for n in (1, 3, 2, 3)]
    batches = Batches(ragged, np.zeros(4), batch_size=2, shuffle=True).batches_by_length()
    assert [indices.tolist() for indices in batches] == [[1, 3], [2, 0]]
    batches = Batches(np.zeros((3, 2)), np.zeros(3), batch_size=2, shuffle=True).batches_by_length()
    assert [indices.tolist() for indices in batches] == [[0, 1], [2]]


def test_sample_weights_travel_along():
    weights = np.linspace(0, 1, 10)
    batches = Batches(
        np.zeros((10, 2)), np.arange(10), batch_size=4, shuffle=True, sample_weight=weights
    )
    for _, labels, weight in batches.epoch(0):
        np.testing.assert_array_equal(weight, weights[labels])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"inputs": np.zeros((3, 2)), "labels": np.arange(4), "batch_size": 2}, "of one length"),
        ({"inputs": np.zeros((0, 2)), "labels": np.arange(0), "batch_size": 2}, "above 0"),
        ({"inputs": np.zeros((3, 2)), "labels": np.arange(3), "batch_size": 0}, "at least 1"),
    ],
)
def test_refusals(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Batches(**kwargs)


def test_the_index_says_which_examples_a_batch_holds():
    values = np.arange(10, dtype="float32")[:, None]
    batches = Batches(values, np.arange(10), batch_size=4, shuffle=True).limited(8).with_index()
    for inputs, labels in batches.epoch(0):
        assert set(inputs) == {"teacher", "student", "index"}
        np.testing.assert_array_equal(batches.labels[inputs["index"]], labels)
        np.testing.assert_array_equal(inputs["student"][:, 0], labels)


class Noise:
    def draw(self, count, generator):
        return (generator.random(count).astype("float32"),)

    def apply(self, values, drawn, xp):
        assert values.dtype == "uint8"
        values = values.astype("float32")
        return values + drawn[0][:, None] if drawn else values


def noisy(*, seed=0, shuffle=True, on_device=False):
    values = np.arange(30, dtype="uint8").reshape(10, 3)
    return Batches(
        {"teacher": values, "student": values},
        np.arange(10),
        batch_size=4,
        seed=seed,
        shuffle=shuffle,
        transform=Noise(),
        on_device=on_device,
    )


def test_a_transform_is_drawn_once_a_batch_by_seed_epoch_and_batch():
    def stream(seed, epoch, shuffle=True):
        parts = list(noisy(seed=seed, shuffle=shuffle).with_index().epoch(epoch))
        for inputs, _ in parts:
            np.testing.assert_array_equal(inputs["teacher"], inputs["student"])
            assert inputs["index"].dtype == "int32"
        return np.concatenate([inputs["student"] for inputs, _ in parts])

    np.testing.assert_array_equal(stream(0, 1), stream(0, 1))
    assert not np.array_equal(stream(0, 1), stream(0, 2))
    assert not np.array_equal(stream(0, 1), stream(1, 1))
    np.testing.assert_array_equal(stream(0, 1, False), np.arange(30).reshape(10, 3))


def test_batches_made_on_the_device_are_those_of_the_host():
    for epoch, shuffle in ((0, True), (1, True), (0, False)):
        host = noisy(shuffle=shuffle).epoch(epoch)
        device = noisy(shuffle=shuffle, on_device=True).with_index().epoch(epoch)
        for (expected, labels), (received, same_labels) in zip(host, device, strict=True):
            for side in ("teacher", "student"):
                np.testing.assert_array_equal(received[side], expected[side])
            np.testing.assert_array_equal(same_labels, labels)
            if keras.backend.backend() == "jax":
                import jax

                assert isinstance(received["student"], jax.Array)
                assert isinstance(received["index"], np.ndarray)


def test_lengths_and_padding():
    rows = [np.ones(n, "int32") for n in (3, 8, 9, 1)]
    batches = Batches({"a": rows, "b": [row[:1] for row in rows]}, np.zeros(4), batch_size=2)
    # The examples of the batches have 8 and 9 positions in the first input and 1 in the second;
    # 8, 16 and 8 where each length is compiled.
    few = keras.backend.backend() == "jax"
    positions = 2 * 16 + 2 * 24 if few else 2 * 9 + 2 * 10
    assert batches.lengths() == {
        "mean": 5.25,
        "longest": 9,
        "padded_lengths": 2,
        "padding": round(1 - 25 / positions, 4),
    }
    assert Batches(np.zeros((4, 2)), np.zeros(4), batch_size=2).lengths() is None


def test_the_digest_is_that_of_the_data():
    rows = [np.arange(n, dtype="int32") for n in (3, 5, 2)]

    def batches(rows=rows, labels=(0, 1, 0), part="teacher"):
        inputs = {part: rows, "student": [row[:1] for row in rows]}
        return Batches(inputs, np.array(labels), batch_size=2)

    digest = batches().digest("teacher")
    assert digest == batches().digest("teacher") == batches().with_index().digest("teacher")
    assert digest != batches().digest("student")
    assert digest != batches(labels=(1, 1, 0)).digest("teacher")
    assert digest != batches([rows[1], rows[0], rows[2]]).digest("teacher")
    images = np.zeros((3, 2, 2), "uint8")
    plain = Batches(images, np.zeros(3), batch_size=2)
    assert plain.digest("teacher") == plain.with_index().digest("teacher")
    assert plain.digest() != Batches(images + 1, np.zeros(3), batch_size=2).digest()


@pytest.mark.parametrize("shuffle", [False, True])
def test_labels_of_positions_are_as_many_as_those_of_the_inputs(shuffle):
    rows = [np.arange(1, 1 + length, dtype="int32") for length in (3, 7, 2, 5, 4)]
    labels = np.full((5, 9), -1, "int32")
    for row, values in zip(labels, rows, strict=True):
        row[: len(values)] = 10 * values
    batches = Batches(
        rows, labels, batch_size=2, shuffle=shuffle, max_length=9, labels_per_position=True
    )
    for data in (batches, batches.taking(np.array([1, 4])), batches.limited(3)):
        for x, y in data.epoch():
            assert x.shape == y.shape
            np.testing.assert_array_equal(y, np.where(x == 0, -1, 10 * x))
    read = [
        (keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y))
        for x, y in (
            batches.for_evaluation() if keras.backend.backend() == "tensorflow" else batches.epoch()
        )
    ]
    assert sum(len(y) for _, y in read) == 5
    assert all(x.shape == y.shape for x, y in read)
