"""FitNet's regressor and loss equal the CRD codebase's, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail; tried by hand besides: sum for
mean; no square; plus for minus; no ReLU; no normalisation; no padding of the transposed
convolution; the stage before; teacher and student swapped.
"""

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient, gradients_of_objective

from keras_prokt.losses.fitnet import FitNet, fitnet_loss

RNG = np.random.default_rng(0)


def original(teacher, regressed):
    """The values of the examples; their mean is the scalar of the batch."""
    pairs = zip(teacher, regressed, strict=True)
    return np.array([np.sum((t - r) ** 2) / t.size for t, r in pairs])


def convolution(feature_map, kernel, bias, stride, padding):
    batch, height, width, _ = feature_map.shape
    size = kernel.shape[0]
    padded = np.pad(feature_map, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = ((s + 2 * padding - size) // stride + 1 for s in (height, width))
    result = np.zeros((batch, rows, columns, kernel.shape[3])) + bias
    for i in range(rows):
        for j in range(columns):
            for a in range(size):
                for b in range(size):
                    result[:, i, j] += padded[:, i * stride + a, j * stride + b] @ kernel[a, b]
    return result


def transposed_convolution(feature_map, kernel, bias, stride, padding):
    batch, height, width, _ = feature_map.shape
    size = kernel.shape[0]
    rows, columns = ((s - 1) * stride + size for s in (height, width))
    result = np.zeros((batch, rows, columns, kernel.shape[2])) + bias
    for i in range(height):
        for j in range(width):
            for a in range(size):
                for b in range(size):
                    row, column = i * stride + a, j * stride + b
                    result[:, row, column] += feature_map[:, i, j] @ kernel[a, b].T
    return result[:, padding : rows - padding, padding : columns - padding]


def normalised(feature_map, mean, variance, scale, shift):
    return np.maximum((feature_map - mean) / np.sqrt(variance + 1e-5) * scale + shift, 0)


def in_double(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def with_sizes(teacher_size, student_size, batch=3):
    """Two networks of three stages, the second of which has these sizes (height or both)."""
    teacher, student = parts("teacher", batch), parts("student", batch)
    for of, size in ((teacher, teacher_size), (student, student_size)):
        size = size if isinstance(size, tuple) else (size, size)
        channels = of["stages"][1].shape[-1]
        of["stages"][1] = np.maximum(RNG.normal(size=(batch, *size, channels)), 0).astype("float32")
    return teacher, student


@pytest.mark.parametrize("shape", [(3, 4, 4, 5), (1, 2, 3, 1)])
def test_equals_numpy(shape):
    teacher, regressed = RNG.normal(size=(2, *shape))
    received = compiled(fitnet_loss, teacher, regressed)
    np.testing.assert_allclose(received, original(teacher, regressed), rtol=1e-5)
    assert not ops.convert_to_numpy(fitnet_loss(teacher, teacher)).any()


@pytest.mark.parametrize(
    ("teacher_size", "student_size"), [(4, 4), (4, 8), (8, 4), ((6, 4), (3, 2)), ((3, 1), (6, 2))]
)
@pytest.mark.parametrize("training", [True, False])
def test_the_regressor_equals_numpy(teacher_size, student_size, training):
    teacher, student = with_sizes(teacher_size, student_size)
    objective = built(FitNet(), teacher, student)
    convolution_layer, normalization = objective.regressor[-2:]
    for variable in normalization.variables:
        variable.assign(RNG.uniform(0.5, 2, size=variable.shape))
    kernel, bias = (in_double(variable) for variable in convolution_layer.weights)
    scale, shift, mean, variance = (
        in_double(variable)
        for variable in (
            normalization.gamma,
            normalization.beta,
            normalization.moving_mean,
            normalization.moving_variance,
        )
    )
    of_teacher, of_student = (of["stages"][1].astype("float64") for of in (teacher, student))
    if of_teacher.shape[1] == of_student.shape[1]:
        assert kernel.shape[:2] == (1, 1)
        expected = convolution(of_student, kernel, bias, 1, 0)
    elif of_teacher.shape[1] < of_student.shape[1]:
        assert kernel.shape[:2] == (3, 3)
        expected = convolution(of_student, kernel, bias, 2, 1)
    else:
        assert kernel.shape[:2] == (4, 4)
        expected = transposed_convolution(of_student, kernel, bias, 2, 1)
    batch_mean, batch_variance = expected.mean((0, 1, 2)), expected.var((0, 1, 2))
    if training:
        expected = normalised(expected, batch_mean, batch_variance, scale, shift)
    else:
        expected = normalised(expected, mean, variance, scale, shift)
    received = ops.convert_to_numpy(objective(teacher, student, training=training))
    np.testing.assert_allclose(received, original(of_teacher, expected), rtol=1e-4)

    moved = ops.convert_to_numpy(normalization.moving_mean)
    kept = 0.9 * mean + 0.1 * batch_mean if training else mean
    np.testing.assert_allclose(moved, kept, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("teacher_size", "student_size"), [(4, 4), (4, 8), (8, 4)])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_regressor_and_the_student_are_trained(teacher_size, student_size, batch):
    teacher, student = with_sizes(teacher_size, student_size, batch)
    objective = built(FitNet(), teacher, student)
    of_stages, of_weights = gradients_of_objective(objective, teacher, student, "stages")
    assert [bool(slope.any()) for slope in of_stages] == [False, True, False]
    assert len(of_weights) == 4  # the bias before a normalisation has none but rounding
    for slope in (*of_stages, *of_weights):
        assert np.isfinite(slope).all()
    assert sum(slope.any() for slope in of_weights) >= 3
    assert not gradient(lambda r: fitnet_loss(r, r), teacher["stages"][1]).any()


@pytest.mark.parametrize(
    ("teacher_size", "student_size", "inputs"), [(4, 4, 5), (4, 8, 9 * 5), (8, 4, 16 * 8)]
)
def test_the_convolution_starts_uniform_in_one_over_the_root_of_the_inputs(
    teacher_size, student_size, inputs
):
    objective = built(FitNet(), *with_sizes(teacher_size, student_size))
    kernel, bias = (in_double(variable) for variable in objective.regressor[-2].weights)
    limit = inputs**-0.5
    assert 0.9 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.3)
    assert 0 < np.abs(bias).max() <= limit
    assert not np.array_equal(kernel.flatten()[:8], bias)


def test_another_stage():
    teacher, student = parts("teacher"), parts("student")
    objective = built(FitNet(stage=3), teacher, student)
    changed = {**teacher, "stages": [0 * m for m in teacher["stages"][:2]] + teacher["stages"][2:]}
    one, other = (ops.convert_to_numpy(objective(t, student)) for t in (teacher, changed))
    np.testing.assert_array_equal(one, other)
    assert objective.get_config()["stage"] == 3


def test_adapters_keep_their_precision_and_axis_under_other_settings():
    teacher, student = with_sizes(4, 8)
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    try:
        objective = built(FitNet(), teacher, student)
        value = objective(teacher, student, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert {v.dtype for v in objective.variables} == {"float32"}


@pytest.mark.parametrize(("teacher_size", "student_size"), [(2, 8), (8, 2), (4, 6), (4, (4, 8))])
def test_sizes_that_fit_no_regressor_are_refused(teacher_size, student_size):
    teacher, student = with_sizes(teacher_size, student_size)
    with pytest.raises(ValueError, match="same size, or one twice the other"):
        built(FitNet(), teacher, student)


def test_networks_without_the_stage_are_refused():
    teacher, student = parts("teacher"), parts("student")
    with pytest.raises(ValueError, match="2 stages of the student, .* received 1"):
        built(FitNet(), teacher, {**student, "stages": student["stages"][:1]})
    with pytest.raises(ValueError, match="4 stages of the teacher"):
        built(FitNet(stage=4), teacher, student)


@pytest.mark.parametrize("stage", [0, -1, 1.5])
def test_stages_out_of_range(stage):
    with pytest.raises(ValueError, match="stage from 1"):
        FitNet(stage)
