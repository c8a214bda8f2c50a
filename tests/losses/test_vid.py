"""Variational information equals the CRD codebase's formula, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts, shapes
from losses.gradients import compiled, gradient, gradients_of_objective
from losses.test_feature_maps import pooled

from keras_prokt.losses.variational_information import (
    VariationalInformation,
    variational_information_loss,
)

RNG = np.random.default_rng(0)


def original(teacher, predicted, variance):
    """The values of the examples; their mean is the scalar of the batch."""
    values = []
    for target, mean in zip(teacher, predicted, strict=True):
        terms = [
            0.5 * ((mean[i, j, c] - target[i, j, c]) ** 2 / variance[c] + np.log(variance[c]))
            for i in range(target.shape[0])
            for j in range(target.shape[1])
            for c in range(target.shape[2])
        ]
        values.append(np.mean(terms))
    return np.array(values)


def regressed(kernels, feature_map):
    for number, kernel in enumerate(kernels, 1):
        assert kernel.shape[:2] == (1, 1)
        feature_map = feature_map @ kernel[0, 0]
        if number < 3:
            feature_map = np.maximum(feature_map, 0)
    return feature_map


@pytest.mark.parametrize("shape", [(3, 4, 4, 5), (1, 2, 3, 1)])
def test_equals_numpy(shape):
    teacher, predicted = RNG.normal(size=(2, *shape))
    variance = RNG.uniform(0.1, 6, size=shape[-1])
    received = compiled(
        lambda t, p: variational_information_loss(t, p, variance), teacher, predicted
    )
    np.testing.assert_allclose(received, original(teacher, predicted, variance), rtol=1e-5)


@pytest.mark.parametrize("student_sizes", [(8, 4, 2), (16, 8, 4), (4, 2, 1)])
def test_regressors_variances_and_the_sum_over_stages(student_sizes):
    teacher, student = parts("teacher"), parts("student")
    student["stages"] = [
        np.maximum(RNG.normal(size=(6, size, size, m.shape[-1])), 0).astype("float32")
        for size, m in zip(student_sizes, student["stages"], strict=True)
    ]
    objective = built(VariationalInformation(), teacher, student)
    for raw in objective.raw_variances:
        raw.assign(RNG.normal(size=raw.shape))
    expected = 0
    for target, feature_map, raw, convolutions in zip(
        teacher["stages"],
        student["stages"],
        objective.raw_variances,
        objective.regressors,
        strict=True,
    ):
        size = min(target.shape[1], feature_map.shape[1])
        target, feature_map = pooled(target, size, size), pooled(feature_map, size, size)
        variance = np.log(1 + np.exp(ops.convert_to_numpy(raw).astype("float64"))) + 1e-5
        kernels = [ops.convert_to_numpy(layer.kernel) for layer in convolutions]
        assert [k.shape[3] for k in kernels] == [target.shape[-1]] * 3
        expected = expected + original(target, regressed(kernels, feature_map), variance)
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received, expected, rtol=1e-5)


@pytest.mark.parametrize("start", [5.0, 0.3, 2e-5])
def test_variances_start_where_they_are_told(start):
    of = parts("teacher")
    objective = built(VariationalInformation(start), of, of)
    for stage, width in enumerate((6, 8, 10), 1):
        variance = ops.convert_to_numpy(objective.variance(stage))
        np.testing.assert_allclose(variance, np.full(width, start), rtol=1e-5)
    assert VariationalInformation().initial_variance == 5.0


def test_the_kernels_start_uniform_in_one_over_the_root_of_the_inputs():
    teacher, student = parts("teacher"), parts("student")
    objective = built(VariationalInformation(), teacher, student)
    for convolutions in objective.regressors:
        for layer in convolutions:
            start = np.abs(ops.convert_to_numpy(layer.kernel))
            limit = layer.kernel.shape[2] ** -0.5
            assert 0.8 * limit < start.max() <= limit


def test_the_best_variance_is_the_mean_squared_error():
    teacher, predicted = RNG.normal(size=(2, 4, 3, 3, 2))
    best = ((teacher - predicted) ** 2).mean((0, 1, 2))
    slope = gradient(lambda v: variational_information_loss(teacher, predicted, v), best)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    values = [
        ops.convert_to_numpy(variational_information_loss(teacher, predicted, v)).mean()
        for v in (0.7 * best, best, 1.4 * best)
    ]
    assert values[1] < min(values[0], values[2])


@pytest.mark.parametrize("batch", [1, 6])
def test_everything_is_trained_with_finite_gradients(batch):
    teacher, student = parts("teacher", batch), parts("student", batch)
    objective = built(VariationalInformation(), teacher, student)
    of_stages, of_weights = gradients_of_objective(objective, teacher, student, "stages")
    assert len(of_stages) == 3 and len(of_weights) == 3 * (1 + 3)
    for slope in (*of_stages, *of_weights):
        assert np.isfinite(slope).all() and slope.any()


def test_networks_that_do_not_fit_are_refused():
    teacher, student = parts("teacher"), parts("student")
    with pytest.raises(ValueError, match="received 3 of the teacher and 0 of the student"):
        built(VariationalInformation(), teacher, {**student, "stages": []})
    objective = built(VariationalInformation(), teacher, student)
    assert objective.get_config()["shapes"]["student"]["stages"] == [
        list(shape) for shape in shapes(student)["stages"]
    ]


@pytest.mark.parametrize("variance", [0.0, -1.0, 1e-5, float("inf"), float("nan")])
def test_variances_out_of_range(variance):
    with pytest.raises(ValueError, match="initial_variance above"):
        VariationalInformation(variance)
