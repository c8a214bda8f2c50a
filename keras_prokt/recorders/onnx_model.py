"""ONNX models, by ONNX Runtime."""

from typing import Any

import numpy as np

from keras_prokt.data.teacher_outputs import FORMS
from keras_prokt.recorders.base import Asked, OpenTeacher, named_as

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


def open_onnx(name: str, asked: Asked) -> OpenTeacher:
    """The model of an `.onnx` file; of outputs of several names `logits` or `probabilities`."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever ONNX Runtime raises, of classes of its own
        raise ValueError(
            f"Expected an ONNX model, received {name!r} ({' '.join(str(error).split())[:200]}); "
            "export it again."
        ) from error
    dtypes = {one.name: one.type for one in session.get_inputs()}
    if unknown := [f"{key} ({dtype})" for key, dtype in dtypes.items() if dtype not in _DTYPES]:
        raise ValueError(
            f"Expected an ONNX model that reads numbers, received {name!r}, which reads "
            f"{', '.join(unknown)}; export it without its preparation of raw input."
        )
    outputs = [one.name for one in session.get_outputs()]
    form = next((form for form in FORMS if form in outputs), None)
    if form is None and len(outputs) > 1:
        raise ValueError(
            "Expected an ONNX model with one output, or one of the name 'logits' or "
            f"'probabilities', received {name!r} with {', '.join(outputs)}; export it with that "
            "name."
        )

    def predict(batch: Any) -> np.ndarray:
        given = named_as(batch, list(dtypes), name)
        arrays = {key: np.asarray(given[key], _DTYPES[dtypes[key]]) for key in dtypes}
        try:
            [predicted] = session.run([form or outputs[0]], arrays)
        except Exception as error:  # as above: of shapes that do not fit
            raise ValueError(
                f"Expected an ONNX model that reads what the app's teacher reads, received "
                f"{name!r} ({' '.join(str(error).split())[:200]}); export it with open lengths "
                "and batches."
            ) from error
        return predicted

    return OpenTeacher(predict, form)
