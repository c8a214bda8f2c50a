"""Which layer of a deep transformer a layer of a shallow one is compared with."""

from keras_prokt.losses.base import Shape


def evenly_matched(name: str, teacher_layers: int, student_layers: int) -> list[int]:
    """Numbers of the teacher's layers that an even map gives to the student's layers 1, 2, ....

    `g(m) = m · N / M` for layer `m` of `M` of the student and `N` layers of the teacher, so that
    the last matches the last.

    Args:
        name: Id of the objective, for the message.
        teacher_layers: `N`.
        student_layers: `M`.

    Returns:
        `g(1), ..., g(M)`, counted from 1.

    Raises:
        ValueError: If `N` is no multiple of `M`.

    Example:

    >>> from keras_prokt.losses.layer_map import evenly_matched
    >>> evenly_matched("tinybert", 12, 4)
    [3, 6, 9, 12]
    """
    if not student_layers or teacher_layers % student_layers:
        raise ValueError(
            f"Expected a multiple of the student's {student_layers} transformer layers in the "
            f"teacher for objective {name!r}, received {teacher_layers}; use a student with a "
            "divisor of the teacher's layers, or name which layers to match with "
            'teacher_taps={"hidden_states": [...], "attentions": [...]}.'
        )
    return [m * teacher_layers // student_layers for m in range(1, student_layers + 1)]


def check_hidden_states(name: str, role: str, shapes: list[Shape]) -> int:
    """The width of a network's hidden states.

    Args:
        name: Id of the objective, for the message.
        role: "teacher" or "student", for the message.
        shapes: Shapes of the outputs of the layers.

    Returns:
        The number of features.

    Raises:
        ValueError: If there is none, or they are not `(batch, length, features)` of one width.

    Example:

    >>> from keras_prokt.losses.layer_map import check_hidden_states
    >>> check_hidden_states("pkd", "student", [(None, None, 8), (None, None, 8)])
    8
    """
    widths = {shape[-1] for shape in shapes if len(shape) == 3}
    if len(widths) != 1 or None in widths or any(len(shape) != 3 for shape in shapes):
        raise ValueError(
            f"Expected hidden states of the {role} of shape (batch, length, features), all of one "
            f"width, for objective {name!r}, received {[tuple(shape) for shape in shapes]}; name "
            f'transformer layers with {role}_taps={{"hidden_states": [...]}}.'
        )
    return widths.pop()
