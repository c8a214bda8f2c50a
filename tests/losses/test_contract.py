"""What holds for every objective in the table; a new row is tested here unasked."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts

from keras_prokt import losses
from keras_prokt.losses import LOSSES, PARTS
from keras_prokt.methods import OBJECTIVES, parse_method


def read(objective, of):
    return {part: of[part] for part in (*objective.reads, "mask", "index")}


def value(objective, teacher, student, training=False):
    result = objective(read(objective, teacher), read(objective, student), training=training)
    return ops.convert_to_numpy(result)


@pytest.mark.parametrize("name", LOSSES)
class TestEveryObjective:
    def test_one_finite_value_an_example_in_float32(self, name):
        for batch in (6, 1):
            teacher, student = parts("teacher", batch), parts("student", batch)
            objective = built(LOSSES[name](), teacher, student)
            values = value(objective, teacher, student, training=True)
            assert values.shape == (batch,)
            assert values.dtype == "float32"
            assert np.isfinite(values).all()

    def test_identical_networks_are_the_minimum(self, name):
        of = parts("teacher")
        objective = built(LOSSES[name](), of, of)
        if objective.trainable_variables:
            pytest.skip("its adapters have to learn the identity first")
        if OBJECTIVES[name].kind == "initialisation":
            pytest.skip("it wants the teacher's neurons on the same side, by a margin")
        least = value(objective, of, of).mean()
        np.testing.assert_allclose(least, 0, atol=1e-5)
        for seed in (1, 2, 3):
            assert value(objective, of, parts("teacher", seed=seed)).mean() > least

    def test_the_networks_matter(self, name):
        teacher, student = parts("teacher"), parts("student")
        objective = built(LOSSES[name](), teacher, student)
        keras.utils.set_random_seed(0)
        first = value(objective, teacher, student).mean()
        assert value(objective, parts("teacher", seed=1), student).mean() != first
        assert value(objective, teacher, parts("student", seed=1)).mean() != first

    def test_config_and_weights_round_trip(self, name):
        teacher, student = parts("teacher"), parts("student")
        objective = built(LOSSES[name](weight=0.5, name="mine"), teacher, student)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(objective)))
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(objective)
        assert again.get_config() == objective.get_config()
        assert [v.shape for v in again.variables] == [v.shape for v in objective.variables]
        again.set_weights(objective.get_weights())
        for one, other in zip(objective.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_another_pair_is_refused_once_built(self, name):
        teacher, student = parts("teacher"), parts("student")
        objective = built(LOSSES[name](), teacher, student)
        built(objective, teacher, student)
        if set(objective.reads) - {"logits", "mask", "index"}:
            with pytest.raises(ValueError, match="for which it was built"):
                built(objective, teacher, teacher)

    def test_bad_weights_are_refused(self, name):
        for weight in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="weight of at least 0"):
                LOSSES[name](weight=weight)

    def test_the_row(self, name):
        card, objective = OBJECTIVES[name], LOSSES[name]()
        assert objective.id == objective.name == name
        assert set(objective.reads) <= set(PARTS)
        assert (objective.first_stage() is None) == (card.first_stage is None)
        [made] = losses.get(name)
        assert float(made.weight) == pytest.approx(card.weight)
        assert parse_method(f"{name}").objectives == (name,)
        assert type(objective).__doc__ and "Example" in type(objective).__doc__


def test_names_of_objectives():
    assert [o.id for o in losses.get(["kd", losses.SoftTargets(4.0, name="hot")])] == ["kd", "kd"]
    with pytest.raises(ValueError, match="did you mean 'kd'"):
        losses.get("kdd")
    with pytest.raises(ValueError, match="received int: 3"):
        losses.get(3)
