"""The backend that a command computes with; imports no Keras itself."""

import contextlib
import importlib
import importlib.util
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator

import click

from keras_prokt import backends
from keras_prokt.backends import BACKENDS
from keras_prokt.cli.problems import UsageProblem
from keras_prokt.files import cache_folder, has_home
from keras_prokt.named_code import import_code
from keras_prokt.names import unknown_name
from keras_prokt.runs.determinism import use_deterministic_operations
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.threads import use_threads

IMPORTS = f"{__name__}.imports"
"""Where a click context keeps the modules that the user has named to be imported."""


def installed_backend(name: str | None) -> str:
    """The backend that is meant, if it is installed."""
    name = backends.configured() if name is None else name
    if name not in BACKENDS:
        raise UsageProblem(unknown_name("a backend", name, BACKENDS))
    if importlib.util.find_spec(name) is None:
        raise UsageProblem(
            f"Expected an installed backend, received {name!r}; install it with "
            f"`pip install {shlex.quote(BACKENDS[name].package)}`."
        )
    return name


def choose_backend(name: str) -> None:
    """Says which backend Keras is to have when it is imported, as a user's app may do."""
    os.environ["KERAS_BACKEND"] = installed_backend(name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not has_home():  # Keras would make a folder named ~ for its settings
        os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))


def use_backend_of(spec: RunSpec, threads: int | None = None) -> None:
    """Imports Keras with the backend of a run, held to what the run says."""
    use_backend(spec.backend, threads, deterministic=spec.deterministic)


def use_backend(
    name: str | None, threads: int | None = None, *, deterministic: bool = False
) -> None:
    """Imports Keras with a backend; `None` for the one that is configured."""
    name = installed_backend(name)
    choose_backend(name)
    for variable, value in BACKENDS[name].environment.items():
        os.environ.setdefault(variable, value)
    use_threads(threads)
    # Its AutoGraph and retracing warnings are about code and shapes that no user can change.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _without_native_chatter():
        if deterministic:
            use_deterministic_operations(name)
        importlib.import_module("keras")
        backends.current().keep_compiled_programs(cache_folder() / "xla")
    context = click.get_current_context(silent=True)
    for module in context.meta.get(IMPORTS, ()) if context is not None else ():
        import_code(module)


@contextlib.contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Holds back what native code writes to standard error; shows it if the block fails.

    TensorFlow's libraries log a few lines about missing GPUs while they are loaded, before any
    setting can quieten them.
    """
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        standard_error = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(standard_error, held.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
