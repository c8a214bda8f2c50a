"""The student alone as a SavedModel for TensorFlow Serving, from any backend."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.arguments import checked_path
from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.comparison import mean_among
from keras_prokt.export.described import describe_saved_model
from keras_prokt.export.graph import (
    answers_of,
    check_description,
    checked_ends,
    in_float32,
    move_to_next_version,
    nearest_that_exists,
    new_archive,
    write_out,
)
from keras_prokt.export.requests import checked_answers, checked_request
from keras_prokt.export.student import export_student
from keras_prokt.export.warm_up import Example, first_example, made_up, write_examples
from keras_prokt.front_ends import FrontEnd, Signature
from keras_prokt.typing import Tensor


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

    What does not fit, a wrong shape or a number that is not finite, is an error to the caller. In
    `assets.extra` are a request of each signature and its answer, which TensorFlow Serving warms
    up with and `keras-prokt serve-check` compares.

    A student in half precision is exported as its float32 copy. On the JAX and torch backends a
    TensorFlow process of its own writes it, as `keras_prokt.export.export_student` says.

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
    return export_student(
        student,
        checked_path("directory", directory),
        "saved_model",
        front_end=front_end,
        class_names=class_names,
        output=output,
    )


class SavedModel(Format):
    """Form `saved_model`: a new version directory, as `export_saved_model` says."""

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        anchor = nearest_that_exists(path)
        if not anchor.is_dir():
            raise ValueError(
                f"Expected a directory for the versions of the model, received {str(path)!r} "
                f"where {str(anchor)!r} is a file; choose another path."
            )
        check_description(student, description)

    def write(self, student: keras.Model, path: Path, description: Description) -> Path:
        import tensorflow as tf

        student = in_float32(student)
        inputs, width, kind = checked_ends(student, description.output)
        front_end, class_names = description.front_end, description.class_names
        structure = student.inputs[0] if isinstance(student, keras.Sequential) else student.input

        def classify(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
            features = checked_request(features, specs)
            values = keras.tree.pack_sequence_as(structure, [features[name] for name in inputs])
            predictions = checked_answers(answers_of(student, values, kind))
            if class_names is not None:
                names = tf.constant(kind.name_table(class_names, width))
                predictions["class_name"] = tf.gather(names, kind.name_indices(predictions))
            return predictions

        def classify_raw(
            signature: Signature,
        ) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
            def answer(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
                raw = checked_request(raw, signature.inputs)
                predictions = classify(signature.to_features(raw))
                if signature.to_answers is None:
                    return predictions
                return signature.to_answers(raw, predictions)

            return answer

        archive = new_archive(student)
        specs = {
            name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name)
            for name, tensor in inputs.items()
        }
        raw = {} if front_end is None else front_end.signatures(inputs)
        answering: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]]
        answering = {_model_signature(front_end): classify}
        answering |= {name: classify_raw(signature) for name, signature in raw.items()}
        # Word pieces are made in graphs alone.
        in_graphs = {name: classify_raw(_in_graphs(signature)) for name, signature in raw.items()}
        examples = _examples({**answering, **in_graphs}, specs, raw)
        archive.add_endpoint(_model_signature(front_end), classify, [specs])
        for name, signature in raw.items():
            archive.add_endpoint(name, answering[name], [dict(signature.inputs)])
        # The name is no number, so that a server does not take the unfinished folder for a version.
        anchor = nearest_that_exists(path)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=anchor) as scratch:
            unfinished = Path(scratch) / "saved_model"
            write_out(archive, unfinished, student)
            describe_saved_model(unfinished, replace(description, output=kind))
            write_examples(unfinished, examples)
            return move_to_next_version(unfinished, path)

    def largest_difference(
        self, written: Path, student: keras.Model, inputs: Any, description: Description
    ) -> float:
        import tensorflow as tf

        names, _, kind = checked_ends(student, description.output)
        loaded = tf.saved_model.load(written)
        features = {
            name: tf.constant(value)
            for name, value in zip(names, keras.tree.flatten(inputs), strict=True)
        }
        served = loaded.signatures[_model_signature(description.front_end)](**features)
        differences = [
            np.abs(served[name].numpy() - ops.convert_to_numpy(values))
            for name, values in answers_of(student, inputs, kind).items()
            # A label of two equal probabilities is either.
            if served[name].dtype.is_floating
        ]
        return max(float(np.max(difference)) for difference in differences)

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        texts = hasattr(description.front_end, "vocabulary")
        needed = "import tensorflow_text  # operations of the tokenizer\n" if texts else ""
        return f"""import numpy as np
import tensorflow as tf
{needed}
model = tf.saved_model.load({name!r})
print(list(model.signatures))
inputs = {inputs}
serve = model.signatures["serving_default"]
print(serve(**{{key: tf.constant(value) for key, value in inputs.items()}}))
"""

    def open(self, written: Path, description: Description) -> Answer | None:
        import tensorflow as tf

        loaded = tf.saved_model.load(written)
        signature = loaded.signatures[_model_signature(description.front_end)]

        def answer(features: Mapping[str, np.ndarray]) -> np.ndarray:
            found = signature(**{name: tf.constant(value) for name, value in features.items()})
            return mean_among({name: value.numpy() for name, value in found.items()})

        return answer


def _model_signature(front_end: FrontEnd | None) -> str:
    return "serving_default" if front_end is None else front_end.model_signature


def _in_graphs(signature: Signature) -> Signature:
    """The signature for calls outside of a graph."""
    import tensorflow as tf

    to_answers = signature.to_answers
    return replace(
        signature,
        to_features=tf.function(signature.to_features, autograph=False),
        to_answers=None if to_answers is None else tf.function(to_answers, autograph=False),
    )


def _examples(
    answering: Mapping[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]],
    specs: Mapping[str, Any],
    raw: Mapping[str, Signature],
) -> list[Example]:
    """A request of each signature that the student answers, and the answer."""
    examples, features = [], []
    for name, signature in raw.items():
        known = [] if signature.example is None else [signature.example]
        found = first_example(name, [*known, *made_up(signature.inputs)], answering[name])
        if found is not None:
            examples.append(found)
            features.append(_in_graphs(signature).to_features(found.inputs))
    [own] = answering.keys() - raw.keys()
    found = first_example(own, [*features, *made_up(specs)], answering[own])
    return examples if found is None else [found, *examples]
