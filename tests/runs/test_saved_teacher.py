"""The teacher of a run: its best epoch is reported, and it is kept where that is asked for."""

import csv
import json

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from marks import thorough
from pieces import stopped_run

from keras_prokt import load_student
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.digits import load_digits
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.finished_run import evaluate_run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
# Large steps, so that the last epoch is not the best one.
SMALL = {"limit": 192, "epochs": 4, "batch_size": 32}
SMALL |= {"teacher_learning_rate": 0.1, "teacher_schedule": "constant"}
BEST, LAST = "teacher (best epoch)", "teacher"


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("runs") / "prokt"
    return folder, run(spec_of(), folder, save_teacher=True, cache=cache)


def accuracy(model, part):
    split = load_digits()[part]
    return np.mean(model.predict(split.images, verbose=0).argmax(-1) == split.labels)


def assert_same_weights(one, other):
    for pair in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(*pair)


@pytest.mark.whole_run
def test_the_teacher_of_its_best_epoch_is_kept_and_reported(finished):
    folder, record = finished
    rows = read_history(folder / "history.csv")
    curve = [float(row["val_teacher_accuracy"]) for row in rows]
    best = curve.index(max(curve))
    assert best != len(curve) - 1, "the test says nothing"
    results = record["results"]
    assert results["teacher_best_epoch"] == best + 1
    assert results["models"][BEST]["validation"]["accuracy"] == pytest.approx(curve[best])
    assert results["models"][LAST]["validation"]["accuracy"] == pytest.approx(curve[-1])
    teacher = load_student(folder / "teacher.keras")
    for part in ("validation", "test"):
        assert results["models"][BEST][part]["accuracy"] == pytest.approx(accuracy(teacher, part))
    assert results["models"][BEST]["parameters"] == teacher.count_params()
    with (folder / "predictions" / "test.csv").open(newline="") as file:
        predicted = [int(row[BEST]) for row in csv.DictReader(file)]
    images = load_digits()["test"].images
    assert predicted == teacher.predict(images, verbose=0).argmax(-1).tolist()
    evaluated = evaluate_run(folder, "teacher")["test"]["accuracy"]
    assert evaluated == results["models"][BEST]["test"]["accuracy"]


@pytest.mark.whole_run
def test_it_is_served_as_it_was_kept(finished):
    import tensorflow as tf

    folder, _ = finished
    teacher = load_student(folder / "teacher.keras")
    served = tf.saved_model.load(folder / "teacher_saved_model" / "1")
    images = load_digits()["test"].images[:8]
    [name] = served.signatures["serving_default"].structured_input_signature[1]
    found = served.signatures["serving_default"](**{name: tf.constant(images)})
    expected = tf.nn.softmax(teacher.predict(images, verbose=0))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["class_name"].numpy()[0].decode() in map(str, range(10))


@pytest.mark.thorough
@pytest.mark.whole_run
def test_without_being_asked_a_run_reports_the_same_and_keeps_nothing(finished, cache, tmp_path):
    record = run(spec_of(), tmp_path / "run", export=False, cache=cache)
    assert not list((tmp_path / "run").glob("teacher*"))
    for results in (record["results"], finished[1]["results"]):
        for model in results["models"].values():
            for part in ("validation", "test"):
                model[part].pop("seconds", None)
    assert record["results"] == finished[1]["results"]
    assert_same_weights(
        *(load_student(f / "student.keras") for f in (finished[0], tmp_path / "run"))
    )
    with pytest.raises(ValueError, match="Expected a run that kept its teacher, .*save_teacher"):
        evaluate_run(tmp_path / "run", "teacher")


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_run_in_pieces_keeps_the_same_teacher(finished, cache, tmp_path):
    out = tmp_path / "pieces"
    # In the first step, in the second epoch, after the third one.
    pieces = [2, 11, 15]
    record = stopped_run(spec_of(), out, pieces, cache=cache, save_teacher=True, export=False)
    assert record["save_teacher"] and not (out / "teacher.keras").exists()
    record = resume(out, cache=cache)
    assert_same_weights(*(load_student(folder / "teacher.keras") for folder in (out, finished[0])))
    assert record["results"]["teacher_best_epoch"] == finished[1]["results"]["teacher_best_epoch"]
    assert not (out / "teacher_saved_model").exists()


@pytest.mark.thorough
@pytest.mark.whole_run
def test_without_checkpoints_nothing_else_stays_of_it(cache, tmp_path):
    out = tmp_path / "run"
    run(spec_of(), out, export=False, cache=cache, save_teacher=True, keeps_checkpoint=False)
    assert not (out / "checkpoint").exists() and (out / "teacher.keras").is_file()


@pytest.mark.whole_run
def test_a_damaged_teacher_is_refused(finished, cache, tmp_path):
    out = tmp_path / "run"
    run(spec_of(epochs=1), out, export=False, cache=cache, save_teacher=True)
    content = (out / "teacher.keras").read_bytes()
    (out / "teacher.keras").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="Expected teacher.keras as the run in"):
        evaluate_run(out, "teacher")


