"""Both ways between our objectives and `keras.distillation`."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.distillation import Distiller, FeatureDistillation, LogitsDistillation

from keras_prokt import FrozenTeacherDistiller, losses
from keras_prokt.losses import KerasLoss, SoftTargets, as_keras_loss

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6)).astype("float32")
Y = np.arange(16) % 3
TEACHER, STUDENT = RNG.normal(scale=3, size=(2, 16, 3)).astype("float32")


def network(units):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(units, activation="relu", name="hidden"),
            layers.Dense(4, activation="relu", name="features"),
            layers.Dense(3),
        ]
    )


def pair():
    keras.utils.set_random_seed(0)
    return network(8), network(5)


def kl(temperature):
    return LogitsDistillation(temperature, loss=keras.losses.KLDivergence())


def test_the_default_of_keras_is_wrong_and_named_so():
    right = float(np.mean(ops.convert_to_numpy(losses.soft_target_loss(TEACHER, STUDENT, 3.0))))
    with pytest.warns(UserWarning, match=r"loss=keras.losses.KLDivergence\(\)"):
        wrong = KerasLoss(LogitsDistillation(3.0))
    value = float(ops.mean(wrong({"logits": TEACHER}, {"logits": STUDENT})))
    assert abs(value - right) > 0.5 * right
    cured = KerasLoss(kl(3.0))
    value = float(ops.mean(cured({"logits": TEACHER}, {"logits": STUDENT})))
    assert value == pytest.approx(right, rel=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        kl(4.0),
        FeatureDistillation("mse", teacher_layer_name="features", student_layer_name="features"),
    ],
)
def test_a_keras_loss_trains_in_our_distiller_and_reloads(loss, tmp_path):
    teacher, student = pair()
    distiller = FrozenTeacherDistiller(teacher, student, objectives=[loss, "kd"], label_weight=0.5)
    distiller.compile("sgd")
    expected = {}
    for name, model in (("teacher", teacher), ("student", student)):
        layer = getattr(loss, f"{name}_layer_name", None)
        at = model if layer is None else keras.Model(model.inputs[0], model.get_layer(layer).output)
        expected[name] = at(X)
    value = float(loss.compute_loss(expected["teacher"], expected["student"]))
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    assert logs[distiller.objectives[0].name] == pytest.approx(value, rel=1e-4)
    distiller.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    for one in (distiller, loaded):
        one.fit(X, Y, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def keras_distiller(loss):
    teacher, student = pair()
    distiller = Distiller(
        teacher, student, distillation_losses=[loss], distillation_loss_weights=[1.0],
        student_loss_weight=0.5,
    )  # fmt: skip
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return distiller


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        (SoftTargets(4.0), {}),
        ("pkt", {"teacher_layer_name": "features", "student_layer_name": "features"}),
    ],
)
def test_our_objective_trains_in_keras_distiller(objective, names):
    [objective] = losses.get(objective)
    distiller = keras_distiller(as_keras_loss(objective, **names))
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    teacher, student = pair()
    inner = {}
    for role, model in (("teacher", teacher), ("student", student)):
        layer = names.get(f"{role}_layer_name")
        at = model if layer is None else keras.Model(model.inputs[0], model.get_layer(layer).output)
        inner[role] = {objective.reads[0]: at(X)}
    expected = float(ops.mean(objective(inner["teacher"], inner["student"])))
    assert float(logs["distillation_loss"]) == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_our_objective_in_keras_reloads():
    loss = as_keras_loss(SoftTargets(4.0))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.objective.temperature == 4.0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crd", "has a memory of the training data"),
        ("fitnet", "trains adapters of its own"),
        ("cc", "trains adapters of its own"),
        ("ab", "has a first stage"),
        ("ft", "has a first stage"),
        ("tinybert", "reads embeddings, hidden_states, attentions"),
    ],
)
def test_what_keras_distiller_cannot_do_is_refused_with_the_reason(name, reason):
    [objective] = losses.get(name)
    with pytest.raises(ValueError, match=reason):
        as_keras_loss(objective, teacher_layer_name="a", student_layer_name="b")


def test_layers_have_to_be_named_for_features():
    with pytest.raises(ValueError, match="Expected teacher_layer_name and student_layer_name"):
        as_keras_loss(losses.get("sp")[0])
    with pytest.raises(ValueError, match="Expected a keras.distillation.DistillationLoss"):
        KerasLoss("mse")
