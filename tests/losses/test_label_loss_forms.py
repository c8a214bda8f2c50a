"""What the `loss` of `compile` receives: each Keras loss what it was made for, by value."""

import functools

import keras
import numpy as np
import pytest

from keras_prokt import MutualDistiller, ProKTDistiller, StudentOnly
from keras_prokt.losses import LabelLossOnLogits

CLASSES = 3
RNG = np.random.default_rng(0)
LOGITS = (2 * RNG.normal(size=(16, CLASSES))).astype("float32")
P = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)).astype("float64")
Y = RNG.integers(0, CLASSES, 16)
ONE_HOT = np.eye(CLASSES)[Y]
SOFT = RNG.dirichlet(np.ones(CLASSES), 16)


def value(loss, labels, weight=None):
    tensors = map(keras.ops.convert_to_tensor, (labels.astype("float32"), LOGITS))
    if labels.ndim == 1:
        tensors = map(keras.ops.convert_to_tensor, (labels, LOGITS))
    return float(LabelLossOnLogits(loss)(*tensors, weight))


OF_LABEL = P[np.arange(16), Y]
CROSS_ENTROPY = -np.log(OF_LABEL).mean()
OF_SOFT = -(SOFT * np.log(P)).sum(axis=-1).mean()
FOCAL = -(0.25 * ONE_HOT * (1 - P) ** 2 * np.log(P)).sum(axis=-1).mean()
BINARY = -(ONE_HOT * np.log(P) + (1 - ONE_HOT) * np.log(1 - P)).mean()
POISSON = (P - ONE_HOT * np.log(P)).mean()
SIGMOID = 1 / (1 + np.exp(-LOGITS.astype("float64")))
BINARY_OF_LOGITS = -(ONE_HOT * np.log(SIGMOID) + (1 - ONE_HOT) * np.log(1 - SIGMOID)).mean()
OTHERS = ((1 - ONE_HOT) * LOGITS).max(axis=-1)  # Keras's counts the label's own as 0
MARGIN = np.maximum(0, 1 + OTHERS - LOGITS[np.arange(16), Y]).mean()
K = keras.losses

# Names, functions, classes, objects and configurations of each; values by the formulas above.
EXPECTED = {
    "sparse": (
        [
            None,
            "sparse_categorical_crossentropy",
            "SparseCategoricalCrossentropy",
            K.sparse_categorical_crossentropy,
            K.SparseCategoricalCrossentropy,
            K.SparseCategoricalCrossentropy(),
            K.SparseCategoricalCrossentropy(from_logits=True),
            functools.partial(K.sparse_categorical_crossentropy, from_logits=True),
            functools.partial(K.sparse_categorical_crossentropy, from_logits=False),
            {"class_name": "SparseCategoricalCrossentropy", "config": {}},
        ],
        Y,
        CROSS_ENTROPY,
    ),
    "categorical": (
        [
            None,
            "categorical_crossentropy",
            K.categorical_crossentropy,
            K.CategoricalCrossentropy,
            K.CategoricalCrossentropy(),
            K.CategoricalCrossentropy(from_logits=True),
        ],
        SOFT,
        OF_SOFT,
    ),
    "kl": (
        ["kl_divergence", "kld", "KLDivergence", K.kl_divergence, K.KLDivergence, K.KLDivergence()],
        ONE_HOT,
        CROSS_ENTROPY,
    ),
    "focal": (
        [
            "categorical_focal_crossentropy",
            K.categorical_focal_crossentropy,
            K.CategoricalFocalCrossentropy,
            K.CategoricalFocalCrossentropy(from_logits=True),
        ],
        ONE_HOT,
        FOCAL,
    ),
    "poisson": (["poisson", K.poisson, K.Poisson()], ONE_HOT, POISSON),
    "binary": (
        ["binary_crossentropy", "bce", K.binary_crossentropy, K.BinaryCrossentropy()],
        ONE_HOT,
        BINARY,
    ),
    # Who asks for logits gets them: one class against the others.
    "binary from logits": ([K.BinaryCrossentropy(from_logits=True)], ONE_HOT, BINARY_OF_LOGITS),
    "squares": (
        ["mse", K.mean_squared_error, K.MeanSquaredError()],
        SOFT,
        ((P - SOFT) ** 2).mean(),
    ),
    "absolute": (["mean_absolute_error", K.MeanAbsoluteError], SOFT, np.abs(P - SOFT).mean()),
    "generalized": (
        [K.CategoricalGeneralizedCrossEntropy(q=0.5)],
        Y,
        ((1 - OF_LABEL**0.5) / 0.5).mean(),
    ),
    # Hinge losses read scores of any size.
    "margin": (["categorical_hinge", K.categorical_hinge, K.CategoricalHinge()], ONE_HOT, MARGIN),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_loss_gets_what_it_was_made_for(kind):
    losses, labels, expected = EXPECTED[kind]
    for loss in losses:
        assert value(loss, labels) == pytest.approx(expected, rel=1e-4), loss


@pytest.mark.parametrize("kind", EXPECTED)
def test_weights_of_examples(kind):
    losses, labels, _ = EXPECTED[kind]
    weight = np.zeros(16, "float32")
    weight[:4] = 4.0
    for loss in losses:
        by_hand = [
            float(
                LabelLossOnLogits(loss)(
                    *map(keras.ops.convert_to_tensor, (labels[i : i + 1], LOGITS[i : i + 1]))
                )
            )
            for i in range(4)
        ]
        assert value(loss, labels, weight) == pytest.approx(np.mean(by_hand), rel=1e-4)


def test_functions_and_losses_of_ones_own_get_logits_unless_they_say_otherwise():
    def mean_of_logits(y_true, y_pred):
        return keras.ops.sum(y_pred, axis=-1)

    def says_that_it_wants_probabilities(y_true, y_pred, from_logits=False):
        return keras.ops.sum(y_pred, axis=-1)

    class Own(keras.losses.Loss):
        from_logits = None

        def call(self, y_true, y_pred):
            return keras.ops.sum(y_pred, axis=-1)

    class OwnOfProbabilities(Own):
        from_logits = False

    total = LOGITS.sum(axis=-1).mean()
    assert value(mean_of_logits, Y) == pytest.approx(total, rel=1e-4)
    assert value(Own(), SOFT) == pytest.approx(total, rel=1e-4)
    assert value(says_that_it_wants_probabilities, Y) == pytest.approx(1)
    assert value(OwnOfProbabilities, Y) == pytest.approx(1)


@pytest.mark.parametrize(
    "loss",
    [
        "circle",
        K.Circle(),
        K.ctc,
        K.CTC,
        "mape",
        K.MeanAbsolutePercentageError(),
        "dice",
        K.Tversky,
    ],
)
def test_losses_that_mean_something_else_than_classes_are_refused(loss):
    with pytest.raises(ValueError, match=r"Expected a loss for .* kind 'classes', .*; leave"):
        LabelLossOnLogits(loss)


@pytest.mark.parametrize("loss", ["crossentropy", ["mse"], {"output": "mse"}, 3])
def test_what_is_no_loss_is_refused_in_one_line(loss):
    with pytest.raises(ValueError, match=r"^Expected one loss, .*, received .*; [^\n]*$"):
        LabelLossOnLogits(loss)


def test_losses_that_take_the_predictions_first_are_refused():
    torch = pytest.importorskip("torch")

    def as_optax_has_it(logits, labels):
        return logits

    for loss in (as_optax_has_it, torch.nn.CrossEntropyLoss(), torch.nn.functional.cross_entropy):
        with pytest.raises(ValueError, match=r"of \(labels, predictions\), received .* first"):
            LabelLossOnLogits(loss)


def network(units):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(CLASSES)]
    )


