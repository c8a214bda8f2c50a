"""Training images changed at random, from random numbers that are drawn beforehand.

This module imports no Keras.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from keras_prokt.data.rand_augment import apply_operations, draw_operations
from keras_prokt.data.transform import LabelTransform
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument

AUGMENTATIONS = {
    "crop": "a crop after padding by an eighth of the size",
    "flip": "half of the images mirrored",
    "randaugment": "two operations an image out of 14 (Cubuk et al. 2020)",
    "mixup": "each image mixed with another of its batch (Zhang et al. 2018)",
    "cutmix": "a box of each image from another of its batch (Yun et al. 2019)",
}
"""What may happen to training images, by name."""

MIXING = ("mixup", "cutmix")

MIXUP_ALPHA = 0.2
"""Weights are of Beta(α, α), the paper's choice for ImageNet (section 3.1)."""

CUTMIX_ALPHA = 1.0
"""Areas are of Beta(α, α), uniform, as the paper's (section 3.1)."""


def parse_augmentation(text: str) -> tuple[str, ...]:
    """The names that a text joins by '+'; none of `none`.

    Raises:
        SettingError: If one is unknown, or stands twice.

    Example:

    >>> from keras_prokt.data.augmentation import parse_augmentation
    >>> parse_augmentation("crop+mixup"), parse_augmentation("none")
    (('crop', 'mixup'), ())
    """
    if text == "none":
        return ()
    names = tuple(text.split("+"))
    if "none" in names or "," in text:
        raise SettingError(
            f"Expected names joined by + for {argument('augmentation')}, or none alone, received "
            f"{text!r}; such as crop+flip."
        )
    for name in names:
        if name not in AUGMENTATIONS:
            known = {*AUGMENTATIONS, "none"}
            raise SettingError(unknown_name(f"{argument('augmentation')}", name, known))
    if len(set(names)) < len(names):
        raise SettingError(
            f"Expected each name once in {argument('augmentation')}, received {text!r}; such as "
            "crop+flip."
        )
    return names


