"""App `images`: a folder through the command line, up to class names for encoded bytes."""

import csv
import json
import subprocess
import sys
from dataclasses import asdict

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from PIL import Image

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.data.tfds_files import EncodedImages
from keras_prokt.models.uniform_start import has_constant_output
from keras_prokt.runs import predict
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.preparation import prepare_folder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import digests, prepare
from keras_prokt.runs.training import Run
from keras_prokt.runs.training_run import run
from keras_prokt.settings import SettingError
from keras_prokt_apps.images import parse_size

SMALL = {"teacher": "cnn-small", "student": "cnn-small", "image_size": "12"}


def write_images(folder, count=10, size=(12, 12), seed=0):
    """Dark and light images of noise in a folder a class."""
    random = np.random.default_rng(seed)
    for name, low in (("dark", 0), ("light", 120)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = random.integers(low, low + 130, (*size, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    return write_images(tmp_path / "shades")


def resolve(folder, **given):
    return RunSpec.resolve("images", "prokt", dataset=str(folder), **given)


@pytest.mark.parametrize(
    ("size", "image_size", "teacher"),
    [
        ((12, 12), "12", "cnn-large"),
        ((32, 40), "32x40", "wrn-40-2"),
        ((100, 100), "100", "keras:ResNet50"),
        ((200, 300), "128", "keras:ResNet50"),
        ((70, 300), "64", "wrn-40-2"),
    ],
)
def test_the_size_and_the_networks_follow_from_the_images(tmp_path, size, image_size, teacher):
    spec = resolve(write_images(tmp_path / "set", 1, size))
    assert (spec.image_size, spec.teacher) == (image_size, teacher)
    given = resolve(tmp_path / "set", image_size="24", student="vgg8")
    assert (given.image_size, given.teacher, given.student) == ("24", "cnn-large", "vgg8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": "7"}, "image_size PIXELS or HEIGHTxWIDTH from 8 to 4096, received '7'"),
        ({"image_size": "99999x99999"}, "from 8 to 4096, received '99999x99999'"),
        ({"image_size": "8x8x3"}, "received '8x8x3'; such as 64 or 48x64"),
        ({"image_mean": "0.5"}, "three numbers in .0, 1. for image_mean, received '0.5'"),
        ({"image_deviation": "0,0.5,0.5"}, "for image_deviation, received"),
        (
            {"augmentation": "crp"},
            "augmentation among crop, .*; received 'crp'; did you mean 'crop'",
        ),
        (
            {"augmentation": "crop,flip"},
            "names joined by . for augmentation, or none alone, received",
        ),
        ({"augmentation": "none+flip"}, "or none alone, received 'none.flip'; such as crop.flip"),
        ({"teacher": "vgg9"}, "did you mean 'vgg8'"),
        (
            {"teacher_weights": "/none.h5"},
            "for teacher_weights, received '/none.h5' where there is",
        ),
        ({"student_weights": __file__}, "for student_weights, received .* of another ending; a"),
        ({"dataset": None}, "dataset with app 'images', received none"),
        ({"dataset": "tfds:none"}, "received no such directory"),
    ],
)
def test_settings_are_refused_before_images_are_read(folder, settings, message):
    usual = {**SMALL, "dataset": str(folder), "batch_size": 4, "seed": 0, "data_dir": "/nowhere"}
    with pytest.raises(ValueError, match=message):
        get_app("images").check(TaskRequest(**{**usual, **settings}))


def test_settings_of_other_apps_stay_with_them(folder):
    with pytest.raises(SettingError, match="no text_columns with app 'images'"):
        resolve(folder, text_columns=("a",))
    with pytest.raises(SettingError, match="no image_size with app 'text'"):
        RunSpec.resolve("text", "prokt", image_size="12")
    with pytest.raises(
        SettingError, match="no dataset with app 'digits'.* 'text', 'tokens' or 'images'"
    ):
        RunSpec.resolve("digits", "prokt", dataset=str(folder))
    with pytest.raises(SettingError, match="image_size with a set of TensorFlow"):
        RunSpec.resolve("images", "prokt", dataset="tfds:mnist")
    assert parse_size("48x64") == (48, 64)


