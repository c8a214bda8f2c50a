"""RandAugment (Cubuk et al. 2020): each image by operations of its own, by Pillow.

Keras's layer of that name draws the operations once for a batch; here, as in the paper, each
image has its own. This module imports no Keras.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

NUM_OPERATIONS = 2
"""Operations an image, one after the other (N of the paper, section 4)."""

MAGNITUDE = 9
"""How strong they are (M of the paper, section 4), of `LEVELS`."""

LEVELS = 30
"""The magnitude at which each operation is as strong as it can be, as in AutoAugment's code."""


def draw_operations(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What is random about `count` images, each by itself.

    Returns:
        Numbers of operations, `(count, NUM_OPERATIONS)`, int32, and whether each goes the other
        way (a rotation to the left, less contrast), the same shape, bool.
    """
    shape = (count, NUM_OPERATIONS)
    operations = generator.integers(0, len(OPERATIONS), shape).astype("int32")
    return operations, generator.random(shape) < 0.5


def apply_operations(
    images: np.ndarray, operations: np.ndarray, reversed: np.ndarray
) -> np.ndarray:
    """Images after their operations.

    Args:
        images: Shape `(batch, height, width, 3)`, uint8.
        operations: Numbers in `OPERATIONS`, of each image in their order.
        reversed: Whether each goes the other way.

    Returns:
        The same shape, uint8.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.data.rand_augment import OPERATIONS, apply_operations
    >>> inverted_above = list(OPERATIONS).index("solarize")
    >>> white = np.full((1, 2, 2, 3), 255, "uint8")
    >>> apply_operations(white, np.array([[inverted_above]]), np.array([[False]]))[0, 0, 0].tolist()
    [0, 0, 0]
    """
    from PIL import Image

    functions = list(OPERATIONS.values())
    changed = np.empty_like(images)
    for row, image in enumerate(images):
        picture = Image.fromarray(image)
        for operation, is_reversed in zip(operations[row], reversed[row], strict=True):
            picture = functions[operation](picture, bool(is_reversed))
        changed[row] = np.asarray(picture)
    return changed


_STRENGTH = MAGNITUDE / LEVELS


def _identity(picture: "Picture", _: bool) -> "Picture":
    return picture


def _auto_contrast(picture: "Picture", _: bool) -> "Picture":
    from PIL import ImageOps

    return ImageOps.autocontrast(picture)


def _equalize(picture: "Picture", _: bool) -> "Picture":
    from PIL import ImageOps

    return ImageOps.equalize(picture)


def _solarize(picture: "Picture", _: bool) -> "Picture":
    from PIL import ImageOps

    return ImageOps.solarize(picture, round(255 * (1 - _STRENGTH)))


def _posterize(picture: "Picture", _: bool) -> "Picture":
    from PIL import ImageOps

    return ImageOps.posterize(picture, 8 - round(4 * _STRENGTH))


def _enhanced(name: str) -> Callable[["Picture", bool], "Picture"]:
    """More of something, by up to 0.9 of it, or less."""

    def enhance(picture: "Picture", is_less: bool) -> "Picture":
        from PIL import ImageEnhance

        factor = 1 + (-0.9 if is_less else 0.9) * _STRENGTH
        return getattr(ImageEnhance, name)(picture).enhance(factor)

    return enhance


def _rotate(picture: "Picture", is_left: bool) -> "Picture":
    return picture.rotate((30 if is_left else -30) * _STRENGTH)


def _moved(
    coefficients: Callable[[float, "Picture"], tuple[float, ...]], most: float
) -> Callable[["Picture", bool], "Picture"]:
    """An affine transformation of up to so much, filled with black."""

    def move(picture: "Picture", is_reversed: bool) -> "Picture":
        from PIL import Image

        amount = (-most if is_reversed else most) * _STRENGTH
        matrix = coefficients(amount, picture)
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix)

    return move


OPERATIONS: dict[str, Callable[["Picture", bool], "Picture"]] = {
    "identity": _identity,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _enhanced("Color"),
    "posterize": _posterize,
    "contrast": _enhanced("Contrast"),
    "brightness": _enhanced("Brightness"),
    "sharpness": _enhanced("Sharpness"),
    "shear_x": _moved(lambda amount, _: (1, amount, 0, 0, 1, 0), 0.3),
    "shear_y": _moved(lambda amount, _: (1, 0, 0, amount, 1, 0), 0.3),
    "translate_x": _moved(lambda amount, p: (1, 0, amount * p.width, 0, 1, 0), 0.45),
    "translate_y": _moved(lambda amount, p: (1, 0, 0, 0, 1, amount * p.height), 0.45),
}
"""The 14 operations of the paper's list, by name."""
