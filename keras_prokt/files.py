"""Files and folders that are there whole or not at all, and that are known when they are read.

Everything that this package writes goes through here. It imports no Keras.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes are not found there
    fcntl = None  # type: ignore[assignment]

_WRITING = ".writing-"
_UNFINISHED = ".unfinished-"
_CONTENTS = "contents.json"
CHECKSUM = "sha256"
"""Key of the checksum in a record."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; at the end of the block it is flushed and renamed.

    If the block fails the temporary file is deleted and `path` stays as it was.

    Args:
        path: The file to write. Its folder is made.

    Raises:
        OSError: If something stands there that is no file, as `/dev/null`, or it cannot be written.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from keras_prokt.files import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    check_is_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_is_file(path: Path) -> None:
    """Refuses what stands in the place of a file: a device or a pipe may have no end.

    Args:
        path: Where a file is, or nothing.

    Raises:
        OSError: If something else is there.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no file, but a folder, a device or a pipe", str(path))


def temporary_of(path: Path) -> Path:
    """Where `replacing` writes a file; a killed process leaves it there."""
    # The suffix is kept: Keras chooses the format by it.
    return path.with_name(f"{_WRITING}{path.name}")


def write_text(path: Path, text: str) -> None:
    """Writes a file as a whole, in UTF-8 and with the newlines of the text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


@contextlib.contextmanager
def new_folder(folder: Path, *, may_exist: bool = True) -> Iterator[Path]:
    """A folder to write into, renamed to `folder` when the block has ended without an error.

    What processes that were killed here have left of the same folder is removed.

    Args:
        folder: The folder to make.
        may_exist: Whether one that another process has made meanwhile will do.

    Raises:
        OSError: If it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(folder.parent, folder.name) as writing:
        yield writing
        os.chmod(writing, 0o777 & ~_umask())  # mkdtemp's are private
        _flush_tree(writing)
        try:
            os.rename(writing, folder)
        except OSError:
            # Another process may have been quicker.
            if not (may_exist and folder.is_dir()):
                raise
    flush(folder.parent)


@contextlib.contextmanager
def unfinished_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder to write into what is then moved elsewhere; at the end of the block it is removed.

    What processes that were killed here have left of the same name is removed.

    Args:
        parent: The folder to make it in.
        name: What is written, for its name.

    Raises:
        OSError: If it cannot be made.
    """
    prefix = f"{_UNFINISHED}{name}-"
    _remove_abandoned(parent, prefix)
    writing = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))
    with _held(writing):
        try:
            yield writing
        finally:
            shutil.rmtree(writing, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds a lock on a folder, which ends with the process."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # no locks on this file system
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Removes folders of a prefix that no living process holds."""
    if fcntl is None:
        return
    for path in parent.glob(f"{_escaped(prefix)}*"):
        if _is_alive(path.name.removeprefix(prefix).partition("-")[0]):
            continue  # it may not have its lock yet
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _is_alive(pid: str) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process has left in a folder, at any depth.

    Only for a folder on which no other process works.
    """
    for path in sorted(folder.rglob(".*"), reverse=True):
        if path.name.startswith(_WRITING):
            path.unlink(missing_ok=True)
        elif path.name.startswith(_UNFINISHED):
            shutil.rmtree(path, ignore_errors=True)


def flush(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            flush(path)


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def digest_of_file(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_json(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# Records: JSON objects that say whether they were changed.


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: If the file cannot be read or is no JSON object.
    """
    try:
        check_is_file(path)
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"Expected a JSON file at {str(path)!r}, received {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(
            f"Expected a JSON object at {str(path)!r}, received a {type(value).__name__}."
        )
    return value


_NUMBERS = re.compile(r"(?<=\[)\n\s+[-+.\deE]+(?:,\n\s+[-+.\deE]+)*\n\s+(?=\])")
"""What stands between the brackets of a list of numbers, a line each."""


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a JSON object with the checksum of what is in it."""
    sealed = {**record, CHECKSUM: digest_of_json(record)}
    # No string of JSON holds a line break: what matches is a list of numbers.
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), json.dumps(sealed, indent=2))
    write_text(path, text + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Reads what `write_record` wrote.

    Raises:
        ValueError: If the file cannot be read, or was changed since.
    """
    return without_checksum(path, read_json(path))


def without_checksum(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The contents of a record, if they are those of its checksum.

    Raises:
        ValueError: If they are not.
    """
    contents = {key: value for key, value in record.items() if key != CHECKSUM}
    if record.get(CHECKSUM) != digest_of_json(contents):
        raise ValueError(
            f"Expected {str(path)!r} as it was written, received one that was changed since; "
            "restore it from a copy, or start anew."
        )
    return contents


# The cache: folders that are found by what they follow from.


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder of everything kept: as given, `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.

    A user without a home, as in some containers, has one of its own for temporary files.

    Raises:
        ValueError: If that is another user's.
    """
    if cache is None:
        cache = os.environ.get("KERAS_PROKT_CACHE") or "~/.cache/keras_prokt"
    try:
        return Path(cache).expanduser()
    except RuntimeError:
        return _temporary_cache()


def has_home() -> bool:
    """Whether the user has a home: `HOME` is set, or the system knows the user's number."""
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def _temporary_cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"keras_prokt-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise ValueError(
            f"Expected a folder of this user at {str(folder)!r}, received another's; set "
            "KERAS_PROKT_CACHE to a folder of yours."
        )
    return folder


@contextlib.contextmanager
def new_kept_folder(folder: Path, key: Any) -> Iterator[Path]:
    """A new folder of the cache, which says what it follows from and what is in it.

    Args:
        folder: The folder to make.
        key: What its files follow from, a JSON value.
    """
    with new_folder(folder) as writing:
        yield writing
        files = {path.name: digest_of_file(path) for path in sorted(writing.iterdir())}
        write_record(writing / _CONTENTS, {"key": key, "files": files})


def is_kept(folder: Path, key: Any) -> bool:
    """Whether a folder of the cache is there and whole; a damaged one is removed.

    Args:
        folder: The folder.
        key: What its files follow from, as in `new_kept_folder`.
    """
    if not folder.is_dir():
        return False
    try:
        contents = read_record(folder / _CONTENTS)
        is_whole = contents["key"] == json.loads(json.dumps(key)) and all(
            digest_of_file(folder / name) == digest for name, digest in contents["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        shutil.rmtree(folder, ignore_errors=True)
    return is_whole


@contextlib.contextmanager
def file_errors_as_python_has_them() -> Iterator[None]:
    """Turns what TensorFlow says of a full disk into an `OSError`."""
    try:
        yield
    except Exception as error:
        for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
            is_of_tensorflow = type(error).__module__.startswith("tensorflow.")
            if is_of_tensorflow and os.strerror(code) in str(error):
                raise OSError(code, f"{os.strerror(code)}, while TensorFlow wrote") from error
        raise
