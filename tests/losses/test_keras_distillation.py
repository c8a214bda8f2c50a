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
    # What it is: a divergence of the logits themselves, as if they were probabilities.
    clipped = [np.clip(logits / 3, 1e-7, 1) for logits in (TEACHER, STUDENT)]
    divergence = np.sum(clipped[0] * np.log(clipped[0] / clipped[1]), axis=-1)
    assert value == pytest.approx(divergence.mean(), rel=1e-4)
    cured = KerasLoss(kl(3.0))
    value = float(ops.mean(cured({"logits": TEACHER}, {"logits": STUDENT})))
    assert value == pytest.approx(right, rel=1e-3)


@pytest.mark.slow
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
    value = float(ops.convert_to_numpy(loss.compute_loss(expected["teacher"], expected["student"])))
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


# Of the model by which Keras's distiller reads features.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The structure of .inputs. doesn't match:UserWarning")
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
    expected = ops.convert_to_numpy(objective(inner["teacher"], inner["student"])).mean()
    assert float(logs["distillation_loss"]) == pytest.approx(expected, rel=1e-3, abs=1e-7)


@pytest.mark.slow
def test_a_step_in_keras_distiller_is_a_step_in_ours():
    theirs = keras_distiller(as_keras_loss(SoftTargets(4.0)))
    ours = FrozenTeacherDistiller(*pair(), temperature=4.0, student_loss_weight=0.5)
    ours.compile("sgd")
    logs = [one.train_on_batch(X, Y, return_dict=True) for one in (theirs, ours)]
    assert float(logs[0]["loss"]) == pytest.approx(float(logs[1]["loss"]), rel=1e-5)
    for one, other in zip(theirs.student.weights, ours.student.weights, strict=True):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_outputs_that_a_keras_loss_cannot_compare_are_refused_before_training():
    def distiller(loss, **names):
        names = {f"{role}_layer_name": name for role, name in names.items()}
        return FrozenTeacherDistiller(*pair(), objectives=loss(**names))

    shapes = r"FeatureDistillation can compare, received the shapes \(None, 8\) .* \(None, 5\)"
    with pytest.raises(ValueError, match=shapes):
        distiller(FeatureDistillation, teacher="hidden", student="hidden")
    with pytest.raises(ValueError, match=r"shapes \(None, 3\) .* \(None, 5\) of the student"):
        distiller(FeatureDistillation, student="hidden")
    with pytest.raises(ValueError, match="layer 'nothing' .* received 0 calls"):
        distiller(FeatureDistillation, teacher="nothing", student="hidden")
    several = LogitsDistillation(3.0, loss=[keras.losses.KLDivergence(), None])
    with pytest.raises(ValueError, match="LogitsDistillation can compare"):
        FrozenTeacherDistiller(*pair(), objectives=several)


def test_one_layer_of_a_network_and_the_output_of_the_other():
    loss = FeatureDistillation("mse", teacher_layer_name="features", student_layer_name="features")
    loss.teacher_layer_name = None
    objective = KerasLoss(loss)
    assert objective.reads == ("logits", "keras:feature_distillation")
    received = objective(
        {"logits": TEACHER}, {"logits": 0 * STUDENT, "keras:feature_distillation": STUDENT}
    )
    received = ops.convert_to_numpy(received)
    np.testing.assert_allclose(received, np.mean((TEACHER - STUDENT) ** 2), rtol=1e-5)
    assert received.shape == (16,)


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
        ("pkd", "at least 2 transformer layers"),
    ],
)
def test_what_keras_distiller_cannot_do_is_refused_with_the_reason(name, reason):
    [objective] = losses.get(name)
    with pytest.raises(ValueError, match=reason):
        as_keras_loss(objective, teacher_layer_name="a", student_layer_name="b")


def test_layers_have_to_be_named_for_features():
    with pytest.raises(ValueError, match="Expected teacher_layer_name and student_layer_name"):
        as_keras_loss(losses.get("sp")[0])
    with pytest.raises(ValueError, match="received None and 'hidden'"):
        as_keras_loss(SoftTargets(), student_layer_name="hidden")
    with pytest.raises(ValueError, match="Expected an objective, received str: 'kd'; losses.get"):
        as_keras_loss("kd")
    with pytest.raises(ValueError, match="Expected a keras.distillation.DistillationLoss"):
        KerasLoss("mse")
