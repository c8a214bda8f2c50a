"""Activation boundaries equal the CRD codebase's loss and connectors, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient, gradients_of_objective
from losses.test_feature_maps import pooled
from losses.test_fitnet import convolution, transposed_convolution

from keras_prokt import FrozenTeacherDistiller, models
from keras_prokt.losses.activation_boundary import ActivationBoundary, activation_boundary_loss

RNG = np.random.default_rng(0)


def original(teacher, student, margin):
    """The values of the examples; their mean is the scalar of the batch."""
    values = []
    for targets, sources in zip(teacher, student, strict=True):
        total = 0
        for t, s in zip(targets.flatten(), sources.flatten(), strict=True):
            total += abs((s + margin) ** 2 * (s > -margin and t <= 0))
            total += abs((s - margin) ** 2 * (s <= margin and t > 0))
        values.append(total)
    return np.array(values)


def in_double(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def connected(layers, teacher, student, training):
    """The teacher's map and what the connector makes of the student's."""
    sizes = teacher.shape[1], student.shape[1]
    if not layers:
        return teacher, student
    kernel, bias = (in_double(variable) for variable in layers[-2].weights)
    if sizes[0] == 2 * sizes[1]:
        assert kernel.shape[:2] == (4, 4)
        outputs = transposed_convolution(student, kernel, bias, 2, 1)
    elif sizes[1] == 2 * sizes[0]:
        assert kernel.shape[:2] == (3, 3)
        outputs = convolution(student, kernel, bias, 2, 1)
    else:
        assert kernel.shape[:2] == (1, 1)
        teacher, student = (pooled(m, min(sizes), min(sizes)) for m in (teacher, student))
        outputs = convolution(student, kernel, bias, 1, 0)
    scale, shift, mean, variance = (in_double(variable) for variable in layers[-1].weights)
    if training:
        mean, variance = outputs.mean((0, 1, 2)), outputs.var((0, 1, 2))
    return teacher, (outputs - mean) / np.sqrt(variance + 1e-5) * scale + shift


def with_sizes(*sizes, role="student", batch=3):
    of = parts(role, batch)
    channels = [feature_map.shape[-1] for feature_map in of["pre_activations"]]
    of["pre_activations"] = [
        RNG.normal(size=(batch, size, size, width)).astype("float32")
        for size, width in zip(sizes, channels, strict=True)
    ]
    return of


@pytest.mark.parametrize("shape", [(3, 4, 4, 5), (1, 2, 3, 1)])
@pytest.mark.parametrize("margin", [1.0, 0.25])
def test_the_loss_equals_numpy(shape, margin):
    teacher, student = RNG.normal(size=(2, *shape))
    teacher[0, 0, 0, 0] = 0.0  # off
    student[0, 1, :, 0] = (margin, -margin) + (0,) * (shape[2] - 2)
    received = compiled(lambda t, s: activation_boundary_loss(t, s, margin), teacher, student)
    np.testing.assert_allclose(received, original(teacher, student, margin), rtol=1e-5)


def test_there_is_no_loss_beyond_the_margin_and_only_the_side_of_the_teacher_counts():
    teacher = RNG.normal(size=(3, 4, 4, 5))
    student = RNG.normal(size=(3, 4, 4, 5))
    right = np.where(teacher > 0, 1.0, -1.0) * RNG.uniform(1, 3, size=teacher.shape)
    assert not ops.convert_to_numpy(activation_boundary_loss(teacher, right)).any()
    assert not gradient(lambda s: activation_boundary_loss(teacher, s), right).any()
    assert (ops.convert_to_numpy(activation_boundary_loss(teacher, -right)) > 320).all()
    one, other = (
        ops.convert_to_numpy(activation_boundary_loss(factor * teacher, student))
        for factor in (1, 100)
    )
    np.testing.assert_array_equal(one, other)
    slope = gradient(lambda s: activation_boundary_loss(teacher, s), 0 * student)
    assert (np.sign(slope) == np.where(teacher > 0, -1, 1)).all()


@pytest.mark.parametrize("sizes", [(8, 8, 1), (2, 16, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_connectors_and_the_factors_of_stages_equal_numpy(sizes, training):
    teacher, student = parts("teacher", 3), with_sizes(*sizes)
    objective = built(ActivationBoundary(0.7), teacher, student)
    for layers in objective.connectors:
        for variable in layers[-1].weights:
            variable.assign(RNG.uniform(0.5, 2, size=variable.shape))
    expected = 0
    for factor, layers, t, s in zip(
        (0.25, 0.5, 1.0),
        objective.connectors,
        teacher["pre_activations"],
        student["pre_activations"],
        strict=True,
    ):
        t, s = connected(layers, t.astype("float64"), s.astype("float64"), training)
        expected = expected + factor * original(t, s, 0.7) / 1000 * 3
    received = ops.convert_to_numpy(objective(teacher, student, training=training))
    np.testing.assert_allclose(received, expected, rtol=1e-4)


def test_equal_shapes_are_compared_as_they_are():
    teacher = parts("teacher", 3)
    student = parts("teacher", 3, seed=1)
    objective = built(ActivationBoundary(), teacher, student)
    assert not objective.trainable_variables
    pairs = zip(
        (0.25, 0.5, 1.0), teacher["pre_activations"], student["pre_activations"], strict=True
    )
    expected = sum(factor * original(t, s, 1.0) * 0.003 for factor, t, s in pairs)
    np.testing.assert_allclose(ops.convert_to_numpy(objective(teacher, student)), expected, 1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_connectors_and_student_are_trained(batch):
    teacher, student = parts("teacher", batch), with_sizes(16, 4, 1, batch=batch)
    objective = built(ActivationBoundary(), teacher, student)
    of_stages, of_weights = gradients_of_objective(objective, teacher, student, "pre_activations")
    assert len(of_weights) == 3 * 4  # the bias before a normalisation has none but rounding
    for slope in (*of_stages, *of_weights):
        assert np.isfinite(slope).all()
    assert sum(slope.any() for slope in of_weights) >= 9
    assert all(slope.any() for slope in of_stages)


@pytest.mark.slow
def test_the_first_stage_trains_the_students_features_alone():
    keras.utils.set_random_seed(0)
    networks = [models.get(f"cnn-{size}")(3, (8, 8, 1)) for size in ("large", "small")]
    objective = ActivationBoundary()
    assert objective.first_stage() is objective
    distiller = FrozenTeacherDistiller(*networks, objectives=objective.first_stage())
    distiller.compile(keras.optimizers.SGD(1e-3))
    *features, kernel, bias = distiller.student.trainable_variables
    trained = [*features, *(layers[0].kernel for layers in objective.connectors)]
    before = [ops.convert_to_numpy(v).copy() for v in (*trained, kernel, bias)]
    x = RNG.normal(size=(16, 8, 8, 1)).astype("float32")
    history = distiller.fit(x, np.arange(16) % 3, epochs=3, batch_size=16, verbose=0).history
    assert history["student_loss"][-1] < history["student_loss"][0]
    moved = [
        not np.array_equal(one, ops.convert_to_numpy(v))
        for one, v in zip(before, (*trained, kernel, bias), strict=True)
    ]
    assert moved == [True] * len(trained) + [False, False]


def test_connectors_keep_their_precision_and_axis_under_other_settings():
    teacher, student = parts("teacher", 3), with_sizes(16, 4, 1)
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    try:
        objective = built(ActivationBoundary(), teacher, student)
        value = objective(teacher, student, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert {v.dtype for v in objective.variables} == {"float32"}


def test_networks_that_do_not_fit_are_refused():
    teacher, student = parts("teacher"), parts()
    none = {**student, "pre_activations": []}
    with pytest.raises(ValueError, match="and 0 of the student; .* student_taps=.*pre_activat"):
        built(ActivationBoundary(), teacher, none)
    fewer = {**student, "pre_activations": student["pre_activations"][:2]}
    assert len(built(ActivationBoundary(), teacher, fewer).connectors) == 2


@pytest.mark.parametrize("margin", [0.0, -1.0, float("inf"), float("nan")])
def test_margins_out_of_range(margin):
    with pytest.raises(ValueError, match="margin above 0"):
        ActivationBoundary(margin)
