"""Contrastive representations equal the CRD codebase's loss and memory, written in NumPy.

Mutants of the module that were tried by hand; each made a test of this file fail: the sign of
either term; mean for sum over the negatives; K missing in K/N, or counted with the positive; K/N
missing in the numerator; the momentum the wrong way round; a memory that is not renormalised; an
anchor against its own network's memory; the student remembered as the teacher, or not at all; an
embedding that is not normalised; the temperature multiplied; Z divided by N, from a sum for a mean,
of each batch, or of the other direction; gradients through Z; another row among all products; the
own class drawn, at its edge, or with classes in another order; the last example never drawn; the
same negatives in each step; memories that move in inference; replicas averaged; a random state that
is not saved; another size of the initial memory.
"""

import keras
import numpy as np
import pytest
from distillers.test_several_devices import MIRRORED, run
from keras import ops
from losses.example_parts import EXAMPLES, LABELS, built, parts
from losses.gradients import compiled, gradient, gradients_of_objective

from keras_prokt import FrozenTeacherDistiller, losses, models
from keras_prokt.losses import contrastive
from keras_prokt.losses.contrastive import (
    ContrastiveRepresentation,
    contrastive_loss,
    similarities,
    updated_memory,
)

RNG = np.random.default_rng(0)
BACKEND = keras.backend.backend()


class Original:
    """Memory and loss of the CRD codebase, for embeddings and choices that are given."""

    def __init__(self, teacher_memory, student_memory, temperature, momentum):
        self.memory = {"teacher": teacher_memory, "student": student_memory}
        self.temperature, self.momentum = temperature, momentum
        self.normalizer = {"teacher": None, "student": None}

    def step(self, embeddings, index, chosen):
        """The values of the examples; their mean is the scalar of the batch."""
        examples = len(self.memory["teacher"])
        values = 0
        for anchor, other in (("student", "teacher"), ("teacher", "student")):
            scores = np.exp(
                np.array(
                    [
                        [np.dot(e, self.memory[other][k]) for k in of_example]
                        for e, of_example in zip(embeddings[anchor], chosen, strict=True)
                    ]
                )
                / self.temperature
            )
            if self.normalizer[anchor] is None:
                self.normalizer[anchor] = scores.mean() * examples
            values = values + original_loss(scores / self.normalizer[anchor], examples)
        for role, memory in self.memory.items():
            for position, embedding in zip(index, embeddings[role], strict=True):
                mixed = self.momentum * memory[position] + (1 - self.momentum) * embedding
                memory[position] = mixed / np.sqrt((mixed**2).sum())
        return values


def original_loss(scores, examples):
    """Of one direction; the positive comes first."""
    negatives = scores.shape[1] - 1
    noise = negatives * (1 / examples)
    values = []
    for positive, *others in scores:
        log_d1 = np.log(positive / (positive + noise + 1e-7))
        log_d0 = [np.log(noise / (other + noise + 1e-7)) for other in others]
        values.append(-(log_d1 + sum(log_d0)))
    return np.array(values)


