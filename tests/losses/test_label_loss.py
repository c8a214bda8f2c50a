"""Smoothed labels: values by hand, PyTorch's loss on the same numbers, and what trains on them."""

import keras
import numpy as np
import pytest
from keras import layers
from marks import crossed

from keras_prokt import MutualDistiller, ProKTDistiller, StudentOnly
from keras_prokt.losses import LabelLossOnLogits, SmoothedCrossEntropy

BATCH, CLASSES = 32, 5


def example(seed=0):
    generator = np.random.default_rng(seed)
    logits = (3 * generator.normal(size=(BATCH, CLASSES))).astype("float32")
    labels = generator.integers(0, CLASSES, BATCH)
    soft = generator.dirichlet(np.ones(CLASSES), BATCH).astype("float32")
    return logits, labels, soft


def value(loss, labels, logits, weight=None):
    return float(
        LabelLossOnLogits(loss)(*map(keras.ops.convert_to_tensor, (labels, logits)), weight)
    )


def test_by_hand():
    # Two classes, p = (3/4, 1/4), label 0, s = 0.2: q = (0.9, 0.1).
    logits = np.log(np.array([[0.75, 0.25]], "float32"))
    expected = -(0.9 * np.log(0.75) + 0.1 * np.log(0.25))
    assert value(SmoothedCrossEntropy(0.2), np.array([0]), logits) == pytest.approx(expected)
    # The uniform distribution costs log K, however much is smoothed.
    uniform = np.zeros((3, 10), "float32")
    for smoothing in (0.0, 0.1, 0.9):
        loss = value(SmoothedCrossEntropy(smoothing), np.array([0, 4, 9]), uniform)
        assert loss == pytest.approx(np.log(10), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("form", ["indices", "columns", "one-hot", "soft"])
def test_as_pytorch(smoothing, form):
    torch = pytest.importorskip("torch")
    logits, labels, soft = example()
    ours, theirs = {
        "indices": (labels, labels),
        "columns": (labels[:, None], labels),
        "one-hot": (np.eye(CLASSES, dtype="float32")[labels], labels),
        "soft": (soft, soft),
    }[form]
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")
    expected = loss(torch.from_numpy(logits), torch.from_numpy(theirs)).numpy()
    assert value(SmoothedCrossEntropy(smoothing), ours, logits) == pytest.approx(
        expected.mean(), rel=1e-6
    )
    # Keras divides by the number of examples, whatever their weights.
    weight = np.random.default_rng(1).uniform(0, 3, BATCH).astype("float32")
    weighted = value(SmoothedCrossEntropy(smoothing), ours, logits, weight)
    assert weighted == pytest.approx((weight * expected).sum() / BATCH, rel=1e-5)


def test_probabilities_near_0_and_half_precision():
    logits = np.array([[200.0, -200.0]], "float32")
    # −log p of the other class is 400; half of s lies on it.
    assert value(SmoothedCrossEntropy(0.1), np.array([0]), logits) == pytest.approx(20, rel=1e-5)
    half = keras.ops.cast(np.array([[8.0, -8.0]]), "float16")
    assert value(SmoothedCrossEntropy(0.1), np.array([0]), half) == pytest.approx(0.8, rel=1e-4)


def test_refusals_and_configuration():
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"Expected label_smoothing in \[0, 1\), received"):
            SmoothedCrossEntropy(wrong)
    loss = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(SmoothedCrossEntropy(0.3))
    )
    assert isinstance(loss, SmoothedCrossEntropy) and loss.label_smoothing == 0.3


def network(units):
    return keras.Sequential([keras.Input((4,)), layers.Dense(units, "relu"), layers.Dense(CLASSES)])


def data(seed=2):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(BATCH, 4)).astype("float32"), generator.integers(
        0, CLASSES, BATCH
    )


MAKERS = {
    "student": lambda: StudentOnly(network(8)),
    "prokt": lambda: ProKTDistiller(network(16), network(8), label_weight=0.5),
    "dml": lambda: MutualDistiller(network(16), network(8)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "weights"), crossed(MAKERS, (None, "sample", "class")))
def test_training_on_smoothed_labels_is_training_on_their_distributions(method, weights):
    """Every label term, the student's and the teacher's: labels that are smoothed by hand."""
    x, y = data()
    smoothed = (0.8 * np.eye(CLASSES)[y] + 0.2 / CLASSES).astype("float32")
    of_classes = dict(enumerate((0.5, 2.0, 1.0, 3.0, 0.1)))
    of_examples = np.random.default_rng(3).uniform(0, 2, BATCH).astype("float32")
    results = []
    for loss, labels in ((SmoothedCrossEntropy(0.2), y), (None, smoothed)):
        keras.utils.set_random_seed(0)
        distiller = MAKERS[method]()
        distiller.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss)
        # A class weight of Keras is a weight of each of its examples.
        weight = {None: None, "sample": of_examples}.get(
            weights, np.array([of_classes[label] for label in y], "float32")
        )
        given = {"sample_weight": weight}
        if weights == "class" and loss is not None:
            given = {"class_weight": of_classes}
        distiller.fit(x, labels, batch_size=8, epochs=3, shuffle=False, verbose=0, **given)
        results.append(distiller.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.slow
def test_it_is_saved_with_the_distiller(tmp_path):
    x, y = data()
    distiller = MAKERS["prokt"]()
    distiller.compile(optimizer="adam", teacher_optimizer="adam", loss=SmoothedCrossEntropy(0.4))
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    again = keras.saving.load_model(tmp_path / "distiller.keras")
    expected = distiller.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert again.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(expected)
