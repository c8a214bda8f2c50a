"""Images of many files as rows of one uint8 array: decoded once and kept, or when wanted.

This module imports no Keras.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import numpy as np

from keras_prokt.data.image_files import BrokenImage, decode_image
from keras_prokt.data.rows import Rows
from keras_prokt.files import cache_folder, check_is_file, is_kept, new_kept_folder
from keras_prokt.settings import SettingError, argument

FORMAT = 2
"""To be raised when `decode_image` gives other pixels."""

CHOICES = ("auto", "always", "never")

SHARE_OF_DISK = 0.5
"""Of the free disk, what decoded images may take with "auto"."""

_PIECE = 8
"""Images that a thread decodes before it looks for more."""


class Source(NamedTuple):
    """Where encoded images come from."""

    names: Sequence[str]
    """What messages call each of them."""
    read: Callable[[int], bytes]
    """The bytes of an image by its number; raises `OSError`."""


def files_in(base: Path, names: Sequence[str]) -> Source:
    """The source of files in a folder, by their paths in it."""

    def read(number: int) -> bytes:
        path = base / names[number]
        check_is_file(path)
        return path.read_bytes()

    return Source(names, read)


class ReadImages(NamedTuple):
    """All images of a source, those that could not be read left out."""

    rows: "ImageRows"
    """The readable ones, in their order."""
    positions: np.ndarray
    """Number of each of them in the source, from 0."""
    broken: Mapping[int, str]
    """Number of each other image -> why it could not be read."""


class ImageRows(Rows):
    """Images as `(n, height, width, 3)`, uint8; from `read_images`."""

    dtype = np.dtype("uint8")

    def __init__(
        self,
        source: Source,
        size: tuple[int, int],
        decode: Callable[[bytes], np.ndarray],
        digests: np.ndarray,
        kept: Any,
    ):
        self._source, self._size, self._decode = source, size, decode
        self._digests, self._kept = digests, kept
        self._numbers = np.arange(len(digests))
        self._find_shape()

    def _find_shape(self) -> None:
        self.shape = (len(self._numbers), *self._size, 3)
        self.reads_slowly = self._kept is None

    def taking(self, indices: np.ndarray) -> Self:
        rows = object.__new__(type(self))
        rows.__dict__.update(self.__dict__)
        rows._numbers = self._numbers[indices]
        rows._find_shape()
        return rows

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        numbers = self._numbers[indices]
        if self._kept is not None:
            return self._kept[numbers]
        images = np.empty((len(numbers), *self._size, 3), "uint8")

        def decode(piece: range) -> None:
            for row in piece:
                number = int(numbers[row])
                try:
                    images[row] = self._decode(self._source.read(number))
                except (OSError, BrokenImage) as error:
                    raise _changed(self._source.names[number], error) from error

        for _ in _pool().map(decode, _pieces(len(numbers), _PIECE)):
            pass
        return images

    def digest(self) -> bytes:
        """Of the files' bytes and the size, so that it is the same whether images are kept."""
        digest = hashlib.sha256(f"{self.dtype} {self.shape}".encode())
        digest.update(np.ascontiguousarray(self._digests[self._numbers]))
        return digest.digest()

    def name_of(self, row: int) -> str:
        """What messages call an image."""
        return self._source.names[self._numbers[row]]

    @property
    def digests(self) -> np.ndarray:
        """SHA-256 of each image's bytes, shape `(n, 32)`, uint8."""
        return self._digests[self._numbers]


def read_images(
    source: Source,
    size: tuple[int, int],
    *,
    crop_to_aspect_ratio: bool = False,
    cache_images: str = "auto",
    cache: str | Path | None = None,
) -> ReadImages:
    """Decodes all images once, which finds the broken ones, and keeps the pixels where they fit.

    What is kept is found again by the bytes of all files and the size, so that it is also that of
    the same images elsewhere.

    Args:
        source: Where they come from.
        size: Height and width to which they are brought.
        crop_to_aspect_ratio: As of `ImageFrontEnd`.
        cache_images: "always" keeps the pixels, "never" decodes each batch anew, in as many
            threads as there are cores; "auto" keeps them where they take at most half of the free
            disk.
        cache: Where they are kept; `None`: `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.

    Raises:
        ValueError: If they are to be kept and the disk has no room, or an image that could be read
            at first can no longer be.
    """
    decode = functools.partial(decode_image, size=size, crop_to_aspect_ratio=crop_to_aspect_ratio)
    digests = _digests(source)
    folder = cache_folder(cache) / "data"
    needed = len(source.names) * size[0] * size[1] * 3
    of_all = hashlib.sha256(np.ascontiguousarray(digests)).hexdigest()
    key = {"format": FORMAT, "size": list(size), "count": len(digests), "files": of_all}
    kept_in = folder / f"images-{of_all[:24]}-{size[0]}x{size[1]}"
    if crop_to_aspect_ratio:
        key, kept_in = {**key, "cropped": True}, kept_in.with_name(f"{kept_in.name}-cropped")
    keeps = cache_images != "never"
    is_there = keeps and is_kept(kept_in, {**key, "pixels": True})
    if keeps and not is_there:
        keeps = _has_room(folder, needed, is_asked=cache_images == "always")
    key["pixels"] = keeps
    if not keeps:  # what is kept is which of them are broken
        kept_in = kept_in.with_name(f"{kept_in.name}-checked")
        is_there = is_kept(kept_in, key)
    with contextlib.ExitStack() as scratch:
        if not is_there:
            try:
                with new_kept_folder(kept_in, key) as writing:
                    _decode_all(source, decode, digests, writing, size if keeps else None)
            except OSError:  # a full or read-only disk
                if cache_images == "always":
                    raise
                keeps, kept_in = False, Path(scratch.enter_context(TemporaryDirectory()))
                _decode_all(source, decode, digests, kept_in, None)
        broken = _read_broken(kept_in)
    # What is kept is known by the bytes alone: of no bytes another file may have another reason.
    for number in broken:
        if (digests[number] == _OF_NOTHING).all():
            broken[number] = _why_nothing(source, number)
    kept = np.load(kept_in / "images.npy", mmap_mode="r") if keeps else None
    rows = ImageRows(source, size, decode, digests, kept)
    positions = np.setdiff1d(np.arange(len(digests)), list(broken))
    return ReadImages(rows.taking(positions), positions, broken)


