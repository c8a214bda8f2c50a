"""The search for λ: runs as they are by themselves, chosen on validation, test data once."""

import json
import shutil
import statistics

import keras
import numpy as np
import pytest
from command_line import keras_prokt

from keras_prokt import load_student
from keras_prokt.data import digits
from keras_prokt.results.tables import search_table
from keras_prokt.runs.folder import SearchFolder
from keras_prokt.runs.setting_search import resume_search, search
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.training_run import run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
VALUES, SEEDS = [0.6, 0.0], [3, 1]


def small_spec(**settings):
    settings = {"limit": 512, "epochs": 5, "batch_size": 16, **settings}
    return RunSpec.resolve("digits", "prokt", **settings, student_learning_rate=1e-2)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searches") / "digits"
    return folder, search(small_spec(), folder, values=VALUES, seeds=SEEDS)


def record_of(folder, value, seed):
    return json.loads((folder / f"lambda-{value}-seed-{seed}" / "run.json").read_text())


def test_the_choice_is_the_best_mean_on_validation(searched):
    folder, record = searched
    assert json.loads((folder / "search.json").read_text()) == {"format": 1, **record}
    accuracy = {
        value: statistics.mean(
            record_of(folder, value, seed)["results"]["models"]["student"]["validation"]["accuracy"]
            for seed in SEEDS
        )
        for value in VALUES
    }
    assert record["status"] == "completed"
    assert len(set(accuracy.values())) > 1  # so that there is something to choose
    assert record["chosen"] == max(accuracy, key=accuracy.get)
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")


def test_test_data_is_measured_for_the_choice_alone(searched):
    folder, record = searched
    for of_run in record["runs"]:
        models = record_of(folder, of_run["value"], of_run["seed"])["results"]["models"]
        is_chosen = of_run["value"] == record["chosen"]
        assert ("test" in of_run) == ("test" in models["student"]) == is_chosen
        assert "test" not in models["teacher"] and "test" not in models["student (last epoch)"]
        if is_chosen:
            assert of_run["test"] == models["student"]["test"]["accuracy"]


def test_a_run_of_a_search_is_the_run_by_itself(searched, tmp_path):
    folder, record = searched
    value = record["chosen"]
    alone = run(small_spec(proximal_weight=value, seed=1), tmp_path / "run", export=False)
    within = record_of(folder, value, 1)
    assert within["spec"] == alone["spec"]
    students = [
        load_student(path / "student.keras")
        for path in (tmp_path / "run", folder / f"lambda-{value}-seed-1")
    ]
    for one, other in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_array_equal(one, other)
    accuracy = alone["results"]["models"]["student"]["test"]["accuracy"]
    assert accuracy == within["results"]["models"]["student"]["test"]["accuracy"]


def test_a_search_in_pieces_is_the_search_in_one(searched, tmp_path):
    _, whole = searched
    # Not a step of it is done within the time.
    stopped = search(
        small_spec(), tmp_path / "search", values=VALUES, seeds=SEEDS, stop_after=0.001
    )
    assert stopped["status"] == "running"
    assert search_table(stopped).endswith("status: running, 0 of 4 runs completed")
    for _ in range(20):
        record = resume_search(tmp_path / "search", stop_after=8)
        if record["status"] == "completed":
            break
    assert record == whole
    # A completed search is final, whether its runs are still there or not.
    for path in (tmp_path / "search").glob("lambda-*"):
        shutil.rmtree(path)
    assert search(small_spec(), tmp_path / "search", values=VALUES, seeds=SEEDS) == whole
    assert resume_search(tmp_path / "search") == whole
    assert not list((tmp_path / "search").glob("lambda-*"))


