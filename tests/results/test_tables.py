"""Several runs in one table: groups, means and standard errors."""

import copy
import json

import numpy as np
import pytest
from click.testing import CliRunner

from keras_prokt.cli import main
from keras_prokt.results.tables import comparison_table
from keras_prokt.runs.spec import RunSpec

ACCURACIES = {("prokt", 0): 0.5, ("prokt", 1): 0.7, ("prokt", 2): 0.75, ("kd", 0): 0.6}


def record(method, seed, **changes):
    accuracy = ACCURACIES.get((method, seed), 0.1)
    student = {
        part: {"accuracy": accuracy + more} for part, more in (("validation", 0), ("test", 0.1))
    }
    return {
        "format": 1,
        "status": "completed",
        "spec": RunSpec.resolve("digits", method, seed=seed, **changes).to_json(),
        "results": {"models": {"student": student}},
    }


def test_runs_that_differ_in_the_seed_share_a_row():
    table = comparison_table([record(*key) for key in ACCURACIES])
    [head, _, columns, _, *rows] = table.splitlines()
    assert "app digits" in head and "epochs 40" in head and "method" not in head
    assert columns.split() == ["method", "validation", "test", "seeds", "settings"]
    assert len(rows) == 2
    values = [0.5, 0.7, 0.75]
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert f"prokt   {np.mean(values):.4f} ± {error:.4f}" in rows[0]
    assert "0, 1, 2" in rows[0] and "proximal_weight 0.3" in rows[0]
    assert rows[1].split()[:4] == ["kd", "0.6000", "0.7000", "0"]
    assert "proximal_weight" not in rows[1]


def test_seeds_share_a_row_where_each_draws_its_own_examples():
    def of_seed(seed, limit, validation="v"):
        data = {"train data": f"t{seed}", "validation data": validation}
        return {**record("prokt", seed, limit=limit), "data": data}

    rows = [
        comparison_table(records).splitlines()[4:]
        for records in (
            [of_seed(0, 64), of_seed(1, 64)],
            [of_seed(0, None), of_seed(1, None)],
            [of_seed(0, 64), of_seed(1, 64, "others")],
        )
    ]
    assert [len(of_table) for of_table in rows] == [1, 2, 2]
    assert "0, 1" in rows[0][0]


def test_settings_that_differ_make_rows():
    table = comparison_table([record("prokt", 0), record("prokt", 1, proximal_weight=0.5)])
    assert len(table.splitlines()) == 6
    assert "proximal_weight 0.5" in table and "epochs 40" in table.splitlines()[0]


def test_a_setting_of_zero_is_shown_and_old_records_have_the_defaults():
    old = record("prokt", 1, proximal_weight=0.0)
    del old["spec"]["precision"]
    table = comparison_table([record("prokt", 0, proximal_weight=0.0), old])
    assert len(table.splitlines()) == 5
    assert "proximal_weight 0" in table.splitlines()[0] and "0, 1" in table


def test_one_run_does_not_count_twice():
    with pytest.raises(ValueError, match="one run for each seed, received 2 of method 'kd' with"):
        comparison_table([record("kd", 0), record("kd", 0), record("prokt", 0)])
    # Two versions of a user's table are two data sets.
    first, second = record("kd", 0), record("kd", 0)
    first["data"], second["data"] = {"dataset": "aa"}, {"dataset": "bb"}
    table = comparison_table([first, second])
    assert len(table.splitlines()) == 6 and "data dataset=bb" in table


def test_what_cannot_be_compared_is_refused(tmp_path):
    unfinished = {**copy.deepcopy(record("kd", 0)), "status": "running"}
    with pytest.raises(ValueError, match="completed runs, received one with status 'running'"):
        comparison_table([record("prokt", 0), unfinished])
    other = record("kd", 0)
    other["spec"]["app"] = "cifar100"
    with pytest.raises(ValueError, match="runs of one app, received cifar100, digits"):
        comparison_table([record("prokt", 0), other])
    for name, content in (("a", record("prokt", 0)), ("b", record("prokt", 1))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(content))
    result = CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.exit_code == 0 and "0.6000 ± 0.1000" in result.output
    result = CliRunner().invoke(main, ["compare", str(tmp_path / "c")])
    assert result.exit_code == 2 and "Expected" in result.output
