"""Loading a saved student without running anything that its file might ask for."""

import importlib
import zipfile
from pathlib import Path

import keras

from keras_prokt.arguments import checked_path
from keras_prokt.model_file import check_model_file, code_refusal
from keras_prokt.models.as_logits import as_logits_if_seen

_OWN_LAYERS = (
    *("as_logits", "batch_normalization", "bert", "bilstm", "channel_groups", "transformer"),
)
"""Modules of this package that register layers of their own."""


def load_student(path: str | Path) -> keras.Model:
    """Loads a `.keras` file that this package wrote, or another model's, also in the older `.h5`.

    Registers the package's own layers first, those that the file names and no others, and loads
    with `safe_mode=True`: no pickles, no code from the file.

    Args:
        path: The file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such file, it is damaged, holds code, or is not a Keras model.

    Example:

    ```python
    student = keras_prokt.load_student("runs/digits-prokt-1/student.keras")
    ```
    """
    path = checked_path("path", path)
    config = check_model_file(path)
    for module in _OWN_LAYERS:
        if f'"keras_prokt.models.{module}"' in config:
            importlib.import_module(f"keras_prokt.models.{module}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (
        *(TypeError, ValueError, AttributeError),  # another layer's configuration
        *(OSError, LookupError, RuntimeError, zipfile.BadZipFile),  # other weights
    ) as error:
        # Keras adds how to run the code all the same.
        if "safe_mode" in str(error) or "unsafe_deserialization" in str(error):
            raise ValueError(code_refusal(path, "Keras refuses it")) from None
        problem = (str(error).strip().splitlines() or [""])[0][:300]
        raise ValueError(
            f"Expected a model file ({path.suffix}) whose layers are known, received "
            f"{str(path)!r}: {type(error).__name__}: {problem} Import the module that registers "
            "its custom layers (keras.saving.register_keras_serializable) first."
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Expected a model file (.keras), received {str(path)!r} of a "
            f"{type(model).__name__}; give the path of a student.keras in a run folder."
        )
    return model


def load_teacher(path: str | Path) -> keras.Model:
    """Loads any model to learn from: as `load_student`, as logits if it ends in probabilities.

    Args:
        path: A `.keras` or `.h5` file.

    Raises:
        ValueError: As `load_student`, or if its probabilities cannot be converted.
    """
    return as_logits_if_seen(load_student(path))
