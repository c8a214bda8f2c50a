"""Code that runs name: functions that build networks, and files of apps. Imports no Keras.

A run folder is data and may come from anybody. What its files name is therefore imported only where
the user has named it too: as an argument (`RunSpec.resolve`), by `--import`, or in a run that this
user has begun on this machine with the same file.
"""

import importlib
import importlib.machinery
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from keras_prokt.app_file import SUFFIX, absolute_app, is_app_file, values_in_file
from keras_prokt.files import (
    cache_folder,
    digest_of_file,
    digest_of_json,
    read_record,
    write_record,
)

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_NOT_OURS = ("keras", "hub", "tfds")
"""What stands before the colon in names that are no modules."""

_KNOWN = "named_code"
_named: set[str] = set()
_read: set[str] = set()


class UnnamedCode(ValueError):
    """A run names code that the user has not named.

    Args:
        message: The message up to what to do.
        name: The function or the file.

    Attributes:
        problem: The message up to what to do.
        module: What to name: a module, or the path of a file.
    """

    def __init__(self, message: str, name: str):
        self.problem = message
        self.module = name if is_app_file(name) else name.partition(":")[0]
        super().__init__(f"{message} call keras_prokt.runs.import_code({self.module!r}) first.")


def import_code(module: str) -> None:
    """Imports a module, or an app's file, so that runs may name it and models have its layers.

    For runs that were begun elsewhere; those that this user began on this machine are known.

    Args:
        module: Its name, or the path of a file (`.py`).

    Raises:
        ValueError: If it cannot be imported.

    Example:

    >>> from keras_prokt.runs import import_code
    >>> import_code("json")
    """
    if not isinstance(module, str) or not module:
        received = " ".join(repr(module).split())
        raise ValueError(f"Expected a module to import, received {received:.80}; give its name.")
    if is_app_file(module):
        name_modules([module])
        values_in_file(module, object)
        return
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever the user's code raises
        raise ValueError(
            f"Expected a module that can be imported, received {module!r} and "
            f"{type(error).__name__}: {' '.join(str(error).split())}; check its name and "
            "PYTHONPATH."
        ) from error
    name_modules([module])


def is_function(name: str) -> bool:
    """Whether a name is one of a function of the user's own, `module:function`.

    Example:

    >>> from keras_prokt.named_code import is_function
    >>> is_function("my_package.networks:small"), is_function("keras:ResNet50")
    (True, False)
    """
    return _FUNCTION.fullmatch(name) is not None and name.partition(":")[0] not in _NOT_OURS


def name_code(values: Any) -> None:
    """Takes all code in some values, at any depth, as named by the user."""
    _named.update(_code_in(values))


def read_code(values: Any) -> None:
    """Takes all code in some values, at any depth, as named by a file."""
    _read.update(_code_in(values))


def name_modules(names: Iterable[str]) -> None:
    """Takes modules, and all that is in them, as named by the user."""
    _named.update(absolute_app(name) for name in names)


def names_of_code() -> list[str]:
    """What the user has named in this process, for another one."""
    return sorted(_named)


def check_named(name: str) -> None:
    """Refuses a function or an app's file that a file alone has named.

    Args:
        name: `module:function`, or the path of a file.

    Raises:
        UnnamedCode: If the user has not.
    """
    name = absolute_app(name)
    is_named = name in _named or name.partition(":")[0] in _named
    if name in _read and not is_named and not _is_known(name):
        raise UnnamedCode(
            f"Expected code that you name yourself, received a run that names {name!r}; it is not "
            "imported, since a run folder may come from anybody. Where you know that code,",
            name,
        )


def check_all_named(values: Any) -> None:
    """Refuses code in some values, at any depth, that a file alone has named.

    Raises:
        UnnamedCode: On the first.
    """
    for name in _code_in(values):
        check_named(name)


def know_code(values: Any) -> None:
    """Keeps all code in some values, which the user has begun a run with, for later processes."""
    for name in _code_in(values):
        path = _file_of(name)
        if path is None:
            continue
        with suppress(OSError):  # the cache cannot be written: then it is named again
            key = [name, digest_of_file(path)]
            write_record(_place_of(key), {"key": key})


def _is_known(name: str) -> bool:
    path = _file_of(name)
    if path is None:
        return False
    try:
        key = [name, digest_of_file(path)]
        place = _place_of(key)
        # Others may be able to write where a group shares its cache.
        is_own = not hasattr(os, "getuid") or place.stat().st_uid == os.getuid()
        return is_own and read_record(place)["key"] == key
    except (OSError, ValueError, KeyError):
        return False


def _place_of(key: Any) -> Path:
    return cache_folder() / _KNOWN / f"{digest_of_json(key)[:32]}.json"


def _code_in(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        if is_function(values):
            yield values
        elif values.endswith(SUFFIX):
            yield absolute_app(values)
    elif isinstance(values, dict):
        yield from _code_in([*values.values()])
    elif isinstance(values, Iterable):
        for one in values:
            yield from _code_in(one)


def _file_of(name: str) -> Path | None:
    """The file whose code a name stands for, found without running any."""
    if is_app_file(name):
        return Path(name)
    places = None
    parts = name.partition(":")[0].split(".")
    for number in range(len(parts)):
        with suppress(Exception):  # finders of others
            found = importlib.machinery.PathFinder.find_spec(".".join(parts[: number + 1]), places)
            if found is not None:
                if number + 1 == len(parts) and found.has_location and found.origin:
                    return Path(found.origin)
                places = found.submodule_search_locations
                continue
        return None
    return None