def test_more_seeds_take_the_runs_that_are_there(searched, tmp_path, capsys):
    folder, whole = searched
    shutil.copytree(folder, tmp_path / "search")
    there = SearchFolder(tmp_path / "search")
    # As it might have been after the first seed: the other λ chosen, and its test measured.
    [other] = set(VALUES) - {whole["chosen"]}
    runs = [{**r, "test": 0.5} for r in whole["runs"] if r["seed"] == SEEDS[0]]
    there.write({**whole, "seeds": SEEDS[:1], "runs": runs, "chosen": other, "tested": [other]})
    with pytest.raises(ValueError, match="--seeds with those of the completed .* without 3; add"):
        search(small_spec(), tmp_path / "search", values=VALUES, seeds=SEEDS[1:])
    with pytest.raises(ValueError, match="--lambda with those of the completed .* without 0; add"):
        search(small_spec(), tmp_path / "search", values=VALUES[:1])
    (runs if runs[0]["value"] == other else runs[::-1])[1].pop("test")
    there.write({**there.read(), "runs": runs})
    record = search(small_spec(), tmp_path / "search", seeds=SEEDS)
    assert record == {**whole, "tested": sorted(VALUES)}
    assert f"test data was also measured for λ = {other:g}, chosen before" in search_table(record)
    assert "epoch" not in capsys.readouterr().err  # nothing is trained


def test_of_an_unfinished_search_a_value_may_be_left_out(searched, tmp_path, capsys):
    folder, whole = searched
    shutil.copytree(folder, tmp_path / "search")
    there = SearchFolder(tmp_path / "search")
    there.write({**there.read(), "status": "running"})
    record = search(small_spec(), tmp_path / "search", values=VALUES[1:], seeds=SEEDS)
    assert (record["status"], record["chosen"]) == ("completed", VALUES[1])
    assert [r["student"] for r in record["runs"]] == [
        r["student"] for r in whole["runs"] if r["value"] == VALUES[1]
    ]
    assert "epoch" not in capsys.readouterr().err


def test_runs_of_other_settings_or_data_are_not_mixed(searched, tmp_path, monkeypatch):
    folder, _ = searched
    shutil.copytree(folder, tmp_path / "search")
    there = SearchFolder(tmp_path / "search")
    there.write({**there.read(), "status": "running", "runs": []})
    point = there.run(VALUES[1], SEEDS[0])
    record = point.read()
    for changed, message in (
        ({"data": {**record["data"], "train data": "0"}}, "same data from the same teacher"),
        ({"teacher_init": "0"}, "same data from the same teacher"),
        ({"spec": {**record["spec"], "limit": 64}}, "received one with other settings"),
    ):
        point.write({**record, **changed})
        with pytest.raises(ValueError, match=message):
            resume_search(tmp_path / "search")
    # All runs of one seed on other data than those of the other seed.
    point.write(record)
    for value in VALUES:
        changed = there.run(value, SEEDS[0]).read()
        changed["data"]["validation data"] = "0"
        there.run(value, SEEDS[0]).write(changed)
    with pytest.raises(ValueError, match="same data from the same teacher"):
        resume_search(tmp_path / "search")
    # All that is there is alike, and the data has changed since.
    for value in VALUES:
        shutil.rmtree(there.run(value, SEEDS[0]).path)
    load = digits.load_digits
    others = {k: v._replace(labels=(v.labels + 1) % 10) for k, v in load().items()}
    monkeypatch.setattr(digits, "load_digits", lambda: others)
    with pytest.raises(ValueError, match="Expected the train data with which the run was"):
        resume_search(tmp_path / "search")
    assert not there.run(VALUES[0], SEEDS[0]).path.exists()
    there.write({**there.read(), "spec": {**there.read()["spec"], "backend": "jax"}})
    with pytest.raises(ValueError, match="Expected backend 'jax'"):
        resume_search(tmp_path / "search")


