"""Goes on from what a kill at every file event of a checkpoint leaves; run as a script.

    python interrupted_save.py FOLDER

A kill loses what is not yet in the file system. So the folder is copied before every event: while
a checkpoint is written, and while one is taken up. A training goes on in each copy. Prints the
number of events of both.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
from file_events import FileEvents

from keras_prokt.callbacks import ResumableBackup
from keras_prokt.distillers import StudentOnly
from keras_prokt.files import write_text

EPOCHS = 4
BEST = (0, 1)
"""Epochs with a new best student: its file is new in some checkpoints, and the same in others."""


class Copies:
    """Copies of a folder, one before each event: `FOLDER-NAME-NUMBER`."""

    def __init__(self, folder: Path, name: str):
        self.folders: list[Path] = []
        self._folder, self._name = folder, name

    def add(self, number: int) -> None:
        copy = self._folder.with_name(f"{self._folder.name}-{self._name}-{number}")
        # Files that are one by links stay one.
        subprocess.run(["cp", "-a", str(self._folder), str(copy)], check=True)
        self.folders.append(copy)


def train(folder: Path, *, copies: bool = False) -> tuple[list[Path], list[Path]]:
    """A training whose every epoch follows from all those before, in weights and files.

    Returns:
        Copies of its folder, if asked for: while it writes its last checkpoint, and while it takes
        up its first.
    """
    keras.utils.clear_session()  # names of layers are in the state, and count up
    model = StudentOnly(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile(optimizer="sgd")
    model.optimizer.build(model.trainable_variables)
    [kernel] = [v for v in model.trainable_variables if len(v.shape) == 2]
    kernel.assign(keras.ops.ones((2, 2)))
    history, best = folder / "history.csv", folder / "best.txt"
    backup = ResumableBackup(folder / "checkpoint", belongs_to={"a": 1}, files=[history, best])
    backup.set_model(model)
    of_saving, of_going_on = Copies(folder, "save"), Copies(folder, "begin")
    if copies:
        with FileEvents(folder, of_going_on.add).counted():
            backup.on_train_begin()
    else:
        backup.on_train_begin()
    for epoch in range(backup.position()[0], EPOCHS):
        backup.on_epoch_begin(epoch)
        kernel.assign(kernel * 2 + epoch)
        value = str(keras.ops.convert_to_numpy(kernel).tolist())
        write_text(history, (history.read_text() if epoch else "") + value + "\n")
        if epoch in BEST:
            write_text(best, (best.read_text() if epoch else "") + value + "\n")
        if copies and epoch == EPOCHS - 1:
            with FileEvents(folder, of_saving.add).counted():
                backup.on_epoch_end(epoch)
        else:
            backup.on_epoch_end(epoch)
    return of_saving.folders, of_going_on.folders


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


def main(folder: Path) -> None:
    whole = folder / "whole"
    whole.mkdir()
    killed, _ = train(whole, copies=True)
    # One of them is taken up, with a kill at any event of that.
    left = folder / "left"
    shutil.copytree(killed[len(killed) // 2], left)
    # Going on puts back what other callbacks read.
    (left / "history.csv").write_text("damaged")
    (left / "best.txt").unlink()
    _, killed_again = train(left, copies=True)
    expected = contents(whole)
    for path in [left, *killed, *killed_again]:
        if path != left:
            train(path)
        assert contents(path) == expected, (path.name, sorted(contents(path)), sorted(expected))
    print(json.dumps([len(killed), len(killed_again)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
