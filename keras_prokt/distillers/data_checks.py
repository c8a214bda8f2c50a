"""Looks at the data of `fit` and `evaluate` before the first step without using any of it up."""

import itertools
import operator
import types
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np

from keras_prokt.arguments import check_mapping, checked_integer, checked_number, shown
from keras_prokt.distillers import model_checks, targets
from keras_prokt.distillers.batch import BatchReader
from keras_prokt.distillers.label_checks import LabelChecks
from keras_prokt.models.symbolic_inputs import symbolic_inputs
from keras_prokt.outputs.label_arrays import HINT

NO_BATCH = (
    "Expected {where} with at least one batch, received none: it is empty, used up, or smaller "
    "than one batch with drop_remainder=True; check it, or make the batches smaller."
)


def first_inputs(data: Any) -> tuple[Any, Any]:
    """Shapes and dtypes of the inputs of a batch, for building models.

    Args:
        data: The `x` of `fit`: arrays, `tf.data.Dataset`, `PyDataset`, generator, data loader.

    Returns:
        `(inputs, data)`: a structure of `keras.KerasTensor`s, and the data to train on, which
        is `data` itself unless it was a generator.
    """
    if hasattr(data, "element_spec"):  # tf.data: reading a batch would change its shuffling
        batch = data.element_spec
    elif isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif isinstance(data, types.GeneratorType):
        batch, data = _drawn(data)
    elif hasattr(data, "__iter__") and not _is_structure_of_arrays(data):
        batch = next(iter(data))
    else:
        batch = data
        return keras.tree.map_structure(_symbolic, batch), data
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    return keras.tree.map_structure(_symbolic, inputs), data


def visible_inputs(data: Any) -> Any:
    """The inputs, or their specs, where they can be seen without drawing a batch, else `None`."""
    if hasattr(data, "element_spec"):
        return keras.utils.unpack_x_y_sample_weight(data.element_spec)[0]
    return data if _is_structure_of_arrays(data) else None


def visible_form(data: Any) -> Any:
    """Shapes and dtypes of `visible_inputs`, as of `first_inputs`, or `None`."""
    inputs = visible_inputs(data)
    # A data frame has many.
    has_dtypes = all(hasattr(leaf, "dtype") for leaf in keras.tree.flatten(inputs))
    return keras.tree.map_structure(_symbolic, inputs) if has_dtypes else None


def has_own_order(data: Any) -> bool:
    """Whether data comes in batches of its own, which Keras cannot shuffle."""
    return hasattr(data, "element_spec") or isinstance(data, types.GeneratorType)


def check_data(x: Any, y: Any, sample_weight: Any, labels: LabelChecks, which: str = "") -> Any:
    """Refuses data without a batch, labels without a meaning and arrays that are not finite.

    Labels are seen as arrays, as specs of `tf.data`, or in the first batch; what is wrong with the
    values of a stream is seen inside the step.

    Args:
        x: As in `fit`.
        y: As in `fit`.
        sample_weight: As in `fit`.
        labels: What labels have to be.
        which: Prefix of the messages, such as `"validation "`.

    Returns:
        The data to go on with, which is `x` itself unless it was a generator.

    Raises:
        ValueError: With what was found and where.
    """
    hint = f", or set the labels to -1 and say {HINT}" if labels.kind.may_be_unlabelled else ""
    check_finite("inputs", x, which)
    check_finite("labels", y, which, hint)
    check_finite("sample_weight", sample_weight, which)
    for weights in _arrays(sample_weight):
        if weights.dtype.kind in "fi" and (weights < 0).any():
            row = int(np.argwhere(weights < 0)[0][0])
            raise ValueError(
                f"Expected {which}sample_weight of at least 0, received {weights[row].min():g}, "
                f"first in example {row}; 0 leaves an example out."
            )
        if weights.size and not weights.any():
            raise ValueError(
                f"Expected {which}sample_weight above 0 of one example at least, received 0 of "
                "each, which counts none; leave sample_weight out."
            )
    first, x = _first_labels(x, y, which)
    if first is not None:
        labels.check_form(first, which)
    if y is not None:
        labels.check_values(y, which)
    return x


def check_finite(name: str, values: Any, which: str = "", hint: str = "") -> None:
    """Refuses arrays with NaN or infinity.

    Args:
        name: What they are.
        values: Arrays in any structure; anything else is passed over.
        which: Prefix of the message, such as `"validation "`.
        hint: What else can be done, for the message.

    Raises:
        ValueError: With the first example that is not finite.
    """
    for array in _arrays(values):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(
                f"Expected finite {which}{name}, received NaN or infinity, first in example {row}; "
                f"clean the data{hint}."
            )


