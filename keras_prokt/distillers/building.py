"""What a distiller finds out of its models when they are built, or builds of a batch."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_prokt import outputs
from keras_prokt.distillers.forward import Forward
from keras_prokt.distillers.heads import Shape
from keras_prokt.distillers.student_loss import StudentLoss
from keras_prokt.outputs import Output

Forwards = Mapping[str, Forward]
"""How each model is run, by role, the teacher first."""


def known_shapes(forwards: Forwards, kind: Output | None) -> dict[str, Shape] | None:
    """Shapes of the models' outputs by role; `None` if one has to be built to know it.

    Args:
        forwards: How each model is run.
        kind: What the outputs mean, or `None` if their shape is to tell.

    Raises:
        ValueError: On outputs that are not of that kind.
    """
    shapes = {}
    for role, forward in forwards.items():
        model = forward.given
        shape = forward.heads.known_shape(model, kind) if model.built else None
        if shape is None:
            return None
        shapes[role] = shape
    return shapes


def build_models(
    forwards: Forwards, inputs: Mapping[str, Any], kind: Output | None
) -> dict[str, Shape]:
    """Builds the models by symbolic inputs of theirs; returns the shapes of their outputs.

    Args:
        forwards: How each model is run.
        inputs: Of each model, by role.
        kind: What the outputs mean, or `None` if their shape is to tell.

    Raises:
        ValueError: If one cannot be built, or has outputs that are not of that kind.
    """
    shapes = {}
    for role, forward in forwards.items():
        received = inputs[role]
        try:
            predicted = forward.given(received)
        except Exception as error:  # whatever the user's model raises, say where it came from
            received_shapes = keras.tree.map_structure(lambda t: tuple(t.shape), received)
            raise ValueError(
                f"Expected a {role} that can be built from the data, received inputs of "
                f"shape {received_shapes} and {type(error).__name__}: {str(error).strip()}; build "
                f"the {role} yourself, or name its part of the batch (teacher_inputs=, "
                "student_inputs=)."
            ) from error
        shapes[role] = forward.heads.check(forward.given, predicted, kind)
        # Inside a subclassed model it can only be seen now that it is built.
        forward.take_off_activation(received)
    return shapes


def check_trainable(teacher: keras.Model | None, student: keras.Model) -> None:
    """Refuses built models that have nothing to train.

    Args:
        teacher: `None` if it is not trained.
        student: The student.

    Raises:
        ValueError: With what to do.
    """
    if teacher is not None and not teacher.trainable_variables:
        raise ValueError(
            "Expected a teacher with trainable variables, received "
            f"{teacher.name!r} with none; set teacher.trainable = True, or use "
            "FrozenTeacherDistiller for a fixed teacher."
        )
    if not student.trainable_variables:
        raise ValueError(
            f"Expected a student with trainable variables, received {student.name!r} "
            "with none; set student.trainable = True."
        )


def kind_of_output(forwards: Forwards, shape: Shape, given: Output | None) -> Output:
    """What the outputs of built models mean.

    Args:
        forwards: How each model is run.
        shape: Of the student's outputs, without the batch.
        given: What the user said, or `None`: their activations and the shape tell it.

    Raises:
        ValueError: If outputs of that shape cannot be of the kind.
    """
    endings = {role: forward.removed_activation for role, forward in forwards.items()}
    kind = given or outputs.told_by(endings) or outputs.infer(*shape)
    # Sigmoids at each position are no labels of an example.
    kind.check_model_outputs("student", keras.KerasTensor((None, *shape)))
    return kind.for_outputs(shape)


def build_objectives(
    student_loss: StudentLoss,
    forwards: Forwards,
    inputs: Mapping[str, Any],
    shape: Shape,
    kind: Output,
) -> None:
    """Finds the parts that the objectives read, and makes the objectives' adapters.

    Args:
        student_loss: What the student learns from.
        forwards: How each model is run.
        inputs: Symbolic ones of each model, by role.
        shape: Of the outputs, without the batch.
        kind: What they mean.

    Raises:
        ValueError: If a model does not have a part, or an objective does not take the kind.
    """
    for objective in student_loss.objectives:
        objective.set_output(kind)
    parts = student_loss.parts()
    logits = {"logits": (None, *shape)}
    shapes: dict[str, dict[str, Any]] = {"teacher": logits}  # where they are stored
    for role, forward in forwards.items():
        found = forward.find_taps(inputs[role], parts, student_loss.named_taps(role))
        shapes[role] = {**logits, **found}
    student_loss.build(shapes)


def form_to_config(form: Any) -> dict[str, Any]:
    """Symbolic inputs of a batch as a config that Keras writes into a file."""
    # Not the tensors themselves: Keras would look for the layer that each comes from.
    specs = keras.tree.map_structure(
        lambda tensor: keras.InputSpec(tensor.dtype, tuple(tensor.shape)), form
    )
    return {"inputs": keras.saving.serialize_keras_object(specs)}


def form_from_config(config: Mapping[str, Any]) -> Any:
    """Symbolic inputs of a batch out of what `form_to_config` returned."""
    specs = keras.saving.deserialize_keras_object(config["inputs"])
    return keras.tree.map_structure(
        lambda spec: keras.KerasTensor(tuple(spec.shape), dtype=spec.dtype), specs
    )
