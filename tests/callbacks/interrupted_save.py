"""Kills a training at every file event of a checkpoint and of going on; run as a script.

    python interrupted_save.py FOLDER

Every training that is killed is a process of its own, forked before anything but imports has
happened; one more goes on in all their folders. Prints the number of events of one checkpoint and
of taking one up.
"""

import itertools
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

import keras
from file_events import FileEvents

from keras_prokt.callbacks import ResumableBackup
from keras_prokt.distillers import StudentOnly
from keras_prokt.files import write_text

EPOCHS = 4
BEST = (0, 1)
"""Epochs with a new best student: its file is new in some checkpoints, and the same in others."""


def train(
    folder: Path,
    epochs: int = EPOCHS,
    save_kill_at: int | None = None,
    begin_kill_at: int | None = None,
) -> None:
    """A training whose every epoch follows from all those before, in weights and files."""
    keras.utils.clear_session()  # names of layers are in the state, and count up
    model = StudentOnly(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile(optimizer="sgd")
    model.optimizer.build(model.trainable_variables)
    [kernel] = [v for v in model.trainable_variables if len(v.shape) == 2]
    kernel.assign(keras.ops.ones((2, 2)))
    history, best = folder / "history.csv", folder / "best.txt"
    backup = ResumableBackup(folder / "checkpoint", belongs_to={"a": 1}, files=[history, best])
    backup.set_model(model)
    begin, save = FileEvents(folder, begin_kill_at), FileEvents(folder, save_kill_at)
    with begin.counted():
        backup.on_train_begin()
    for epoch in range(backup.position()[0], epochs):
        backup.on_epoch_begin(epoch)
        kernel.assign(kernel * 2 + epoch)
        value = str(keras.ops.convert_to_numpy(kernel).tolist())
        write_text(history, (history.read_text() if epoch else "") + value + "\n")
        if epoch in BEST:
            write_text(best, (best.read_text() if epoch else "") + value + "\n")
        if epoch == EPOCHS - 1:
            with save.counted():
                backup.on_epoch_end(epoch)
        else:
            backup.on_epoch_end(epoch)
    folder.with_suffix(".json").write_text(json.dumps([save.count, begin.count]))


def start(folders: list[Path], **arguments: int) -> bool:
    """Forks a process that trains in one folder after the other; returns whether it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for folder in folders:
                folder.mkdir(exist_ok=True)
                train(folder, **arguments)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert was_killed or status == 0, (folders, arguments, status)
    return was_killed


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


def main(folder: Path) -> None:
    whole = folder / "whole"
    assert not start([whole])
    ready = folder / "ready"
    assert not start([ready], epochs=EPOCHS - 1)
    saving, _ = json.loads(whole.with_suffix(".json").read_text())
    killed = [folder / f"save-{event}" for event in range(1, saving + 1)]
    for event, path in enumerate(killed, 1):
        shutil.copytree(ready, path)
        assert start([path], save_kill_at=event), event
    left = killed[saving // 2]
    for event in itertools.count(1):
        path = folder / f"begin-{event}"
        shutil.copytree(left, path)
        # Going on puts back what other callbacks read.
        (path / "history.csv").write_text("damaged")
        (path / "best.txt").unlink()
        killed.append(path)
        if not start([path], begin_kill_at=event):
            break
    assert not start(killed)
    expected = contents(whole)
    for path in killed:
        assert contents(path) == expected, (path.name, sorted(contents(path)), sorted(expected))
    print(json.dumps([saving, len(killed) - saving - 1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
