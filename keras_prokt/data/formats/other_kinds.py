"""What a file is whose name says that it is something else, for messages; imports no NumPy."""

_IN_SPREADSHEET = 'save it as "CSV UTF-8" in the spreadsheet'

_BY_START = (
    (b"\x1f\x8b", "data packed by gzip", "unpack it"),
    (b"PK\x03\x04", "a spreadsheet (.xlsx) or another zip file", _IN_SPREADSHEET),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet (.xls)", _IN_SPREADSHEET),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"ARROW1", "a file of Arrow", "write it as Parquet"),
    (b"%PDF", "a PDF", "write its table as CSV"),
    (b"SQLite format 3\0", "a database of SQLite", "export the table as CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file with `git lfs pull`"),
    (b"<!doctype html", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
    (b"BZh91AY&SY", "data packed by bzip2", "unpack it"),
    (b"\xfd7zXZ\0", "data packed by xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "data packed by zstd", "unpack it"),
)
"""How files of other kinds begin, in small letters, what they are, and what to do with them."""


def other_kind(content: bytes) -> tuple[str, str] | None:
    """What a file is that neither is a text nor a picture, and what to do with it.

    Args:
        content: The file, or its first bytes.

    Example:

    >>> from keras_prokt.data.formats.other_kinds import other_kind
    >>> other_kind(b"\\x1f\\x8b\\x08\\x00"), other_kind(b"body,stars")
    (('data packed by gzip', 'unpack it'), None)
    """
    start = content[:64]
    small = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for mark, kind, advice in _BY_START:
        if start.startswith(mark) or small.startswith(mark):
            return kind, advice
    return None
