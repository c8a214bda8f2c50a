"""The student alone as a SavedModel for TensorFlow Serving, from any backend."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_prokt import backends, outputs
from keras_prokt.distillers.heads import Heads
from keras_prokt.distillers.model_checks import check_pair
from keras_prokt.files import write_record
from keras_prokt.front_ends import FrontEnd, Signature
from keras_prokt.keras_internals import layers_in
from keras_prokt.outputs import Output
from keras_prokt.tensorflow_beside import is_installed
from keras_prokt.typing import Tensor

_HALF = ("float16", "bfloat16")


def export_saved_model(
    student: keras.Model,
    directory: str | Path,
    *,
    front_end: FrontEnd | None = None,
    class_names: Sequence[str] | None = None,
    output: str | None = None,
) -> Path:
    """Writes the student alone as a SavedModel, in a new version directory.

    TensorFlow Serving watches `directory` and serves its highest number; a version appears there
    in one move, when it is complete. Earlier versions are never touched. The batch size, and
    every length that is `None` in the student's inputs, stay free.

    The signature `serving_default` takes the student's inputs by the names given to `keras.Input`
    (`inputs` for a single one without a name) and returns what its kind of output says. Of classes:
    `probabilities`, float32 `(batch, classes)`, the softmax of the logits, and `label`, int64
    `(batch,)`, the most probable class; with `class_names` also `class_name`, its name as a UTF-8
    string `(batch,)`. Of yes-or-no labels: `probabilities`, float32 `(batch, labels)`, the sigmoid
    of the logits, and `label`, int64 `(batch, labels)`, 1 above ½; with `class_names` also
    `class_name`: of one label `(batch,)`, the name of the answer, of several `(batch, labels)`, the
    names of those that are 1 and empty strings elsewhere.

    With a `front_end` there are signatures of raw input, with the same outputs; its class says
    which. Where raw input is what `serving_default` takes, as with `ImageFrontEnd`, the student's
    own inputs have another signature.

    A student in half precision is exported as its float32 copy. On the JAX and torch backends the
    student goes through a `.keras` file to a TensorFlow process of its own; its custom layers
    must then be registered (`keras.saving.register_keras_serializable`) in an importable module.

    Args:
        student: A functional or built sequential model whose output is logits, shape
            `(batch, width)`.
        directory: Parent of the version directories; made if it is not there.
        front_end: How raw input becomes the student's inputs. For texts it reads one or more of
            `token_ids`, `padding_mask` and `segment_ids`, for pairs also `token_ids`,
            `padding_mask`, `token_ids_pair` and `padding_mask_pair`; for images one input.
        class_names: Names of the classes or labels, in the order of the logits; of a single label
            those of both answers, such as `["benign", "malignant"]`.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`; as in a distiller.

    Returns:
        The new version directory, `directory/1` for the first.

    Raises:
        ValueError: If the student has no known inputs, does not end in logits, does not suit
            `front_end` or cannot be rebuilt, `class_names` are not as many strings as there are
            classes or labels, or `directory` is a file. Nothing is left behind.

    Example:

    ```python
    path = export_saved_model(student, "serving/digits")  # serving/digits/1
    served = tf.saved_model.load(path)  # keep this reference while the signature is in use
    served.signatures["serving_default"](image=images)["probabilities"]
    ```
    """
    directory = Path(directory)
    anchor = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not anchor.is_dir():
        raise ValueError(
            f"Expected a directory for the versions of the model, received {str(directory)!r} "
            f"where {str(anchor)!r} is a file; choose another path."
        )
    given = None if output is None else outputs.get(output)
    inputs, width = _checked_ends(student, given)
    kind = given or outputs.infer(width)
    if front_end is not None:
        front_end.check_inputs(inputs)
    if class_names is not None:
        kind.check_names(class_names, width)
    if not is_installed():
        raise ValueError(
            "Expected TensorFlow for writing a SavedModel, received an environment without it; "
            "export where it is installed, on any backend."
        )
    if not backends.current().builds_tensorflow_graphs:
        return _export_in_tensorflow_process(student, directory, front_end, class_names, kind.id)

    import tensorflow as tf

    student = _in_float32(student)
    inputs, _ = _checked_ends(student, kind)
    structure = student.inputs[0] if isinstance(student, keras.Sequential) else student.input

    def classify(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = keras.tree.pack_sequence_as(structure, [features[name] for name in inputs])
        logits = ops.cast(keras.tree.flatten(student(values, training=False))[0], "float32")
        predictions = kind.predictions(logits)
        if class_names is not None:
            names = tf.constant(kind.name_table(class_names, width))
            predictions["class_name"] = tf.gather(names, kind.name_indices(predictions))
        return predictions

    archive = keras.export.ExportArchive()
    # The student is not track()ed: the archive would take its metrics' variables as well.
    specs = {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name)
        for name, tensor in inputs.items()
    }
    model_signature = "serving_default" if front_end is None else front_end.model_signature
    archive.add_endpoint(model_signature, classify, [specs])

    def classify_raw(signature: Signature) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
        return lambda raw: classify(signature.to_features(raw))

    raw = {} if front_end is None else front_end.signatures(inputs)
    for name, signature in raw.items():
        archive.add_endpoint(name, classify_raw(signature), [dict(signature.inputs)])
    # The name is no number, so that a server does not take the unfinished folder for a version.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=anchor) as scratch:
        unfinished = Path(scratch) / "saved_model"
        archive.write_out(unfinished, verbose=False)
        return _move_to_next_version(unfinished, directory)


def _checked_ends(
    student: keras.Model, kind: Output | None
) -> tuple[dict[str, keras.KerasTensor], int]:
    """The student's symbolic inputs by name, in flat order, and the width of its outputs."""
    check_pair(None, student, kind)
    inputs = getattr(student, "inputs", None)
    if not inputs:
        raise ValueError(
            "Expected a functional model, or a sequential one that has seen its input shape, "
            f"received {type(student).__name__} {student.name!r} without known inputs; wrap it as "
            "keras.Model(inputs, student(inputs)); of a distiller, export its student."
        )
    width = Heads("student").known_width(student, kind)
    assert width is not None  # a model that knows its inputs knows its outputs
    names = [tensor.name for tensor in inputs]
    # Keras numbers the inputs that were given no name: theirs would change with every reload.
    unnamed = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
    if len(names) == 1 and unnamed.fullmatch(names[0]):
        names = ["inputs"]
    for name in names:
        if unnamed.fullmatch(name) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(
                "Expected inputs named by letters, digits and underscores, received input "
                f"{name!r} of {student.name!r}; servers ask for it by its name: name it with "
                "keras.Input(..., name='image')."
            )
    return dict(zip(names, inputs, strict=True)), width


def _in_float32(student: keras.Model) -> keras.Model:
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


def _move_to_next_version(unfinished: Path, directory: Path) -> Path:
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


def _export_in_tensorflow_process(
    student: keras.Model,
    directory: Path,
    front_end: FrontEnd | None,
    class_names: Sequence[str] | None,
    output: str,
) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "student.keras"
        student.save(file)
        command = [sys.executable, "-m", "keras_prokt.export", str(file), str(directory)]
        command += [f"--output={output}"]
        command += [f"--import={module}" for module in _modules_of_custom_objects(student)]
        if class_names is not None:
            names = Path(scratch) / "class_names.json"
            names.write_text(json.dumps(list(class_names)), encoding="utf-8")
            command += [f"--class-names={names}"]
        if front_end is not None:
            config = Path(scratch) / "front_end.json"
            write_record(config, front_end.to_json())
            command += [f"--front-end={config}"]
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            # This process may hold all of the GPU's memory, and exporting needs none.
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.splitlines()
        # TensorFlow writes there as well; without a line of ours the process was killed.
        problems = [line for line in lines if line.startswith("error: ")] or [
            f"exit status {child.returncode} after {lines[-1] if lines else 'no output'!r}"
        ]
        raise ValueError(
            "Expected the TensorFlow process that exports the student to succeed, received "
            f"{problems[-1]}"
        )
    return Path(child.stdout.strip().splitlines()[-1])


def _modules_of_custom_objects(student: keras.Model) -> list[str]:
    """Modules that the other process must import to be able to rebuild the student."""
    config = student.to_json()
    modules = {
        custom.__module__
        for name, custom in keras.saving.get_custom_objects().items()
        if f'"{name}"' in config
    }
    if "__main__" in modules:
        raise ValueError(
            f"Expected the custom layers of {student.name!r} in an importable module, received "
            "some defined in the script itself; move them to a module of their own, or export "
            "with KERAS_BACKEND=tensorflow."
        )
    return sorted(modules)
