"""An app out of a file of the user's own; imports no Keras itself."""

import functools
import hashlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

SUFFIX = ".py"


def is_app_file(name: Any) -> bool:
    """Whether the name of an app is that of a file."""
    return isinstance(name, str) and name.endswith(SUFFIX)


def app_title(name: str) -> str:
    """What an app is called for people and in names of folders: a file without place and ending.

    Args:
        name: Name of an app, or path of a file.

    Example:

    >>> from keras_prokt.app_file import app_title
    >>> app_title("/home/me/my_app.py"), app_title("digits")
    ('my_app', 'digits')
    """
    return Path(name).stem if is_app_file(name) else name


def absolute_app(name: str) -> str:
    """The same app from any folder."""
    return os.path.abspath(os.path.expanduser(name)) if is_app_file(name) else name


def values_in_file(path: str, kind: type) -> dict[str, Any]:
    """What of a kind a Python file defines, by name; the file is run once as long as it stays.

    Its folder is searched for what it imports, after all others.

    Args:
        path: The file.
        kind: Of the values.

    Raises:
        ValueError: If there is no such file, or it cannot be run; with the line.
    """
    file = Path(absolute_app(path))
    if not file.is_file():
        raise ValueError(
            f"Expected a file of an app, received {path!r} where there is none; check the path."
        )
    module = _module_of(file, file.stat().st_mtime_ns, file.stat().st_size)
    return {name: value for name, value in vars(module).items() if isinstance(value, kind)}


@functools.lru_cache(maxsize=8)
def _module_of(file: Path, changed: int, size: int) -> ModuleType:
    """The module of a file as it is now."""
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    name = f"app_file_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        specification.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        del sys.modules[name]
        message = " ".join(str(error).split())
        raise ValueError(
            f"Expected an app in {str(file)!r}, received {type(error).__name__} in line "
            f"{_line_of(error, file)}: {message}; correct the file."
        ) from error
    return module


def _line_of(error: Exception, file: Path) -> int:
    """The last line of a file that had to do with an error."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return next((line for line in reversed(lines) if line is not None), 1)