def check_predicted(outputs: Any) -> None:
    """Refuses outputs that hold NaN: of inputs, or weights, that do.

    Args:
        outputs: Arrays in any structure.

    Raises:
        ValueError: With the first example.
    """
    for array in _arrays(outputs):
        is_missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(0, bool)
        if is_missing.any():
            row = int(np.argwhere(is_missing)[0][0])
            raise ValueError(
                f"Expected finite outputs of the student, received NaN, first of example {row}; "
                "look for NaN and infinity in the inputs, and in the student's weights."
            )


def check_inputs(
    x: Any, models: Mapping[str, keras.Model], reader: BatchReader, which: str = ""
) -> None:
    """Refuses inputs of another shape than models read, as far as both can be seen.

    Args:
        x: As in `fit`.
        models: Those that read it, by role.
        reader: Gives each its part.
        which: Prefix of the message, such as `"validation "`.

    Raises:
        ValueError: With both shapes.
    """
    visible = visible_inputs(x)
    for role, model in models.items():
        # The step shows what a user's function makes of the inputs.
        has_function = reader.functions[role] is not None
        expected = symbolic_inputs(model)
        if visible is not None and not has_function and expected is not None:
            received = reader.inputs(role, visible)
            model_checks.check_input_shapes(role, expected, received, which)


def checked_validation(
    data: Any, models: Mapping[str, keras.Model], reader: BatchReader, labels: LabelChecks
) -> Any:
    """The `validation_data` of `fit`, checked as the training data is.

    Args:
        data: Arrays in a tuple, or a stream.
        models: Both models, by role.
        reader: Gives each its part.
        labels: What labels have to be.

    Returns:
        The data to go on with.

    Raises:
        ValueError: With what was found and where.
    """
    which = "validation "
    is_arrays = isinstance(data, list | tuple)
    parts = keras.utils.unpack_x_y_sample_weight(data) if is_arrays else (data, None, None)
    x, y, sample_weight = parts
    check_is_data(x, y, sample_weight, which)
    check_readable(x, which)
    check_inputs(x, models, reader, which)
    targets.check_target(visible_inputs(x), labels.kind, labels.width, models, which)
    x = check_data(x, y, sample_weight, labels, which)
    labels.check_held_out(y, which)
    return data if is_arrays else x


_LEAST = {
    "batch_size": 1,
    "epochs": 1,
    "initial_epoch": 0,
    "steps": 1,
    "steps_per_epoch": 1,
    "validation_batch_size": 1,
    "validation_steps": 1,
}


def check_counts(arguments: Mapping[str, Any]) -> None:
    """Refuses numbers of `fit`, `evaluate` and `predict` that mean nothing, or train nothing.

    Raises:
        ValueError: With the argument's name.
    """
    for name in _LEAST.keys() & arguments.keys():
        may_be_none = name not in ("epochs", "initial_epoch")
        if not (may_be_none and arguments[name] is None):
            checked_integer(name, arguments[name], _LEAST[name])
    first, last = arguments.get("initial_epoch", 0), arguments.get("epochs", 1)
    if first > last:
        raise ValueError(
            f"Expected initial_epoch of at most epochs, {last}, received {first}, which trains "
            f"nothing; epochs is the number of the last one: {first + last} for {last} more."
        )
    split = arguments.get("validation_split")
    if split is not None and not 0 <= checked_number("validation_split", split) < 1:
        raise ValueError(f"Expected validation_split in [0, 1), received {split!r}.")


def check_class_weight(class_weight: Any, num_classes: int) -> None:
    """Refuses weights of classes that Keras would pass over, or that are no weights.

    Args:
        class_weight: As in `fit`.
        num_classes: How many classes there are.

    Raises:
        ValueError: With the class.
    """
    advice = "such as {0: 1.0, 1: 2.5}"
    check_mapping("class_weight", class_weight, advice)
    unknown = [
        key for key in class_weight if not (isinstance(key, Real) and key in range(num_classes))
    ]
    if unknown or not class_weight:
        received = f"the class {shown(unknown[0])}" if unknown else "none"
        raise ValueError(
            f"Expected class_weight of classes 0 to {num_classes - 1}, received {received}; "
            f"{advice}."
        )
    for key, weight in class_weight.items():
        if checked_number(f"class_weight[{key}]", weight) < 0:
            raise ValueError(
                f"Expected class_weight[{key}] of at least 0, received {weight!r}; 0 leaves the "
                "class out."
            )
    if not any(class_weight.values()):
        raise ValueError(
            "Expected class_weight above 0 of one class at least, received 0 of each, which trains "
            "nothing; leave class_weight out."
        )