@pytest.mark.process
def test_images_are_read_where_there_is_no_keras(folder):
    (folder / "dark" / "empty.png").touch()
    program = (
        "import json, sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from keras_prokt.app import TaskRequest, get_app\n"
        "try:\n"
        "    get_app('images').check(TaskRequest(**json.loads(sys.argv[1])))\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    request = TaskRequest(**SMALL, dataset=str(folder), batch_size=4, seed=0)
    command = [sys.executable, "-c", program, json.dumps(asdict(request))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "received 1 of 21 that cannot: 'dark/empty.png' (empty);" in result.stdout


@pytest.mark.slow
def test_the_task_is_the_same_from_a_table_streamed_and_prepared(folder, tmp_path):
    kept = resolve(folder, **SMALL)
    task = prepare(kept)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name}" for path in sorted(folder.glob("*/*"))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,shade", *rows, ""]))
    columns = {"image_column": "path", "label_column": "shade"}
    streamed = resolve(folder, **SMALL, cache_images="never")
    prepare_folder(kept, tmp_path / "prepared")
    others = {
        "table": resolve(tmp_path / "t.csv", **SMALL, **columns),
        "streamed": streamed,
        "prepared": resolve(folder, **SMALL, prepared=str(tmp_path / "prepared")),
    }
    assert "dataset" not in kept.files() and "dataset" in others["table"].files()
    data = {k: v for k, v in digests(kept, task).items() if k.endswith("data")}
    for name, spec in others.items():
        other = prepare(spec)
        assert other.front_end == task.front_end and other.class_names == ["dark", "light"]
        batches = zip(task.train.for_training(3), other.train.for_training(3), strict=False)
        for _ in range(3):
            one, two = next(batches)
            keras.tree.map_structure(
                lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), one, two
            )
        if name != "prepared":  # there are pixels, here files
            assert data.items() <= digests(spec, other).items()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow")
def test_a_set_of_tensorflow_datasets_is_the_folder_that_it_was_made_of(folder, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    write_images(tmp_path / "parted" / "train")
    write_images(tmp_path / "parted" / "test", 3, seed=1)
    names = ["dark", "light"]
    rows = {
        part.name: [
            (row, {"image": str(path), "label": path.parent.name})
            for row, path in enumerate(sorted(part.glob("*/*")))
        ]
        for part in (tmp_path / "parted").iterdir()
    }
    features = {"image": tfds.features.Image(shape=(None, None, 3))}
    features["label"] = tfds.features.ClassLabel(names=names)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="shades",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets=rows,
        data_dir=tmp_path / "tfds",
        disable_shuffling=True,
    )
    given = {**SMALL, "data_dir": str(tmp_path / "tfds")}
    of_set = prepare(RunSpec.resolve("images", "prokt", dataset="tfds:shades", **given))
    of_folder = prepare(resolve(tmp_path / "parted", **SMALL))
    assert of_set.class_names == names and of_set.front_end == of_folder.front_end
    for part in ("train", "validation", "test"):
        one, other = getattr(of_set, part), getattr(of_folder, part)
        np.testing.assert_array_equal(np.asarray(one.inputs), np.asarray(other.inputs))
        np.testing.assert_array_equal(one.labels, other.labels)
    for settings, message in (
        ({"cache_images": "never"}, "cache_images auto or always with a set of TensorFlow"),
        ({"label_column": "lable"}, "label_column of shades that is a ClassLabel among label;"),
    ):
        with pytest.raises(SettingError, match=message):
            prepare(RunSpec.resolve("images", "prokt", dataset="tfds:shades", **given, **settings))


