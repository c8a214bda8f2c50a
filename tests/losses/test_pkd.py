"""Patient distillation equals Eq. 7 of Sun et al., written in NumPy with loops.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.example_parts import built, parts
from losses.gradients import gradient, gradients_of_objective

from keras_prokt.losses.patient import Patient, patient_loss

RNG = np.random.default_rng(0)


def original(teacher_states, student_states):
    """The values of the examples: a sum over layers of squared distances of directions."""
    values = np.zeros(len(teacher_states[0]))
    for teacher, student in zip(teacher_states, student_states, strict=True):
        for i in range(len(values)):
            t, s = teacher[i, 0].astype("float64"), student[i, 0].astype("float64")
            t, s = t / np.sqrt(np.sum(t**2)), s / np.sqrt(np.sum(s**2))
            values[i] += np.sum((s - t) ** 2)
    return values


def states(layers, batch=3, length=5, width=8):
    return [RNG.normal(size=(batch, length, width)).astype("float32") for _ in range(layers)]


@pytest.mark.parametrize(("batch", "length", "width"), [(3, 5, 8), (1, 1, 2), (4, 2, 1)])
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_numpy(batch, length, width, layers):
    teacher, student = (states(layers, batch, length, width) for _ in range(2))
    received = ops.convert_to_numpy(patient_loss(teacher, student))
    np.testing.assert_allclose(received, original(teacher, student), rtol=1e-5, atol=1e-6)
    assert received.dtype == "float32"


@pytest.mark.parametrize(
    ("strategy", "of_teacher", "of_student", "pairs"),
    [
        ("skip", 12, 6, [(2, 1), (4, 2), (6, 3), (8, 4), (10, 5)]),  # section 3.2 of the paper
        ("last", 12, 6, [(7, 1), (8, 2), (9, 3), (10, 4), (11, 5)]),
        ("skip", 12, 3, [(4, 1), (8, 2)]),
        ("last", 12, 3, [(10, 1), (11, 2)]),
        ("skip", 4, 2, [(2, 1)]),
        ("last", 4, 2, [(3, 1)]),
        ("last", 5, 3, [(3, 1), (4, 2)]),
        ("skip", 2, 2, [(1, 1)]),
    ],
)
def test_which_layers_match(strategy, of_teacher, of_student, pairs):
    teacher = {"hidden_states": states(of_teacher)}
    student = {"hidden_states": states(of_student, length=4)}  # other lengths do not matter
    objective = built(Patient(strategy), teacher, student)
    assert objective.matched_layers(of_teacher, of_student) == pairs
    expected = original(
        [teacher["hidden_states"][t - 1] for t, _ in pairs],
        [student["hidden_states"][s - 1] for _, s in pairs],
    )
    received = ops.convert_to_numpy(objective(teacher, student))
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_only_the_first_position_and_its_direction_count():
    teacher, student = states(2), states(2)
    value = ops.convert_to_numpy(patient_loss(teacher, student))
    changed = [s.copy() for s in student]
    for s in changed:
        s[:, 1:] += 1
        s[:, 0] *= np.array([[1e-3], [2], [1e3]])
    same = ops.convert_to_numpy(patient_loss(teacher, changed))
    np.testing.assert_allclose(same, value, rtol=1e-5)


def test_limits():
    teacher = states(2)
    assert not ops.convert_to_numpy(patient_loss(teacher, teacher)).any()
    opposite = ops.convert_to_numpy(patient_loss(teacher, [-t for t in teacher]))
    np.testing.assert_allclose(opposite, 8.0, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_are_finite(batch):
    teacher = states(1, batch)[0]
    for student in (states(1, batch)[0], teacher, 0 * teacher):
        slope = gradient(lambda s: patient_loss([teacher], [s]), student)
        assert np.isfinite(slope).all()
    assert not slope.any()


def test_the_students_last_layer_gets_no_gradient():
    teacher, student = parts("teacher"), parts("student")
    objective = built(Patient(), teacher, student)
    of_states, _ = gradients_of_objective(objective, teacher, student, "hidden_states")
    assert [bool(slope.any()) for slope in of_states] == [True, False]
    assert not of_states[0][:, 1:].any()


@pytest.mark.parametrize(
    ("strategy", "of_teacher", "of_student", "message"),
    [
        ("skip", 4, 1, "at least 2 transformer layers .* received 1; use a deeper student"),
        ("skip", 4, 3, "multiple of the student's 3 .* received 4"),
        ("skip", 2, 4, "multiple of the student's 4 .* received 2"),
        ("last", 2, 4, "at least the student's 4 .* received 2"),
    ],
)
def test_depths_that_do_not_match_are_refused(strategy, of_teacher, of_student, message):
    with pytest.raises(ValueError, match=message):
        built(
            Patient(strategy),
            {"hidden_states": states(of_teacher)},
            {"hidden_states": states(of_student)},
        )


def test_widths_that_differ_are_refused():
    teacher, student = states(4), states(2, width=6)
    with pytest.raises(ValueError, match="same width .* 8 features .* 6 of the student; use"):
        built(Patient(), {"hidden_states": teacher}, {"hidden_states": student})
    with pytest.raises(ValueError, match="all of one width"):
        built(Patient(), {"hidden_states": teacher}, {"hidden_states": [student[0], teacher[0]]})
    flat = [s[:, 0] for s in teacher]
    with pytest.raises(ValueError, match=r"\(batch, length, features\)"):
        built(Patient(), {"hidden_states": flat}, {"hidden_states": teacher})


def test_unknown_strategies_are_refused():
    with pytest.raises(ValueError, match="strategy in .*'skip', 'last'.* received 'first'"):
        Patient("first")
    assert Patient("last").get_config()["strategy"] == "last"