def test_what_the_user_has_set_in_keras_stays(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        spec = small_spec(limit=32, epochs=1, precision="float32")
        search(spec, tmp_path / "search", values=[0.0], stop_after=0.001)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": [0.3, 0.3]}, "different values of --lambda, received 0.3,0.3"),
        ({"values": []}, "different values of --lambda, received none"),
        ({"seeds": []}, "different values of --seeds, received none"),
        ({"values": [0.3], "seeds": [1, 1]}, "different values of --seeds, received 1,1"),
        ({"values": [0.3, 1.0]}, r"Expected --lambda in \[0, 1\), received 1.0"),
        ({"values": [0.3], "seeds": [-1]}, "Expected --seed of at least 0, received -1"),
    ],
)
def test_refusals(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        search(small_spec(), tmp_path / "search", **settings)
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("app", "method", "settings", "message"),
    [
        ("digits", "kd", {}, "Expected a method with λ to search, received 'kd'"),
        ("digits", "student", {}, "Expected a method with λ to search, received 'student'"),
        ("cifar100", "prokt", {"full_train": True}, "is not trained on, received --full-train"),
    ],
)
def test_what_cannot_be_searched(app, method, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        search(RunSpec.resolve(app, method, **settings), tmp_path / "search", values=[0.1])
    assert not (tmp_path / "search").exists()


def test_close_values_have_folders_of_their_own(tmp_path):
    folder = SearchFolder(tmp_path)
    assert folder.run(0.1234567, 0).path != folder.run(0.1234568, 0).path
    assert folder.run(0, 1).path == folder.run(0.0, 1).path


def test_another_search_is_not_continued(searched, tmp_path):
    folder, _ = searched
    with pytest.raises(ValueError, match="with other settings; name another one with --out"):
        search(small_spec(limit=64), folder, values=VALUES, seeds=SEEDS)
    with pytest.raises(ValueError, match="Expected a new folder, received .*which exists"):
        search(small_spec(), tmp_path, values=[0.5])


def test_the_table_compares_seed_by_seed():
    runs = [
        {"value": value, "seed": seed, "student": student, "teacher": 0.9}
        for value, students in {0.0: (0.5, 0.7), 0.3: (0.6, 0.9), 0.8: (0.2, 0.4)}.items()
        for seed, student in enumerate(students)
    ]
    for of_run in runs[2:4]:
        of_run["test"] = 0.5 + of_run["seed"] / 5
    record = {
        "status": "completed",
        "spec": small_spec().to_json(),
        "values": [0.0, 0.3, 0.8],
        "seeds": [0, 1],
        "metric": "accuracy",
        "chosen": 0.3,
        "runs": runs,
    }
    rows = [line.split("  ") for line in search_table(record).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    # -.1 and -.2: mean -.15, s / sqrt(2) = .05; -.4 and -.5 alike; chosen: .6 and .9.
    assert ["0", "0.6000 ± 0.1000", "0.9000 ± 0.0000", "-0.1500 ± 0.0500"] in cells
    assert ["0.3 *", "0.7500 ± 0.1500", "0.9000 ± 0.0000"] in cells
    assert ["0.8", "0.3000 ± 0.1000", "0.9000 ± 0.0000", "-0.4500 ± 0.0500"] in cells
    assert ["test accuracy, of the chosen λ: 0.6000 ± 0.1000"] in cells
    assert "a 95 % interval of one difference is 12.7 of them to both sides" in search_table(record)
    assert "the best of 3 is favoured by chance" in search_table(record)
    runs[1]["student"] = 1.0
    assert "λ = 0.3, the first of equals\n" in search_table(record)
    record["status"], record["runs"] = "running", runs[:3]
    partial = search_table(record)
    assert "status: running, 3 of 6 runs completed" in partial and "chosen" not in partial


def test_the_command_line(tmp_path):
    arguments = ["search", "--limit", 128, "--epochs", 1, "--lambda", "0.2,0.4", "--out", "there"]
    result = keras_prokt(*arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "run 2 of 2: λ 0.4, seed 0  " in result.stderr
    assert "one seed has no spread" in result.stdout
    table = result.stdout.split("picture:")[0]
    assert keras_prokt("info", "there", cwd=tmp_path).stdout == table
    again = keras_prokt("resume", "there", cwd=tmp_path)
    assert again.exit_code == 0 and again.stdout == result.stdout
    for wrong, message in (
        (["--lambda", "0.2,x"], "Expected --lambda NUMBER,NUMBER,..., received '0.2,x'"),
        (["--seeds", "1.5"], "Expected --seeds NUMBER,NUMBER,..., received '1.5'"),
        (["--method", "kd"], "Expected a method with λ to search, received 'kd'"),
    ):
        result = keras_prokt("search", *wrong, cwd=tmp_path)
        assert result.exit_code == 2 and message in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "searches").exists()
