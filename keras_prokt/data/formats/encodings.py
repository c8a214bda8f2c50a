"""In which encoding a text file is that is not in UTF-8, for messages; imports no NumPy."""

import re
import shlex
import unicodedata
from pathlib import Path

_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""What stands in front of a file in one of these; the longer first, which begin like others."""

_LATIN = ["WINDOWS-1252", "WINDOWS-1250"]
"""Encodings of Latin letters with accents, of the west and of the middle of Europe."""

_OF_SYLLABLES = ("SHIFT-JIS", "GB18030", "EUC-KR", "BIG5")
"""Encodings of two bytes a sign, the strictest first."""

_OF_LETTERS = {
    "WINDOWS-1251": "CYRILLIC",
    "KOI8-R": "CYRILLIC",
    "WINDOWS-1253": "GREEK",
    "WINDOWS-1255": "HEBREW",
    "WINDOWS-1256": "ARABIC",
}
"""Encodings of one byte a letter, and the script in which words are no Latin ones."""

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
    ['WINDOWS-1252', 'WINDOWS-1250']
    """
    if (wide := wide_encoding(content)) is not None:
        return [wide]
    runs = re.findall(rb"[\x80-\xff]+", content[: 64 * _START])
    if runs and sum(map(len, runs)) / len(runs) < 1.5:
        return _LATIN
    share = {name: _share_of_script(runs, name, script) for name, script in _OF_LETTERS.items()}
    letters = sorted((n for n in share if share[n] > 0.9), key=lambda name: -share[name])
    return [*letters[:2], *(n for n in _OF_SYLLABLES if _can_be(content, n))] or _LATIN


def _share_of_script(runs: list[bytes], encoding: str, script: str) -> float:
    """Of the letters of words, how many are small ones, or without case, of a script."""
    text = b"".join(runs).decode(encoding, errors="replace")
    good = sum(unicodedata.name(c, "").startswith(script) and not c.isupper() for c in text)
    return good / max(1, len(text))


def _can_be(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def read_as(content: bytes, position: int, encoding: str) -> str:
    """The word around a byte, as it reads in an encoding.

    Args:
        content: The whole file.
        position: Of the byte.
        encoding: One of `likely_encodings`.

    Example:

    >>> from keras_prokt.data.formats.encodings import read_as
    >>> read_as("un café,1".encode("latin-1"), 6, "WINDOWS-1252")
    'café'
    """
    before = re.split(rb"[\x00-\x2c\x3a-\x40]", content[max(0, position - 20) : position])[-1]
    after = re.split(rb"[\x00-\x2c\x3a-\x3f]", content[position : position + 20])[0]
    return (before + after).decode(encoding, errors="ignore")


def how_to_convert(path: Path, encodings: list[str]) -> str:
    """What to do with a file in one of some encodings, as a shell takes it."""
    new = path.with_name(f"{path.stem}.utf-8{path.suffix}")
    command = shlex.join(["iconv", "-f", encodings[0], "-t", "UTF-8", str(path)])
    by_hand = "as CSV UTF-8" if path.suffix.lower() == ".csv" else "in UTF-8"
    return f"save it {by_hand}, or `{command} > {shlex.quote(str(new))}`"
