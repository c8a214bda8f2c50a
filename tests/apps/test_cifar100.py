"""The app `cifar100`: its recipe, its pairs, and the real images."""

import shutil

import keras
import numpy as np
import pytest
from marks import DATA
from small_cifar import TINY, keep_images

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.data import cifar
from keras_prokt.files import digest_of_file
from keras_prokt.models import MODELS
from keras_prokt.models.loading import load_student
from keras_prokt.runs import resume, run
from keras_prokt.runs.finished_run import evaluate_run, export_run, front_end_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec


def request(**more):
    names = {"teacher": "wrn-16-2", "student": "mobilenet-v2"}
    return TaskRequest(**names, batch_size=64, seed=0, data_dir=str(DATA), **more)


@pytest.mark.real_data("cifar100")
def test_images_are_augmented_in_training_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path))
    prepare = get_app("cifar100").prepare
    task = prepare(request(limit=128))
    counts = [b.num_examples for b in (task.train, task.validation, task.test)]
    assert counts == [128, 5_000, 10_000]
    (images, labels), (again, _) = (next(task.train.epoch(e)) for e in (0, 0))
    assert images.shape == (64, 32, 32, 3) and images.dtype == "float32"
    assert labels.shape == (64,) and labels.max() < 100
    np.testing.assert_array_equal(images, again)
    stored = task.validation.inputs[:64]
    np.testing.assert_allclose(
        next(task.validation.epoch())[0][0, 0, 0],
        (stored[0, 0, 0] / 255 - [0.5071, 0.4867, 0.4408]) / [0.2675, 0.2565, 0.2761],
        atol=1e-5,
    )
    whole = [prepare(request(full_train=f)).train for f in (False, True)]
    assert [b.num_examples for b in whole] == [45_000, 50_000]
    assert isinstance(whole[1].inputs, np.memmap)  # 150 MB stay on the disk


def test_pairs_are_the_columns_of_the_table():
    app = get_app("cifar100")
    assert len(app.pairs) == 7
    for teacher, student in app.pairs.values():
        assert {teacher, student} <= set(MODELS) & set(app.teachers)
    spec = RunSpec.resolve("cifar100", "prokt", pair="resnet50-vgg8")
    assert (spec.teacher, spec.student) == ("resnet50", "vgg8")
    with pytest.raises(ValueError, match="did you mean 'resnet50-vgg8'"):
        RunSpec.resolve("cifar100", "prokt", pair="resnet50-vgg9")
    with pytest.raises(ValueError, match="Expected no pair with app 'digits'"):
        RunSpec.resolve("digits", "prokt", pair="resnet50-vgg8")


def test_the_recipe_of_the_table():
    spec = RunSpec.resolve("cifar100", "kd", pair="vgg13-mobilenetv2")
    assert (spec.label_weight, spec.weights, spec.temperature) == (0.1, {"kd": 0.9}, 4.0)
    assert (spec.student_learning_rate, spec.teacher_learning_rate) == (0.01, 0.05)
    assert (spec.epochs, spec.batch_size) == (240, 64)
    assert RunSpec.resolve("cifar100", "kd", pair="resnet50-vgg8").student_learning_rate == 0.05
    both = RunSpec.resolve("cifar100", "crd+kd")
    assert (both.label_weight, both.weights) == (1.0, {"crd": 0.8, "kd": 1.0})
    assert RunSpec.resolve("digits", "kd").label_weight == 0.0
    # Equation 5 of the paper has no temperature; route-constrained optimization is distillation.
    assert [RunSpec.resolve("cifar100", m).temperature for m in ("prokt", "crd+prokt")] == [1.0] * 2
    assert RunSpec.resolve("cifar100", "dml").temperature == 1.0
    assert RunSpec.resolve("cifar100", "rco").temperature == 4.0
    assert RunSpec.resolve("cifar100", "prokt", temperature=4.0).temperature == 4.0


def test_a_trained_teacher_takes_smaller_steps_under_prokt():
    given = {"teacher_init": "teacher.keras"}
    assert RunSpec.resolve("cifar100", "prokt", **given).teacher_learning_rate == 1e-3
    assert RunSpec.resolve("cifar100", "kd", **given).teacher_learning_rate == 0.05
    faster = RunSpec.resolve("cifar100", "prokt", teacher_learning_rate=0.01, **given)
    assert faster.teacher_learning_rate == 0.01
    with pytest.raises(ValueError, match="no teacher_init with method 'student'"):
        RunSpec.resolve("cifar100", "student", **given)


@pytest.mark.real_data("cifar100")
def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="did you mean 'vgg13'"):
        get_app("cifar100").prepare(
            TaskRequest(teacher="vgg133", student="vgg8", batch_size=64, seed=0)
        )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with kept images and a completed run on them, `run`, which kept its teacher."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("whole runs are tested on the default backend")
    folder = tmp_path_factory.mktemp("cifar100")
    keep_images(folder / "cache", folder / "tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_PROKT_CACHE", str(folder / "cache"))
        run(spec(folder), folder / "run", save_teacher=True)
        yield folder


def spec(folder, **more):
    models = {"teacher": TINY, "student": TINY, "data_dir": str(folder / "tfds")}
    return RunSpec.resolve("cifar100", "prokt", epochs=1, batch_size=16, limit=32, **models, **more)


def served(path, signature, **inputs):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return loaded.signatures[signature](**tensors)["probabilities"].numpy()


@pytest.mark.whole_run
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_the_saved_model_of_a_run_takes_images(workplace, role):
    import tensorflow as tf

    folder = RunFolder(workplace / "run")
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype("uint8")
    normalized = (images / 255 - [0.5071, 0.4867, 0.4408]) / [0.2675, 0.2565, 0.2761]
    normalized = normalized.astype("float32")
    model = load_student(folder.model_of(role))
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(normalized, training=False)))
    files = [tf.io.encode_png(image).numpy() for image in images]
    path = folder.export_of(role) / "1"
    for received in (
        served(path, "serving_default", image=images),
        served(path, "serve_encoded", image_bytes=files),
        served(path, "serve_normalized", inputs=normalized),
    ):
        np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5)


@pytest.mark.whole_run
def test_runs_before_the_front_end_are_read_as_they_are(workplace, tmp_path):
    folder = RunFolder(shutil.copytree(workplace / "run", tmp_path / "old"))
    folder.write_front_end(None)
    record = folder.read()
    record["files"]["front_end.json"] = digest_of_file(folder.front_end)
    folder.write(record)
    accuracy = record["results"]["models"]["student"]["validation"]["accuracy"]
    assert evaluate_run(folder.path)["validation"]["accuracy"] == accuracy
    normalized = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32")
    received = served(export_run(folder.path), "serving_default", inputs=normalized)
    path = workplace / "run" / "saved_model" / "1"
    expected = served(path, "serve_normalized", inputs=normalized)
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-6)
    # One that has no file at all.
    folder.front_end.unlink()
    del record["files"]["front_end.json"]
    folder.write(record)
    assert served(export_run(folder.path), "serving_default", inputs=normalized).shape == (3, 100)


@pytest.mark.whole_run
def test_an_unfinished_run_from_before_the_front_end_goes_on(workplace, tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert run(spec(workplace), folder.path, stop_after=0)["status"] == "running"
    folder.write_front_end(None)
    assert resume(folder.path)["status"] == "completed"
    assert front_end_of(folder) == cifar.FRONT_END
