"""The completed runs in some folders, each with the heading by which a person tells it apart.

This module imports no Keras.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.results.tables import shown_value
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.run_list import RunList
from keras_prokt.runs.spec import RunSpec

_NOT_COMPARED = ("seed", "data_dir")
"""Settings in which runs of one row may differ."""


def completed_record(folder: RunFolder) -> dict[str, Any]:
    """The record of a run that is completed.

    Args:
        folder: The run's folder.

    Raises:
        ValueError: If it is not completed.
    """
    record = folder.read()
    if record["status"] != "completed":
        raise ValueError(
            f"Expected completed runs, received {str(folder.path)!r} with status "
            f"{record['status']!r}; finish it with `{folder.resume_hint()}`."
        )
    return record


def titled_runs(paths: Sequence[str | Path]) -> tuple[list[tuple[str, RunFolder]], list[str]]:
    """The runs in some folders, each with the heading of its row.

    Args:
        paths: Run folders, and folders that hold run folders: comparisons, searches, others.

    Returns:
        Heading and folder of each completed run, and the paths of runs in folders of runs that
        are not completed.

    Raises:
        ValueError: If there is no run, or one that was named itself is not completed.
    """
    titles: dict[Path, str | None] = {}
    left_out: list[str] = []
    for path in map(Path, paths):
        if RunFolder(path).record.is_file() or not path.is_dir():
            completed_record(RunFolder.existing(path))
            titles[path] = None
            continue
        runs = RunList.at(path)
        known = {} if runs is None else {entry.name: entry.title for entry in runs.entries()}
        found = _runs_in(path)
        left_out += [str(path / name) for name in known if name not in found]
        if not known and not found:
            raise ValueError(
                f"Expected a run folder or a folder of them, received {str(path)!r} without any; "
                "`keras-prokt run` prints the path of the folder it makes."
            )
        for name in [*(n for n in known if n in found), *(n for n in found if n not in known)]:
            folder = found[name]
            if RunFolder(folder).read()["status"] == "completed":
                titles[folder] = known.get(folder.name)
            else:
                left_out.append(str(folder))
    if not titles:
        raise ValueError(
            f"Expected completed runs, received {', '.join(map(str, paths))} without one; "
            "`keras-prokt run` prints the path of the folder it makes."
        )
    title_by_path = _titles(titles)
    return [(title_by_path[path], RunFolder(path)) for path in titles], left_out


def _runs_in(path: Path) -> dict[str, Path]:
    """The run folders in a folder, by name.

    Raises:
        ValueError: If a run has lost its record.
    """
    found = {}
    for folder in sorted(path.iterdir()):
        if folder.name.startswith("."):
            continue
        if (folder / "run.json").is_file():
            found[folder.name] = folder
        elif any((folder / name).exists() for name in ("student.keras", "checkpoint")):
            raise ValueError(
                f"Expected a run.json in every run folder, received {str(folder)!r} without; "
                "restore it from a copy, or remove that folder."
            )
    return found


def _titles(known: Mapping[Path, str | None]) -> dict[Path, str]:
    """Headings for runs: the one that is known or else their method, and the settings in which
    runs of that heading differ."""
    settings = {path: _settings(RunFolder(path).read()) for path in known}
    headings = {path: title or settings[path]["method"] for path, title in known.items()}
    # Two versions of a user's data are two data sets; which is which, the digests say.
    data_sets = list(dict.fromkeys(own["data"] for own in settings.values()))
    for own in settings.values():
        own["data"] = data_sets.index(own["data"]) + 1
    titles = {}
    for path, own in settings.items():
        others = [other for at, other in settings.items() if headings[at] == headings[path]]
        differing = [k for k in own if any(other.get(k) != own[k] for other in others)]
        shown = [f"{name}={_in_title(own[name])}" for name in differing if own[name] is not None]
        titles[path] = " ".join([headings[path], *shown])
    return titles


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    spec = RunSpec.from_json(record["spec"])
    settings = settings_by_option(spec)
    data = dict(record.get("data") or {})
    if spec.limit is not None:
        data.pop("train data", None)  # each seed draws its own
    settings["data"] = json.dumps(data, sort_keys=True)
    return settings


def settings_by_option(spec: RunSpec) -> dict[str, Any]:
    """The method and all settings that are compared, by name as they are typed.

    Args:
        spec: The run's settings.
    """
    options = {name: row.option_of(name).removeprefix("--") for name, row in all_settings().items()}
    return {"method": spec.method} | {
        option: getattr(spec, name) for name, option in options.items() if name not in _NOT_COMPARED
    }


def _in_title(value: Any) -> str:
    return shown_value(value).replace(" ", ",")
