"""TinyBERT's first stage equals the equations of Jiao et al., written in NumPy with loops.

Mutants of the module that were tried by hand; each made a test of this file fail: the sum of
the states in place of their difference; a sum over features or over heads in place of the mean;
absolute values in place of squares; attention masked in one direction only; means over the
padded length; no floor under the number of real tokens; attention with half the weight; without
the embeddings; hidden states without the mask; the teacher's layers one by one; no mask at all;
the mask of one network alone; heads and layers that differ let through; no first stage.
"""

import keras
import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import gradient, gradients_of_objective

from keras_prokt.losses.tinybert import TinyBert, attention_loss, token_loss
from keras_prokt.methods import OBJECTIVES, parse_method

RNG = np.random.default_rng(0)


def mean_square(one, other):
    return np.mean((one.astype("float64") - other.astype("float64")) ** 2)


def original_tokens(teacher, student, mask):
    """MSE of Eq. 8 and 9 for each example, on its real positions cut out."""
    return np.array(
        [mean_square(t[m > 0], s[m > 0]) for t, s, m in zip(teacher, student, mask, strict=True)]
    )


def original_attention(teacher, student, mask):
    """Eq. 7 for each example, on its real rows and columns cut out."""
    values = []
    for t, s, m in zip(teacher, student, mask, strict=True):
        real = np.ix_(m > 0, m > 0)
        heads = [mean_square(t[h][real], s[h][real]) for h in range(len(t))]
        values.append(np.sum(heads) / len(heads))
    return np.array(values)


def network(layers, width, batch=3, length=5, heads=2):
    def normal(*shape):
        return RNG.normal(size=shape).astype("float32")

    return {
        "embeddings": normal(batch, length, width),
        "hidden_states": [normal(batch, length, width) for _ in range(layers)],
        "attentions": [normal(batch, heads, length, length) for _ in range(layers)],
    }


MASKS = [np.ones((3, 5)), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])]


@pytest.mark.parametrize("mask", MASKS)
def test_the_two_distances_equal_numpy(mask):
    teacher, student = network(1, 4), network(1, 4)
    pair = teacher["embeddings"], student["embeddings"]
    received = ops.convert_to_numpy(token_loss(*pair, mask))
    np.testing.assert_allclose(received, original_tokens(*pair, mask), rtol=1e-5)
    pair = teacher["attentions"][0], student["attentions"][0]
    received = ops.convert_to_numpy(attention_loss(*pair, mask))
    np.testing.assert_allclose(received, original_attention(*pair, mask), rtol=1e-5)


def test_without_padding_it_is_pytorchs_mean_over_everything():
    teacher, student = network(1, 4), network(1, 4)
    for function, part in ((token_loss, "hidden_states"), (attention_loss, "attentions")):
        pair = teacher[part][0], student[part][0]
        received = ops.convert_to_numpy(function(*pair)).mean()
        assert received == pytest.approx(mean_square(*pair), rel=1e-5)


@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize(
    ("of_teacher", "of_student", "matched"),
    [(4, 2, [2, 4]), (6, 2, [3, 6]), (2, 2, [1, 2]), (3, 1, [3])],
)
def test_the_sum_equals_numpy(mask, of_teacher, of_student, matched):
    teacher, student = network(of_teacher, 8), network(of_student, 6)
    objective = built(TinyBert(), teacher, student)
    objective.projection.bias.assign(RNG.normal(size=8))
    kernel, bias = (ops.convert_to_numpy(w) for w in objective.projection.weights)
    assert kernel.shape == (6, 8)
    real = MASKS[0] if mask is None else mask
    expected = original_tokens(teacher["embeddings"], student["embeddings"] @ kernel + bias, real)
    for number, layer in enumerate(matched):
        states = student["hidden_states"][number] @ kernel + bias
        expected += original_tokens(teacher["hidden_states"][layer - 1], states, real)
        scores = student["attentions"][number]
        expected += original_attention(teacher["attentions"][layer - 1], scores, real)
    masks = {} if mask is None else {"mask": mask.astype("float32")}
    received = objective({**teacher, **masks}, {**student, **masks})
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, rtol=1e-5)
    # The text front ends of two networks may differ in which of them gives a mask.
    for masks_of in (({}, masks), (masks, {})):
        one = objective({**teacher, **masks_of[0]}, {**student, **masks_of[1]})
        np.testing.assert_allclose(ops.convert_to_numpy(one), expected, rtol=1e-5)