def draw_crops(
    count: int, generator: np.random.Generator, padding: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `crop` wants to know of `count` images, each by itself: top, left and whether mirrored.

    Returns:
        `tops` and `lefts`, `(count,)`, int32, uniform in 0 to 2 × `padding`, and `flips`,
        `(count,)`, bool, half of them true.
    """
    tops, lefts = generator.integers(0, 2 * padding + 1, (2, count)).astype("int32")
    return tops, lefts, generator.random(count) < 0.5


def crop(images: Any, tops: Any, lefts: Any, flips: Any, padding: int, xp: Any = np) -> Any:
    """A crop of each image after padding by zeros, mirrored where `flips` says so.

    Args:
        images: Shape `(batch, height, width, channels)`; the same shape comes back.
        tops: First row of each crop in the padded image, `(batch,)`.
        lefts: First column, `(batch,)`.
        flips: Whether it is mirrored, `(batch,)`.
        padding: Black border around the image from which crops are taken.
        xp: `numpy`, or `jax.numpy` for arrays of JAX.
    """
    batch, height, width, channels = images.shape
    if xp is np:  # ten times as fast as by positions
        cropped = np.zeros_like(images)
        for image, top, left, flip, out in zip(images, tops, lefts, flips, cropped, strict=True):
            # What the border does not hide, and where it comes to lie.
            rows, target_rows = _overlap(height, top - padding)
            columns, target_columns = _overlap(width, left - padding)
            part = image[rows, columns]
            if not flip:
                out[target_rows, target_columns] = part
                continue
            for channel in range(channels):
                out[:, ::-1, channel][target_rows, target_columns] = part[..., channel]
        return cropped
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = xp.pad(images, border)
    rows = tops[:, None] + xp.arange(height)
    columns = lefts[:, None] + xp.arange(width)
    columns = xp.where(flips[:, None], columns[:, ::-1], columns)
    # Positions in the flat image.
    rows = xp.arange(batch)[:, None] * padded.shape[1] + rows
    positions = rows[:, :, None] * padded.shape[2] + columns[:, None, :]
    return xp.take(padded.reshape(-1, channels), positions, axis=0)


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Of a line and a window as long that begins at `shift`: the common part in each."""
    count = max(length - abs(shift), 0)
    start, target_start = max(shift, 0), max(-shift, 0)
    return slice(start, start + count), slice(target_start, target_start + count)


class CropAndFlip:
    """Crops, and mirrored images, as a `Transform` of batches, which normalises too.

    What is random is drawn by the host, and applied where the images are. The border is zero
    before normalising, so it is black and not grey.

    Args:
        front_end: How the images are normalised.
        padding: As in `crop`; 0 for none.
        flips: Whether half of the images are mirrored.
    """

    def __init__(self, front_end: ImageFrontEnd, *, padding: int, flips: bool = True):
        self.front_end, self.padding, self.flips = front_end, padding, flips

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """What is random about `count` images, each by itself."""
        if not (self.padding or self.flips):
            return ()
        tops, lefts, flips = draw_crops(count, generator, self.padding)
        return tops, lefts, flips & self.flips

    def apply(self, images: Any, drawn: tuple[Any, ...], xp: Any) -> Any:
        """The images cropped, if anything was drawn, and normalised."""
        cropped = crop(images, *drawn, self.padding, xp) if drawn else images
        return self.front_end.normalize(cropped, xp)


class ImageAugmentation(CropAndFlip):
    """What training does to images, by name, as a `Transform` of batches, which normalises too.

    All of it is drawn for each image by itself.

    Args:
        names: Of `AUGMENTATIONS`; the order does not matter. Those that mix images are left to
            `MixingAugmentation`.
        front_end: How the images are normalised.
    """

    def __init__(self, names: Collection[str], front_end: ImageFrontEnd):
        padding = max(1, max(front_end.size) // 8) if "crop" in names else 0
        super().__init__(front_end, padding=padding, flips="flip" in names)
        self.needs_host = "randaugment" in names
        """Whether Pillow does a part, so that batches cannot be made on a device."""

    def draw(self, count: int, generator: np.random.Generator) -> tuple[Any, ...]:
        crops = super().draw(count, generator)
        operations = draw_operations(count, generator) if self.needs_host else ()
        return (crops, operations) if crops or operations else ()

    def apply(self, images: Any, drawn: tuple[Any, ...], xp: Any) -> Any:
        crops, operations = drawn or ((), ())
        if crops:
            images = crop(images, *crops, self.padding, xp)
        if operations:
            images = apply_operations(images, *operations)
        return self.front_end.normalize(images, xp)


class MixingAugmentation(ImageAugmentation, LabelTransform):
    """`ImageAugmentation` with MixUp, CutMix or both, under which labels are distributions.

    With both of them each image has one of the two, drawn for it.

    Args:
        names: Of `AUGMENTATIONS`, "mixup" or "cutmix" among them.
        front_end: How the images are normalised.
        num_classes: Number of classes.
    """

    def __init__(self, names: Collection[str], front_end: ImageFrontEnd, num_classes: int):
        super().__init__(names, front_end)
        self.kinds = [kind for kind in MIXING if kind in names]
        self.num_classes = num_classes

    def draw(self, count: int, generator: np.random.Generator) -> tuple[Any, ...]:
        before = super().draw(count, generator)
        return before, draw_mixing(count, generator, self.kinds, self.front_end.size)

    def apply(self, images: Any, drawn: tuple[Any, ...], xp: Any) -> Any:
        if not drawn:
            return super().apply(images, (), xp)
        before, mixing = drawn
        return mix(super().apply(images, before, xp), mixing, xp)

    def mixed_labels(self, labels: np.ndarray, drawn: tuple[Any, ...]) -> np.ndarray:
        """Class numbers as distributions, or rows of labels as shares, mixed as the images are.

        Args:
            labels: Shape `(batch,)`, or `(batch, labels)`.
            drawn: What `draw` gave.

        Returns:
            Shape `(batch, classes)` or `(batch, labels)`, float32.
        """
        rows = labels.astype("float32")
        if labels.ndim == 1:
            rows = np.eye(self.num_classes, dtype="float32")[labels]
        partners, weights = drawn[1][:2]
        return rows + weights[:, None] * (rows[partners] - rows)


def image_augmentation(
    names: Collection[str], front_end: ImageFrontEnd, num_classes: int
) -> ImageAugmentation:
    """The augmentation of some names; arguments as of `MixingAugmentation`."""
    if set(MIXING) & set(names):
        return MixingAugmentation(names, front_end, num_classes)
    return ImageAugmentation(names, front_end)


def draw_mixing(
    count: int, generator: np.random.Generator, kinds: list[str], size: Any
) -> tuple[np.ndarray, ...]:
    """What `mix` wants to know of `count` images, each by itself.

    Args:
        count: Images of the batch.
        generator: Source of the random numbers.
        kinds: "mixup", "cutmix" or both.
        size: Height and width of the images.

    Returns:
        `partners`, `(count,)`, int32, the image that each is mixed with; `weights`, `(count,)`,
        float32, the share of the partner in it; `boxes`, `(count, 4)`, int32, top, bottom, left
        and right of what the partner gives; `are_cut`, `(count,)`, bool: whether an image has a
        box of its partner, and is not a weighted mean of both.
    """
    partners = generator.permutation(count).astype("int32")
    are_cut = (
        generator.random(count) < 0.5 if len(kinds) == 2 else np.full(count, "cutmix" in kinds)
    )
    weights = generator.beta(MIXUP_ALPHA, MIXUP_ALPHA, count)
    areas = generator.beta(CUTMIX_ALPHA, CUTMIX_ALPHA, count)
    centres = generator.random((count, 2))
    # A box of that share of the area around a centre anywhere, cut at the border (section 3.1).
    ends = []
    for axis, length in enumerate(size):
        half = np.sqrt(areas) * length / 2
        middle = centres[:, axis] * length
        ends += [np.clip(np.round(middle + step), 0, length) for step in (-half, half)]
    boxes = np.stack(ends, 1).astype("int32")
    heights, widths = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    weights = np.where(are_cut, heights * widths / (size[0] * size[1]), weights)
    return partners, weights.astype("float32"), boxes, are_cut


def mix(images: Any, mixing: tuple[Any, ...], xp: Any = np) -> Any:
    """Each image mixed with its partner.

    Args:
        images: Shape `(batch, height, width, channels)`, floats.
        mixing: What `draw_mixing` returned.
        xp: `numpy`, or `jax.numpy` for arrays of JAX.
    """
    partners, weights, boxes, are_cut = mixing
    rows, columns = xp.arange(images.shape[1]), xp.arange(images.shape[2])
    top, bottom, left, right = (boxes[:, end, None] for end in range(4))
    is_in_rows = (rows >= top) & (rows < bottom)
    is_in_columns = (columns >= left) & (columns < right)
    box = is_in_rows[:, :, None] & is_in_columns[:, None, :]
    share = xp.where(are_cut[:, None, None], box, weights[:, None, None])[..., None]
    others = images[partners]
    return images + share.astype(images.dtype) * (others - images)
