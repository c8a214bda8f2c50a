"""Which part of a run's teacher trains; imports no Keras."""

import re
from typing import TYPE_CHECKING, Any

from keras_prokt.settings import SettingError, argument

if TYPE_CHECKING:
    import keras

_LAST = re.compile(r"last:(\d{1,9})")


def check_trained_part(spec: Any) -> None:
    """Refuses a part of the teacher that cannot be meant.

    Raises:
        SettingError: With what is expected.
    """
    if spec.teacher_trains is None:
        return
    if _LAST.fullmatch(spec.teacher_trains) is None:
        raise SettingError(
            f"Expected {argument('teacher_trains')} such as last:2, received "
            f"{spec.teacher_trains!r}; the number is how many of the last blocks train."
        )
    if spec.teacher_lora is not None:
        raise SettingError(
            f"Expected either {argument('teacher_trains')} or {argument('teacher_lora')}, received "
            f"{spec.teacher_trains!r} and {spec.teacher_lora}; adapters train in all blocks."
        )


def part_that_trains(spec: Any) -> dict[str, Any]:
    """The settings that say it, if it is not the whole teacher."""
    given = {name: getattr(spec, name) for name in ("teacher_trains", "teacher_lora")}
    return {name: value for name, value in given.items() if value is not None}


def trained_in_part(teacher: "keras.Model", spec: Any) -> "keras.Model":
    """A teacher of which the part trains that a run asks for.

    Args:
        teacher: A built model.
        spec: The run.

    Raises:
        SettingError: If it has no such part.
    """
    if not part_that_trains(spec):
        return teacher
    from keras_prokt.models.trained_part import train_last_blocks, train_lora

    try:
        if spec.teacher_lora is not None:
            return train_lora(teacher, spec.teacher_lora)
        return train_last_blocks(teacher, int(spec.teacher_trains.removeprefix("last:")))
    except ValueError as error:
        [name] = part_that_trains(spec)
        raise SettingError(f"{argument(name)}: {error}") from error
