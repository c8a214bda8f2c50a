"""The command `reproduce` as people type it."""

import pytest
from command_line import keras_prokt

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1"], "did you mean 'table-1'"),
        (["digits-tuning", "--format", "tabel"], "did you mean 'table'"),
        (["digits-tuning", "--state-size", "large"], "Expected --state-size such as 60M"),
        (["digits-tuning", "--state-size", "2M"], "Expected no --state-size without --state"),
        (["--claims", "digits-tuning"], "beside --claims"),
        (["--claims", "--list"], "beside --claims"),
        (["--list", "--stop-after", "9m"], "Expected no --stop-after beside --list"),
        (["--list", "--retry-failed"], "beside --list"),
        (["table-1", "--teacher", "vgg13"], "its rows name pairs of models"),
        (["digits-tuning", "--seeds", "a"], "--seeds"),
        (["digits-tuning", "--epochs", "-1"], "--epochs"),
        (["digits-tuning", "--stop-after", "soon"], "soon"),
        (["texts-tuning", "--teacher", "nowhere"], "Expected a directory 'minilm' with the files"),
        (["texts-tuning"], "for --teacher of protocol 'texts-tuning'"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(tmp_path, arguments, message):
    result = keras_prokt("reproduce", *arguments, cwd=tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_all_tables_and_figures_are_listed(tmp_path):
    result = keras_prokt("reproduce", "--list", cwd=tmp_path)
    assert result.exit_code == 0
    for name in ("table-1", "table-2", "table-3", "figure-2", "figure-3-images", "figure-3-texts"):
        assert f"\n{name}: " in result.output
    assert not list(tmp_path.iterdir())


def test_every_run_of_a_table_is_listed(tmp_path):
    result = keras_prokt("reproduce", "--list", "table-1", cwd=tmp_path)
    lines = result.output.splitlines()
    assert sum("waiting" in line for line in lines) == 6 * 7 * 3
    assert any("crd+prokt" in line and "76.76" in line for line in lines)


def test_fewer_epochs_are_runs_of_their_own(tmp_path):
    result = keras_prokt("reproduce", "--list", "--epochs", 3, "table-1", cwd=tmp_path)
    assert result.exit_code == 0


def test_claims_are_shown_before_they_are_measured(tmp_path):
    result = keras_prokt("reproduce", "--claims", cwd=tmp_path)
    assert result.exit_code == 0
    assert result.output.count("prokt, found recipe") >= 6


def test_a_results_file_that_was_changed_is_refused(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table-1.jsonl").write_text('{"name": "a", "sha256": "0"}\n')
    result = keras_prokt("reproduce", "--list", "table-1", cwd=tmp_path)
    assert result.exit_code == 2
    assert "changed since" in result.stderr
