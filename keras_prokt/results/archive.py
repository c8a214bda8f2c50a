"""Finished runs in one file of JSON lines, small enough to be committed; no weights.

A line is the `run.json` of a run, without what is not given, and besides

    name, title, group   of the run in its list
    validation           the student's metric after each epoch
    history              all curves of training, column by column, where they are wanted
    predictions          part -> `labels` and the `student`'s answers, as base64 of bytes
    failure              why it failed, of a run that did; then there are no results
    format, sha256       of all that

Imports no Keras.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.files import CHECKSUM, digest_of_json, without_checksum, write_text
from keras_prokt.results.comparison import Measured

FORMAT = 1
_CLASSES_OF_BYTE = 256


def read_archive(path: Path) -> dict[str, dict[str, Any]]:
    """The runs in an archive, by name; none where there is no file.

    Args:
        path: The file.

    Raises:
        ValueError: If a line is not as it was written.
    """
    if not path.is_file():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        place = Path(f"{path}, line {number}")
        try:
            run = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"Expected a JSON object a line in {str(path)!r}, received {error} in line "
                f"{number}; restore the file from a copy."
            ) from error
        if not isinstance(run, dict) or not isinstance(run.get("name"), str):
            raise ValueError(
                f"Expected runs with names in {str(path)!r}, received line {number} without one; "
                "restore the file from a copy."
            )
        run = without_checksum(place, run)
        if run.pop("format", None) != FORMAT:
            raise ValueError(
                f"Expected runs of format {FORMAT} in {str(path)!r}, received another in line "
                f"{number}; read it with the version of keras_prokt that wrote it."
            )
        if run["name"] in found:
            raise ValueError(
                f"Expected each run once in {str(path)!r}, received {run['name']!r} twice; leave "
                "one of the lines out."
            )
        found[run["name"]] = run
    return found


def resources(run: Mapping[str, Any]) -> int:
    """What a run was given: training examples times epochs; 0 if it failed."""
    if "failure" in run:
        return 0
    return run["examples"]["train"] * run["spec"]["training"]["epochs"]


def add_to_archive(
    path: Path,
    runs: Iterable[Mapping[str, Any]],
    is_official: Callable[[Mapping[str, Any]], bool] = lambda run: True,
) -> list[str]:
    """Adds finished runs. Nobody else may write the file meanwhile.

    A run that is there gives way to none with fewer resources. An official one, such as a protocol
    has it, gives way to none at all; another one gives way to it. A failed one gives way to all.

    Args:
        path: The file; made if there is none.
        runs: Lines of an archive, without checksums.
        is_official: Whether a run is as it should be.

    Returns:
        The names of those that were added.

    Raises:
        ValueError: As `read_archive`.
    """
    known, added = read_archive(path), []
    for run in runs:
        there = known.get(run["name"])
        if there is None or _gives_way(there, run, is_official):
            known[run["name"]] = dict(run)
            added.append(run["name"])
    if added:
        lines = [json.dumps(_sealed(known[name]), ensure_ascii=False) for name in sorted(known)]
        write_text(path, "\n".join(lines) + "\n")
    return added


def _gives_way(
    there: Mapping[str, Any],
    run: Mapping[str, Any],
    is_official: Callable[[Mapping[str, Any]], bool],
) -> bool:
    if "failure" in there:
        return "failure" not in run
    if "failure" in run or is_official(there):
        return False
    return is_official(run) or resources(run) > resources(there)


def _sealed(run: Mapping[str, Any]) -> dict[str, Any]:
    with_format = {**run, "format": FORMAT}
    return {**with_format, CHECKSUM: digest_of_json(with_format)}


def encoded(answers: Sequence[Any]) -> str | None:
    """Classes, or rows of labels, as text; `None` of what is no whole number from 0 to 65,535.

    Example:

    >>> from keras_prokt.results.archive import decoded, encoded
    >>> decoded(encoded([3, 0, 99])), decoded(encoded([[0, 1], [1, 1]]))
    ([3, 0, 99], [[0, 1], [1, 1]])
    """
    has_rows = len(answers) > 0 and isinstance(answers[0], Sequence)
    values = [value for row in answers for value in row] if has_rows else answers
    if not all(isinstance(value, int) and 0 <= value < _CLASSES_OF_BYTE**2 for value in values):
        return None
    size = 1 if max(values, default=0) < _CLASSES_OF_BYTE else 2
    packed = b"".join(value.to_bytes(size, "little") for value in values)
    form = f"{size}x{len(answers[0])}" if has_rows else f"{size}"
    return f"{form}:{base64.b64encode(packed).decode()}"


def decoded(text: str) -> list[Any]:
    """What `encoded` was given."""
    form, _, packed = text.partition(":")
    size, _, width = form.partition("x")
    step, data = int(size), base64.b64decode(packed)
    values = [int.from_bytes(data[at : at + step], "little") for at in range(0, len(data), step)]
    if not width:
        return values
    return [values[at : at + int(width)] for at in range(0, len(values), int(width))]


def measured_run(
    run: Mapping[str, Any], part: str, metric: str, model: str = "student"
) -> Measured:
    """A run of an archive, as far as a comparison needs it.

    Args:
        run: A line of the archive.
        part: On which data.
        metric: What is measured.
        model: Whose value stands in the student's place.

    Raises:
        ValueError: If the run does not say.
    """
    models = run["results"]["models"]
    value = models.get(model, {}).get(part, {}).get(metric)
    if value is None:
        raise ValueError(
            f"Expected a run with the {metric!r} of its {model} on {part} data, received "
            f"{run['name']!r} without; repeat it."
        )
    predictions = run.get("predictions", {}).get(part) if model == "student" else None
    return Measured(
        method=run["title"],
        seed=run["spec"]["training"]["seed"],
        student=value,
        teacher=models.get("teacher", {}).get(part, {}).get(metric),
        cost=run.get("cost"),
        seconds=run["training_seconds"],
        labels=None if predictions is None else decoded(predictions["labels"]),
        predicted=None if predictions is None else decoded(predictions["student"]),
    )
