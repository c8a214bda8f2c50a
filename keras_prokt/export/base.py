"""What a form of export is: how a student leaves.

This module imports no Keras.
"""

import abc
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_prokt.front_ends import FrontEnd

if TYPE_CHECKING:
    import keras

    from keras_prokt.outputs import Output

QUANTIZATIONS = ("float16", "int8")
"""In what a student may leave in place of float32."""

Answer = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""What an exported student makes of a batch of inputs by their names: the means of its outputs
(`Output.means`), of classes their probabilities."""


@dataclass(frozen=True)
class Description:
    """What is known of a student beside its layers and weights, and how it is to leave.

    Attributes:
        front_end: How raw input becomes what it reads.
        class_names: Names of its classes or labels, in the order of the logits.
        output: What its logits mean; `None` if their width is to tell.
        quantize: One of `QUANTIZATIONS`; `None` for float32.
        calibration: Batches of training examples, as the student is called; for int8.
        length: The one length of texts that a form without open lengths holds.
    """

    front_end: FrontEnd | None = None
    class_names: Sequence[str] | None = None
    output: "Output | None" = None
    quantize: str | None = None
    calibration: Sequence[Any] = ()
    length: int | None = None


class Format(abc.ABC):
    """A form in which students leave. A subclass has no state.

    Attributes:
        tolerance: How far float32 outputs may be from the student's.
        reads_pictures: Whether, with an `ImageFrontEnd`, what it holds reads uint8 pictures of the
            student's size, `image`, and not what is normalised already.
        keeps_half: Whether a student in half precision leaves as it is, and not as its float32
            copy, which it is compared with.
    """

    tolerance: float = 1e-5
    reads_pictures: bool = False
    keeps_half: bool = False

    @abc.abstractmethod
    def check(self, student: "keras.Model", path: Path, description: Description) -> None:
        """Refuses what cannot be written, before anything is.

        It is called on every backend. The student outputs logits: what ended in
        probabilities comes without its last activation (`keras_prokt.as_logits`).

        Args:
            student: What is to be exported.
            path: Where to.
            description: What else is known of it.

        Raises:
            ValueError: If it cannot be written there.
        """

    @abc.abstractmethod
    def write(self, student: "keras.Model", path: Path, description: Description) -> Path:
        """Writes a student that `check` has let pass, whole or not at all.

        It is called on the backend of the row in `FORMATS`, if that names one, and with a path
        in a folder of its own: what was written is moved from there when it has been compared.

        Args:
            student: What is to be exported.
            path: Where to.
            description: What else is known of it.

        Returns:
            What was written: `path` itself, or what is new below it.

        Raises:
            ValueError: If only writing shows that it cannot be written.
        """

    def largest_difference(
        self, written: Path, student: "keras.Model", inputs: Any, description: Description
    ) -> float:
        """How far what was written is from the student, whichever numbers it holds.

        Reads it as its users do, on the backend that wrote it; the contract tests of
        `tests/export/` compare every form. By default what `open` answers is compared.

        Args:
            written: What `write` returned.
            student: The student that was written.
            inputs: A batch of arrays, as the student is called with it.
            description: What `write` received.

        Returns:
            The largest absolute difference of two numbers.
        """
        from keras_prokt.export.comparison import Examples, compare

        found = compare(self, written, student, description, Examples([inputs], "inputs"))
        if found is None:
            raise NotImplementedError(f"{type(self).__name__}.open or .largest_difference")
        return found.difference

    def open(self, written: Path, description: Description) -> Answer | None:
        """Opens what was written in its own runtime.

        Args:
            written: What `write` returned.
            description: What `write` received, with the kind of output.

        Returns:
            What it answers; `None` where nothing runs this form, as by default.
        """
        return None

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        """Python that calls what was written, for people; by default none.

        Args:
            name: The file, or the folder, where the snippet runs.
            inputs: Python for a dict of arrays, what it is called with by name.
            description: What `write` received.
        """
        return ""


@dataclass(frozen=True)
class FormatCard:
    """One row of `FORMATS`: what has to be known of a form before Keras is imported.

    Attributes:
        home: `module:class` below `keras_prokt.export`; the class is a `Format`.
        title: What it writes, in the messages of a run.
        place: Its name in the folder of a run; a teacher's has "teacher_" before it.
        aliases: Other names for it, such as Keras's own.
        holds: Those of "front_end" and "class_names" that go into it; others are refused.
        packages: Modules that must be importable to write and to open it.
        extra: The extra of this package that installs them.
        backend: The backend that writes it; on another one, a process of its own does. `None` if
            all can.
        file: What it is called in its place, if it is a file; `None` if it is a folder.
        has_versions: Whether each one is a new folder, named by a number.
        quantizes: Those of `QUANTIZATIONS` that it can hold.
        is_compared: Whether it is opened and compared wherever it is written, and not only where
            somebody asks for it: what is converted by others.
    """

    home: str
    title: str
    place: str
    aliases: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str | None = None
    backend: str | None = None
    file: str | None = None
    has_versions: bool = False
    quantizes: tuple[str, ...] = ()
    is_compared: bool = False

    def load(self) -> Format:
        """The form itself; imports Keras."""
        module, name = self.home.split(":")
        return getattr(importlib.import_module(f"keras_prokt.export.{module}"), name)()

    def missing(self) -> list[str]:
        """Those of its packages that are not installed here."""
        return [name for name in self.packages if not _is_installed(name)]

    def places(self) -> dict[str | None, str]:
        """Its name in the folder of a run, by what it is quantized to."""
        return {None: self.place, **{name: f"{self.place}_{name}" for name in self.quantizes}}


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a place holder for it has been imported
        return False
