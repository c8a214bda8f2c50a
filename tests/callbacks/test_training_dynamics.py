import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from keras_prokt import StudentOnly
from keras_prokt.callbacks import TrainingDynamics, plot_dynamics
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.pictures import COLORS

PNG = b"\x89PNG\r\n\x1a\n"


def fit(model, data, callback, **arguments):
    arguments = {"epochs": 3, "batch_size": 20, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(*data, callbacks=[callback], validation_data=data, **arguments).history


@pytest.fixture(scope="module")
def distiller(make_distiller):
    return make_distiller()


@pytest.fixture(scope="module")
def recorded(distiller, data, tmp_path_factory):
    """Keras's own history of a training, and the folder that was written."""
    folder = tmp_path_factory.mktemp("recorded")
    return fit(distiller, data, TrainingDynamics(folder)), folder


@pytest.mark.slow
def test_history_has_every_log_of_every_epoch(recorded):
    history, folder = recorded
    rows = read_history(folder / "history.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert list(rows[0]) == ["epoch", "seconds", *history]
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == values
    assert {"student_loss", "gap", "val_teacher_accuracy", "proximal_weight"} <= set(history)


def test_the_figure_is_drawn_at_the_end(recorded):
    assert (recorded[1] / "dynamics.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_a_continued_run_keeps_the_epochs_before(distiller, data, tmp_path):
    dynamics = TrainingDynamics(tmp_path, tensorboard=False, plot=False)
    fit(distiller, data, dynamics)
    first = read_history(tmp_path / "history.csv")
    fit(distiller, data, dynamics, initial_epoch=2, epochs=4)
    rows = read_history(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[:2] == first[:2] and rows[2] != first[2]
    fit(distiller, data, dynamics, epochs=1)
    assert len(read_history(tmp_path / "history.csv")) == 1


@pytest.mark.slow
def test_columns_may_be_missing_in_some_epochs(distiller, data, tmp_path):
    fit(distiller, data, TrainingDynamics(tmp_path, tensorboard=False), validation_freq=2)
    rows = read_history(tmp_path / "history.csv")
    assert [bool(row["val_gap"]) for row in rows] == [False, True, False]


@pytest.mark.slow
def test_one_model_alone(data, tmp_path):
    model = StudentOnly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    model.compile(optimizer="adam")
    fit(model, data, TrainingDynamics(tmp_path, tensorboard=False), epochs=1)
    assert "teacher_accuracy" not in read_history(tmp_path / "history.csv")[0]
    assert (tmp_path / "dynamics.png").read_bytes().startswith(PNG)


def test_curves_of_both_models_share_their_tags(recorded):
    tensorflow = pytest.importorskip("tensorflow")
    history, folder = recorded
    curves = {}
    for path in (folder / "tensorboard").rglob("events.*"):
        run = path.parent.relative_to(folder / "tensorboard").as_posix()
        for record in tensorflow.data.TFRecordDataset(str(path)):
            event = tensorflow.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name in ("scalars", "")
                number = float(tensorflow.make_ndarray(value.tensor))
                curves.setdefault((run, value.tag), {})[event.step] = number
    for run, prefix in (("train", ""), ("validation", "val_")):
        for role in ("teacher", "student"):
            expected = history[f"{prefix}{role}_accuracy"]
            assert curves[f"{run}/{role}", "accuracy"] == pytest.approx(dict(enumerate(expected)))
            assert (f"{run}/{role}", "loss") in curves
        assert (run, "gap") in curves


def test_curves_need_no_tensorflow(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    dynamics = TrainingDynamics(tmp_path, plot=False)
    dynamics.on_train_begin()
    dynamics.on_epoch_begin(0)
    dynamics.on_epoch_end(0, {"loss": 1.0})
    dynamics.on_train_end()
    assert len(list((tmp_path / "tensorboard" / "train").glob("events.*"))) == 1


def test_plot_of_a_table(tmp_path):
    table = Path(tmp_path / "table.csv")
    table.write_text("epoch,seconds,loss,student_accuracy\n0,1.0,2.5,0.5\n")
    plot_dynamics(table, tmp_path / "new" / "figure.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.png"]


@pytest.mark.slow
def test_the_figure_says_what_it_shows(tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (drawn.append(f), save(f, *a, **k)))
    table = tmp_path / "history.csv"
    values = [(0.5, 0.3, 0.6), (0.6, 0.8, 0.7), (0.7, 0.8, 0.9)]
    rows = [f"{e},1.0,2.5,0.4,0.2,{a},{b},{c}\n" for e, (a, b, c) in enumerate(values)]
    columns = "student_loss,gap,student_accuracy,val_student_accuracy,teacher_accuracy"
    table.write_text(f"epoch,seconds,loss,{columns}\n{''.join(rows)}")
    plot_dynamics(table, tmp_path / "a.png", title="digits, λ 0.3", chance=0.1)
    plot_dynamics(table, tmp_path / "b.png", marks_best=False)
    losses, metrics = drawn[0].axes
    assert drawn[0].get_suptitle() == "digits, λ 0.3"
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["epoch", "epoch"]
    assert (losses.get_ylabel(), metrics.get_ylabel()) == ("nats", "accuracy")
    labels = [line.get_label() for line in metrics.lines if not line.get_label().startswith("_")]
    assert labels == [
        "teacher, training",
        "student, training",
        "student, validation",
        "chance, 0.1",
        "student's best, epoch 2: 0.8",  # the first of two that are as good
    ]
    others = [line.get_label() for line in drawn[1].axes[1].lines]
    assert others == labels[:3]
    plot_dynamics(table, tmp_path / "c.png", monitor="gap", mode="min")
    assert drawn[2].axes[1].lines[-1].get_label() == "student's best, epoch 1: 0.2 (gap)"


def test_both_models_are_told_apart_in_grey():
    weights = np.array([0.299, 0.587, 0.114])
    teacher, student = (weights @ to_rgb(COLORS[role]) for role in ("teacher", "student"))
    assert teacher - student > 0.25


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "a last line without an end"),
        (b"epoch,loss\n0,1.5\n1,1.2", "a last line without an end"),
        (b"epoch,loss\n0,1.5\n1\n", r"1 values for 2 columns in \['1'\]"),
        (b"epoch,loss\n0,1.5,7\n", "3 values for 2 columns"),
        (b"epokh,loss\n0,1.5\n", "does not name each column once"),
        (b"epoch,loss,loss\n0,1.5,1.5\n", "does not name each column once"),
        (b"epoch,loss\n-1,1.5\n", "epoch '-1'"),
        (b"epoch,loss\n,1.5\n", "epoch ''"),
        (b'epoch,loss\n0,"1.5\n', "unexpected end of data"),
        (b"epoch,loss\n\xff,1.5\n", "'utf-8' codec can't decode"),
        (b"epoch,loss\n0,1.k\n", "a 'loss' that is no number"),
    ],
)
def test_a_damaged_table_is_named(content, problem, tmp_path):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(ValueError, match=problem) as refusal:
        plot_dynamics(tmp_path / "history.csv", tmp_path / "figure.png")
    assert str(refusal.value).startswith("Expected a table of epochs in ")
    assert str(tmp_path / "history.csv") in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    if b"1.k" not in content:
        dynamics = TrainingDynamics(tmp_path, tensorboard=False)
        dynamics.on_train_begin()
        with pytest.raises(ValueError, match=problem):
            dynamics.on_epoch_begin(2)


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    (tmp_path / "history.csv").write_bytes(b"\xef\xbb\xbfepoch,loss\r\n0,\r\n")
    assert read_history(tmp_path / "history.csv") == [{"epoch": "0", "loss": ""}]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="Expected csv=True with plot=True"):
        TrainingDynamics(tmp_path, csv=False)
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_dynamics(tmp_path / "none.csv", tmp_path / "figure.png")
