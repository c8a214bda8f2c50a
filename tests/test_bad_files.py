"""Files that a user names, in every bad form: a line that names the file, or a whole result.

Those that a run wrote itself are damaged in `tests/runs/test_damage.py`.
"""

import contextlib
import json
import os
import random
import signal
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from bert_vocabulary import tokenizer_json
from pretended_runs import write_run
from runs.damage import flipped

from keras_prokt.app import get_app
from keras_prokt.bert_files import check_preset
from keras_prokt.data.table import read_table
from keras_prokt.data.teacher_outputs import check_file, read_teacher_outputs
from keras_prokt.front_ends import TextFrontEnd
from keras_prokt.models.bert import bert_tokenizer
from keras_prokt.models.loading import load_student
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.records import read_run_record
from keras_prokt.runs.run_list import Entry, RunList

NAMES = ["0", "1", "2"]
FLIPS, CUTS = 12, 4


def table(path):
    read_table(path, text_columns=("body",), label_column="label")


def model(path):
    load_student(path)


def teacher_outputs(path):
    check_file(str(path))
    read_teacher_outputs(str(path), None, NAMES)


def preset(path):
    check_preset(str(path.parent), with_weights=True)


def tokenizer(path):
    bert_tokenizer(str(path.parent))


def vocabulary(path):
    TextFrontEnd(str(path))


def run_record(path):
    RunFolder.existing(path.parent)
    read_run_record(path)


def run_list(path):
    RunList.existing(path.parent).read()


def app(path):
    get_app(str(path))


ROWS = "body,label\na film,0\nanother,1\nmore,0\n"
# File -> what reads it, and whether every cut is seen; a table or a program may end anywhere.
READERS = {
    "table.csv": (table, False),
    "table.tsv": (table, False),
    "table.jsonl": (table, False),
    "table.parquet": (table, False),
    "model.keras": (model, True),
    "model.h5": (model, False),
    "outputs.npz": (teacher_outputs, False),
    "bert/config.json": (preset, False),
    "bert/vocab.txt": (preset, False),
    "bert/tokenizer.json": (preset, True),
    "vocab.txt": (vocabulary, False),
    "run/run.json": (run_record, True),
    "list/comparison.json": (run_list, True),
    "my_app.py": (app, False),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with all of them, as they should be."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "table.csv").write_text(ROWS)
    (folder / "table.tsv").write_text(ROWS.replace(",", "\t"))
    rows = [{"body": f"film {number}", "label": str(number % 2)} for number in range(4)]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "table.parquet")
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.save(folder / "model.keras")
    np.savez(folder / "outputs.npz", logits=np.zeros((4, 3), "float32"))
    (folder / "bert").mkdir()
    config = {"model_type": "bert", "vocab_size": 8, "max_position_embeddings": 8}
    (folder / "bert" / "config.json").write_text(json.dumps(config))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
    (folder / "bert" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "bert" / "model.safetensors").write_bytes(b"x")
    (folder / "bert" / "tokenizer_config.json").write_text("{}")
    (folder / "bert" / "tokenizer.json").write_text(tokenizer_json(pieces))
    spec = RunSpec.resolve("digits", "student")
    write_run(folder / "run", spec, 0.5)
    RunList(folder / "list", "comparison").create({}, [Entry("a", "a", spec)], measures_test=True)
    (folder / "my_app.py").write_text("from keras_prokt_apps.digits import APP\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(folder / "model.h5")
    return folder


def copy_beside(name, whole, folder):
    """Copies what a file of a BERT needs beside it; one of its two vocabularies is enough."""
    vocabularies = {"vocab.txt", "tokenizer.json"}
    for path in (whole / "bert").iterdir() if name.startswith("bert/") else ():
        is_other = Path(name).name in vocabularies and path.name in vocabularies
        if path.name != Path(name).name and not is_other:
            (folder / "bert" / path.name).write_bytes(path.read_bytes())


def refusal(read, path):
    """What is said of a file; `None` if it is read."""
    try:
        read(path)
    except ValueError as error:
        message = str(error)
        assert message.startswith("Expected") and "\n" not in message, message
        assert len(message) < 1500
        return message
    return None


def damages(content, name, others):
    """All bad forms of a file, by name."""
    chance = random.Random(name)
    yield "missing", None
    yield "empty", b""
    yield "cut", content[: len(content) // 2]
    for number in range(CUTS):
        yield f"cut {number}", content[: chance.randrange(len(content))]
    for number in range(FLIPS):
        yield f"flip {number}", flipped(content, chance)
    for other, of_another_kind in others.items():
        yield f"another kind: {other}", of_another_kind
    yield "zeros", bytes(100)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_bad_forms_of_a_file_are_refused_or_read(name, whole, tmp_path):
    read, sees_cuts = READERS[name]
    content = (whole / name).read_bytes()
    others = {
        other: (whole / other).read_bytes()
        for other in ("table.parquet", "model.keras", "run/run.json")
        if other != name
    }
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    copy_beside(name, whole, tmp_path)
    path.write_bytes(content)
    assert refusal(read, path) is None
    for what, damaged in damages(content, name, others):
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        said = refusal(read, path)
        if what in ("missing", "empty", "zeros") or what.startswith("another kind"):
            may_be_empty = what == "empty" and path.suffix == ".py"
            assert said is not None or may_be_empty, what
        if sees_cuts and what.startswith("cut"):
            assert said is not None, what


@pytest.mark.parametrize("name", READERS)
def test_a_folder_is_no_file(name, whole, tmp_path):
    read, _ = READERS[name]
    path = tmp_path / name
    path.mkdir(parents=True)
    copy_beside(name, whole, tmp_path)
    assert refusal(read, path) is not None


@contextlib.contextmanager
def seconds(limit):
    """Ends what waits for longer."""

    def end(*_):
        raise TimeoutError(f"waited for {limit} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


DEVICES = {name: read for name, (read, _) in READERS.items()}
# `preset` looks at the vocabularies alone; the file beside them is read with Keras.
DEVICES |= {"bert/tokenizer_config.json": tokenizer}


@pytest.mark.parametrize("name", DEVICES)
def test_a_pipe_is_no_file(name, whole, tmp_path):
    """Nobody writes into it, as nothing ends a device such as /dev/zero."""
    read, path = DEVICES[name], tmp_path / name
    path.parent.mkdir(exist_ok=True)
    copy_beside(name, whole, tmp_path)
    os.mkfifo(path)
    with seconds(20):
        assert refusal(read, path) is not None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read all")
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_may_not_be_read_is_refused(name, whole, tmp_path):
    read, _ = READERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for beside in (whole / name).parent.iterdir():
        if beside.is_file() and (name.startswith("bert/") or beside.name == path.name):
            Path(path.parent / beside.name).write_bytes(beside.read_bytes())
    path.chmod(0)
    assert refusal(read, path) is not None
