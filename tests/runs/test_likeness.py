"""Runs with the settings of other runs: what is kept, what is typed over, and what is refused."""

import pytest
from command_line import keras_prokt
from pretended_runs import write_run

from keras_prokt.files import digest_of_file
from keras_prokt.runs import RunSpec
from keras_prokt.runs.likeness import differences, spec_like


def write(folder, app="digits", method="prokt", data=None, **settings):
    """A run folder, and its spec."""
    spec = RunSpec.resolve(app, method, **settings)
    write_run(folder, spec, 0.5, data=data or {})
    return spec


CHANGED = {
    "epochs": 7,
    "seed": 3,
    "batch_size": 32,
    "student_learning_rate": 0.25,
    "student_optimizer": "sgd",
    "proximal_weight": 0.5,
    "student": "cnn-medium",
    "class_weight": "balanced",
    "limit": 128,
    "precision": "bfloat16",
}


def test_a_run_has_all_settings_of_another(tmp_path):
    spec = write(tmp_path / "run", **CHANGED)
    assert spec_like(tmp_path / "run") == spec
    assert differences(tmp_path / "run", spec) == f"like {tmp_path / 'run'}: all settings the same"


def test_what_is_given_holds_instead(tmp_path):
    spec = write(tmp_path / "run", **CHANGED, weights={"kd": 2.0})
    like = spec_like(tmp_path / "run", seed=4, proximal_weight=None, proximal_bound=0.1)
    assert like == spec.replacing(seed=4, proximal_weight=None, proximal_bound=0.1)
    said = differences(tmp_path / "run", like)
    expected = "lambda none instead of 0.5, epsilon 0.1 instead of none, seed 4 instead of 3"
    assert said == f"like {tmp_path / 'run'}: {expected}"


def test_files_and_models_are_taken_as_if_typed(tmp_path, monkeypatch):
    write(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.keras").touch()
    like = spec_like("run", teacher_init="teacher.keras", student="CNN_Medium")
    assert like.teacher_init == str(tmp_path / "teacher.keras") and like.student == "cnn-medium"
    write(tmp_path / "given", teacher_init="teacher.keras")
    assert spec_like("given", teacher_init=None).teacher_init is None


def test_another_method_has_what_it_shares_and_what_was_chosen(tmp_path):
    write(tmp_path / "run", **CHANGED)
    like = spec_like(tmp_path / "run", method="kd", temperature=4.0)
    del (shared := dict(CHANGED))["proximal_weight"]
    assert like == RunSpec.resolve("digits", "kd", **shared, temperature=4.0)
    assert like.teacher_epochs == 7
    assert "method kd instead of prokt" in differences(tmp_path / "run", like)
    usual = spec_like(tmp_path / "run", method="kd")
    assert usual.temperature == RunSpec.resolve("digits", "kd").temperature  # the recipe's own


def test_another_app_has_settings_that_it_can_have(tmp_path):
    table = {"dataset": str(tmp_path / "t.csv"), "text_columns": ("a",), "label_column": "b"}
    (tmp_path / "t.csv").touch()
    write(tmp_path / "run", "text", "prokt", **table, epochs=3, max_length=16)
    like = spec_like(tmp_path / "run", app="digits")
    assert like == RunSpec.resolve("digits", "prokt", epochs=3)


def test_files_that_are_gone_or_changed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    table = {"dataset": str(path), "text_columns": ("a",), "label_column": "b"}
    spec = write(tmp_path / "run", "text", "prokt", data={"dataset": digest_of_file(path)}, **table)
    assert differences(tmp_path / "run", spec).endswith(": all settings the same")
    path.write_text("a,c\n")
    assert differences(tmp_path / "run", spec).endswith(": dataset with other content")
    path.unlink()
    with pytest.raises(
        ValueError, match="Expected the dataset of the run in .*, received none at"
    ) as (refused):
        spec_like(tmp_path / "run")
    assert "\n" not in str(refused.value)
    (tmp_path / "other.csv").touch()
    like = spec_like(tmp_path / "run", dataset=str(tmp_path / "other.csv"))
    assert like.dataset == str(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "none"], "Expected a run folder with a run.json, received 'none'"),
        (["--like", "run", "--anchors", "2"], "Expected no --anchors with method 'prokt'"),
        (["--like", "run", "--recipe", "paper"], "Expected no --recipe with --like"),
        (["--like", "run", "--pair", "a"], "Expected no --pair with --like"),
        (["--like", "run", "--student", "cnn-tiny"], "Expected a student among"),
        (["--like", "run", "--method", "rum"], "Expected a method among"),
    ],
)
def test_misuse_is_one_line(arguments, message, tmp_path):
    write(tmp_path / "run")
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.process
@pytest.mark.whole_run
def test_on_the_command_line_what_is_not_typed_is_that_of_the_run(tmp_path):
    spec = write(tmp_path / "run", method="student", epochs=1, limit=64, seed=5)
    arguments = ["--like", "run", "--batch-size", "32", "--no-export", "--out", "again"]
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.output
    assert "keras-prokt: like run: batch-size 32 instead of 64\n" in result.stderr
    assert spec_like(tmp_path / "again") == spec.replacing(batch_size=32)
