"""Tables between marks are made from the results, and those of the repository are up to date."""

from pathlib import Path

import pytest

from keras_prokt.runs.markdown_report import made_with, update_report, with_results

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.slow
def test_what_stands_between_marks_is_replaced_and_the_rest_stays(tmp_path):
    text = "before\n<!-- results of digits-tuning -->\nold\n<!-- end of digits-tuning -->\nafter\n"
    fresh = with_results(text, tmp_path)
    assert fresh.startswith("before\n<!-- results of digits-tuning -->\n")
    assert fresh.endswith("<!-- end of digits-tuning -->\nafter\n")
    assert "old" not in fresh
    assert "0 of 240 runs are completed" in fresh
    assert with_results(fresh, tmp_path) == fresh


@pytest.mark.slow
def test_a_claim_stands_between_marks_too(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("<!-- results of primary -->\n<!-- end of primary -->\n")
    assert update_report(path, tmp_path)
    assert "| digits-long | prokt, found recipe − kd | accuracy |" in path.read_text()
    assert not update_report(path, tmp_path)
    assert not update_report(tmp_path / "nothing.md", tmp_path)


def test_an_unknown_mark_is_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'digits-tuning'"):
        with_results("<!-- results of digits-tunin -->\n<!-- end of digits-tunin -->", tmp_path)


def test_a_mark_without_an_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match="an end for each mark"):
        with_results("<!-- results of digits-tuning -->\n", tmp_path)


def test_what_runs_were_made_with_is_counted():
    def run(commit, cores):
        return {
            "package": {"version": "1.0", "git": commit},
            "versions": {"keras": "3", "jax": "2"},
            "spec": {"computing": {"backend": "jax"}},
            "hardware": {"cores": cores, "processor": "P", "accelerators": []},
            "threads": 1,
        }

    shown = made_with({"a": run("x", 2), "b": run("x", 2), "c": run("y", 2)})
    assert shown == (
        "Made with keras_prokt 1.0 (x) (2 runs); keras_prokt 1.0 (y) (1 runs); keras 3, jax 2; "
        "2 cores P; 1 threads a run."
    )


@pytest.mark.slow
@pytest.mark.skipif(not RESULTS.is_dir(), reason="needs the results of the repository")
@pytest.mark.parametrize("name", ["results/README.md", "README.md"])
def test_the_tables_of_the_repository_are_those_of_its_results(name):
    path = RESULTS.parent / name
    assert with_results(path.read_text(encoding="utf-8"), RESULTS) == path.read_text("utf-8")