def in_double(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def embedded(layer, pooled):
    outputs = pooled @ in_double(layer.kernel) + in_double(layer.bias)
    return outputs / np.sqrt((outputs**2).sum(-1, keepdims=True))


def small(**settings):
    """An objective with few negatives."""
    return ContrastiveRepresentation(**{"num_negatives": 7, "dimensions": 5, **settings})


@pytest.mark.parametrize("negatives", [1, 9])
@pytest.mark.parametrize("examples", [4, 1000])
def test_the_loss_equals_numpy(negatives, examples):
    scores = RNG.uniform(1e-4, 2, size=(3, 1 + negatives))
    received = compiled(lambda s: contrastive_loss(s[:, 0], s[:, 1:], examples), np.log(scores))
    assert received.shape == (3,)
    np.testing.assert_allclose(received, original_loss(scores, examples), rtol=1e-5)


def test_limits_of_the_loss():
    far = ops.convert_to_numpy(contrastive_loss(np.array([1e4]), np.full((1, 4), -1e4), 8))
    np.testing.assert_allclose(far, 4 * np.log1p(2e-7), atol=1e-6)  # told apart
    wrong = ops.convert_to_numpy(contrastive_loss(np.array([-1e4]), np.full((1, 4), 1e4), 8))
    np.testing.assert_allclose(wrong, 5e4, rtol=1e-3)  # and still finite
    # Nothing learnt: as likely as noise, every guess is one half.
    even = ops.convert_to_numpy(contrastive_loss(np.log([0.5]), np.log(np.full((1, 4), 0.5)), 8))
    np.testing.assert_allclose(even, 5 * np.log(2), rtol=1e-5)
    slope = gradient(lambda s: contrastive_loss(s[:, 0], s[:, 1:], 8), np.zeros((2, 5)))
    assert (slope[:, 0] < 0).all() and (slope[:, 1:] > 0).all()


@pytest.mark.parametrize("with_all", [True, False])
def test_similarities_and_their_gradient_equal_numpy(with_all):
    anchors, memory = RNG.normal(size=(3, 4)), RNG.normal(size=(6, 4))
    chosen = RNG.integers(0, 6, size=(3, 9))
    expected = [[anchors[b] @ memory[k] for k in chosen[b]] for b in range(3)]
    received = compiled(lambda a: similarities(a, memory, chosen, with_all=with_all), anchors)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    slope = gradient(lambda a: similarities(a, memory, chosen, with_all=with_all), anchors)
    expected = [memory[chosen[b]].sum(0) / chosen.size for b in range(3)]
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_the_memory_is_updated_as_in_numpy():
    memory, embeddings = RNG.normal(size=(6, 4)), RNG.normal(size=(2, 4))
    expected = memory.copy()
    for position, embedding in zip((4, 1), embeddings, strict=True):
        mixed = 0.3 * memory[position] + 0.7 * embedding
        expected[position] = mixed / np.linalg.norm(mixed)
    received = ops.convert_to_numpy(updated_memory(memory, np.array([4, 1]), embeddings, 0.3))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_all", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
def test_steps_of_training_equal_numpy(monkeypatch, with_all, batch):
    monkeypatch.setattr(contrastive, "EXAMPLES_A_NEGATIVE", 99 if with_all else 0)
    objective = built(small(momentum=0.3, temperature=0.2), parts("teacher"), parts())
    original = Original(
        in_double(objective.teacher_memory), in_double(objective.student_memory), 0.2, 0.3
    )
    for step in range(3):
        index = RNG.permutation(EXAMPLES)[:batch]
        negatives = RNG.integers(0, EXAMPLES, size=(batch, 7))
        monkeypatch.setattr(
            objective, "draw_negatives", lambda _, drawn=negatives: ops.convert_to_tensor(drawn)
        )
        read = [parts(role, batch, seed=step, index=index) for role in ("teacher", "student")]
        embeddings = {
            "teacher": embedded(objective.teacher_embedding, read[0]["pooled"]),
            "student": embedded(objective.student_embedding, read[1]["pooled"]),
        }
        expected = original.step(embeddings, index, np.c_[index, negatives])
        received = ops.convert_to_numpy(objective(*read, training=True))
        assert received.shape == (batch,)
        np.testing.assert_allclose(received, expected, rtol=1e-5)
        for role in ("teacher", "student"):
            memory = in_double(getattr(objective, f"{role}_memory"))
            np.testing.assert_allclose(memory, original.memory[role], rtol=1e-5, atol=1e-6)


def test_memories_start_uniform_and_differ():
    objective = ContrastiveRepresentation()
    objective.adapt(np.arange(500) % 10)
    limit = 1 / np.sqrt(128 / 3)
    memories = [in_double(objective.teacher_memory), in_double(objective.student_memory)]
    for memory in memories:
        assert memory.shape == (500, 128)
        assert 0.99 * limit < np.abs(memory).max() <= limit * (1 + 1e-6)
        np.testing.assert_allclose(memory.std(), limit / np.sqrt(3), rtol=0.02)
    assert not np.array_equal(*memories)


def test_only_training_changes_what_is_remembered():
    teacher, student = parts("teacher"), parts()
    objective = built(small(), teacher, student)
    before = [in_double(variable) for variable in objective.weights]
    objective(teacher, student, training=False)
    for one, variable in zip(before, objective.weights, strict=True):
        np.testing.assert_array_equal(one, in_double(variable))
    objective(teacher, student, training=True)
    first = in_double(objective.log_normalizers)
    moved = np.any(in_double(objective.teacher_memory) != before_of(objective, before), axis=1)
    assert moved.tolist() == [position < 6 for position in range(EXAMPLES)]
    objective(parts("teacher", seed=1), parts(seed=1), training=True)
    np.testing.assert_array_equal(first, in_double(objective.log_normalizers))


def before_of(objective, values):
    names = [variable.path for variable in objective.weights]
    return values[names.index(objective.teacher_memory.path)]


def test_negatives_are_drawn_evenly_from_the_other_classes():
    labels = np.array([2, 0, 7, 0, 2, 2, 0, 7, 0, 2])
    objective = ContrastiveRepresentation(num_negatives=4000)
    objective.adapt(labels)
    index = np.array([0, 2, 3, 7, 9])
    first, second = (ops.convert_to_numpy(objective.draw_negatives(index)) for _ in range(2))
    assert first.shape == (5, 4000)
    assert not np.array_equal(first, second)
    for of_example, drawn in zip(index, first, strict=True):
        others = np.flatnonzero(labels != labels[of_example])
        counts = np.bincount(drawn, minlength=len(labels))
        assert not np.delete(counts, others).any()
        expected = 4000 / len(others)
        assert np.abs(counts[others] - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("with_all", [True, False])
def test_student_and_both_embeddings_are_trained(monkeypatch, batch, with_all):
    monkeypatch.setattr(contrastive, "EXAMPLES_A_NEGATIVE", 99 if with_all else 0)
    teacher, student = parts("teacher", batch), parts(batch=batch)
    objective = built(small(), teacher, student)
    assert [tuple(v.shape) for v in objective.trainable_variables] == [(10, 5), (5,), (6, 5), (5,)]
    of_pooled, of_weights = gradients_of_objective(objective, teacher, student, "pooled")
    for slope in (*of_pooled, *of_weights):
        assert np.isfinite(slope).all() and slope.any()
    zeros = {**student, "pooled": 0 * student["pooled"]}
    objective.student_embedding.bias.assign(np.zeros(5))
    for slopes in gradients_of_objective(objective, teacher, zeros, "pooled"):
        assert all(np.isfinite(slope).all() for slope in slopes)


def test_no_gradient_goes_through_the_normalizers(monkeypatch):
    teacher, student = parts("teacher"), parts()
    objective = built(small(), teacher, student)
    drawn = ops.convert_to_tensor(RNG.integers(0, EXAMPLES, size=(6, 7)))
    monkeypatch.setattr(objective, "draw_negatives", lambda _: drawn)
    memories = (objective.teacher_memory, objective.student_memory)
    at_first = [ops.convert_to_numpy(memory).copy() for memory in memories]
    slopes = []
    for _ in range(2):  # with the normalizers of this batch, then with the same ones as constants
        for memory, start in zip(memories, at_first, strict=True):
            memory.assign(start)
        of_pooled, of_weights = gradients_of_objective(objective, teacher, student, "pooled")
        slopes.append([*of_pooled, *of_weights])
    for one, other in zip(*slopes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


X = RNG.normal(size=(24, 8, 8, 1)).astype("float32")
Y = np.arange(24) % 3
DATA = {"teacher": X, "student": X, "index": np.arange(24)}


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_equal(before, after):
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_training_remembers_and_goes_on_exactly_after_loading(tmp_path):
    keras.utils.set_random_seed(0)
    objectives = losses.get([small(weight=0.8), "kd"])
    for objective in objectives:
        objective.adapt(Y)
    networks = [models.get(f"cnn-{size}")(3, (8, 8, 1)) for size in ("large", "small")]
    distiller = FrozenTeacherDistiller(*networks, label_weight=1.0, objectives=objectives)
    distiller.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    crd = objectives[0]
    state = [*crd.trainable_variables, crd.teacher_memory, crd.student_memory, crd.log_normalizers]
    before = values(state)
    fit = {"batch_size": 10, "shuffle": False, "verbose": 0}
    history = distiller.fit(DATA, Y, epochs=2, **fit).history
    assert np.isfinite(history["crd"]).all()
    for one, other in zip(before, values(state), strict=True):
        assert (one != other).any(axis=-1).all()

    remembered = values(crd.variables)
    distiller.evaluate(X[:5], Y[:5], verbose=0)  # no memory of these, and no positions
    assert_equal(remembered, values(crd.variables))

    distiller.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    assert loaded.objectives[0].num_examples == 24
    for one in (distiller, loaded):
        one.fit(DATA, Y, **fit)
    variables = [d.variables + d.optimizer.variables for d in (distiller, loaded)]
    assert_equal(values(variables[0]), values(variables[1]))

    distiller.save_weights(tmp_path / "state.weights.h5")
    loaded.fit(DATA, Y, **fit)
    loaded.load_weights(tmp_path / "state.weights.h5")
    assert_equal(values(variables[0]), values(variables[1]))


ON_TWO_DEVICES = """
import numpy as np
import keras
import tensorflow as tf
from keras_prokt import FrozenTeacherDistiller, models
from keras_prokt.losses.contrastive import ContrastiveRepresentation

x = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
y = np.arange(8) % 2

def memories():
    keras.utils.set_random_seed(0)
    objective = ContrastiveRepresentation(num_negatives=4, dimensions=3)
    objective.adapt(y)
    networks = [models.get(f"cnn-{size}")(2, (8, 8, 1)) for size in ("large", "small")]
    distiller = FrozenTeacherDistiller(*networks, objectives=objective)
    distiller.compile("sgd")
    data = {"teacher": x, "student": x, "index": np.arange(8)}
    distiller.fit(tf.data.Dataset.from_tensor_slices((data, y)).batch(8), verbose=0)
    return objective.teacher_memory.numpy(), objective.student_memory.numpy()

one = memories()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    two = memories()
for a, b in zip(one, two):
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(a, b, atol=1e-6)
"""


@pytest.mark.process
def test_two_devices_remember_what_one_does():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    if BACKEND != "tensorflow":
        pytest.skip("only TensorFlow has replicas")
    run(MIRRORED + ON_TWO_DEVICES, KERAS_BACKEND="tensorflow")


def test_labels_are_needed_before_and_checked():
    teacher, student = ({"pooled": (None, width)} for width in (10, 6))
    with pytest.raises(ValueError, match=r"call objective.adapt\(labels\) before"):
        ContrastiveRepresentation().build_for(teacher, student)
    for labels, message in (
        (np.eye(3), r"class indices of shape \(examples,\)"),
        (np.array([0.0, 1.0]), "class indices"),
        (np.array([3, 3, 3]), "at least two classes .* received 1"),
        (np.array([], "int32"), "at least two classes .* received 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ContrastiveRepresentation().adapt(labels)
    objective = small()
    objective.adapt(LABELS)
    memory = in_double(objective.teacher_memory)
    objective.adapt(LABELS[::-1])
    np.testing.assert_array_equal(in_double(objective.teacher_memory), memory)
    assert in_double(objective.by_class)[-1] == 11
    with pytest.raises(ValueError, match="labels of 16 examples"):
        objective.adapt(LABELS[:9])
    with pytest.raises(ValueError, match="pooled features of the student"):
        objective.build_for(teacher, {"pooled": (None, 4, 4, 6)})


def test_a_batch_without_positions_is_refused():
    teacher, student = parts("teacher"), parts()
    objective = built(small(), teacher, student)
    with pytest.raises(ValueError, match="positions of their examples"):
        objective({"pooled": teacher["pooled"]}, {"pooled": student["pooled"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_negatives": 0}, "whole number as num_negatives"),
        ({"num_negatives": 1.5}, "whole number as num_negatives"),
        ({"dimensions": 0}, "whole number as dimensions"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"temperature": float("nan")}, "temperature above 0"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\)"),
        ({"momentum": -0.1}, r"momentum in \[0, 1\)"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveRepresentation(**settings)


def test_settings_of_the_recipe():
    config = ContrastiveRepresentation().get_config()
    assert config["num_negatives"] == 16384
    assert config["temperature"] == 0.07
    assert config["momentum"] == 0.5
    assert config["dimensions"] == 128
    assert "num_examples" not in config
