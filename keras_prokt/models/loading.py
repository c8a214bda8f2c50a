"""Loading a saved student without running anything that its file might ask for."""

import importlib
import json
import zipfile
from pathlib import Path

import keras

_OWN_LAYERS = ("batch_normalization", "bert", "bilstm", "channel_groups", "transformer")
"""Modules of this package that register layers of their own."""


def load_student(path: str | Path) -> keras.Model:
    """Loads a `.keras` file that this package wrote.

    Registers the package's own layers first, those that the file names and no others, and loads
    with `safe_mode=True`: no pickles, no code from the file.

    Args:
        path: The file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such file, or it is not a Keras model.

    Example:

    ```python
    student = keras_prokt.load_student("runs/digits-prokt-1/student.keras")
    ```
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json").decode("utf-8")
        json.loads(config)
    except (OSError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ValueError(
            f"Expected a model file (.keras), received {str(path)!r}: {error}; give the path of a "
            "student.keras in a run folder."
        ) from error
    for module in _OWN_LAYERS:
        if f'"keras_prokt.models.{module}"' in config:
            importlib.import_module(f"keras_prokt.models.{module}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        problem = (str(error).strip().splitlines() or [""])[0][:300]
        raise ValueError(
            f"Expected a model file (.keras) whose layers are known, received {str(path)!r}: "
            f"{type(error).__name__}: {problem} Import the module that registers its custom layers "
            "(keras.saving.register_keras_serializable) first."
        ) from error
