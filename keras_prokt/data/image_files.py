"""An encoded image as the uint8 array that a network is trained on; Pillow decodes.

This module imports no Keras.
"""

import io

import numpy as np

from keras_prokt.data.formats.other_kinds import other_kind

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for, by its first bytes: pixels alone, nothing that runs programs."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class BrokenImage(ValueError):
    """No image can be read; the message is the reason in a few words."""


def decode_image(
    content: bytes, size: tuple[int, int] | None = None, *, crop_to_aspect_ratio: bool = False
) -> np.ndarray:
    """An encoded image as red, green and blue.

    A photo is turned as its EXIF says, of an animation the first frame is taken, 16 bits become
    the upper 8, and what is transparent is put on white, as in the served graph. An image of
    another size is resized as a whole (bilinear, with antialiasing), as `ImageFrontEnd` does.

    Args:
        content: The bytes of a file of one of `FORMATS`.
        size: Height and width; `None` for its own.
        crop_to_aspect_ratio: As of `ImageFrontEnd`.

    Returns:
        Shape `(height, width, 3)`, uint8.

    Raises:
        BrokenImage: If it cannot be read.

    Example:

    >>> import io
    >>> from PIL import Image
    >>> from keras_prokt.data.image_files import decode_image
    >>> file = io.BytesIO()
    >>> Image.new("L", (40, 20), 7).save(file, "PNG")
    >>> decode_image(file.getvalue(), (8, 8))[0, 0].tolist()
    [7, 7, 7]
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise BrokenImage("empty")
    Image.init()  # knows more than the usual formats from then on
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            picture = _eight_bits(image)
            if size is not None and picture.size != size[::-1]:
                if crop_to_aspect_ratio:
                    picture = picture.crop(_middle(picture.size[::-1], size))
                picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(picture)
    except UnidentifiedImageError:
        raise BrokenImage(_other_kind(content)) from None
    except BrokenImage:
        raise
    except Exception as error:  # each decoder of Pillow raises what it likes
        line = (str(error).splitlines() or [type(error).__name__])[0]
        reason = "truncated" if "truncated" in line.lower() else f"damaged: {line[:60]}"
        raise BrokenImage(reason) from error


_NOT_READ = {"heic": "HEIC", "heix": "HEIC", "mif1": "HEIC", "avif": "AVIF", "avis": "AVIF"}
"""Kinds of pictures that are not read, by their brand."""


def _other_kind(content: bytes) -> str:
    """What a file is that is no picture which can be read."""
    brand = content[8:12].decode("latin-1")
    if content[4:8] == b"ftyp" and brand in _NOT_READ:
        return f"{_NOT_READ[brand]}, which is not read: convert it to JPEG or PNG"
    if b"<svg" in content[:1024]:
        return "SVG, which is not read: convert it to PNG"
    found = other_kind(content)
    return "no image" if found is None else f"no image but {found[0]}"


def _middle(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The left, upper, right and lower bound of what is cut out, as the served graph does it."""
    height, width = image_size
    rows = min(max(width * size[0] // size[1], 1), height)
    columns = min(max(height * size[1] // size[0], 1), width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return left, top, left + columns, top + rows


def _eight_bits(image):
    """The same picture in Pillow's mode RGB."""
    from PIL import Image

    if image.mode == "F":
        raise BrokenImage("floating-point pixels")
    if image.mode == "I" and image.format == "TIFF":
        raise BrokenImage("signed or 32-bit pixels")  # of unsigned 16 bits the mode is another
    if image.mode.startswith("I"):
        # Pillow itself would cut values at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    if image.has_transparency_data:
        # As it looks in a viewer; the colours under what is transparent may be any.
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def size_of_image(content: bytes) -> tuple[int, int] | None:
    """Height and width that the header of an encoded image states, turned as its EXIF says.

    `None` where it states none.
    """
    from PIL import ExifTags, Image

    Image.init()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            is_turned = orientation in (5, 6, 7, 8)
            return image.size if is_turned else (image.height, image.width)
    except Exception:  # as above; whatever is wrong with it is told when it is decoded
        return None
