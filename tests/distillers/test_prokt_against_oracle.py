"""Every weight after 1 and 20 steps equals an independent Algorithm 1 in NumPy.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides: α and 1
− α swapped; temperature in the proximal term.
"""

import keras
import numpy as np
import oracle
import pytest
from keras import layers
from marks import crossed, thorough

from keras_prokt import ProKTDistiller
from keras_prokt.losses import SmoothedCrossEntropy

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
BATCH, FEATURES, CLASSES = 16, 6, 5
TOLERANCE = {"rtol": 0, "atol": 1e-5}
MODES = {
    "tensorflow": ["graph", "eager", "xla"],
    "jax": ["xla", "eager"],
    "torch": ["eager"],
}[BACKEND]
MODE_ARGUMENTS = {
    "graph": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
}


def data(steps, seed=1):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(steps * BATCH, FEATURES)).astype("float32")
    y = generator.integers(0, CLASSES, steps * BATCH)
    weight = generator.uniform(0, 2, steps * BATCH).astype("float32")
    return x, y, weight


def network(units, l2=0.0, features=FEATURES):
    def penalty():
        return keras.regularizers.L2(l2) if l2 else None

    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(units, activation="relu", kernel_regularizer=penalty()),
            layers.Dense(CLASSES, kernel_regularizer=penalty()),
        ]
    )


def pair(
    optimizer="sgd", l2=0.0, student_features=FEATURES, mode=MODES[0], compiled=None, **kwargs
):
    """A distiller and the oracle, with the same weights."""
    teacher, student = network(24, l2), network(8, l2, student_features)
    distiller = ProKTDistiller(teacher, student, **kwargs)
    if optimizer == "sgd":
        make = [keras.optimizers.SGD(rate, momentum=0.9) for rate in (0.02, 0.05)]
        expected = [oracle.SGD(rate, momentum=0.9) for rate in (0.02, 0.05)]
    else:
        make = [keras.optimizers.Adam(rate) for rate in (1e-3, 2e-3)]
        expected = [oracle.Adam(rate) for rate in (1e-3, 2e-3)]
    distiller.compile(
        make[1], teacher_optimizer=make[0], **(compiled or {}), **MODE_ARGUMENTS[mode]
    )
    models = [
        oracle.Network([w.astype("float64") for w in model.get_weights()], l2)
        for model in (teacher, student)
    ]
    settings = {k: v for k, v in kwargs.items() if k not in ("target_mode",)}
    if "dual_initial" in settings:
        settings["beta"] = settings.pop("dual_initial")
    return distiller, oracle.Algorithm1(*models, *expected, **settings)


def assert_same(distiller, reference):
    for model, expected in (
        (distiller.teacher, reference.teacher),
        (distiller.student, reference.student),
    ):
        for received, wanted in zip(model.get_weights(), expected.weights, strict=True):
            np.testing.assert_allclose(received, wanted, **TOLERANCE)
    if distiller.dual_variable is not None:
        assert float(distiller.dual_variable) == pytest.approx(reference.beta, rel=1e-5)


def run_both(distiller, reference, steps, weighted=False):
    x, y, weight = data(steps)
    for step in range(steps):
        part = slice(step * BATCH, (step + 1) * BATCH)
        sample_weight = weight[part] if weighted else None
        logs = distiller.train_on_batch(x[part], y[part], sample_weight, return_dict=True)
        expected = reference.step(x[part], x[part], y[part], sample_weight)
        for name, value in expected.items():
            assert logs[name] == pytest.approx(value, abs=2e-5), name
        if step in (0, steps - 1):
            assert_same(distiller, reference)


BOUNDED = {"proximal_bound": 0.05, "dual_step_size": 2.0, "dual_initial": 0.5}
SETTINGS = [
    {"proximal_weight": 0.0},
    {"proximal_weight": 0.3},
    {"proximal_weight": 0.3, "temperature": 4.0},
    {"proximal_weight": 0.0, "temperature": 4.0, "student_loss_weight": 0.5},
    {"proximal_weight": 0.3, "student_loss_weight": 0.5},
    BOUNDED,
    {**BOUNDED, "temperature": 4.0, "student_loss_weight": 0.5},
    # A bound that always holds: β falls to 0 and stays there.
    {"proximal_bound": 5.0, "dual_step_size": 0.02, "dual_initial": 0.5},
]