MAKERS = {
    "student": lambda: StudentOnly(network(8)),
    "prokt": lambda: ProKTDistiller(network(16), network(8), label_weight=0.5),
    "mutual": lambda: MutualDistiller(network(16), network(8)),
}
X = np.random.default_rng(1).normal(size=(16, 4)).astype("float32")
WANTS_ROWS = [
    "categorical_crossentropy",
    K.categorical_crossentropy,
    K.CategoricalCrossentropy(label_smoothing=0.1),
    "categorical_focal_crossentropy",
    "kl_divergence",
    K.Poisson(),
    "binary_crossentropy",
    K.BinaryFocalCrossentropy,
    "mse",
    "hinge",
]
WANTS_INDICES = [
    "sparse_categorical_crossentropy",
    K.sparse_categorical_crossentropy,
    K.SparseCategoricalCrossentropy(),
    K.CategoricalGeneralizedCrossEntropy(),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_form_of_the_labels_must_be_the_losss(make):
    for losses, good, bad, message in (
        (WANTS_ROWS, ONE_HOT, Y, r"^Expected one-hot labels of shape \(batch, 3\) .* integers"),
        (WANTS_INDICES, Y, ONE_HOT, r"^Expected integer labels of shape \(batch,\) .* rows"),
    ):
        for loss in losses:
            distiller = make()
            distiller.compile("adam", loss=loss)
            for call in (
                lambda d=distiller, bad=bad: d.fit(X, bad, verbose=0),
                lambda d=distiller, bad=bad: d.evaluate(X, bad, verbose=0),
                lambda d=distiller, bad=bad: d.train_on_batch(X, bad),
                lambda d=distiller, bad=bad, good=good: d.fit(
                    X, good, validation_data=(X, bad), verbose=0
                ),
            ):
                with pytest.raises(ValueError, match=message) as error:
                    call()
                assert "\n" not in str(error.value)
            assert int(distiller.optimizer.iterations) == 0


def test_smoothing_of_integers_is_shown_how():
    distiller = StudentOnly(network(4))
    distiller.compile("adam", loss=K.CategoricalCrossentropy(label_smoothing=0.1))
    with pytest.raises(ValueError, match=r"SmoothedCrossEntropy\(0\.1\)"):
        distiller.fit(X, Y, verbose=0)
