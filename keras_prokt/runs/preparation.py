"""Writes data and start weights of runs into a folder, for where there is no TensorFlow."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from keras_prokt.app import Task, get_app
from keras_prokt.data.prepared_folder import Contents, PreparedFolder, check_new, write_folder
from keras_prokt.files import digest_of_file
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import all_batches
from keras_prokt.settings import DataSettings, SettingError, argument, settings_of

PART_SIZE = 16_000_000
"""Bytes of a part."""

_OF_CHECKPOINTS = ("config.json", "metadata.json", "*.safetensors", "*.safetensors.index.json")
_OF_CHECKPOINTS += ("model.weights.h5", "model.weights.json", "model_*.weights.h5")
"""Files of a checkpoint without its word pieces: texts come as numbers."""


def prepare_folder(
    spec: RunSpec, out: str | Path, *, part_size: int = PART_SIZE, weights: bool = True
) -> PreparedFolder:
    """Writes what runs need of their app's data, and the checkpoints that models start from.

    A run with the setting `prepared` takes both from there, bit for bit the same as without it.
    The method of the spec, and how it trains, have no part in it.

    Args:
        spec: A run of the app, with models and settings of the data.
        out: The folder, which must not be there.
        part_size: Most bytes of each file.
        weights: Whether to write the checkpoints; runs with trained teachers of their own, and
            bi-LSTMs alone, need none.

    Returns:
        The folder.

    Raises:
        ValueError: On bad input; then nothing has been written.

    Example:

    ```python
    spec = RunSpec.resolve("glue-sst2", "prokt", teacher="MiniLM-L6")
    prepare_folder(spec, "prepared/sst2").size
    ```
    """
    app = get_app(spec.app)
    out = Path(out)
    check_new(out, part_size)
    for name in ("prepared", "label_noise"):
        if getattr(spec, name) is not None:
            raise SettingError(
                f"Expected no {argument(name)} for a folder to be prepared, received "
                f"{getattr(spec, name)!r}; give it to the run."
            )
    task = app.prepare(spec.request())
    data = {name: _as_json(getattr(spec, name)) for name in settings_of(DataSettings)}
    run_settings = {
        name: value
        for name, value in data.items()
        if value not in (None, False) and name != "data_dir"
    }
    defaults = {"teacher": app.default_teacher, "student": app.default_student}
    models = {role: getattr(spec, role) for role in defaults}
    run_settings |= {role: name for role, name in models.items() if name != defaults[role]}
    if spec.limit is not None and spec.seed:
        run_settings["seed"] = spec.seed
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints = _checkpoints(task, Path(scratch)) if weights else {}
        contents = Contents(
            app=app.name,
            settings=run_settings,
            data={**data, "data_dir": None},
            seed=None if spec.limit is None else spec.seed,
            models=models,
            class_names=task.class_names,
            metrics=task.metrics,
            parts=all_batches(task),
            validates_on_training_set=task.validates_on_training_set,
            front_ends=_front_ends(task),
            checkpoints=checkpoints,
            digests={name: digest_of_file(path) for name, path in spec.files().items()},
        )
        write_folder(out, contents, part_size=part_size)
    return PreparedFolder(out)


def _front_ends(task: Task) -> dict[str, dict[str, Any]]:
    """How raw input is read, as JSON objects by role."""
    role_front_ends = {"student": task.front_end, "teacher": task.teacher_front_end}
    return {role: one.to_json() for role, one in role_front_ends.items() if one is not None}


def _checkpoints(task: Task, scratch: Path) -> dict[str, Path]:
    """Folders with the checkpoints that models start from, by the name of the preset."""
    folders = {}
    for number, preset in enumerate(task.presets):
        source = Path(preset).expanduser()
        if not source.is_dir():
            source = scratch / f"downloaded-{number}"
            _download(preset, source)
        folders[preset] = scratch / str(number)
        folders[preset].mkdir()
        for pattern in _OF_CHECKPOINTS:
            for path in source.glob(pattern):
                shutil.copy(path, folders[preset])
    return folders


def _download(preset: str, folder: Path) -> None:
    """Writes a preset of keras-hub's, or of a hub, as a directory."""
    from keras_prokt.models.bert import bert_classifier

    bert_classifier(preset, 2).get_layer("backbone").save_to_preset(folder)


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