def test_what_stands_at_the_padding_counts_nothing():
    rubbish = 7.0
    teacher, student = parts("teacher"), parts("student")
    objective = built(TinyBert(), teacher, student)
    value = ops.convert_to_numpy(objective(teacher, student))
    padded = student["mask"] == 0
    assert padded.any()
    dirty = {
        **student,
        "embeddings": np.where(padded[..., None], rubbish, student["embeddings"]),
        "hidden_states": [
            np.where(padded[..., None], rubbish, s) for s in student["hidden_states"]
        ],
        "attentions": [
            np.where(padded[:, None, :, None] | padded[:, None, None], rubbish, s)
            for s in student["attentions"]
        ],
    }
    dirty = {
        p: [np.float32(v) for v in d] if isinstance(d, list) else np.float32(d)
        for p, d in dirty.items()
    }
    np.testing.assert_allclose(ops.convert_to_numpy(objective(teacher, dirty)), value, rtol=1e-5)


def test_a_position_counts_if_it_is_real_for_both_networks():
    teacher, student = network(2, 4), network(1, 4)
    objective = built(TinyBert(), teacher, student)
    one, other = np.float32([[1, 1, 1, 1, 0]] * 3), np.float32([[0, 1, 1, 1, 1]] * 3)
    values = [
        ops.convert_to_numpy(objective({**teacher, "mask": a}, {**student, "mask": b}))
        for a, b in ((one, other), (other, one), (one * other, one * other))
    ]
    np.testing.assert_allclose(values[0], values[2], rtol=1e-6)
    np.testing.assert_allclose(values[1], values[2], rtol=1e-6)


def test_an_example_of_nothing_but_padding_is_finite():
    mask = np.zeros((3, 5), "float32")
    teacher, student = network(2, 4), network(2, 4)
    objective = built(TinyBert(), teacher, student)
    assert not ops.convert_to_numpy(objective({**teacher, "mask": mask}, student)).any()
    _, slopes = gradients_of_objective(objective, teacher, {**student, "mask": mask}, "embeddings")
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_identical_networks_with_an_identity_as_map_are_the_minimum():
    teacher = network(2, 4)
    objective = built(TinyBert(), teacher, teacher)
    objective.projection.kernel.assign(np.eye(4))
    assert not ops.convert_to_numpy(objective(teacher, teacher)).any()


@pytest.mark.parametrize("batch", [1, 4])
def test_student_and_map_are_trained(batch):
    teacher, student = network(4, 8, batch), network(2, 6, batch)
    objective = built(TinyBert(), teacher, student)
    for part in ("embeddings", "hidden_states", "attentions"):
        of_part, of_map = gradients_of_objective(objective, teacher, student, part)
        assert len(of_map) == 2
        for slope in (*of_part, *of_map):
            assert np.isfinite(slope).all() and slope.any()
    same = teacher["embeddings"]
    assert not gradient(lambda s: token_loss(same, s), same).any()


def test_the_map_keeps_its_precision_under_other_settings():
    teacher, student = network(4, 8), network(2, 6)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        objective = built(TinyBert(), teacher, student)
        value = objective(teacher, student)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert {v.dtype for v in objective.variables} == {"float32"}


def test_it_is_a_first_stage_before_soft_targets():
    objective = TinyBert()
    assert objective.first_stage() is objective and objective.trains_student
    assert OBJECTIVES["tinybert"].second_stage == ("kd",)
    assert parse_method("tinybert").matched == ("kd",)


def test_pairs_that_do_not_match_are_refused():
    teacher, student = network(4, 8), network(2, 6)
    with pytest.raises(ValueError, match="multiple of the student's 3 .* received 4"):
        built(TinyBert(), teacher, network(3, 6))
    with pytest.raises(ValueError, match=r"attention heads .* received \[2\] and \[3\]; use"):
        built(TinyBert(), teacher, network(2, 6, heads=3))
    fewer = {**student, "attentions": student["attentions"][:1]}
    with pytest.raises(ValueError, match="hidden states as attentions of the student .* 2 and 1"):
        built(TinyBert(), teacher, fewer)
    wide = {**student, "embeddings": teacher["embeddings"]}
    with pytest.raises(ValueError, match="all of one width"):
        built(TinyBert(), teacher, wide)
