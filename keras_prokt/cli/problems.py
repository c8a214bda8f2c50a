"""What goes wrong, in one line; imports no Keras."""

import contextlib
import errno
import io
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from keras_prokt.names import DataWarning, unknown_name
from keras_prokt.options import option_names
from keras_prokt.runs.folder import resume_hint
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped
from keras_prokt.settings import SettingError


class UsageProblem(click.ClickException):
    """Bad input: one line, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"keras-prokt: {self.format_message()}", err=True, file=file)


class SuggestingGroup(click.Group):
    """A group that suggests the nearest command, on any terminal."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # one of a test may be another
                # Not every encoding has a λ, and a run's results are not to be lost for it.
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **settings)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageProblem(unknown_name("a command", args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def problems_in_one_line() -> Iterator[None]:
    """Turns the library's `ValueError`s into one line each; a failed run exits with 1."""
    try:
        with _data_warnings_in_one_line():
            yield
    except ValueError as error:
        is_of_setting = isinstance(error, SettingError)
        message = error.shown_as(option_names()) if is_of_setting else str(error)
        notes = getattr(error, "__notes__", [])
        problem = UsageProblem(" ".join(" ".join([message, *notes]).split()))
        # A fault can only have come from a module that is loaded; loading it would load Keras.
        faults = sys.modules.get("keras_prokt.distillers.faults")
        if faults is not None and isinstance(error, faults.TrainingFault):
            problem.exit_code = 1
        raise problem from error
    except ConnectionError:
        raise  # of the network, or whoever read our output has gone, which click takes quietly
    except OSError as error:
        # Of the files that the user named: the cache, the run folder, a table.
        problem = UsageProblem(
            " ".join(
                [
                    "Expected files that can be read and written, received "
                    f"{type(error).__name__}: {error}; check the path, its permissions and the "
                    "disk (KERAS_PROKT_CACHE, --out).",
                    *getattr(error, "__notes__", []),
                ]
            )
        )
        if error.errno in (
            errno.ENOSPC,
            errno.EIO,
            errno.EDQUOT,
            errno.EROFS,
        ):  # no mistake of the user's
            problem.exit_code = 1
        raise problem from error


@contextlib.contextmanager
def _data_warnings_in_one_line() -> Iterator[None]:
    """Shows what the library warns of in the user's data without a place in its source."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any) -> None:
            if issubclass(category, DataWarning):
                click.echo(f"keras-prokt: warning: {message}", err=True)
            else:
                usual(message, category, *place)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def stopping(path: Path, stop: Stop, hint: str | None = None) -> Iterator[None]:
    """Takes signals; after one the command says how to go on, and ends as signals end one."""
    try:
        with stop.listening():
            yield
    except (Stopped, KeyboardInterrupt) as stopped:
        if path.exists():
            click.echo(f"\nstopped; go on with `{hint or resume_hint(path)}`", err=True)
        if isinstance(stopped, Stopped) and stopped.signal is None:
            sys.exit(0)  # the time that was given is over
        is_ours = isinstance(stopped, (Stopped, Interrupted))
        sys.exit(128 + (stopped.signal if is_ours else signal.SIGINT))
