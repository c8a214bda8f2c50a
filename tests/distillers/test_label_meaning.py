"""Labels mean one class an example: what else they could mean is refused, in one line."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from marks import thorough

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
)
from keras_prokt.distillers import data_checks
from keras_prokt.distillers.label_checks import LabelChecks
from keras_prokt.losses import LabelLossOnLogits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.integers(0, 3, 32)
ONE_HOT = np.eye(3, dtype="float32")[Y]
NAMES = np.array(["cat", "dog", "elephant"])
BATCH = 8
KERAS_SAYS_SO_TOO = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def network(units=8):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dense(3)]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


REGIMES = {
    "prokt": lambda: ProKTDistiller(network(), network(4)),
    "kd": lambda: FrozenTeacherDistiller(network(), network(4)),
    "mutual": lambda: MutualDistiller(network(), network(4)),
    "student": lambda: StudentOnly(network(4)),
    "subclassed": lambda: ProKTDistiller(Subclassed(), Subclassed()),
}


def compiled(regime="student"):
    distiller = REGIMES[regime]()
    distiller.compile("adam")
    return distiller


# The same data in other containers.


def batches(x, y):
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.batches = batches(x, y)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def as_tf_data(x, y, drop_remainder=False):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((x, y))
    return data.batch(BATCH, drop_remainder=drop_remainder)


def as_loader(x, y):
    data = pytest.importorskip("torch").utils.data
    return data.DataLoader(list(zip(x, [label_of(label) for label in y], strict=True)), BATCH)


def label_of(label):
    return str(label) if label.dtype.kind == "U" else label


STREAMS = {
    "tf.data": as_tf_data,
    "py_dataset": Batches,
    "generator": lambda x, y: (batch for batch in batches(x, y)),
    "loader": as_loader,
}


def refused(call, message):
    """Checks that a call is refused in one line."""
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# Rows.


def with_row(row, index=13):
    labels = ONE_HOT.copy()
    labels[index] = row
    return labels


SEVERAL = r"rows are non-negative and sum to 1.*\(multi-label\).*'labels'"
BAD_ROWS = {
    "several ones": (with_row([1, 1, 0]), "a row that sums to 2 in example 13"),
    "no ones": (with_row([0, 0, 0]), "a row that sums to 0 in example 13"),
    "percent": (100 * ONE_HOT, "a row that sums to 100 in example 0"),
    "negative": (with_row([1.5, -0.5, 0]), "a row with -0.5 in example 13"),
    "bytes": (with_row([1, 0, 1]).astype("uint8"), "sums to 2 in example 13"),
    "booleans": (with_row([1, 1, 1]).astype(bool), "sums to 3 in example 13"),
    "half": (with_row([0.5, 0.25, 0]).astype("float16"), "sums to 0.75 in example 13"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
@pytest.mark.parametrize("regime", REGIMES)
def test_rows_that_are_no_distributions_in_arrays(kind, regime):
    labels, received = BAD_ROWS[kind]
    distiller = compiled(regime)
    for call in (
        lambda: distiller.fit(X, labels, verbose=0),
        lambda: distiller.evaluate(X, labels, verbose=0),
        lambda: distiller.train_on_batch(X, labels),
        lambda: distiller.test_on_batch(X, labels),
    ):
        refused(call, f"^Expected labels whose {SEVERAL}")
        refused(call, received)
    assert int(distiller.optimizer.iterations) == 0
    refused(
        lambda: distiller.fit(X, ONE_HOT, validation_data=(X, labels), verbose=0),
        f"^Expected validation labels whose {SEVERAL}",
    )
    assert int(distiller.optimizer.iterations) == 0


@pytest.mark.slow
@KERAS_SAYS_SO_TOO
@pytest.mark.parametrize("container", STREAMS)
@pytest.mark.parametrize("kind", ["several ones", "booleans"])
def test_rows_that_are_no_distributions_in_streams(kind, container):
    make, labels = STREAMS[container], BAD_ROWS[kind][0]
    distiller = compiled()
    refused(
        lambda: distiller.fit(make(X, labels), shuffle=False, verbose=0),
        f"^Step 2: Expected labels whose {SEVERAL}",
    )
    refused(
        lambda: distiller.evaluate(make(X, labels), verbose=0),
        f"^Evaluation: Expected labels whose {SEVERAL}",
    )
    saved = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: saved.append(epoch))
    refused(
        lambda: distiller.fit(
            X, ONE_HOT, validation_data=make(X, labels), callbacks=[watch], verbose=0
        ),
        f"^Evaluation: Expected labels whose {SEVERAL}",
    )
    assert saved == []


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["prokt", "kd", "mutual", "subclassed"])
def test_every_regime_sees_rows_in_its_step(regime):
    labels = BAD_ROWS["several ones"][0]
    refused(
        lambda: compiled(regime).fit(Batches(X, labels), shuffle=False, verbose=0),
        f"^Step 2: Expected labels whose {SEVERAL}",
    )


def rounded(decimals):
    return np.round(RNG.dirichlet(np.ones(3), 32), decimals).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels",
    [
        ONE_HOT,
        *thorough(ONE_HOT.astype(bool), ONE_HOT.astype("int64")),
        np.full((32, 3), 0.33, "float32"),
        *thorough(rounded(3), RNG.dirichlet(np.ones(3), 32).astype("float16")),
        RNG.dirichlet(np.ones(3), 32),
    ],
    ids=["one-hot", "booleans", "integers", "thirds", "decimals", "float16", "float64"],
)
def test_distributions_are_trained_on(labels):
    distiller = compiled()
    distiller.fit(X, labels, validation_data=(X, labels), verbose=0)
    distiller.fit(Batches(X, labels), validation_data=Batches(X, labels), verbose=0)


# Indices.


@pytest.mark.slow
@pytest.mark.parametrize("label", [1.5, -1.0, 3.0, np.nan, 0.999])
def test_indices_that_are_no_classes(label):
    labels = Y.astype("float32")
    labels[13] = label
    for call in (
        lambda: compiled().fit(X, labels, verbose=0),
        lambda: compiled().evaluate(X, labels, verbose=0),
    ):
        refused(call, r"Expected labels in \[0, 3\), received .* in example 13|finite labels")
    message = r"Expected integer labels in \[0, 3\)"
    refused(
        lambda: compiled().fit(Batches(X, labels), shuffle=False, verbose=0), "Step 2: " + message
    )
    refused(lambda: compiled().evaluate(Batches(X, labels), verbose=0), "Evaluation: " + message)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "float16"])
def test_whole_numbers_of_any_type_are_classes(dtype):
    compiled().fit(X, Y.astype(dtype), validation_data=(X, Y[:, None].astype(dtype)), verbose=0)


@pytest.mark.parametrize("library", ["tensorflow", "jax", "torch"])
def test_labels_of_other_libraries_are_looked_at_before_the_first_step(library):
    pytest.importorskip(library)
    convert = {
        "tensorflow": lambda y: __import__("tensorflow").constant(y),
        "jax": lambda y: __import__("jax").numpy.asarray(y),
        "torch": lambda y: __import__("torch").from_numpy(np.asarray(y)),
    }[library]
    for labels in (BAD_ROWS["several ones"][0], np.where(np.arange(32) == 13, 3, Y)):
        refused(
            lambda labels=labels: compiled().fit(X, convert(labels), verbose=0), "in example 13"
        )


# Text, and what else is no number.


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", ["U", "S", object])
def test_strings_in_arrays(regime, dtype):
    labels = NAMES[Y].astype(dtype)
    message = r"^Expected integer labels in \[0, .*\), received strings; number the classes"
    distiller = compiled(regime)
    refused(lambda: distiller.fit(X, labels, verbose=0), message)
    refused(lambda: distiller.fit(X, labels[:, None], verbose=0), message)
    refused(lambda: distiller.fit(X, labels.tolist(), verbose=0), message)
    refused(lambda: distiller.evaluate(X, labels, verbose=0), message)
    refused(
        lambda: distiller.fit(X, Y, validation_data=(X, labels), verbose=0),
        message.replace("integer ", "integer validation "),
    )


@pytest.mark.parametrize("container", STREAMS)
def test_strings_in_streams(container):
    make, labels = STREAMS[container], NAMES[Y]
    message = r"^Expected integer labels in \[0, 3\), received strings; number the classes"
    refused(lambda: compiled().fit(make(X, labels), verbose=0), message)
    refused(lambda: compiled("subclassed").fit(make(X, labels), verbose=0), message)
    refused(lambda: compiled().evaluate(make(X, labels), verbose=0), message)
    refused(
        lambda: compiled().fit(X, Y, validation_data=make(X, labels), verbose=0),
        message.replace("integer ", "integer validation "),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y.tolist(), r"labels as one array or tensor, received a list; make one: numpy.asarray"),
        ([Y], "labels as one array or tensor, received a list"),
        ({"label": Y}, "labels as one array or tensor, received a dict"),
        (Y.astype(object), "integer labels .* received dtype object"),
        (Y.astype("complex64"), "integer labels .* received dtype complex64"),
        (Y.astype("datetime64[s]"), "integer labels .* received dtype datetime64"),
        (ONE_HOT[:, :2], r"received shape \(32, 2\); check the labels or the width"),
        (ONE_HOT[:, None], r"received shape \(32, 1, 3\)"),
    ],
)
def test_what_is_no_array_of_labels(labels, message):
    for regime in ("prokt", "student"):
        refused(lambda regime=regime: compiled(regime).fit(X, labels, verbose=0), message)
        refused(
            lambda regime=regime: compiled(regime).fit(
                X, Y, validation_data=(X, labels), verbose=0
            ),
            message.replace("integer labels", "integer validation labels"),
        )


# tf.data whose shapes are unknown.


def of_unknown_rank(part):
    tf = pytest.importorskip("tensorflow")

    def unknown(x, y):
        of_label = tf.numpy_function(lambda v: v, [y], y.dtype)
        of_input = tf.numpy_function(lambda v: v, [x], x.dtype)
        return (x, of_label) if part == "labels" else (of_input, y)

    return as_tf_data(X, Y).map(unknown)


@pytest.mark.parametrize("part", ["labels", "inputs"])
@pytest.mark.parametrize("regime", ["prokt", "student", "subclassed"])
def test_unknown_ranks_of_tf_data(part, regime):
    data = of_unknown_rank(part)
    message = rf"^Expected {part} of known rank, .*tf\.ensure_shape"
    refused(lambda: compiled(regime).fit(data, verbose=0), message)
    refused(lambda: compiled(regime).evaluate(data, verbose=0), message)
    refused(
        lambda: compiled(regime).fit(X, Y, validation_data=data, verbose=0),
        message.replace("Expected", "Expected validation"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", ["labels", "inputs"])
def test_ranks_that_are_told_as_advised(part):
    data = of_unknown_rank(part)
    import tensorflow as tf

    def known(x, y):
        return tf.ensure_shape(x, (None, 4)), tf.ensure_shape(y, (None,))

    compiled().fit(data.map(known), verbose=0)


def test_unknown_widths_of_tf_data():
    tf = pytest.importorskip("tensorflow")

    def unknown(x, y):
        return x, tf.ensure_shape(tf.numpy_function(lambda v: v, [y], y.dtype), (None, None))

    data = as_tf_data(X, ONE_HOT).map(unknown)
    refused(lambda: compiled().fit(data, verbose=0), r"shape \(None, None\); .*tf\.ensure_shape")


# No batch at all.


def nothing():
    return X[:0], Y[:0]


EMPTY = {
    "arrays": nothing,
    "tf.data": lambda: (as_tf_data(*nothing()),),
    "tf.data, filtered": lambda: (as_tf_data(X, Y).filter(lambda x, y: False),),
    "a last batch that is dropped": lambda: (as_tf_data(X[:5], Y[:5], drop_remainder=True),),
    "dropped, of unknown number": lambda: (
        as_tf_data(X, Y).unbatch().take(5).batch(BATCH, drop_remainder=True),
    ),
    "py_dataset": lambda: (Batches(*nothing()),),
    "generator": lambda: (STREAMS["generator"](*nothing()),),
    "loader": lambda: (
        pytest.importorskip("torch").utils.data.DataLoader(
            list(zip(X[:5], Y[:5], strict=True)), BATCH, drop_last=True
        ),
    ),
}


@pytest.mark.slow
@KERAS_SAYS_SO_TOO
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("regime", ["prokt", "student", "subclassed"])
def test_data_without_a_batch(kind, regime, tmp_path):
    distiller = compiled(regime)
    if regime != "subclassed":  # the backup wants a model that is built
        backup = [keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)]
    else:
        backup = None
    message = "with at least one batch, received none: "
    refused(lambda: distiller.fit(*EMPTY[kind](), epochs=2, callbacks=backup, verbose=0), message)
    assert not list(tmp_path.iterdir())
    refused(lambda: distiller.evaluate(*EMPTY[kind](), verbose=0), message)
    validation = EMPTY[kind]()
    validation = validation if len(validation) == 2 else validation[0]
    refused(
        lambda: distiller.fit(X, Y, validation_data=validation, callbacks=backup, verbose=0),
        message,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@KERAS_SAYS_SO_TOO
def test_data_that_is_used_up_ends_the_epochs(tmp_path):
    tf = pytest.importorskip("tensorflow")
    rest = batches(X, Y)

    def draw():
        while rest:
            yield rest.pop()

    signature = tuple(tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in (X, Y))
    data = tf.data.Dataset.from_generator(draw, output_signature=signature)
    distiller = compiled()
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.raises(TrainingFault, match="Expected epoch 2 with at least one batch"):
        distiller.fit(data, epochs=5, callbacks=[backup], verbose=0)
    [file] = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["epoch"] == 1


@pytest.mark.slow
def test_a_generator_can_be_trained_on_again():
    def endless():
        while True:
            yield from batches(X, Y)

    generator, distiller = endless(), compiled("subclassed")
    for _ in range(2):
        distiller.fit(generator, steps_per_epoch=2, verbose=0)
        distiller.evaluate(generator, steps=2, verbose=0)
    assert int(distiller.optimizer.iterations) == 4


def test_looking_at_a_loader_keeps_its_order():
    torch = pytest.importorskip("torch")
    seen = []

    class Watching(torch.utils.data.Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, index):
            seen.append(index)
            noise = 0.01 * torch.rand(4)
            return torch.from_numpy(X[index]) + noise, Y[index]

    def order(look):
        del seen[:]
        torch.manual_seed(3)
        loader = torch.utils.data.DataLoader(Watching(), BATCH, shuffle=True)
        if look:
            labels = LabelChecks(LabelLossOnLogits(), 3)
            data_checks.check_data(loader, None, None, labels)
            assert seen == [0]
            del seen[:]
        return [x.numpy() for x, _ in loader], list(seen)

    (looked, order_after), (expected, order_before) = order(look=True), order(look=False)
    assert order_after == order_before != sorted(order_before)
    np.testing.assert_array_equal(looked, expected)
