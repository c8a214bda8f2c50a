"""Exports that fail: one line that says what to do, and nothing of them is left."""

import os
import subprocess

import keras
import pytest
from command_line import keras_prokt
from fine_tuned import write_classifier
from keras import layers
from small_disk import small_disk

from keras_prokt.export import FORMATS, export_student
from keras_prokt.models.bert import bert_classifier

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="fails in the other process"
)
DISK = 16 * 1024


@keras.saving.register_keras_serializable("test_failures")
class OnTheHost(layers.Layer):
    """Calls Python, which no form but Keras's own holds."""

    def call(self, inputs):
        import tensorflow as tf

        values = tf.numpy_function(lambda x: x, [inputs], "float32")
        return tf.ensure_shape(values, inputs.shape)


@pytest.fixture(params=FORMATS)
def form(request):
    if missing := FORMATS[request.param].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    return request.param


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """A `.keras` file that each form holds, of more bytes than the disk."""
    folder = tmp_path_factory.mktemp("students")
    keras.utils.set_random_seed(0)
    numbers = keras.Input((64,), name="numbers")
    keras.Model(numbers, layers.Dense(128)(numbers)).save(folder / "any.keras")
    write_classifier(folder / "teacher", ["no", "yes"], "Bert")
    bert_classifier(str(folder / "teacher"), 2).save(folder / "bert.keras")
    keras.Model(numbers, layers.Dense(3)(OnTheHost()(numbers))).save(folder / "host.keras")
    return folder


def student_of(form, students):
    return students / ("bert.keras" if form == "huggingface" else "any.keras")


@pytest.fixture
def disk(tmp_path):
    """A disk that fills."""
    with small_disk(tmp_path / "disk", DISK) as path:
        yield path


def assert_fails(done, folder, *words):
    said = done.stderr.strip().splitlines()
    assert done.exit_code in (1, 2) and done.stdout == "", done.output
    assert len(said) == 1 and said[0].startswith("keras-prokt: Expected"), said
    assert all(word in said[0] for word in words), said
    assert list(folder.rglob("*")) == []


def export(form, student, path, cwd):
    return keras_prokt("export", student, "--format", form, "--out", path, cwd=cwd)


def target(form, folder):
    return folder / (FORMATS[form].file or FORMATS[form].place)


@pytest.mark.slow
def test_on_a_disk_that_fills(form, students, disk, tmp_path):
    done = export(form, student_of(form, students), target(form, disk), tmp_path)
    assert_fails(done, disk, "disk")


def test_where_nothing_can_be_written(form, students, disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    done = export(form, student_of(form, students), target(form, disk), tmp_path)
    assert_fails(done, disk, "Read-only", "check the path")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_where_one_may_not_write(form, students, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o500)
    done = export(form, student_of(form, students), target(form, folder), tmp_path)
    assert_fails(done, folder, "Permission", "check the path")


@pytest.mark.slow
def test_below_a_file(form, students, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = export(form, student_of(form, students), target(form, tmp_path / "file"), tmp_path)
    assert_fails(done, tmp_path / "nothing", "file'")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_killed_export_left_is_removed_by_the_next(students, tmp_path):
    (tmp_path / ".unfinished-export-99999999-x" / "student").mkdir(parents=True)
    living = tmp_path / f".unfinished-export-{os.getpid()}-x"
    living.mkdir()
    done = export("keras", student_of("keras", students), target("keras", tmp_path), tmp_path)
    assert done.exit_code == 0, done.output
    assert {one.name for one in tmp_path.iterdir()} == {living.name, "model.keras"}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "litert", "huggingface"])
def test_a_layer_that_a_form_does_not_hold(form, students, tmp_path):
    if FORMATS[form].missing():
        pytest.skip("needs its packages")
    folder = tmp_path / "out"
    folder.mkdir()
    done = export(form, students / "host.keras", target(form, folder), tmp_path)
    assert_fails(done, folder, "export it as")


def test_an_unknown_form(students, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    assert_fails(export("onx", students / "any.keras", folder / "a.onnx", tmp_path), folder, "onnx")


def test_weights_that_are_not_finite(tmp_path):
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="last")])
    student.layers[0].bias.assign([0.0, float("nan"), 0.0])
    message = "finite weights, received NaN or infinity in '.*last/bias'"
    with pytest.raises(ValueError, match=message):
        export_student(student, tmp_path / "out")
    assert not list(tmp_path.iterdir())
