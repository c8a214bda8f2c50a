"""Runs on JAX from prepared data where TensorFlow is missing: the numbers are the usual ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs.without_tensorflow import PACKAGES
from small_cifar import keep_images
from small_glue import write_glue

from keras_prokt.runs import RunSpec
from keras_prokt.runs.preparation import prepare_folder
from keras_prokt.tensorflow_beside import import_tensorflow

pytest.importorskip("jax", reason="needs the JAX backend")
pytest.importorskip("tensorflow", reason="prepares data and compares with the usual environment")

HERE = Path(__file__).parent
TINY = "without_tensorflow:tiny"
WITHOUT_TENSORFLOW = [name for name in PACKAGES if name != "keras_hub"]  # which imports it if there


def in_its_process(cache, out, missing=(), stop=0, export=False, **given):
    arguments = {"missing": missing, "out": str(out), "stop": stop, "export": export, **given}
    environment = {
        **{name: value for name, value in os.environ.items() if name != "TFDS_DATA_DIR"},
        "KERAS_BACKEND": "jax",
        "KERAS_PROKT_CACHE": str(cache),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
    }
    result = subprocess.run(
        [sys.executable, str(HERE / "without_tensorflow.py"), json.dumps(arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def assert_same(without, usual, missing):
    assert without["statuses"] == ["running", "completed"]
    assert usual["statuses"] == ["completed"]
    for name in ("data", "losses", "evaluated", "parameters"):
        assert without[name] == usual[name]
    assert all(np.isfinite(list(of_one.values())).all() for of_one in usual["losses"].values())
    assert not set(missing) & set(without["imported"])


def assert_of_others(result):
    """Nothing of ours imports TensorFlow where it is installed; Keras does, to save models."""
    ours = [one for one in result["importers"] if one.startswith("keras_prokt")]
    assert not [one for one in ours if not one.endswith(": keras_hub")]


@pytest.mark.process
@pytest.mark.whole_run
def test_digits(tmp_path):
    given = {"app": "digits", "method": "prokt"}
    settings = {"epochs": 2, "limit": 200}
    spec = RunSpec.resolve("digits", "prokt", limit=200)
    prepare_folder(spec, tmp_path / "prepared")
    cache = tmp_path / "cache"
    usual = in_its_process(cache, tmp_path / "usual", settings=settings, **given)
    assert_of_others(usual)
    settings = {"epochs": 2, "prepared": str(tmp_path / "prepared")}
    out = tmp_path / "without"
    without = in_its_process(cache, out, PACKAGES, 6, True, settings=settings, **given)
    assert_same(without, usual, PACKAGES)
    assert not (out / "saved_model").exists()  # it is left out, and the run is completed
    assert list((out / "tensorboard").rglob("events.*"))


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
def test_images(tmp_path, monkeypatch):
    cache, data_dir = tmp_path / "cache", tmp_path / "tfds"
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(cache))
    keep_images(cache, data_dir)
    models = {"teacher": TINY, "student": TINY}
    given = {"app": "cifar100", "method": "prokt"}
    spec = RunSpec.resolve("cifar100", "prokt", data_dir=str(data_dir))
    prepare_folder(spec, tmp_path / "prepared", part_size=4_000_000)
    # The folder serves any networks, and any limit: it was prepared without one.
    settings = {**models, "epochs": 2, "batch_size": 16, "limit": 70}
    usual = in_its_process(
        cache, tmp_path / "usual", settings={**settings, "data_dir": str(data_dir)}, **given
    )
    assert_of_others(usual)
    without = in_its_process(
        tmp_path / "empty",
        tmp_path / "without",
        PACKAGES,
        7,
        settings={**settings, "prepared": str(tmp_path / "prepared")},
        **given,
    )
    assert_same(without, usual, PACKAGES)


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
def test_texts(tmp_path, monkeypatch, bert):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    write_glue(tmp_path / "tfds", ["sst2"])
    given = {"app": "glue-sst2", "method": "prokt"}
    of_data = {"teacher": bert, "data_dir": str(tmp_path / "tfds")}
    prepare_folder(RunSpec.resolve("glue-sst2", "prokt", **of_data), tmp_path / "prepared")
    # A student with the word pieces of the folder, of whose checkpoint it has layers.
    training = {"epochs": 2, "batch_size": 6, "student": "bert-1"}
    usual = in_its_process(
        tmp_path / "cache", tmp_path / "usual", settings={**of_data, **training}, **given
    )
    without = in_its_process(
        tmp_path / "empty",
        tmp_path / "without",
        WITHOUT_TENSORFLOW,
        4,
        settings={**training, "prepared": str(tmp_path / "prepared")},
        **given,
    )
    assert_same(without, usual, WITHOUT_TENSORFLOW)
    assert_of_others(without)


@pytest.mark.process
def test_tensorflow_beside_another_backend_leaves_the_gpu_alone():
    code = (
        "import tensorflow as tf\n"
        "calls = []\n"
        "tf.config.set_visible_devices = lambda *arguments: calls.append(arguments)\n"
        "import keras_prokt.models.bert\n"
        "assert calls == [([], 'GPU')], calls\n"
        "from tensorflow.python.eager import context\n"
        # Nothing has been computed that would have taken the memory before.
        "assert not context.context()._initialized\n"
    )
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_what_needs_tensorflow_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ValueError, match="^Expected TensorFlow for reading texts, received an env"):
        import_tensorflow("reading texts")
