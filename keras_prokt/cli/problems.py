"""What goes wrong, in one line; imports no Keras."""

import contextlib
import errno
import io
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from keras_prokt.named_code import UnnamedCode
from keras_prokt.names import showable, unknown_name, warnings_in_one_line
from keras_prokt.options import option_names
from keras_prokt.runs.folder import resume_hint
from keras_prokt.runs.stopping import Interrupted, Stop, Stopped
from keras_prokt.settings import SettingError

_TYPED = f"{__name__}.typed"


class UsageProblem(click.ClickException):
    """Bad input: one line, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        echo(f"keras-prokt: {self.format_message()}", err=True)


def _hold_closed_streams() -> None:
    """Opens standard streams that are closed: the next file would get their number.

    Native code would write its messages into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the same number, mostly
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115, for good


class LastingStream(io.TextIOWrapper):
    """Standard error that may break while a run goes on: a closed terminal, a full disk.

    What cannot be written is lost; the run is not.

    Args:
        stream: The stream whose place it takes.
    """

    def __init__(self, stream: io.TextIOWrapper):
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", line_buffering=True)
        self._stream = stream  # closes the buffer at its end

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            _lead_nowhere(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _lead_nowhere(self)


class SuggestingGroup(click.Group):
    """A group that suggests the nearest command, on any terminal."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        _hold_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # one of a test may be another
                # Not every encoding has a λ, and a run's results are not to be lost for it.
                stream.reconfigure(errors="backslashreplace")
        if type(sys.stderr) is io.TextIOWrapper:  # and no test's
            sys.stderr = LastingStream(sys.stderr)
        return super().main(*arguments, **settings)

    def make_context(self, info_name: Any, args: list[str], *more: Any, **extra: Any) -> Any:
        typed = [*args]  # click takes them out of the list
        context = super().make_context(info_name, args, *more, **extra)
        context.meta[_TYPED] = typed
        return context

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageProblem(unknown_name("a command", args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def echo(text: object, *, err: bool = False) -> None:
    """Prints what may come from files: control characters do nothing on a terminal."""
    try:
        click.echo(showable(str(text)), err=err)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever read has gone, which click takes quietly
        _lead_nowhere(sys.stdout)
        problem = UsageProblem(f"Expected output that can be written, received {error}.")
        problem.exit_code = 1
        raise problem from error


def _lead_nowhere(stream: Any) -> None:
    """Drops what a stream holds and will get, of native code too."""
    with contextlib.suppress(OSError):  # a test's stream has no number
        number, nowhere = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


@contextlib.contextmanager
def problems_in_one_line() -> Iterator[None]:
    """Turns the library's `ValueError`s into one line each; a failed run exits with 1."""
    try:
        with warnings_in_one_line(lambda line: echo(f"keras-prokt: {line}", err=True)):
            yield
    except ValueError as error:
        is_of_setting = isinstance(error, SettingError)
        message = error.shown_as(option_names()) if is_of_setting else str(error)
        if isinstance(error, UnnamedCode):
            message = f"{error.problem} say `{_again_with(error.module)}`."
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


def _again_with(module: str) -> str:
    """The command that was typed, with a module that it may import."""
    typed = click.get_current_context().meta.get(_TYPED, [])
    return shlex.join(["keras-prokt", *typed, "--import", module])


@contextlib.contextmanager
def stopping(path: Path, stop: Stop, hint: str | None = None) -> Iterator[None]:
    """Takes signals; after one the command says how to go on, and ends as signals end one."""
    try:
        with stop.listening():
            yield
    except (Stopped, KeyboardInterrupt) as stopped:
        if path.exists():
            echo(f"\nstopped; go on with `{hint or resume_hint(path)}`", err=True)
        if isinstance(stopped, Stopped) and stopped.signal is None:
            sys.exit(0)  # the time that was given is over
        is_ours = isinstance(stopped, (Stopped, Interrupted))
        sys.exit(128 + (stopped.signal if is_ours else signal.SIGINT))
