"""In which encoding a text file is that is not in UTF-8, for messages; imports no NumPy."""

import re
import shlex
from pathlib import Path

_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""What stands in front of a file in one of these; the longer first, which begin like others."""

_BY_RUNS = (
    "SHIFT-JIS",
    "GB18030",
    "EUC-KR",
    "WINDOWS-1251",
)
"""Encodings in which words are runs of bytes that are not ASCII, the strictest first."""

_START = 4096
"""Bytes in which UTF-16 shows."""


def wide_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32, if a text is in one of them.

    Without a mark in front, UTF-16 shows in that every other byte of most texts is 0, which
    no text in UTF-8 has.

    Args:
        content: The whole file.

    Example:

    >>> from keras_prokt.data.formats.encodings import wide_encoding
    >>> wide_encoding("café".encode("utf-16-le")), wide_encoding("café".encode())
    ('UTF-16LE', None)
    """
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            return name
    start = content[:_START]
    for name, zeros in (("UTF-16LE", start[1::2]), ("UTF-16BE", start[::2])):
        if zeros and zeros.count(0) > len(zeros) / 3:
            return name
    return None


def likely_encodings(content: bytes) -> list[str]:
    """Encodings in which a text may be that is not in UTF-8, the likeliest first.

    Letters with accents stand alone among ASCII ones; words of another script are runs.

    Args:
        content: The whole file.

    Returns:
        Names as iconv has them; at least one.

    Example:

    >>> from keras_prokt.data.formats.encodings import likely_encodings
    >>> likely_encodings("très café".encode("latin-1"))
    ['WINDOWS-1252']
    """
    if (wide := wide_encoding(content)) is not None:
        return [wide]
    runs = re.findall(rb"[\x80-\xff]+", content[: 64 * _START])
    if runs and sum(map(len, runs)) / len(runs) < 1.5:
        return ["WINDOWS-1252"]
    return [name for name in _BY_RUNS if _can_be(content, name)] or ["WINDOWS-1252"]


def _can_be(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def how_to_convert(path: Path, encodings: list[str]) -> str:
    """What to do with a file in one of some encodings, as a shell takes it."""
    new = path.with_name(f"{path.stem}.utf-8{path.suffix}")
    command = shlex.join(["iconv", "-f", encodings[0], "-t", "UTF-8", str(path)])
    by_hand = "as CSV UTF-8" if path.suffix.lower() == ".csv" else "in UTF-8"
    return f"save it {by_hand}, or `{command} > {shlex.quote(str(new))}`"