@pytest.mark.whole_run
def test_a_fixed_teacher_is_the_kept_one_and_its_best_epoch_is_reported(tmp_path):
    cache, records = tmp_path / "cache", {}
    settings = {"epochs": 5, "teacher_epochs": 5, "teacher_learning_rate": 0.03}
    for keep in ("last", "best"):
        spec = spec_of("kd", teacher_keep=keep, **settings)
        out = tmp_path / keep
        records[keep] = run(spec, out, export=False, cache=cache, save_teacher=True)["results"]
    # One training: the other run has read what the first one kept.
    assert not (tmp_path / "best" / "checkpoint" / "teacher").exists()
    last, best = records["last"]["models"], records["best"]["models"]
    assert records["last"]["teacher_best_epoch"] == records["best"]["teacher_best_epoch"] < 5
    for part in ("validation", "test"):
        for metric in ("accuracy", "loss"):
            assert last[BEST][part][metric] == best[LAST][part][metric] == best[BEST][part][metric]
        assert last[LAST][part]["loss"] != last[BEST][part]["loss"]
    for keep in ("last", "best"):
        teacher = load_student(tmp_path / keep / "teacher.keras")
        taught = records[keep]["models"][LAST]["test"]["accuracy"]
        assert accuracy(teacher, "test") == pytest.approx(taught)
    # The same training by itself.
    alone = run(
        RunSpec.resolve(
            "digits",
            "student",
            student="cnn-large",
            student_optimizer="adam",
            student_learning_rate=0.03,
            student_schedule="constant",
            **{k: v for k, v in SMALL.items() if "teacher" not in k},
        ),
        tmp_path / "alone",
        export=False,
        cache=cache,
    )["results"]
    assert alone["best_epoch"] == records["last"]["teacher_best_epoch"]
    of_alone = alone["models"]["student"]["test"]["loss"]
    assert last[BEST]["test"]["loss"] == pytest.approx(of_alone, rel=1e-5)


@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["ta", *thorough("dml", "rco", "ab+prokt")])
def test_every_method_with_a_teacher_reports_its_best_epoch(method, cache, tmp_path):
    few = {"epochs": 2, "first_stage_epochs": 1} if "ab" in method else {"epochs": 2}
    if method in ("rco", "ta"):
        few["teacher_epochs"] = 2
    spec = spec_of(method, teacher="cnn-large", **few)
    record = run(spec, tmp_path / "run", export=False, cache=cache, save_teacher=True)
    results = record["results"]
    assert results["teacher_best_epoch"] in (1, 2)
    best, last = (results["models"][name]["validation"]["accuracy"] for name in (BEST, LAST))
    assert best >= last
    teacher = load_student(tmp_path / "run" / "teacher.keras")
    kept = best if method in ("dml", "ab+prokt") else last
    assert accuracy(teacher, "validation") == pytest.approx(kept)
    if method in ("dml", "ab+prokt"):
        rows = read_history(tmp_path / "run" / "history.csv")
        assert best == pytest.approx(max(float(row["val_teacher_accuracy"]) for row in rows))


def test_a_method_without_a_teacher_is_refused(cache, tmp_path):
    with pytest.raises(ValueError, match="Expected no save_teacher with method 'student'"):
        run(RunSpec.resolve("digits", "student"), tmp_path / "run", save_teacher=True)
    result = keras_prokt("run", "--method", "student", "--save-teacher", cwd=tmp_path)
    assert result.exit_code == 2
    assert result.stderr == (
        "keras-prokt: Expected no --save-teacher with method 'student', received True; it has no "
        "teacher.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.whole_run
def test_a_big_model_is_distilled_from_a_small_one_on_the_command_line(tmp_path):
    few = ["--limit", "96", "--epochs", "2", "--batch-size", "32", "--out", "run"]
    pair = ["--method", "kd", "--teacher", "cnn-small", "--student", "cnn-large"]
    result = keras_prokt("run", *few, *pair, "--save-teacher", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "SavedModel of the teacher: run/teacher_saved_model" in result.stdout
    models = json.loads((tmp_path / "run" / "run.json").read_text())["results"]["models"]
    assert models["student"]["parameters"] == 66_218 > models["teacher"]["parameters"] == 850
    evaluated = keras_prokt("evaluate", "run", "--model", "teacher", cwd=tmp_path)
    assert f"{models['teacher']['test']['accuracy']:.4f}" in evaluated.stdout
    assert evaluated.stdout.startswith("teacher on")
    exported = keras_prokt("export", "run", "--model", "teacher", cwd=tmp_path)
    assert exported.stdout == "run/teacher_saved_model/2\n"
    wrong = keras_prokt("export", "run", "--model", "techer", cwd=tmp_path)
    assert wrong.exit_code == 2 and "did you mean 'teacher'" in wrong.stderr


@pytest.mark.whole_run
@pytest.mark.parametrize("method", ["kd", *thorough("prokt")])
def test_a_given_teacher_may_end_in_softmax(method, tmp_path, cache):
    def teacher(activation):
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(
                    10, activation, kernel_initializer=keras.initializers.HeNormal(0)
                ),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    teacher("softmax").save(tmp_path / "softmax.h5")
    teacher(None).save(tmp_path / "logits.keras")
    settings = {"limit": 128, "epochs": 2, "batch_size": 32}
    losses = []
    for name in ("softmax.h5", "logits.keras"):
        spec = RunSpec.resolve("digits", method, **settings, teacher_init=str(tmp_path / name))
        record = run(spec, tmp_path / name[:3], save_teacher=True, cache=cache)
        losses.append(record["results"]["models"]["student"]["test"]["loss"])
        saved = load_student(tmp_path / name[:3] / "teacher.keras")
        assert saved.predict(np.zeros((1, 8, 8, 1)), verbose=0).shape == (1, 10)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
