"""Checks of two models against each other, before anything is trained."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.arguments import shown
from keras_prokt.distillers.heads import Heads, Shape
from keras_prokt.distillers.learning_rates import rate_of
from keras_prokt.keras_internals import layers_in
from keras_prokt.models.symbolic_inputs import shapes_agree
from keras_prokt.outputs import Output


def check_pair(
    teacher: keras.Model | None,
    student: keras.Model,
    kind: Output | None = None,
    heads: Mapping[str, Heads] | None = None,
) -> None:
    """Refuses a pair that cannot be distilled, as far as the models alone can tell.

    Args:
        teacher: The teacher, if there is one.
        student: The student.
        kind: What their outputs mean, or `None` if their width is to tell.
        heads: Which outputs of each are read; by default each has one.

    Raises:
        ValueError: If one is not a Keras model, both are one object or share layers, or their
            output widths differ.
    """
    models = {"teacher": teacher, "student": student}
    if teacher is None:
        del models["teacher"]
    for role, model in models.items():
        check_is_model(role, model)
    if teacher is None:
        return
    if teacher is student:
        raise ValueError(
            f"Expected two models, received {student.name!r} as teacher and as student; make the "
            "student a model of its own (keras.models.clone_model copies an architecture)."
        )
    students = {id(layer) for layer in layers_in(student, include_self=False)}
    shared = [
        layer.name
        for layer in layers_in(teacher, include_self=False)
        # Input layers hold nothing that could be trained twice.
        if id(layer) in students and layer.variables
    ]
    if shared:
        raise ValueError(
            f"Expected teacher and student without common layers, received both with {shared}; "
            "each step trains the two models in turn: copy the layers and their weights instead."
        )
    heads = heads or {role: Heads(role) for role in models}
    shapes = {role: heads[role].known_shape(model, kind) for role, model in models.items()}
    if None not in shapes.values():
        check_output_shapes(**shapes)


def check_optimizer(name: str, optimizer: Any) -> None:
    """Refuses what cannot be an optimizer: Keras takes objects, names and configs.

    Raises:
        ValueError: With the argument's name.
    """
    is_config = isinstance(optimizer, Mapping) and "class_name" in optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        rate = rate_of(optimizer)
        if not 0 <= rate < math.inf:
            raise ValueError(
                f"Expected {name} with a learning rate of at least 0, received {rate:g}; 0.001 is "
                "usual for Adam."
            )
        return
    if is_config or isinstance(optimizer, str):
        return
    raise ValueError(
        f"Expected {name} to be an optimizer or the name of one, received {shown(optimizer)}; "
        "'adam' is a good start."
    )


def weight_not_finite(model: keras.Model) -> str | None:
    """The path of a model's first weight that holds NaN, or infinity where it is trained.

    Outputs need not show it: on some processors the maximum of 0 and NaN is 0. What is not trained
    may be infinite on purpose, as a mask.
    """
    found = []
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            is_bad = ops.isnan(weight.value)
            if weight.trainable:
                is_bad = ops.logical_not(ops.isfinite(weight.value))
            found.append((weight.path, ops.any(is_bad)))
    # One answer for all of them: each costs a wait for the device.
    if not found or not ops.any(ops.stack([is_bad for _, is_bad in found])):
        return None
    return next(path for path, is_bad in found if is_bad)


def check_weights(models: Mapping[str, keras.Model]) -> None:
    """Refuses models that begin with weights that are not finite.

    Args:
        models: Role -> built model.

    Raises:
        ValueError: With the first such weight.
    """
    for role, model in models.items():
        if (weight := weight_not_finite(model)) is not None:
            raise ValueError(
                f"Expected finite weights of the {role} to begin with, received NaN or infinity in "
                f"{weight!r}; train it anew, or load other weights."
            )


def check_is_model(role: str, model: Any) -> None:
    """Refuses what is no model of Keras.

    Args:
        role: "teacher" or "student".
        model: What the user gave.

    Raises:
        ValueError: With its type and, of a PyTorch module, how it becomes a model of Keras.
    """
    if isinstance(model, keras.Model):
        return
    # Not its representation: that of a PyTorch module has a line for each layer.
    is_module = any(one.__module__.startswith("torch.") for one in type(model).__mro__)
    if not is_module:
        raise ValueError(
            f"Expected a keras.Model as {role}, received {type(model).__name__}; give the model "
            "itself."
        )
    raise ValueError(
        f"Expected a keras.Model as {role}, received the PyTorch module {type(model).__name__}; on "
        "the torch backend a module becomes one as keras.Sequential([keras.Input(shape), "
        "keras.layers.TorchModuleWrapper(module, output_shape=(None, width))]), and on any its "
        "stored outputs teach: x={'student': inputs, 'target': logits}."
    )


def check_input_shapes(role: str, expected: Any, received: Any, which: str = "") -> None:
    """Refuses inputs of another shape than a model was made for, as far as both are known.

    Args:
        role: "teacher" or "student".
        expected: Symbolic inputs of the model.
        received: Arrays or their specs; what does not stand for one of `expected` is passed over.
        which: Prefix of the data in the message, such as `"validation "`.

    Raises:
        ValueError: With both shapes.
    """
    if isinstance(expected, Mapping):
        names = [name for name in expected if isinstance(received, Mapping) and name in received]
        pairs = [(expected[name], received[name]) for name in names]
    elif isinstance(expected, list | tuple):
        is_alike = isinstance(received, list | tuple) and len(received) == len(expected)
        pairs = list(zip(expected, received, strict=True)) if is_alike else []
    else:
        pairs = [(expected, received)]
    for wanted, given in pairs:
        # A tf.data spec may leave even the number of dimensions open.
        shape = getattr(given, "shape", None)
        if shape is None or getattr(shape, "rank", 0) is None:
            continue
        if not shapes_agree(tuple(wanted.shape), tuple(shape)):
            raise ValueError(
                f"Expected {which}inputs of the {role} of shape {tuple(wanted.shape)}, received "
                f"{tuple(shape)}; reshape or batch the data, or name the {role}'s part of it "
                f"({role}_inputs=)."
            )


def check_output_shapes(teacher: Shape, student: Shape) -> None:
    """Refuses models whose outputs differ in width, or in their positions where these are known.

    Args:
        teacher: Shape of the teacher's outputs, without the batch.
        student: The same of the student.
    """
    if teacher[-1] != student[-1]:
        raise ValueError(
            "Expected teacher and student with the same number of classes, received outputs of "
            f"width {teacher[-1]} (teacher) and {student[-1]} (student); give both heads the same "
            "units."
        )
    has_same_axes = len(teacher) == len(student)
    if not has_same_axes or any(
        a != b and None not in (a, b) for a, b in zip(teacher, student, strict=True)
    ):
        raise ValueError(
            "Expected teacher and student with outputs at the same positions, received outputs of "
            f"shape {(None, *teacher)} (teacher) and {(None, *student)} (student); resize those of "
            "one inside its model."
        )


def check_padding_is_known(models: Iterable[keras.Model]) -> None:
    """Refuses models whose layers alone know which positions are padding.

    Raises:
        ValueError: If one has a layer that masks inputs, as an embedding with `mask_zero`.
    """
    for model in models:
        for layer in layers_in(model):
            if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
                raise ValueError(
                    "Expected a sample_weight for each position, or a padding_mask among the "
                    f"inputs, of the model {model.name!r} whose layer {layer.name!r} masks padding "
                    "(mask_zero), received neither; give sample_weight=(words != 0)."
                )


def is_mode_free(model: keras.Model) -> bool:
    """Whether a model computes the same in training and in inference mode, for certain.

    Then one forward serves as target and as training forward. What Keras's own layers do with
    the mode shows in their state: moving statistics or random seeds. Layers of other origin may
    do anything with a `training` argument.
    """
    if model.non_trainable_variables:
        return False
    return not any(
        "training" in inspect.signature(layer.call).parameters
        for layer in layers_in(model)
        if type(layer).__module__.partition(".")[0] not in ("keras", "keras_hub")
    )


def check_ends_in_logits(role: str, forward: Any) -> None:
    """Refuses a model that ends in softmax or sigmoid, with a loss that may mean it or its logits.

    Args:
        role: "teacher" or "student".
        forward: How it is run.

    Raises:
        ValueError: With what to do.
    """
    if forward.is_converted:
        raise ValueError(
            "Expected a loss that says what it reads, by an attribute or argument from_logits, for "
            f"a {role} that ends in softmax or sigmoid, received one of your own that does not; "
            "set from_logits = False for probabilities, or True for logits."
        )
