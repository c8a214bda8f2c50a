"""Event files for TensorBoard, written without TensorFlow."""

import itertools
import os
import platform
import struct
import time
from pathlib import Path

_NUMBERS = itertools.count()

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    """Remainders of all bytes, for CRC-32C (Castagnoli), lowest bit first."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


class EventFile:
    """Scalars of one TensorBoard run.

    A file is a list of records as TensorFlow's `TFRecordWriter` writes them, each a serialized
    `tensorflow.Event`; a scalar is what `tf.summary.scalar` makes of it, a float32 tensor with the
    metadata of the plug-in "scalars".

    Args:
        directory: Folder of the run; made if need be. Each object adds a file of its own.

    Example:

    >>> import tempfile
    >>> from keras_prokt.callbacks.event_files import EventFile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     EventFile(folder).write({"loss": 0.5}, step=0)
    """

    def __init__(self, directory: str | Path):
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{platform.node()}"
        self._path = folder / f"{name}.{os.getpid()}.{next(_NUMBERS)}.v2"
        self._append(_bytes(3, b"brain.Event:2"))

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Adds scalars.

        Args:
            scalars: Values by tag.
            step: Their step, from 0.
        """
        values = b"".join(_bytes(1, _scalar(tag, value)) for tag, value in scalars.items())
        self._append(_number(2, step) + _bytes(5, values))

    def _append(self, event: bytes) -> None:
        data = _field(1, 1) + struct.pack("<d", time.time()) + event
        length = struct.pack("<Q", len(data))
        with self._path.open("ab") as file:
            file.write(length + _checksum(length) + data + _checksum(data))


def _scalar(tag: str, value: float) -> bytes:
    """A `tensorflow.Summary.Value`."""
    metadata = _bytes(1, _bytes(1, b"scalars")) + _number(4, 1)  # DATA_CLASS_SCALAR
    tensor = _number(1, 1) + _bytes(2, b"") + _bytes(5, _as_float32(value))  # DT_FLOAT, no shape
    return _bytes(1, tag.encode()) + _bytes(9, metadata) + _bytes(8, tensor)


def _as_float32(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


# Protocol buffers: https://protobuf.dev/programming-guides/encoding


def _field(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _field(number, 0) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _field(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of a record."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
