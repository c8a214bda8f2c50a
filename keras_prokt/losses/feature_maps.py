"""What the objectives on feature maps share: maps of different sizes, checks of shapes."""

from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_prokt.typing import Tensor

Shape = tuple[int | None, ...]


def to_same_size(teacher_map: Tensor, student_map: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pools the larger of two feature maps to the size of the smaller.

    Height and width are taken each by itself.

    Args:
        teacher_map: Shape `(batch, height, width, channels)`, any numbers.
        student_map: The same, of any other size.

    Returns:
        Both in float32 and of the same height and width.

    Raises:
        ValueError: If a height or width is not known.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.feature_maps import to_same_size
    >>> teacher, student = to_same_size(np.ones((1, 8, 8, 3)), np.ones((1, 4, 4, 2)))
    >>> tuple(teacher.shape), tuple(student.shape)
    ((1, 4, 4, 3), (1, 4, 4, 2))
    """
    sizes = [_known_size(feature_map.shape) for feature_map in (teacher_map, student_map)]
    height, width = (min(pair) for pair in zip(*sizes, strict=True))
    return (
        average_pool(teacher_map, height, width),
        average_pool(student_map, height, width),
    )


def average_pool(feature_map: Tensor, height: int, width: int) -> Tensor:
    """Means over a grid of rectangles which cover a feature map.

    The rectangles in row `i` reach from `⌊i H / height⌋` to `⌈(i + 1) H / height⌉`, columns alike:
    equal and apart if the sizes divide, else overlapping ("adaptive" pooling).

    Args:
        feature_map: Shape `(batch, H, W, channels)`, any numbers; `H >= height`, `W >= width`.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        Shape `(batch, height, width, channels)`, float32.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.feature_maps import average_pool
    >>> float(average_pool(np.arange(4.0).reshape(1, 2, 2, 1), 1, 1)[0, 0, 0, 0])
    1.5
    """
    feature_map = ops.cast(feature_map, "float32")
    rows, columns = feature_map.shape[1:3]
    if (rows, columns) == (height, width):
        return feature_map
    if rows % height == 0 and columns % width == 0:
        blocks = (rows // height, columns // width)
        return ops.average_pool(feature_map, blocks, blocks, data_format="channels_last")
    feature_map = ops.einsum("bhwc,ih->biwc", feature_map, _shares(rows, height))
    return ops.einsum("biwc,jw->bijc", feature_map, _shares(columns, width))


def _shares(size: int, smaller: int) -> Tensor:
    """Weights of `size` positions in each of `smaller` means."""
    shares = np.zeros((smaller, size), "float32")
    for i in range(smaller):
        first, end = i * size // smaller, -(-(i + 1) * size // smaller)
        shares[i, first:end] = 1 / (end - first)
    return ops.convert_to_tensor(shares)


def check_feature_maps(
    name: str, teacher: Sequence[Shape], student: Sequence[Shape], part: str = "stages"
) -> None:
    """Checks the stages of two networks, which are matched from the first on.

    Of networks with different numbers of stages the first ones are matched, as many as both have:
    what the CRD codebase does. Naming stages (`teacher_taps`, `student_taps`) pairs others.

    Args:
        name: Id of the objective, for the messages.
        teacher: Shapes of the teacher's feature maps.
        student: Shapes of the student's.
        part: What they are of, among `PARTS`.

    Raises:
        ValueError: If there are none, or they are not feature maps.
    """
    if not teacher or not student:
        raise ValueError(
            f"Expected {part} of both networks for objective {name!r}, received {len(teacher)} of "
            f"the teacher and {len(student)} of the student; name layers "
            f'with teacher_taps={{"{part}": [...]}} and student_taps={{"{part}": [...]}}.'
        )
    for role, shapes in (("teacher", teacher), ("student", student)):
        for shape in shapes:
            check_feature_map(name, role, shape, part)


def check_feature_map(name: str, role: str, shape: Shape, part: str = "stages") -> None:
    """Checks that a shape is one of a feature map of known size.

    Args:
        name: Id of the objective, for the message.
        role: "teacher" or "student", for the message.
        shape: The shape.
        part: What it is of, among `PARTS`.

    Raises:
        ValueError: If it is not `(batch, height, width, channels)`, all but the first known.
    """
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"Expected {part} of the {role} of shape (batch, height, width, channels) for "
            f"objective {name!r}, received {tuple(shape)}; name convolutional layers with "
            f'{role}_taps={{"{part}": [...]}}.'
        )


def _known_size(shape: Shape) -> tuple[int, int]:
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            "Expected feature maps of shape (batch, height, width, channels) and of known size, "
            f"received {tuple(shape)}; give the model an input of fixed size."
        )
    return shape[1], shape[2]
