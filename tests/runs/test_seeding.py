"""Random seeds of a run, with and without TensorFlow beside the backend."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_prokt.runs.seeding import set_random_seed


def drawn():
    values = [np.random.rand(), keras.random.normal((2,)), keras.layers.Dense(3)]
    values[-1].build((None, 2))
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in (*values[:2], values[2].kernel)]


def test_same_numbers_as_after_keras_own(monkeypatch):
    keras.utils.set_random_seed(3)
    expected = drawn()
    for modules in (sys.modules, {k: v for k, v in sys.modules.items() if k != "tensorflow"}):
        monkeypatch.setattr("keras_prokt.runs.seeding.sys.modules", modules)
        set_random_seed(3)
        for value, other in zip(drawn(), expected, strict=True):
            np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_tensorflow_is_not_imported_beside_another_backend(backend):
    pytest.importorskip(backend)
    code = (
        "import sys; from keras_prokt.runs.seeding import set_random_seed; set_random_seed(0)\n"
        "from keras.src.utils import rng_utils\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert rng_utils.tf.available\n"
    )
    pytest.importorskip("tensorflow")
    environment = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