@pytest.mark.parametrize(("settings", "mode"), crossed(SETTINGS, MODES), ids=str)
def test_one_and_twenty_steps(settings, mode):
    run_both(*pair(mode=mode, **settings), steps=20)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("settings", [SETTINGS[1], SETTINGS[4], BOUNDED], ids=str)
def test_sample_weights_and_l2(settings, optimizer):
    run_both(*pair(optimizer, l2=1e-2, **settings), steps=20, weighted=True)


@pytest.mark.parametrize("mode", [MODES[0], *thorough(*MODES[1:])])
@pytest.mark.parametrize("settings", [SETTINGS[1], SETTINGS[4], BOUNDED], ids=str)
def test_smoothed_labels(settings, mode):
    loss = {"loss": SmoothedCrossEntropy(0.2)}
    distiller, reference = pair(mode=mode, compiled=loss, **settings)
    reference.label_smoothing = 0.2
    run_both(distiller, reference, steps=20, weighted=True)


def test_the_bounds_are_exercised():
    """The settings above move β both ways, and down to 0."""
    x, y, _ = data(20)
    betas = {}
    for bound in (SETTINGS[5], SETTINGS[7]):
        _, reference = pair(**bound)
        path = betas.setdefault(bound["proximal_bound"], [])
        for step in range(20):
            part = slice(step * BATCH, (step + 1) * BATCH)
            reference.step(x[part], x[part], y[part])
            path.append(reference.beta)
    assert np.ptp(betas[0.05]) > 0.1
    assert betas[5.0][-1] == 0.0


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_target_modes_agree_for_networks_without_modes(mode):
    run_both(*pair(proximal_weight=0.3, target_mode=mode), steps=3)


@pytest.mark.parametrize("steps_per_execution", [1] if BACKEND == "torch" else [1, 5])
def test_fit(steps_per_execution):
    distiller, reference = pair(compiled={"steps_per_execution": steps_per_execution})
    x, y, weight = data(20)
    one_hot = np.eye(CLASSES, dtype="float32")[y]
    distiller.fit(x, one_hot, BATCH, 1, 0, shuffle=False, sample_weight=weight)
    for step in range(20):
        part = slice(step * BATCH, (step + 1) * BATCH)
        reference.step(x[part], x[part], y[part], weight[part])
    assert_same(distiller, reference)


def test_class_weights():
    distiller, reference = pair()
    x, y, _ = data(3)
    weights = {c: 0.5 + 0.5 * c for c in range(CLASSES)}
    distiller.fit(x, y, BATCH, 1, 0, shuffle=False, class_weight=weights)
    for step in range(3):
        part = slice(step * BATCH, (step + 1) * BATCH)
        reference.step(x[part], x[part], y[part], [weights[c] for c in y[part]])
    assert_same(distiller, reference)


def test_models_with_different_inputs():
    distiller, reference = pair(student_features=3)
    x, y, _ = data(3)
    nested = {"teacher": x, "student": x[:, :3]}
    distiller.fit(nested, y, BATCH, 1, 0, shuffle=False)
    for step in range(3):
        part = slice(step * BATCH, (step + 1) * BATCH)
        reference.step(x[part], x[part, :3], y[part])
    assert_same(distiller, reference)


def test_the_oracles_gradients_against_differences():
    x, _, _ = data(1)
    generator = np.random.default_rng(2)
    shapes = [(FEATURES, 8), (8,), (8, CLASSES), (CLASSES,)]
    model = oracle.Network([generator.normal(size=s) for s in shapes], l2=0.1)
    of_logits = generator.normal(size=(BATCH, CLASSES))
    gradients = model.gradients(x, of_logits)
    for weight, gradient in zip(model.weights, gradients, strict=True):
        index = tuple(generator.integers(0, s) for s in weight.shape)
        values = []
        for sign in (1, -1):
            weight[index] += sign * 1e-5
            values.append(np.sum(model.logits(x) * of_logits) + model.penalty())
            weight[index] -= sign * 1e-5
        assert gradient[index] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)
