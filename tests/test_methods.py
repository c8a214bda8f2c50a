"""What users may type as a method, and what it means."""

import re

import pytest

from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES, known_methods, parse_method


def test_a_bare_objective_is_a_fixed_teacher_and_a_bare_regime_has_soft_targets():
    assert (parse_method("kd").regime, parse_method("kd").label_weight) == (FIXED, 0.0)
    assert (parse_method("at").regime, parse_method("at").label_weight) == (FIXED, 1.0)
    assert parse_method("at+kd").matched == ("at", "kd")
    assert parse_method("at+kd").label_weight == 1.0
    for regime in ("prokt", "rco", "ta"):
        assert parse_method(regime).matched == ("kd",)
        assert parse_method(regime).label_weight == 0.0
        assert parse_method(f"at+{regime}").matched == ("kd", "at")
        assert parse_method(f"{regime}+at").matched == ("kd", "at")
    # What the teacher trains on changes; beside another objective the labels count as in at+kd.
    assert [parse_method(f"at+{r}").label_weight for r in ("rco", "ta", "prokt")] == [1.0, 1.0, 0.0]
    assert parse_method("dml").label_weight == 1.0
    assert parse_method("kd+prokt").matched == parse_method("prokt").matched
    assert parse_method("student").matched == ()


def test_methods_of_two_stages():
    assert parse_method("ab").matched == ()
    assert parse_method("ab").label_weight == 1.0
    assert parse_method("ab+prokt").matched == ("kd",)
    assert parse_method("ft").matched == ("ft",)
    assert parse_method("tinybert").matched == ("kd",)
    assert parse_method("tinybert").label_weight == 0.0
    assert parse_method("tinybert+prokt").regime == "prokt"
    for name in ("ab", "ft", "tinybert"):
        assert "first_stage_epochs" in parse_method(name).settings
    assert "teacher_epochs" in parse_method("tinybert+prokt").settings
    assert "teacher_epochs" not in parse_method("at+prokt").settings


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("protk", "did you mean 'prokt'"),
        ("kd+", "Expected a method among"),
        ("fixed+", "Expected a method among"),
        ("kd+kd", "each part of a method once"),
        ("rco+prokt", "decides how the teacher is trained"),
        ("student+at", "without a teacher there is nothing to match"),
        ("ft+prokt", "fits the teacher it was trained on"),
        ("ft+rco", "fits the teacher it was trained on"),
        ("ft+dml", "fits the teacher it was trained on"),
        ("ab+dml", "both networks of 'dml' start untrained"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(name, message):
    with pytest.raises(ValueError, match=message):
        parse_method(name)


def test_every_pair_of_objective_and_regime_works_or_says_why():
    for objective in OBJECTIVES:
        for regime in REGIMES:
            try:
                method = parse_method(f"{objective}+{regime}")
            except ValueError as error:
                assert regime in ("student", "dml", "prokt", "rco"), error
                assert "; " in str(error)
            else:
                assert method.objectives == (objective,)
    assert set(known_methods()) == (set(OBJECTIVES) | set(REGIMES)) - {FIXED}


@pytest.mark.parametrize("name", [*OBJECTIVES, *REGIMES])
def test_every_method_is_cited(name):
    paper = (OBJECTIVES | REGIMES)[name].paper
    if name == "student":
        assert paper is None
        return
    assert re.fullmatch(r"\d{4}\.\d{5}|1[0-4]\d\d\.\d{4}", paper.arxiv)
    # An arXiv number begins with year and month; a venue is of that year or follows it.
    assert 0 <= paper.year - (2000 + int(paper.arxiv[:2])) <= 1
    entry = paper.bibtex()
    assert entry.startswith("@inproceedings{" if paper.venue else "@misc{")
    assert entry.count("{") == entry.count("}")
    assert f"  title = {{{paper.title}}},\n" in entry and paper.url.endswith(paper.arxiv)