def _read_broken(folder: Path) -> dict[int, str]:
    broken = json.loads((folder / "broken.json").read_text(encoding="utf-8"))
    return {int(number): reason for number, reason in broken.items()}


def _has_room(folder: Path, needed: int, *, is_asked: bool) -> bool:
    is_there = folder
    while not is_there.exists():
        is_there = is_there.parent
    free = shutil.disk_usage(is_there).free
    if is_asked and needed > free:
        raise SettingError(
            f"Expected {needed / 1e9:.1f} GB of free disk for {argument('cache_images')} always, "
            f"received {free / 1e9:.1f} GB at {str(folder)!r}; use auto, or another cache "
            "(KERAS_PROKT_CACHE)."
        )
    return is_asked or needed <= SHARE_OF_DISK * free


def _digests(source: Source) -> np.ndarray:
    """SHA-256 of each image's bytes; of one that cannot be read that of nothing."""
    digests = np.zeros((len(source.names), 32), "uint8")

    def hash_one(number: int) -> None:
        try:
            content = source.read(number)
        except OSError:
            content = b""
        digests[number] = np.frombuffer(hashlib.sha256(content).digest(), "uint8")

    _for_each(len(digests), hash_one)
    return digests


_OF_NOTHING = np.frombuffer(hashlib.sha256().digest(), "uint8")


def _why_nothing(source: Source, number: int) -> str:
    try:
        source.read(number)
    except OSError as error:
        return _reason(error)
    return "empty"


def _changed(name: str, error: OSError | BrokenImage) -> ValueError:
    return ValueError(
        f"Expected the image {name!r} as it was when it was first read, received one that cannot "
        f"be read ({_reason(error)}); restore it, then resume or start again."
    )


def _reason(error: OSError | BrokenImage) -> str:
    if isinstance(error, OSError):
        return (error.strerror or "unreadable").lower()
    return str(error)


def _decode_all(
    source: Source,
    decode: Callable[[bytes], np.ndarray],
    digests: np.ndarray,
    writing: Path,
    size: tuple[int, int] | None,
) -> None:
    """Decodes all images and writes which of them are broken; with a size the pixels too."""
    broken: dict[int, str] = {}
    path = writing / "images.npy"
    file = None if size is None else _new_array(path, len(source.names), size)

    def decode_one(number: int) -> None:
        try:
            image = decode(source.read(number))
        except (OSError, BrokenImage) as error:
            if isinstance(error, OSError) and (digests[number] != _OF_NOTHING).any():
                raise _changed(source.names[number], error) from error  # it may pass: not kept
            broken[number] = _reason(error)
        else:
            if file is not None:
                os.pwrite(file.descriptor, image.tobytes(), file.start + number * image.nbytes)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # about what is decoded all the same
        try:
            _for_each(len(source.names), decode_one)
        finally:
            if file is not None:
                os.close(file.descriptor)
    text = json.dumps({str(number): broken[number] for number in sorted(broken)})
    (writing / "broken.json").write_text(text, encoding="utf-8")


class _Array(NamedTuple):
    """A `.npy` file that is being written; unlike a mapped one it takes no memory."""

    descriptor: int
    start: int


def _new_array(path: Path, count: int, size: tuple[int, int]) -> _Array:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *size, 3)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + count * size[0] * size[1] * 3)
    return _Array(os.open(path, os.O_WRONLY), start)


def _for_each(count: int, function: Callable[[int], None]) -> None:
    """Calls a function with all numbers below a count, in all threads."""

    def of_piece(piece: range) -> None:
        for number in piece:
            function(number)

    pieces = list(_pieces(count, _PIECE))
    # A few at a time: a future for each of a million images would fill the memory.
    for start in range(0, len(pieces), 1024):
        for _ in _pool().map(of_piece, pieces[start : start + 1024]):
            pass


def _pieces(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), "keras_prokt-images")
