"""Loading a saved student: own layers are found, bad files are named."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_prokt.model_file import check_model_file
from keras_prokt.models.as_logits import InexactLogitsWarning, as_logits
from keras_prokt.models.bilstm import bilstm
from keras_prokt.models.loading import load_student, load_teacher


@pytest.mark.process
@pytest.mark.parametrize(
    "build",
    [
        lambda: bilstm(2, vocabulary_size=30, embedding_dim=4, units=3),
        lambda: as_logits(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])),
    ],
)
def test_a_student_with_own_layers_loads_in_a_fresh_process(build, tmp_path):
    path = tmp_path / "student.keras"
    build().save(path)
    code = f"import keras_prokt; print(keras_prokt.load_student({str(path)!r}).output_shape)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "(None, 2)", result.stderr


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "student.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    return path


def refusal(path, function=load_student):
    """The one line with which a function refuses a file."""
    with pytest.raises(ValueError, match="^Expected a .*model file") as error:
        function(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def repack(path, **members):
    """Writes an archive again with other members, `None` to leave one out; returns the path."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    names = {"config": "config.json", "weights": "model.weights.h5"}
    content |= {names[name]: data for name, data in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return path


@pytest.mark.parametrize("content", [None, b"no zip", b""])
def test_files_that_are_no_models(tmp_path, content):
    path = tmp_path / "student.keras"
    if content is not None:
        path.write_bytes(content)
    for function in (load_student, check_model_file):
        assert refusal(path, function).endswith("give the path of a student.keras in a run folder.")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config": None}, "no item named 'config.json'"),
        ({"config": b"{"}, "give the path of a student.keras"),
        ({"config": b"\xff"}, "give the path of a student.keras"),
        ({"config": b"[1]"}, "its config.json holds a list"),
        ({"config": 100_000 * b"["}, "give the path of a student.keras"),
        ({"config": b"{}"}, "layers are known"),
        ({"weights": None}, "layers are known"),
        ({"weights": b"none"}, "layers are known"),
        (
            {"config": b'{"module": "builtins", "class_name": "print", "config": {}}'},
            "layers are known",
        ),
    ],
)
def test_archives_that_hold_no_model(saved, members, message):
    assert message in refusal(repack(saved, **members))


def test_an_object_of_keras_that_is_no_model(saved):
    optimizer = keras.saving.serialize_keras_object(keras.optimizers.SGD())
    assert refusal(repack(saved, config=json.dumps(optimizer)))


def test_a_damaged_model_is_refused_or_loads_unharmed(saved):
    data, weights = saved.read_bytes(), load_student(saved).get_weights()
    refused = 0
    for position in range(0, len(data), 97):
        broken = bytearray(data)
        broken[position] ^= 1
        saved.write_bytes(broken)
        try:
            loaded = load_student(saved).get_weights()
        except ValueError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
        else:  # a date, for instance
            for one, other in zip(loaded, weights, strict=True):
                np.testing.assert_array_equal(one, other)
    assert refused > len(data) // 97 // 2
    for length in range(0, len(data), 997):
        saved.write_bytes(data[:length])
        refusal(saved, check_model_file)


def test_a_member_with_another_checksum_is_named(saved):
    with zipfile.ZipFile(saved) as archive:
        info = archive.getinfo("model.weights.h5")
        middle = info.header_offset + info.file_size // 2
    data = bytearray(saved.read_bytes())
    data[middle] ^= 1
    saved.write_bytes(data)
    for function in (load_student, check_model_file):
        assert "whose model.weights.h5 has changed since it was written" in refusal(saved, function)


def test_a_file_with_code_is_refused_without_advice_to_run_it(tmp_path):
    path, x = tmp_path / "student.keras", keras.Input((3,))
    keras.Model(x, keras.layers.Lambda(lambda x: 2 * x)(x)).save(path)
    for function in (load_student, check_model_file):
        message = refusal(path, function)
        assert "which holds code (__lambda__) and is not loaded" in message
        assert "safe_mode" not in message and "unsafe" not in message


def test_keras_own_refusal_of_code_is_said_in_the_same_words(saved, monkeypatch):
    def refuse(*arguments, **settings):
        raise ValueError("You can override this error by passing `safe_mode=False`.")

    monkeypatch.setattr(keras.saving, "load_model", refuse)
    message = refusal(saved)
    assert "which holds code" in message and "safe_mode" not in message


