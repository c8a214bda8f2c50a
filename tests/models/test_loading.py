"""Loading a saved student: own layers are found, bad files are named."""

import subprocess
import sys

import pytest

from keras_prokt.models.bilstm import bilstm
from keras_prokt.models.loading import load_student


def test_a_student_with_own_layers_loads_in_a_fresh_process(tmp_path):
    path = tmp_path / "student.keras"
    bilstm(2, vocabulary_size=30, embedding_dim=4, units=3).save(path)
    code = f"import keras_prokt; print(keras_prokt.load_student({str(path)!r}).output_shape)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "(None, 2)", result.stderr


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_files_that_are_no_models(tmp_path, content):
    path = tmp_path / "student.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a model file \(.keras\)"):
        load_student(path)
