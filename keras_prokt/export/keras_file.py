"""The student alone as a `.keras` file, which Keras loads on any backend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.comparison import means_of
from keras_prokt.export.graph import check_file_name
from keras_prokt.files import replacing
from keras_prokt.models.as_logits import as_logits_if_seen, original_outputs
from keras_prokt.models.loading import load_student
from keras_prokt.models.symbolic_inputs import symbolic_inputs


class KerasFile(Format):
    """Form `keras`: what `keras.Model.save` writes, with the outputs from before `as_logits`."""

    keeps_half = True

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        check_file_name(path, ".keras")
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

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        return f"""import numpy as np

import keras_prokt

student = keras_prokt.load_student({name!r})
inputs = {inputs}
values = list(inputs.values())
by_place = values[0] if len(values) == 1 else values
print(student.predict(inputs if isinstance(student.input, dict) else by_place))
"""

    def open(self, written: Path, description: Description) -> Answer | None:
        model, kind = load_student(written), description.output
        assert kind is not None
        model = as_logits_if_seen(model, kind.activations)
        structure, means = symbolic_inputs(model), means_of(model, kind)

        def answer(features: Mapping[str, np.ndarray]) -> np.ndarray:
            return means(keras.tree.pack_sequence_as(structure, list(features.values())))

        return None if structure is None else answer
