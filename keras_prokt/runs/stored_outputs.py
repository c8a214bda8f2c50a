"""Runs that learn from stored outputs of a teacher: what is refused of them; imports no Keras.

Under a fixed teacher they are the teacher: none is made, trained or kept. Under `prokt` they stand
where the labels stand in the loss of the teacher that trains along.
"""

from collections.abc import Mapping
from typing import Any

from keras_prokt.data.teacher_outputs import columns_and_form
from keras_prokt.methods import OBJECTIVES, REGIMES, Method
from keras_prokt.settings import (
    OptimizerSettings,
    SettingError,
    argument,
    ends_of,
    name_of_role,
    settings_of,
)

OF_A_TEACHER = (
    *("teacher_init", "teacher_epochs", "teacher_keep", "target_mode"),
    *("teacher_weights", "teacher_trains", "teacher_lora"),
    *(name_of_role("teacher", name) for name in settings_of(OptimizerSettings)),
)
"""Settings that mean nothing where stored outputs are the teacher."""


def are_the_teacher(method: Method, teacher_outputs: str | None) -> bool:
    """Whether stored outputs are all that teaches."""
    return teacher_outputs is not None and REGIMES[method.regime].trains_teacher_before


def check_given(method: Method, given: Mapping[str, Any]) -> None:
    """Refuses settings of a teacher where there is none.

    Args:
        method: The method.
        given: What the user gives, by name.

    Raises:
        SettingError: On the first of them.
    """
    if not are_the_teacher(method, given.get("teacher_outputs")):
        return
    for name in OF_A_TEACHER:
        if name in given:
            raise SettingError(
                f"Expected no {argument(name)} with {argument('teacher_outputs')} and method "
                f"{method.name!r}, received {given[name]!r}; stored outputs are the teacher."
            )


def check_stored_outputs(spec: Any, method: Method) -> None:
    """Refuses what does not go together with stored outputs.

    Args:
        spec: The run.
        method: Its method.

    Raises:
        SettingError: With the reason.
    """
    if spec.teacher_columns is not None:
        columns_and_form(spec.teacher_columns)
    outputs = argument("teacher_outputs")
    if spec.teacher_outputs is None:
        if spec.teacher_columns is not None:
            raise SettingError(
                f"Expected no {argument('teacher_columns')} without {outputs}, received "
                f"{spec.teacher_columns!r}; name the file."
            )
        return
    if method.has_first_stage:
        raise SettingError(
            f"Expected no {outputs} with method {method.name!r}, received "
            f"{spec.teacher_outputs!r}; its first stage reads the layers of a trained teacher: "
            f"give that, {argument('teacher_init')}."
        )
    if are_the_teacher(method, spec.teacher_outputs):
        for name in method.objectives:
            card = OBJECTIVES[name]
            if card.kind != "outputs":
                raise SettingError(
                    f"Expected objectives on outputs alone with {outputs}, received {name!r}, "
                    f"which reads {card.reads} of the teacher; stored outputs hold none: give the "
                    f"teacher itself ({argument('teacher_init')}), or use '{name}+prokt', which "
                    "trains one on them."
                )
    for name, reason in (
        ("teacher_head_start", "that is on labels"),
        ("unlabelled", "its rows are not among those of the training data"),
    ):
        if getattr(spec, name) is not None:
            raise SettingError(
                f"Expected no {argument(name)} with {outputs}, received {getattr(spec, name)!r}; "
                f"{reason}."
            )
    for name in ("label_smoothing", "class_weight"):
        if getattr(spec, name) and not any(ends_of(spec.label_weight)):
            raise SettingError(
                f"Expected no {argument(name)} with {outputs}, method {method.name!r} and "
                f"{argument('label_weight')} 0, received {getattr(spec, name)!r}; nothing learns "
                "labels there."
            )
