"""What the graphs of all forms of export share: inputs by name, and what is answered."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt import outputs
from keras_prokt.distillers.heads import Heads
from keras_prokt.export.base import Description
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.keras_internals import layers_in
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor

_HALF = ("float16", "bfloat16")


def nearest_that_exists(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def move_to_next_version(unfinished: Path, directory: Path) -> Path:
    """Moves a folder that is whole to the next number below another one, in one move."""
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        versions = [int(path.name) for path in directory.iterdir() if path.name.isdecimal()]
        target = directory / str(max(versions, default=0) + 1)
        try:
            os.replace(unfinished, target)
        except OSError:
            # Another process may have taken the number since; anything else is an error.
            if not target.exists():
                raise
        else:
            return target


def answers_of(student: keras.Model, values: Any, kind: Output) -> dict[str, Tensor]:
    """What is answered to a batch: the logits of a student, as its kind of output reads them."""
    logits = ops.cast(keras.tree.flatten(student(values, training=False))[0], "float32")
    return kind.predictions(logits)


def checked_ends(
    student: keras.Model, kind: Output | None
) -> tuple[dict[str, keras.KerasTensor], int, Output]:
    """The student's symbolic inputs by name, in flat order, and its outputs' width and kind."""
    inputs = getattr(student, "inputs", None)
    if not inputs:
        raise ValueError(
            "Expected a functional model, or a sequential one that has seen its input shape, "
            f"received {type(student).__name__} {student.name!r} without known inputs; wrap it as "
            "keras.Model(inputs, student(inputs)); of a distiller, export its student."
        )
    shape = Heads("student").known_shape(student, kind)
    # A model that knows its inputs knows its outputs.
    assert shape is not None and shape[-1] is not None
    names = [tensor.name for tensor in inputs]
    # Keras numbers the inputs that were given no name: theirs would change with every reload.
    unnamed = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
    if len(names) == 1 and unnamed.fullmatch(names[0]):
        names = ["inputs"]
    for name in names:
        is_word = re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) is not None
        if unnamed.fullmatch(name) or not is_word or name == "self":  # of TensorFlow's own
            raise ValueError(
                "Expected inputs named by letters, digits and underscores, not 'self', received "
                f"input {name!r} of {student.name!r}; servers ask for it by its name: name it with "
                "keras.Input(..., name='image')."
            )
    return dict(zip(names, inputs, strict=True)), shape[-1], kind or outputs.infer(*shape)


def in_float32(student: keras.Model) -> keras.Model:
    """The student itself, or a float32 copy if a part of it computes in half precision."""
    if not any(layer.compute_dtype in _HALF for layer in layers_in(student)):
        return student
    config = _replace_half(keras.saving.serialize_keras_object(student))
    try:
        # Safe mode guards against files by others; this configuration was made just now.
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a {student.compute_dtype} student that Keras can rebuild in float32, "
            f"received {type(error).__name__}: {str(error).splitlines()[0][:300]}; register its "
            "own classes with keras.saving.register_keras_serializable."
        ) from error
    copy.set_weights(student.get_weights())
    return copy


def _replace_half(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            policy = keras.DTypePolicy(config["config"]["name"])
            return "float32" if policy.compute_dtype in _HALF else config
        return {
            key: "float32" if key == "dtype" and value in _HALF else _replace_half(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_replace_half(value) for value in config)
    return config


def graph_of(
    student: keras.Model, description: Description
) -> tuple[Callable[[Mapping[str, Tensor]], dict[str, Tensor]], dict[str, Any]]:
    """What a form answers that is one graph, in operations of TensorFlow.

    Pictures come as uint8, of the student's size, where an `ImageFrontEnd` says how they are
    normalised; of texts it reads the word pieces.

    Args:
        student: Of logits, in float32.
        description: What else is known of it.

    Returns:
        `(answer, specs)`: a function of inputs by their names, and the `tf.TensorSpec` of each,
        with an open batch.
    """
    import tensorflow as tf

    inputs, _, kind = checked_ends(student, description.output)
    structure = student.inputs[0] if isinstance(student, keras.Sequential) else student.input
    front_end = description.front_end
    if isinstance(front_end, ImageFrontEnd):
        shape = (None, *front_end.size, len(front_end.mean))

        def answer_pictures(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
            values = front_end.normalize(features["image"], tf.experimental.numpy)
            return answers_of(student, keras.tree.pack_sequence_as(structure, [values]), kind)

        return answer_pictures, {"image": tf.TensorSpec(shape, tf.uint8, "image")}

    def answer(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = keras.tree.pack_sequence_as(structure, [features[name] for name in inputs])
        return answers_of(student, values, kind)

    specs = {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name)
        for name, tensor in inputs.items()
    }
    return answer, specs


def new_archive(student: keras.Model) -> Any:
    """A `keras.export.ExportArchive` for functions of a student.

    The student is not track()ed: the archive would take its metrics' variables as well.
    """
    from tensorflow.saved_model.experimental import TrackableResource

    archive = keras.export.ExportArchive()
    for layer in layers_in(student):
        for value in vars(layer).values():
            if isinstance(value, TrackableResource):  # tables of lookup layers
                archive.track(value)
    return archive


def write_out(archive: Any, path: str | Path, student: keras.Model) -> None:
    """Writes an archive.

    Raises:
        ValueError: If a layer of the student reads what the archive does not hold.
    """
    try:
        archive.write_out(path, verbose=False)
    except AssertionError as error:
        raise ValueError(
            f"Expected a student whose layers keep what they read as attributes, received "
            f"{student.name!r} ({' '.join(str(error).split())[:200]}); make it an attribute of its "
            "layer, such as a tf.lookup table."
        ) from error


def example_inputs(student: keras.Model, description: Description, pictures: bool) -> str:
    """Python for what an exported student is called with, by name: zeros of the right shapes.

    Args:
        student: The student.
        description: What is known of it.
        pictures: Whether it reads uint8 pictures where the front end makes them of those.
    """
    front_end = description.front_end
    if pictures and isinstance(front_end, ImageFrontEnd):
        shape = (1, *front_end.size, len(front_end.mean))
        return f'{{"image": np.zeros({shape}, "uint8")}}'
    inputs, _, _ = checked_ends(student, description.output)
    arrays = []
    for name, tensor in inputs.items():
        shape = (1, *(size or 8 for size in tensor.shape[1:]))
        make = "np.full" if tensor.dtype == "string" else "np.ones"
        filled = ', "text", "O"' if tensor.dtype == "string" else f', "{tensor.dtype}"'
        arrays.append(f'"{name}": {make}({shape}{filled})')
    return f"{{{', '.join(arrays)}}}"


def check_calibration(description: Description) -> None:
    """Refuses int8 without examples to take ranges of.

    Raises:
        ValueError: With what to give.
    """
    if description.quantize == "int8" and not description.calibration:
        raise ValueError(
            "Expected training examples as calibration for quantize 'int8', whose ranges are "
            "theirs, received none; export a run, give some, or take float16."
        )


def named_batch(student: keras.Model, description: Description, batch: Any) -> dict[str, Any]:
    """What a graph of `graph_of` reads of a batch that the student is called with, by name."""
    inputs, _, _ = checked_ends(student, description.output)
    arrays = [np.asarray(value) for value in keras.tree.flatten(batch)]
    if isinstance(description.front_end, ImageFrontEnd):
        return {"image": nearest_pictures(description.front_end, arrays[0])}
    return dict(zip(inputs, arrays, strict=True))


def nearest_pictures(front_end: ImageFrontEnd, normalised: np.ndarray) -> np.ndarray:
    """The uint8 pictures that a front end makes a batch of, or the nearest there are."""
    deviation, mean = (np.asarray(v) for v in (front_end.standard_deviation, front_end.mean))
    pictures = np.rint((normalised * deviation + mean) * 255.0)
    return np.clip(pictures, 0, 255).astype("uint8")


def check_graph(student: keras.Model, path: Path, suffix: str, description: Description) -> None:
    """`Format.check` of a form that is a file with one graph.

    Args:
        student: As there, as the last.
        path: The file.
        suffix: Its ending.
        description: What else is known of the student.

    Raises:
        ValueError: If it cannot be written there.
    """
    check_file_name(path, suffix)
    check_calibration(description)
    check_description(student, description)


def check_description(student: keras.Model, description: Description) -> Output:
    """Refuses a front end or class names that do not fit the student.

    Returns:
        What its outputs mean.

    Raises:
        ValueError: With what does not fit.
    """
    inputs, width, kind = checked_ends(student, description.output)
    if description.front_end is not None:
        description.front_end.check_inputs(inputs)
    if description.class_names is not None:
        kind.check_names(description.class_names, width)
    return kind


def check_file_name(path: Path, suffix: str) -> None:
    """Refuses a path that is no name for a file of a form.

    Raises:
        ValueError: With one that is.
    """
    if path.suffix != suffix:
        raise ValueError(
            f"Expected a file name that ends in {suffix}, received {str(path)!r}; such as "
            f"{str(path.with_suffix(suffix))!r}."
        )
    if path.is_dir():
        raise ValueError(
            f"Expected a file name, received {str(path)!r}, which is a directory; choose "
            "another path."
        )
