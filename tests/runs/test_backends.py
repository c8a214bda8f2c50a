"""A whole run on whatever backend Keras has: the record of it, the saved and served student."""

import json

import keras
import numpy as np
import pytest

from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.training_run import run


@pytest.mark.whole_run
@pytest.mark.process
def test_a_run(tmp_path):
    backend = keras.backend.backend()
    spec = RunSpec.resolve("digits", "prokt", limit=64, epochs=1, backend=backend)
    record = run(spec, tmp_path / "run", cache=tmp_path / "cache")
    assert record["status"] == "completed"
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["computing"]["backend"]
        == backend
    )
    assert isinstance(record["hardware"]["accelerators"], list)
    assert np.isfinite(record["results"]["models"]["student"]["validation"]["loss"])
    assert (tmp_path / "run" / "saved_model" / "1" / "saved_model.pb").is_file()
