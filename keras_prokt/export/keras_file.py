"""The student alone as a `.keras` file, which Keras loads on any backend."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.export.base import Description, Format
from keras_prokt.files import replacing
from keras_prokt.models.as_logits import original_outputs
from keras_prokt.models.loading import load_student


class KerasFile(Format):
    """Form `keras`: what `keras.Model.save` writes, with the outputs from before `as_logits`."""

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        if path.suffix != ".keras":
            raise ValueError(
                f"Expected a file name that ends in .keras, received {str(path)!r}; such as "
                f"{str(path.with_suffix('.keras'))!r}."
            )
        if path.is_dir():
            raise ValueError(
                f"Expected a file name, received {str(path)!r}, which is a directory; choose "
                "another path."
            )
        if not student.built:
            raise ValueError(
                f"Expected a student with weights, received {student.name!r}, which has not seen "
                "an input; call it on a batch first."
            )

    def write(self, student: keras.Model, path: Path, description: Description) -> Path:
        with replacing(path) as temporary:
            original_outputs(student).save(temporary)
            # Keras also writes what it refuses to load: code, and layers that are not registered.
            try:
                load_student(temporary)
            except ValueError as error:
                raise ValueError(
                    f"Expected a student whose file can be loaded again, received {student.name!r} "
                    "with layers that are not registered, or that hold code; register them with "
                    "keras.saving.register_keras_serializable, and take no Lambda."
                ) from error
        return path

    def largest_difference(
        self, written: Path, student: keras.Model, inputs: Any, description: Description
    ) -> float:
        theirs, ours = (
            ops.convert_to_numpy(model(inputs, training=False))
            for model in (load_student(written), original_outputs(student))
        )
        return float(np.max(np.abs(theirs - ours)))
