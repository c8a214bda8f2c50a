"""`patience` of a run: when it stops, in pieces too, and what is said and counted of it."""

import csv

import keras
import numpy as np
import pytest
from pieces import stopped_run

from keras_prokt import load_student
from keras_prokt.results.tables import results_table
from keras_prokt.runs import RunSpec, resume, run, training_run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.patience import Patience, best_epoch, epochs_done

needs_default_backend = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
SMALL = {"limit": 192, "epochs": 12, "batch_size": 64, "student_learning_rate": 0.02}


def write_history(folder, *values):
    rows = [f"{epoch},{value}" for epoch, value in enumerate(values)]
    (folder / "history.csv").write_text("\n".join(["epoch,val_x", *rows]) + "\n")
    return folder / "history.csv"


@pytest.mark.parametrize(
    ("values", "mode", "epochs", "is_over"),
    [
        ((), "max", 1, False),
        ((0.5,), "max", 1, False),
        ((0.5, 0.6), "max", 1, False),
        ((0.5, 0.5), "max", 1, True),  # equal is no better
        ((0.5, 0.4), "max", 2, False),
        ((0.5, 0.4, 0.5), "max", 2, True),
        ((0.5, 0.4, 0.6), "max", 2, False),
        ((0.5, 0.4, 0.6), "min", 1, True),
        ((0.5, 0.4, 0.3), "min", 1, False),
    ],
)
def test_when_it_is_over(values, mode, epochs, is_over, tmp_path):
    history = write_history(tmp_path, *values)
    assert Patience(history, "val_x", mode, epochs).is_over() is is_over
    assert epochs_done(history) == len(values)
    assert not Patience(tmp_path / "none.csv", "val_x", mode, epochs).is_over()


def test_the_first_of_equal_epochs_is_best(tmp_path):
    history = write_history(tmp_path, 0.5, 0.7, 0.7, 0.5)
    assert (best_epoch(history, "val_x", "max"), best_epoch(history, "val_x", "min")) == (2, 1)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_it_stops_where_early_stopping_of_keras_does(mode, patience, tmp_path):
    values = np.random.default_rng(patience).permutation(30) / 30
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    of_keras = keras.callbacks.EarlyStopping("val_x", mode=mode, patience=patience)
    of_keras.set_model(model)
    of_keras.on_train_begin()
    ours = Patience(tmp_path / "history.csv", "val_x", mode, patience)
    for epoch, value in enumerate(values):
        write_history(tmp_path, *values[: epoch + 1])
        model.stop_training = False
        of_keras.on_epoch_end(epoch, {"val_x": value})
        assert model.stop_training == ours.is_over()
        if ours.is_over():
            return
    pytest.fail("never stopped")


def spec_of(**settings):
    return RunSpec.resolve("digits", "prokt", **{**SMALL, **settings})


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("patience")


@pytest.fixture(scope="module")
def patient(workplace):
    """A run that has stopped early."""
    run(spec_of(patience=2), workplace / "patient", export=False, cache=workplace)
    return RunFolder(workplace / "patient")


def rows_of(folder):
    with folder.history.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_equal_runs(one, other):
    students = [load_student(folder.student).get_weights() for folder in (one, other)]
    for pair in zip(*students, strict=True):
        np.testing.assert_array_equal(*pair)
    assert rows_of(one) == rows_of(other)
    records = [folder.read() for folder in (one, other)]
    for key in ("best_epoch", "last_epoch", "scores"):
        assert records[0]["results"][key] == records[1]["results"][key]
    assert records[0]["cost"] == records[1]["cost"]


@pytest.mark.whole_run
@needs_default_backend
def test_a_run_stops_and_says_so(patient, workplace):
    record = patient.read()
    best, last = record["results"]["best_epoch"], record["results"]["last_epoch"]
    assert last == best + 2 < SMALL["epochs"] and last == len(rows_of(patient))
    said = f"stopped after epoch {last} of 12: no better than epoch {best} for 2 epochs"
    assert said in results_table(record).splitlines()
    # Only what was carried out counts.
    assert record["cost"]["forwards"]["student"] == 3 * SMALL["limit"] * last
    assert "student (last epoch)" in record["results"]["models"]
    # All that was trained is as without patience: schedules keep their length.
    run(spec_of(), workplace / "usual", export=False, cache=workplace)
    usual = RunFolder(workplace / "usual")
    assert rows_of(usual)[:last] == rows_of(patient) and len(rows_of(usual)) == SMALL["epochs"]
    assert "stopped after" not in results_table(usual.read())


@pytest.mark.thorough
@pytest.mark.whole_run
@needs_default_backend
def test_in_pieces_it_stops_at_the_same_epoch(patient, workplace):
    stopped_run(spec_of(patience=2), workplace / "pieces", [5, 4, 6], cache=workplace, export=False)
    resume(workplace / "pieces", cache=workplace)
    assert_equal_runs(RunFolder(workplace / "pieces"), patient)


@pytest.mark.whole_run
@needs_default_backend
def test_killed_after_its_last_epoch_nothing_more_is_trained(patient, workplace, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(training_run, "measure_models", killed)
        run(spec_of(patience=2), workplace / "killed", export=False, cache=workplace)
    folder = RunFolder(workplace / "killed")
    assert folder.read()["status"] == "running" and len(rows_of(folder)) == len(rows_of(patient))
    resume(folder.path, cache=workplace)
    assert_equal_runs(folder, patient)


def test_a_teacher_that_is_trained_before_takes_no_part_in_it():
    spec = RunSpec.resolve("digits", "ta", patience=3)
    assert spec.teacher_run().patience is spec.assistant_run().patience is None


def test_refusals():
    with pytest.raises(ValueError, match="Expected patience of at least 1, received 0"):
        spec_of(patience=0)
    with pytest.raises(ValueError, match="no patience with full_train, received 3; validation is"):
        RunSpec.resolve("cifar100", "prokt", full_train=True, patience=3)