@keras.saving.register_keras_serializable("test_loading")
class Subclassed(keras.Model):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.dense = keras.layers.Dense(3)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return keras.ops.sigmoid(self.dense(inputs))


def classifier(activation):
    """A compiled model, as people have them."""
    dense = keras.layers.Dense(3, activation)
    model = keras.Sequential([keras.Input((4,)), dense])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.mark.parametrize("name", ["teacher.keras", "teacher.h5", "teacher.hdf5"])
@pytest.mark.parametrize("activation", ["softmax", None])
def test_a_teacher_is_loaded_as_logits(name, activation, tmp_path):
    model = classifier(activation)
    model.save(tmp_path / name)
    logits = load_teacher(tmp_path / name).predict(X, verbose=0)
    expected = X @ model.get_weights()[0]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_subclassed_teacher_is_loaded_as_logits_and_it_is_said(tmp_path):
    model = Subclassed()
    model.build((None, 4))
    model(X)
    model.save(tmp_path / "teacher.keras")
    with pytest.warns(InexactLogitsWarning, match="The sigmoid inside"):
        teacher = load_teacher(tmp_path / "teacher.keras")
    expected = X @ model.get_weights()[0]
    np.testing.assert_allclose(teacher.predict(X, verbose=0), expected, atol=1e-4)


def with_config(path, config):
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.write_bytes(b"none"), "file signature not found"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "truncated file"),
        (lambda path: with_config(path, [1]), "layers are known"),
        (
            lambda path: with_config(
                path, {"module": "builtins", "class_name": "print", "config": {}}
            ),
            "layers are known",
        ),
    ],
)
def test_older_files_that_hold_no_model(damage, message, tmp_path):
    path = tmp_path / "teacher.h5"
    classifier("softmax").save(path)
    damage(path)
    assert message in refusal(path)


def test_an_older_file_of_weights_alone(tmp_path):
    path = tmp_path / "teacher.weights.h5"
    classifier("softmax").save_weights(path)
    for function in (load_student, check_model_file):
        assert "not of its weights" in refusal(path, function)


def test_an_older_file_with_code_is_refused(tmp_path):
    path = tmp_path / "teacher.h5"
    x = keras.Input((3,))
    keras.Model(x, keras.layers.Lambda(lambda x: 2 * x)(x)).save(path)
    for function in (load_student, check_model_file):
        assert "which holds code (Lambda) and is not loaded" in refusal(path, function)


@pytest.mark.process
def test_a_model_file_is_checked_without_keras(saved):
    code = (
        "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None\n"
        "from keras_prokt.model_file import check_model_file\n"
        f"print(check_model_file({str(saved)!r})[:1])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "{", result.stderr


def edited(saved, was, is_now):
    """The same file with another word in its configuration, and a checksum that fits."""
    path = saved.with_name("edited.keras")
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                assert was in content.decode()
                content = content.decode().replace(was, is_now).encode()
            after.writestr(name, content)
    return path


@pytest.mark.parametrize("units", ["1000000000", f"1{'0' * 300}"])
def test_a_model_that_claims_more_than_its_file_holds_takes_no_memory(units, saved):
    path = edited(saved, '"units": 2', f'"units": {units}')
    with pytest.raises(ValueError, match="Expected a model file .* bytes that says units = 1000"):
        check_model_file(path)


def test_a_module_that_a_model_names_is_not_imported(saved):
    path = edited(saved, '"module": "keras.layers"', '"module": "antigravity"')
    with pytest.raises(ValueError, match="Expected a model file .* whose layers are known"):
        load_student(path)
    assert "antigravity" not in sys.modules


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without an end")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_device_is_no_model_file(suffix, tmp_path):
    (tmp_path / f"endless{suffix}").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="it is no file"):
        check_model_file(tmp_path / f"endless{suffix}")


@pytest.mark.parametrize(
    "name", ["../written.txt", "a/../../written.txt", "/tmp/written.txt", "C:\\x"]
)
def test_a_member_outside_of_the_file_is_refused(name, saved):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(name, "x")
    assert f"its member {name!r} lies outside of it" in refusal(saved)


def test_a_file_that_unpacks_to_gigabytes_is_refused_at_once(saved):
    with (
        zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("bomb", "w") as member,
    ):
        for _ in range(110):
            member.write(bytes(1_000_000))
    with pytest.raises(ValueError, match="it claims 110,.* bytes when unpacked"):
        check_model_file(saved)