@pytest.mark.whole_run
def test_several_labels_have_their_names_and_f1(folder, tmp_path):
    paths = sorted(folder.glob("*/*"))
    rows = [
        f"{p.relative_to(tmp_path)},{int(p.parent.name == 'dark')},{i % 2}"
        for i, p in enumerate(paths)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,night,odd", *rows, ""]))
    columns = {"image_column": "path", "label_column": "night,odd", "augmentation": "flip+mixup"}
    spec = resolve(tmp_path / "t.csv", **SMALL, **columns, epochs=1, batch_size=8)
    record = run(spec, tmp_path / "run", export=False)
    assert record["output"] == "labels" and record["class_names"] == ["night", "odd"]
    student = record["results"]["models"]["student"]
    assert {"macro_f1", "accuracy", "exact_match"} <= student["test"].keys()
    out = tmp_path / "p.csv"
    assert predict(tmp_path / "run", folder, out) == 20
    assert out.read_text().splitlines()[0] == "path,night,odd,p(night),p(odd)"


def test_weights_are_those_of_the_file_and_belong_to_the_run(folder, tmp_path):
    weights = str(tmp_path / "small.weights.h5")
    task = prepare(resolve(folder, **SMALL))
    trained = task.build_teacher()
    trained.layers[-1].bias.assign([1.0, 2.0])
    trained.save_weights(weights)
    spec = resolve(folder, **SMALL, teacher_weights=weights)
    started, fresh = prepare(spec).build_teacher(), prepare(spec).build_student()
    np.testing.assert_array_equal(started.get_weights()[0], trained.get_weights()[0])
    assert (fresh.get_weights()[0] != trained.get_weights()[0]).any()
    assert spec.files() == {"teacher_weights": weights}
    given = {**SMALL, "dataset": str(folder), "teacher_weights": weights}
    assert RunSpec.resolve("images", "kd", **given).teacher_run().student_weights == weights
    assert spec.changed_settings()["teacher-weights"] == weights
    model = Run(spec, RunFolder(tmp_path / "run")).teacher  # without a warning of its last layer
    np.testing.assert_array_equal(model.get_weights()[0], trained.get_weights()[0])
    assert has_constant_output(model)


@pytest.mark.parametrize(
    ("method", "other"),
    [("kd", "teacher_init"), ("prokt", "teacher_init"), ("kd", "teacher_outputs")],
)
def test_a_teacher_that_is_there_starts_from_no_weights(folder, method, other):
    given = {**SMALL, "dataset": str(folder), "teacher_weights": "w.h5", other: "teacher.keras"}
    with pytest.raises(SettingError, match=f"Expected no teacher_weights with {other}"):
        RunSpec.resolve("images", method, **given)


def test_a_set_without_a_label_somewhere_is_refused(monkeypatch):
    split = EncodedImages([b"", b""], [1, -1], ["a", "b"])
    monkeypatch.setattr("keras_prokt_apps.images.check_set", lambda *_, **settings: None)
    monkeypatch.setattr(
        "keras_prokt.data.tfds_files.read_encoded_images", lambda *_, **settings: split
    )
    with pytest.raises(SettingError, match="received none in train, row 2; choose another label_"):
        prepare(RunSpec.resolve("images", "prokt", dataset="tfds:some", **SMALL))


def test_a_setting_of_the_cache_changes_no_other(folder):
    assert resolve(folder, cache_images="never").changed_settings().keys() == {
        "dataset",
        "image-size",
    }


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("prokt", {"class_weight": "balanced"}, "no class_weight with examples that are mixtures"),
        ("prokt", {"labelled": 4}, "no labelled with examples that are mixtures of two"),
        ("crd", {}, "without memories of single examples under augmentation 'crop.mixup'"),
    ],
)
def test_mixed_images_refuse_what_is_about_single_ones(folder, method, settings, message):
    given = {**SMALL, "dataset": str(folder), "augmentation": "crop+mixup"}
    prepare(RunSpec.resolve("images", "kd", **given))
    with pytest.raises(SettingError, match=message):
        prepare(RunSpec.resolve("images", method, **given, **settings))


@pytest.mark.whole_run
@pytest.mark.filterwarnings("default:Expected images that can be read")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="serves in TensorFlow")
def test_a_run_gives_class_names_for_encoded_images(folder, tmp_path):
    tf = pytest.importorskip("tensorflow")
    arguments = ["--app", "images", "--dataset", folder, "--image-size", "12", "--epochs", "2"]
    arguments += ["--teacher", "cnn-small", "--batch-size", "4", "--out", "run"]
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["class_names"] == ["dark", "light"]
    assert record["examples"] == {"train": 16, "validation": 2, "test": 2}
    write_images(tmp_path / "new", 3, seed=1)
    (tmp_path / "new" / "dark" / "no.txt").write_text("not an image")
    refused = keras_prokt("predict", "run", "--dataset", "new", "--out", "p.csv", cwd=tmp_path)
    assert refused.exit_code == 2 and "'dark/no.txt' (no image)" in refused.stderr
    assert not (tmp_path / "p.csv").exists()
    arguments = ["--dataset", "new", "--out", "p.csv", "--broken-images", "skip"]
    result = keras_prokt("predict", "run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0 and "they are left out" in result.stderr, result.stderr
    with (tmp_path / "p.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert [row["path"] for row in predicted][:2] == ["dark/000.png", "dark/001.png"]
    # The same without the run: encoded bytes to the served model.
    [served_at] = (tmp_path / "run" / "saved_model").iterdir()
    served = tf.saved_model.load(str(served_at))
    content = [(tmp_path / "new" / row["path"]).read_bytes() for row in predicted]
    answer = served.signatures["serve_encoded"](image_bytes=tf.constant(content))
    names = [name.decode() for name in answer["class_name"].numpy()]
    assert names == [row["class_name"] for row in predicted]
    expected = [[float(row["p(dark)"]), float(row["p(light)"])] for row in predicted]
    np.testing.assert_allclose(answer["probabilities"].numpy(), expected, atol=2e-6)
    # A table of paths, with its own columns.
    lines = [f"new/{row['path']},{number}" for number, row in enumerate(predicted)]
    (tmp_path / "new.csv").write_text("\n".join(["picture,id", *lines, ""]))
    arguments = ["--dataset", "new.csv", "--image", "picture", "--out", "q.csv"]
    result = keras_prokt("predict", "run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "q.csv").open() as file:
        of_table = list(csv.DictReader(file))
    assert [row["id"] for row in of_table] == ["0", "1", "2", "3", "4", "5"]
    assert [row["p(dark)"] for row in of_table] == [row["p(dark)"] for row in predicted]