def check_is_data(x: Any, y: Any = None, sample_weight: Any = None, which: str = "") -> None:
    """Refuses what is no data at all, and labels and weights that are not one for each example.

    Raises:
        ValueError: With what was received.
    """
    leaves = keras.tree.flatten(x)
    if not leaves or not all(_may_be_data(leaf) for leaf in leaves):
        raise ValueError(
            f"Expected {which}x as arrays, a tf.data.Dataset, a PyDataset, a generator or a data "
            f"loader, received {shown(x)}."
        )
    if not _is_structure_of_arrays(x):
        return
    count = leaves[0].shape[0] if leaves[0].shape else 0
    counts = {leaf.shape[0] for leaf in keras.tree.flatten(y) if getattr(leaf, "shape", ())}
    if counts - {count}:
        raise ValueError(
            f"Expected a label for each of the {count} examples of {which}x, received "
            f"{max(counts - {count})}; cut x and y alike."
        )
    if sample_weight is None:
        return
    try:
        weights = np.asarray(keras.ops.convert_to_numpy(sample_weight))
    except (TypeError, ValueError):
        weights = np.asarray(None)
    # Of a list Keras says something about x.
    is_list = isinstance(sample_weight, list | tuple)
    if (
        is_list
        or weights.dtype.kind not in "biuf"
        or not weights.shape
        or weights.shape[0] != count
    ):
        raise ValueError(
            f"Expected {which}sample_weight as an array of one number for each of the {count} "
            f"examples, received {shown(sample_weight)}."
        )


def _may_be_data(leaf: Any) -> bool:
    has_examples = any(hasattr(leaf, name) for name in ("shape", "__iter__", "__getitem__"))
    return has_examples and not isinstance(leaf, str | bytes | type)


def check_readable(data: Any, which: str = "") -> None:
    """Refuses data without a single batch, and parts of `tf.data` whose rank is unknown.

    Args:
        data: The `x` of `fit`.
        which: Prefix of the messages, such as `"validation "`.

    Raises:
        ValueError: With what was found.
    """
    if _number_of_batches(data) == 0:
        raise ValueError(NO_BATCH.format(where=f"{which}data"))
    if not hasattr(data, "element_spec"):
        return
    parts = keras.utils.unpack_x_y_sample_weight(data.element_spec)
    for name, specs in zip(("inputs", "labels", "sample_weight"), parts, strict=True):
        for spec in keras.tree.flatten(specs):
            if getattr(getattr(spec, "shape", None), "rank", 0) is None:
                raise ValueError(
                    f"Expected {which}{name} of known rank, received a tf.data.Dataset that does "
                    "not know it, as after tf.numpy_function and tf.py_function; tell it there: "
                    f"{name} = tf.ensure_shape({name}, shape)."
                )


def _number_of_batches(data: Any) -> int | None:
    """Batches of data, or its examples; `None` or below 0 where nobody knows."""
    if hasattr(data, "element_spec"):
        cardinality = getattr(data, "cardinality", None)
        return int(cardinality()) if callable(cardinality) else None
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches
    if _is_structure_of_arrays(data):
        leaves = keras.tree.flatten(data)
        return leaves[0].shape[0] if leaves and leaves[0].shape else None
    return operator.length_hint(data, -1)


def _first_labels(x: Any, y: Any, which: str) -> tuple[Any, Any]:
    """Labels as far as they can be seen without using them up, and the data to go on with."""
    if y is not None or _is_structure_of_arrays(x):
        return y, x
    if hasattr(x, "element_spec"):
        batch = x.element_spec
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    elif isinstance(x, types.GeneratorType):
        batch, x = _drawn(x, which)
    else:
        return _label_of_text(x), x
    return keras.utils.unpack_x_y_sample_weight(batch)[1], x


def _label_of_text(loader: Any) -> str | bytes | None:
    """The first label of a PyTorch data loader if it is text, else `None`.

    Keras fails on text before any step. A batch would be drawn at the cost of the order of the
    next ones, and of starting the loader's workers.
    """
    examples = getattr(loader, "dataset", None)
    if not isinstance(examples, Sequence) and not hasattr(type(examples), "__len__"):
        return None
    import torch

    with torch.random.fork_rng(devices=[]):
        example = examples[0]
    label = example[1] if isinstance(example, list | tuple) and len(example) > 1 else None
    return label if isinstance(label, str | bytes) else None


def _drawn(generator: Any, which: str = "") -> tuple[Any, Any]:
    """The first batch of a generator, and a generator that gives it once more."""
    try:
        first = next(generator)
    except StopIteration:
        raise ValueError(NO_BATCH.format(where=f"{which}data")) from None
    return first, _put_back(first, generator)


def _symbolic(value: Any) -> Any:
    if value is None:
        return None
    shape, dtype = tuple(value.shape), keras.backend.standardize_dtype(value.dtype)
    return keras.KerasTensor((None, *shape[1:]), dtype=dtype)


def _is_structure_of_arrays(data: Any) -> bool:
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(data))


def _arrays(values: Any) -> list[np.ndarray]:
    return [a for a in keras.tree.flatten(values) if isinstance(a, np.ndarray)]


def _put_back(first: Any, rest: Any) -> Any:
    # Not `yield from`: that would close the user's generator with this one, which more steps may
    # be drawn from.
    for batch in itertools.chain([first], rest):  # noqa: UP028
        yield batch
