"""Images: uint8 or encoded pictures to the normalised floats that a network reads.

This module imports no Keras.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_prokt.arguments import check_flag, checked_numbers
from keras_prokt.front_ends.base import FrontEnd, Signature
from keras_prokt.typing import Tensor

if TYPE_CHECKING:
    import keras


_ALIGNMENT = 64
"""Bytes; what begins at a multiple of them TensorFlow and JAX take over and need not copy."""


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """A new float32 array without values, which begins at a multiple of `_ALIGNMENT`."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view("float32").reshape(shape)


@dataclass(frozen=True)
class ImageFrontEnd(FrontEnd):
    """How pictures become the input of a network: (value / 255 - mean) / standard deviation.

    Training normalises its uint8 images by `normalize`, and so does the served graph. That also
    takes pictures of other sizes, which it resizes (bilinear, with antialiasing); one that has
    the size of the network stays as it is. Its signatures:

    - `serving_default`: `image`, uint8 `(batch, height, width, channels)`.
    - `serve_encoded`: `image_bytes`, strings `(batch,)`, each a JPEG or PNG of at most
      `MOST_PIXELS`, decoded as Pillow does; what is transparent is put on white.
    - `serve_normalized`: what the network reads, normalised already, by the name of its input.

    Args:
        size: Height and width of what the network reads.
        mean: Mean of each channel in [0, 1], one or three. Kept as a tuple, as the next.
        standard_deviation: Standard deviation of each channel, above 0.
        crop_to_aspect_ratio: Whether of pictures of another shape the middle is taken, as large
            as it can be; otherwise the whole picture is seen, distorted. As of
            `keras.layers.Resizing`.

    Raises:
        ValueError: If a number is out of its range, or channels differ.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.front_ends import ImageFrontEnd
    >>> grey = ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])
    >>> grey.normalize(np.full((1, 8, 8, 1), 255, "uint8"))[0, 0, 0].tolist()
    [2.0]
    """

    kind: ClassVar[str] = "images"
    model_signature: ClassVar[str] = "serve_normalized"

    size: Sequence[int]
    _: KW_ONLY
    mean: Sequence[float]
    standard_deviation: Sequence[float]
    crop_to_aspect_ratio: bool = False

    def __post_init__(self) -> None:
        check_flag("crop_to_aspect_ratio", self.crop_to_aspect_ratio)
        # The dataclass is frozen; these are its normal forms.
        for name in ("size", "mean", "standard_deviation"):
            object.__setattr__(self, name, checked_numbers(name, getattr(self, name)))
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(
                f"Expected size to be height and width, received {self.size}; such as (32, 32)."
            )
        if len(self.mean) not in (1, 3) or len(self.standard_deviation) != len(self.mean):
            raise ValueError(
                "Expected mean and standard_deviation of one or three channels, received "
                f"{len(self.mean)} and {len(self.standard_deviation)} numbers; give one a channel."
            )
        if not all(deviation > 0 for deviation in self.standard_deviation):
            raise ValueError(
                "Expected standard deviations above 0, received "
                f"{self.standard_deviation}; those of values in [0, 1] are about 0.25."
            )

    def normalize(self, images: Tensor, xp: Any = np) -> Tensor:
        """Values from 0 to 255 as float32 with mean 0 and standard deviation 1 by channel.

        Args:
            images: Shape `(..., channels)`, uint8, or floats of a resized picture.
            xp: Whose arrays these are: `numpy`, `jax.numpy` or `tf.experimental.numpy`.

        Returns:
            The same shape, float32.
        """
        deviation = np.asarray(self.standard_deviation, "float32")
        scale = np.float32(1.0) / (np.float32(255.0) * deviation)
        shift = np.asarray(self.mean, "float32") / deviation
        if xp is np and np.ndim(images) > 1:  # whole rows at once: nine times as fast
            rows = _aligned((*images.shape[:-2], images.shape[-2] * images.shape[-1]))
            rows[...] = np.reshape(images, rows.shape)
            rows *= np.tile(scale, images.shape[-2])
            rows -= np.tile(shift, images.shape[-2])
            return rows.reshape(images.shape)
        return xp.asarray(images, "float32") * scale - shift

    def check_inputs(self, inputs: "Mapping[str, keras.KerasTensor]") -> None:
        expected = (None, *self.size, len(self.mean))
        tensors = list(inputs.values())
        fits = len(tensors) == 1 and tensors[0].ndim == 4 and "float" in tensors[0].dtype
        if not fits or any(
            own not in (None, wanted)
            for own, wanted in zip(tensors[0].shape, expected, strict=True)
        ):
            received = ", ".join(f"{name!r} {t.dtype} {t.shape}" for name, t in inputs.items())
            raise ValueError(
                f"Expected a student that reads one image, floats of shape {expected}, received "
                f"{received}; give the front end its size, or leave it out."
            )

    def signatures(self, inputs: "Mapping[str, keras.KerasTensor]") -> dict[str, Signature]:
        import tensorflow as tf

        [(name, tensor)] = inputs.items()
        channels = len(self.mean)

        def normalized(images: Tensor) -> dict[str, Tensor]:
            return {name: tf.cast(self.normalize(images, tf.experimental.numpy), tensor.dtype)}

        # Else AutoGraph would rewrite it, in files that a killed process leaves.
        @tf.autograph.experimental.do_not_convert
        def decode(content: Tensor) -> Tensor:
            is_png = tf.equal(tf.strings.substr(content, 0, 4), b"\x89PNG")
            image = tf.cond(
                is_png, lambda: _on_white(content, channels), lambda: _opaque(content, channels)
            )
            return self._resized(image[tf.newaxis])[0]

        def from_images(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return normalized(self._resized(raw["image"]))

        def from_encoded(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
            decoded = tf.TensorSpec((*self.size, channels), tf.float32)
            return normalized(tf.map_fn(decode, raw["image_bytes"], fn_output_signature=decoded))

        images = tf.TensorSpec((None, None, None, channels), tf.uint8, "image")
        encoded = tf.TensorSpec((None,), tf.string, "image_bytes")
        examples = _gradients((*self.size, channels))
        files = tf.stack([tf.io.encode_png(picture) for picture in examples])
        return {
            "serving_default": Signature(
                {"image": images}, from_images, example={"image": examples}
            ),
            "serve_encoded": Signature(
                {"image_bytes": encoded}, from_encoded, example={"image_bytes": files}
            ),
        }

    def _resized(self, images: Tensor) -> Tensor:
        """Images of the network's size, float32, their values still 0 to 255."""
        import tensorflow as tf

        if self.crop_to_aspect_ratio:
            shape = tf.shape(images)
            height, width = shape[1], shape[2]
            rows = tf.clip_by_value(width * self.size[0] // self.size[1], 1, height)
            columns = tf.clip_by_value(height * self.size[1] // self.size[0], 1, width)
            top, left = (height - rows) // 2, (width - columns) // 2
            images = images[:, top : top + rows, left : left + columns]
        return tf.image.resize(images, self.size, antialias=True)


MOST_PIXELS = 1 << 26
"""Of an encoded picture: a few kilobytes may hold gigabytes, which would end a server."""


def _opaque(content: Tensor, channels: int) -> Tensor:
    """An encoded picture, uint8, its transparency left out."""
    import tensorflow as tf

    is_jpeg = tf.equal(tf.strings.substr(content, 0, 3), b"\xff\xd8\xff")
    sides = tf.cond(
        is_jpeg,
        lambda: tf.cast(tf.io.extract_jpeg_shape(content)[:2], tf.int64),
        lambda: _sides(content, 6, tf.uint16, little_endian=True),  # of a GIF
    )
    content = _if_not_too_large(content, sides)
    # The usual method is faster, and up to 12 of 255 away from what Pillow and others decode.
    return tf.io.decode_jpeg(content, channels, dct_method="INTEGER_ACCURATE")


def _on_white(content: Tensor, channels: int) -> Tensor:
    """A PNG as `_opaque` has pictures, what is transparent put on white, as viewers do."""
    import tensorflow as tf

    sides = _sides(content, 16, tf.int32, little_endian=False)
    image = tf.io.decode_png(_if_not_too_large(content, sides), 4)
    is_opaque = tf.reduce_all(tf.equal(image[..., 3], 255))
    colours = tf.cond(is_opaque, lambda: image[..., :3], lambda: _blended(image))
    if channels == 3:
        return colours
    weights = tf.constant([0.299, 0.587, 0.114])  # as Pillow makes them grey
    grey = tf.reduce_sum(tf.cast(colours, tf.float32) * weights, -1, keepdims=True)
    return tf.cast(tf.round(grey), tf.uint8)


def _blended(image: Tensor) -> Tensor:
    """Red, green and blue of a picture on white."""
    import tensorflow as tf

    image = tf.cast(image, tf.float32)
    share = image[..., 3:] / 255
    return tf.cast(tf.round(image[..., :3] * share + 255 * (1 - share)), tf.uint8)


def _sides(content: Tensor, start: int, dtype: Any, *, little_endian: bool) -> Tensor:
    """Width and height as a header states them, int64."""
    import tensorflow as tf

    # Of a shorter file its decoder says what is wrong; an error here would repeat its bytes.
    padded = tf.strings.join([tf.strings.substr(content, 0, 24), bytes(24)])
    header = tf.strings.substr(padded, start, 2 * dtype.size)
    return tf.cast(tf.io.decode_raw(header, dtype, little_endian), tf.int64)


def _if_not_too_large(content: Tensor, sides: Tensor) -> Tensor:
    """An encoded picture as it is, unless it has more than `MOST_PIXELS`."""
    import tensorflow as tf

    message = f"Expected a picture of at most {MOST_PIXELS} pixels, received a larger one"
    # What refuses a text that is no number has no state; for assertions, which have one, the
    # pictures of a batch would wait for one another.
    number = tf.where(tf.reduce_prod(sides) <= MOST_PIXELS, "0", message)
    start = tf.strings.to_number(number, tf.int32)
    return tf.strings.substr(content, start, tf.strings.length(content))


def _gradients(shape: tuple[int, ...]) -> np.ndarray:
    """A picture and its negative, uint8."""
    picture = np.linspace(0, 255, int(np.prod(shape))).reshape(shape)
    return np.stack([picture, 255 - picture]).astype("uint8")
