"""Factor transfer equals the CRD codebase's loss and networks, written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import json

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import compiled, gradient, gradients_of_objective
from losses.test_feature_maps import pooled
from losses.test_fitnet import convolution, transposed_convolution

from keras_prokt import FrozenTeacherDistiller, models
from keras_prokt.losses.factor_transfer import (
    FactorTransfer,
    ParaphraserReconstruction,
    factor_transfer_loss,
    reconstruction_loss,
)

RNG = np.random.default_rng(0)


def original(teacher, student):
    """The values of the examples; their mean is the scalar of the batch."""
    rows, columns = (min(teacher.shape[axis], student.shape[axis]) for axis in (1, 2))
    factors = []
    for feature_map in (teacher, student):
        feature_map = pooled(feature_map, rows, columns)
        flat = np.array([(of_example**2).mean(-1).flatten() for of_example in feature_map])
        factors.append(np.array([row / max(np.sqrt((row**2).sum()), 1e-12) for row in flat]))
    return np.abs(factors[1] - factors[0]).mean(-1)


def leaky(values):
    return np.where(values > 0, values, 0.1 * values)


def in_double(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def through(layers, feature_map, function):
    """Encoder or decoder of the paraphraser."""
    for layer in layers:
        kernel, bias = (in_double(variable) for variable in layer.weights)
        assert kernel.shape[:2] == (3, 3)
        feature_map = leaky(function(feature_map, kernel, bias, 1, 1))
    return feature_map


def translated(layers, feature_map, training):
    for number in range(3):
        kernel, bias = (in_double(variable) for variable in layers[3 * number].weights)
        feature_map = convolution(feature_map, kernel, bias, 1, 1)
        scale, shift, mean, variance = map(in_double, layers[3 * number + 1].weights)
        if training:
            mean, variance = feature_map.mean((0, 1, 2)), feature_map.var((0, 1, 2))
        feature_map = leaky((feature_map - mean) / np.sqrt(variance + 1e-5) * scale + shift)
    return feature_map


def with_last(size, role="student", batch=3):
    of = parts(role, batch)
    channels = of["stages"][-1].shape[-1]
    of["stages"][-1] = RNG.normal(size=(batch, size, size, channels)).astype("float32")
    return of


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


@pytest.mark.parametrize("student_size", [(4, 4), (8, 8), (2, 2), (6, 3)])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_loss_equals_numpy(student_size, batch):
    teacher = RNG.normal(size=(batch, 4, 4, 5))
    student = RNG.normal(size=(batch, *student_size, 2))
    received = compiled(factor_transfer_loss, teacher, student)
    assert received.shape == (batch,)
    np.testing.assert_allclose(received, original(teacher, student), rtol=1e-4)


def test_limits():
    teacher, student = RNG.normal(size=(2, 3, 4, 4, 5))
    assert not ops.convert_to_numpy(factor_transfer_loss(teacher, teacher)).any()
    one = ops.convert_to_numpy(factor_transfer_loss(teacher, student))
    other = ops.convert_to_numpy(factor_transfer_loss(-3 * teacher, 0.2 * student))
    np.testing.assert_allclose(other, one, rtol=1e-5)
    for given in (teacher, 0 * teacher):
        slope = gradient(lambda s, t=given: factor_transfer_loss(t, s), given)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("student_size", [2, 8])
@pytest.mark.parametrize("training", [True, False])
def test_paraphraser_and_translator_equal_numpy(student_size, training):
    teacher, student = with_last(4, "teacher"), with_last(student_size)
    objective = built(FactorTransfer(factor_ratio=0.45), teacher, student)
    for layer in objective.translator[1::3]:
        for variable in layer.weights:
            variable.assign(RNG.uniform(0.5, 2, size=variable.shape))
    of_teacher = teacher["stages"][-1].astype("float64")
    factor = through(objective.paraphraser.encoder, of_teacher, convolution)
    assert factor.shape[-1] == 4
    of_student = translated(objective.translator, student["stages"][-1].astype("float64"), training)
    received = ops.convert_to_numpy(objective(teacher, student, training=training))
    np.testing.assert_allclose(received, original(factor, of_student), rtol=1e-3)

    first = built(objective.first_stage(), teacher, student)
    reconstruction = through(objective.paraphraser.decoder, factor, transposed_convolution)
    assert reconstruction.shape == of_teacher.shape
    expected = ((reconstruction - of_teacher) ** 2).mean((1, 2, 3))
    received = ops.convert_to_numpy(first(teacher, student, training=training))
    np.testing.assert_allclose(received, expected, rtol=1e-4)
    direct = ops.convert_to_numpy(reconstruction_loss(of_teacher, reconstruction))
    np.testing.assert_allclose(direct, expected, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_only_the_translator_is_trained_with_the_student(batch):
    teacher, student = parts("teacher", batch), parts(batch=batch)
    objective = built(FactorTransfer(), teacher, student)
    of_stages, of_weights = gradients_of_objective(objective, teacher, student, "stages")
    assert [bool(slope.any()) for slope in of_stages] == [False, False, True]
    assert len(of_weights) == 3 * 4  # the bias before a normalisation has none but rounding
    for slope in (*of_stages, *of_weights):
        assert np.isfinite(slope).all()
    assert sum(slope.any() for slope in of_weights) >= 9
    everything = {id(v) for v in objective.variables}
    split = [*objective.trainable_variables, *objective.non_trainable_variables]
    assert len(split) == len(everything) and {id(v) for v in split} == everything
    assert objective.trainable_weights == objective.trainable_variables

    first = built(objective.first_stage(), teacher, student)
    assert len(first.trainable_variables) == 6 * 2
    of_stages, of_weights = gradients_of_objective(first, teacher, student, "stages")
    assert not any(slope.any() for slope in of_stages)
    assert all(np.isfinite(slope).all() and slope.any() for slope in of_weights)


@pytest.mark.parametrize("first_is_built_first", [True, False])
def test_both_stages_share_the_paraphraser_whichever_is_built_first(first_is_built_first):
    teacher, student = parts("teacher"), parts()
    objective = FactorTransfer()
    first = objective.first_stage()
    for one in (first, objective) if first_is_built_first else (objective, first):
        built(one, teacher, student)
    assert first.paraphraser is objective.paraphraser
    assert {id(v) for v in first.trainable_variables} <= {id(v) for v in objective.variables}
    other = built(FactorTransfer(), teacher, student)
    assert other.paraphraser is not objective.paraphraser
    with pytest.raises(ValueError, match="whose last stage has 10 channels, .* received 6"):
        built(objective.first_stage(), student, student)


@pytest.mark.slow
def test_two_stages_train_one_after_the_other(tmp_path):
    keras.utils.set_random_seed(0)
    teacher, student = (models.get(f"cnn-{size}")(3, (8, 8, 1)) for size in ("large", "small"))
    objective = FactorTransfer(weight=200.0)
    distiller = FrozenTeacherDistiller(teacher, student, objectives=objective, label_weight=1.0)
    before = FrozenTeacherDistiller(teacher, student, objectives=objective.first_stage())
    for one in (distiller, before):
        one.compile(keras.optimizers.SGD(0.01))
    x, y = RNG.normal(size=(16, 8, 8, 1)).astype("float32"), np.arange(16) % 3
    groups = (
        objective.paraphraser.trainable_variables,
        objective.trainable_variables,
        student.trainable_variables,
    )

    def moved(training):
        at_first = [values(group) for group in groups]
        history = training.fit(x, y, batch_size=8, epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        pairs = zip(at_first, groups, strict=True)
        return [not np.array_equal(a[0], values(group)[0]) for a, group in pairs]

    assert len(before.trained_by_student) == 6 * 2  # an optimizer could still decay the student
    assert moved(before) == [True, False, False]
    assert moved(distiller) == [False, True, True]
    distiller.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    for one, other in zip(values(distiller.variables), values(loaded.variables), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_first_stage_is_saved_by_itself():
    teacher, student = parts("teacher"), parts()
    first = built(FactorTransfer(0.3).first_stage(), teacher, student)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(first)))
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, ParaphraserReconstruction)
    assert again.get_config() == first.get_config()
    again.set_weights(first.get_weights())
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_keep_their_precision_and_axis_under_other_settings():
    teacher, student = with_last(2, "teacher"), with_last(4)
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    try:
        objective = built(FactorTransfer(), teacher, student)
        value = objective(teacher, student, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert {v.dtype for v in objective.variables} == {"float32"}


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("inf"), float("nan")])
def test_ratios_out_of_range(ratio):
    with pytest.raises(ValueError, match="factor_ratio above 0"):
        FactorTransfer(ratio)


def test_networks_that_do_not_fit_are_refused():
    teacher, student = parts("teacher"), parts()
    with pytest.raises(ValueError, match="factor of at least one channel"):
        built(FactorTransfer(0.01), teacher, student)
    with pytest.raises(ValueError, match="stages of the student of shape"):
        built(FactorTransfer(), teacher, {**student, "stages": [student["pooled"]]})
