"""Files for GLUE's site: of students on small data in TFDS format, and of the real test sets."""

import warnings
import zipfile

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from marks import DATA, MINILM, thorough
from small_glue import CLS, LABELS, PIECES, SENTENCES, SEP, rows_of, write_glue

from keras_prokt.cli import main
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare
from keras_prokt.runs.training_run import run
from keras_prokt_apps.glue.data import GLUE_FILES, UnofficialRows, load_glue
from keras_prokt_apps.glue.submission import (
    check_submission,
    write_submission,
    zip_submission,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tested on the default backend"
)

# As GLUE's site wants them, written out: split -> file, and what stands for each label number.
FILES = {
    "sst2": {"test": "SST-2.tsv"},
    "mrpc": {"test": "MRPC.tsv"},
    "qqp": {"test": "QQP.tsv"},
    "mnli": {"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
    "qnli": {"test": "QNLI.tsv"},
}
PREDICTIONS = {
    "sst2": {"negative": "0", "positive": "1"},
    "mrpc": {"not_equivalent": "0", "equivalent": "1"},
    "qqp": {"not_duplicate": "0", "duplicate": "1"},
    "mnli": {name: name for name in ("entailment", "neutral", "contradiction")},
    "qnli": {name: name for name in ("entailment", "not_entailment")},
}
# What `wc -l` prints of a published example of a whole submission, headers included.
LINES = {"AX.tsv": 1105, "CoLA.tsv": 1064, "MNLI-mm.tsv": 9848, "MNLI-m.tsv": 9797}
LINES |= {"MRPC.tsv": 1726, "QNLI.tsv": 5464, "QQP.tsv": 390966, "RTE.tsv": 3001}
LINES |= {"SST-2.tsv": 1822, "STS-B.tsv": 1380, "WNLI.tsv": 147}
STUDENTS = [(task, "bilstm") for task in FILES] + [("mnli", "bert-1")]


def make(folder, record):
    student = {"parameters": 0, "bytes": 0}
    results = {"best_epoch": 1, "last_epoch": 1, "models": {"student": student}}
    done = {"training_seconds": 0.0, "examples": {}, "results": results}
    about = {"started": "", "data": {}, "class_names": [], "export": False}
    about |= describe_environment()
    with folder.created({**about, **record, **(done if record["status"] == "completed" else {})}):
        pass


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    write_glue(folder, FILES)
    return folder


def spec_of(task, bert, data_dir, student="bilstm"):
    settings = {"teacher": bert, "student": student, "data_dir": data_dir}
    return RunSpec.resolve(f"glue-{task}", "prokt", epochs=1, batch_size=4, **settings)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, bert, data_dir):
    """Makes run folders as of completed runs, of students whose predictions differ by the text."""
    made = {}

    def of(task, student="bilstm"):
        if (task, student) not in made:
            spec = spec_of(task, bert, data_dir, student)
            prepared = prepare(spec)
            model = prepared.build_student()
            random = np.random.default_rng(1)
            for weight in model.trainable_weights:
                weight.assign(random.normal(size=weight.shape, scale=0.5))
            x, _ = prepared.validation.batch(np.arange(7))
            bias = model.trainable_weights[-1]
            bias.assign(bias - np.mean(model(x["student"]), axis=0))  # no class is always ahead
            folder = RunFolder(tmp_path_factory.mktemp("runs") / f"{task}-{student}")
            make(folder, {"status": "completed", "spec": spec.to_json()})
            model.save(folder.student)
            made[task, student] = folder.path, model
        return made[task, student]

    return of


def inputs_of_one(task, row, student):
    """What the student reads of one row, without padding, from the words alone."""
    ids = [[PIECES.index(word) for word in row[name].split()] for name in SENTENCES[task]]
    if student == "bilstm":
        inputs = {}
        for suffix, words in zip(("", "_pair"), ids, strict=False):
            inputs[f"token_ids{suffix}"] = [[CLS, *words, SEP]]
            inputs[f"padding_mask{suffix}"] = [[1] * (len(words) + 2)]
    else:
        first, second = ids
        whole = [CLS, *first, SEP, *second, SEP]
        segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        inputs = {"token_ids": [whole], "padding_mask": [[1] * len(whole)]}
        inputs["segment_ids"] = [segments]
    return {name: np.array(values, dtype="int32") for name, values in inputs.items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::keras_prokt_apps.glue.data.UnofficialRows")
@pytest.mark.parametrize(("task", "student"), [*STUDENTS[:2], *thorough(*STUDENTS[2:])])
def test_the_files_of_a_run(finished_run, data_dir, tmp_path, task, student):
    folder, model = finished_run(task, student)
    out = tmp_path / "new" / "glue"
    submission = write_submission(folder, out)
    written = []
    for split, name in FILES[task].items():
        # The rows lie in another order, or the one of the file would say nothing.
        assert (np.diff(load_glue(task, split, data_dir=data_dir).idx) < 0).any()
        expected = ["index\tprediction"]
        for idx, row in rows_of(task, split):
            logits = model(inputs_of_one(task, row, student))
            label = LABELS[task][np.argmax(logits)]
            expected.append(f"{idx}\t{PREDICTIONS[task][label]}")
        assert (out / name).read_bytes().decode() == "\n".join(expected) + "\n"
        written += [line.split("\t")[1] for line in expected[1:]]
    assert len(set(written)) > 1
    assert submission.archive == out / "submission.zip"
    assert set(submission.rows) == set(FILES[task].values())
    assert set(submission.missing) == set(GLUE_FILES) - set(submission.rows)
    names = {path.name for path in out.iterdir()}
    assert names == {*FILES[task].values(), "submission.zip"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::keras_prokt_apps.glue.data.UnofficialRows")
def test_the_file_of_the_teacher_of_a_run(bert, data_dir, tmp_path):
    spec = spec_of("mrpc", bert, data_dir, "bilstm-100")
    prepared = prepare(spec)
    teacher = prepared.build_teacher()
    random = np.random.default_rng(1)
    for weight in teacher.trainable_weights:
        weight.assign(random.normal(size=weight.shape, scale=0.5))
    x, _ = prepared.validation.batch(np.arange(7))
    bias = teacher.trainable_weights[-1]
    bias.assign(bias - np.mean(teacher(x["teacher"]), axis=0))  # no class is always ahead
    folder = RunFolder(tmp_path / "run")
    make(folder, {"status": "completed", "spec": spec.to_json(), "save_teacher": True})
    teacher.save(folder.teacher)
    write_submission(folder.path, tmp_path / "glue", model="teacher")
    expected = ["index\tprediction"]
    for idx, row in rows_of("mrpc", "test"):
        # It reads a pair as one sequence, in the word pieces of its checkpoint.
        logits = teacher(inputs_of_one("mrpc", row, "bert-1"))
        expected.append(f"{idx}\t{np.argmax(logits)}")
    assert len(set(line.split("\t")[1] for line in expected[1:])) == 2
    assert (tmp_path / "glue" / "MRPC.tsv").read_text() == "\n".join(expected) + "\n"


@pytest.mark.slow
def test_runs_on_several_tasks_fill_one_folder(finished_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "STS-B.tsv").write_text("index\tprediction\n0\t3.25\n1\t5\n")
    with pytest.warns(UnofficialRows):
        write_submission(finished_run("sst2")[0], tmp_path)
    with pytest.warns(UnofficialRows) as warned:
        submission = write_submission(finished_run("mnli")[0], tmp_path)
    # Keras's own warnings are recorded too.
    assert [str(one.message) for one in warned if one.category is UnofficialRows] == [
        "SST-2.tsv has 11 rows, GLUE's test set has 1821",
        "STS-B.tsv has 2 rows, GLUE's test set has 1379",
        "MNLI-m.tsv has 11 rows, GLUE's test set has 9796",
        "MNLI-mm.tsv has 9 rows, GLUE's test set has 9847",
    ]
    counts = {"SST-2.tsv": 11, "STS-B.tsv": 2, "MNLI-m.tsv": 11, "MNLI-mm.tsv": 9}
    assert submission.rows == counts
    with zipfile.ZipFile(submission.archive) as packed:
        assert sorted(packed.namelist()) == sorted(counts)
        for name in counts:
            assert packed.read(name) == (tmp_path / name).read_bytes()


def test_whole_files_of_all_tasks_are_complete(tmp_path):
    for name, file in GLUE_FILES.items():
        prediction = file.predictions[-1] if file.predictions else "2.5"
        rows = "".join(f"{i}\t{prediction}\n" for i in range(file.rows))
        (tmp_path / name).write_text(f"index\tprediction\n{rows}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        submission = zip_submission(tmp_path)
    assert submission.missing == ()
    assert len(zipfile.ZipFile(submission.archive).namelist()) == 11
    assert {name: rows + 1 for name, rows in submission.rows.items()} == LINES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("SST-2.tsv", "", r"Expected the header 'index\\tprediction', received '' at .*, line 1"),
        ("SST-2.tsv", "id\tlabel\n0\t1\n", r"received 'id\\tlabel' at .*SST-2.tsv, line 1"),
        ("SST-2.tsv", "index\tprediction\n", "at least 1 row below the header, received 0 at"),
        ("SST-2.tsv", "index\tprediction\n0\t1\n\n", "a tab and a prediction, received '' at .* 3"),
        ("SST-2.tsv", "index\tprediction\n0 1\n", "received '0 1' at .*SST-2.tsv, line 2"),
        ("SST-2.tsv", "index\tprediction\n0\t1\n2\t1\n", "index 1, .* received '2' at .*, line 3"),
        ("SST-2.tsv", "index\tprediction\n0\t1\n0\t1\n", "index 1, .* received '0' at .*, line 3"),
        ("SST-2.tsv", "index\tprediction\n1\t1\n0\t1\n", "index 0, .* received '1' at .*, line 2"),
        ("SST-2.tsv", "index\tprediction\n0\t2\n", "among 0, 1, received '2' at .*, line 2"),
        ("SST-2.tsv", "index\tprediction\n0\t1\t1\n", r"among 0, 1, received '1\\t1' at"),
        (
            "QNLI.tsv",
            "index\tprediction\n0\tneutral\n",
            "not_entailment, received 'neutral'",
        ),
        ("AX.tsv", "index\tprediction\n0\t0\n", "entailment, neutral, contradiction, received '0'"),
        ("STS-B.tsv", "index\tprediction\n0\tnan\n", "a number, received 'nan' at .*, line 2"),
        ("sst2.tsv", "index\tprediction\n0\t1\n", "file of GLUE's submissions among .*'sst2.tsv'"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        check_submission(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_number_of_rows_can_be_asked_for(tmp_path):
    path = tmp_path / "RTE.tsv"
    path.write_text("index\tprediction\n0\tentailment\n1\tnot_entailment\n")
    assert check_submission(path) == check_submission(path, rows=2) == 2
    with pytest.raises(ValueError, match="Expected 3 rows below the header, received 2 at .* 3"):
        check_submission(path, rows=3)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="Expected a file in UTF-8 at .*RTE.tsv"):
        check_submission(path)
    with pytest.raises(ValueError, match="Expected a file in UTF-8 at .*QQP.tsv"):
        check_submission(tmp_path / "QQP.tsv")


def predict(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def refusal(result):
    assert result.exit_code == 2, result.output
    assert len(result.output.strip().splitlines()) == 1
    return result.output


@pytest.mark.slow
@pytest.mark.filterwarnings("default::keras_prokt_apps.glue.data.UnofficialRows")
def test_the_command_line(finished_run, tmp_path):
    folder, _ = finished_run("sst2")
    result = predict(folder, "--glue", tmp_path)
    assert result.exit_code == 0, result.output
    assert "warning: SST-2.tsv has 11 rows, GLUE's test set has 1821" in result.output
    assert "SST-2.tsv: 11 rows" in result.output
    assert f"zip: {tmp_path / 'submission.zip'}" in result.output
    [missing] = [line for line in result.output.splitlines() if line.startswith("missing")]
    assert missing.endswith(
        "CoLA.tsv, MRPC.tsv, STS-B.tsv, QQP.tsv, MNLI-m.tsv, MNLI-mm.tsv, QNLI.tsv, RTE.tsv, "
        "WNLI.tsv, AX.tsv"
    )


def test_misuse_is_refused_in_one_line(finished_run, tmp_path):
    folder, _ = finished_run("sst2")
    out = tmp_path / "out"
    assert "Expected --dataset FILE or --glue FOLDER, received none" in refusal(predict(folder))
    both = predict(folder, "--glue", tmp_path / "out", "--dataset", "new.csv")
    assert "Expected --dataset FILE or --glue FOLDER, received both" in refusal(both)
    for wrong in (["--glue", "x", "--text", "a"], ["--dataset", "x", "--data-dir", "a"]):
        assert f"Expected no {wrong[2]} with {wrong[0]}" in refusal(predict(folder, *wrong))
    assert "Expected a run folder" in refusal(predict(tmp_path, "--glue", out))
    nowhere = predict(folder, "--glue", out, "--data-dir", tmp_path / "nowhere")
    assert "nowhere', received no such directory" in refusal(nowhere)
    assert not out.exists()
    out.write_text("a file")
    assert f"Expected a folder, received the file {str(out)!r}" in refusal(
        predict(folder, "--glue", out)
    )


def test_runs_that_have_no_files_to_write(tmp_path, bert, data_dir):
    out = tmp_path / "out"
    folder = RunFolder(tmp_path / "digits")
    spec = RunSpec.resolve("digits", "prokt")
    make(folder, {"status": "completed", "spec": spec.to_json()})
    assert "among glue-mnli, glue-mrpc" in refusal(predict(folder.path, "--glue", out))
    folder = RunFolder(tmp_path / "running")
    make(folder, {"status": "running", "spec": spec_of("sst2", bert, data_dir).to_json()})
    message = refusal(predict(folder.path, "--glue", out))
    assert "Expected a completed run" in message and "keras-prokt resume" in message
    assert not out.exists()


def test_a_broken_file_of_another_task_stops_before_anything_is_written(finished_run, tmp_path):
    (tmp_path / "CoLA.tsv").write_text("index\tprediction\n0\tyes\n")
    # The file that is to be replaced may be anything.
    (tmp_path / "SST-2.tsv").write_text("old")
    message = refusal(predict(finished_run("sst2")[0], "--glue", tmp_path))
    assert "received 'yes' at" in message and "CoLA.tsv, line 2" in message
    assert (tmp_path / "SST-2.tsv").read_text() == "old"
    assert not (tmp_path / "submission.zip").exists()


@pytest.mark.slow
def test_test_data_that_is_not_there_or_not_whole(finished_run, tmp_path):
    folder, _ = finished_run("sst2")
    write_glue(str(tmp_path / "cut"), ["sst2"], splits=lambda task: ["train", "validation"])
    result = predict(folder, "--glue", tmp_path / "out", "--data-dir", tmp_path / "cut")
    assert "Expected the split 'test' of glue/sst2" in refusal(result)

    def every_second(task, split):
        return ((idx, row) for idx, row in rows_of(task, split) if idx % 2)

    write_glue(str(tmp_path / "sample"), ["sst2"], rows=every_second)
    result = predict(folder, "--glue", tmp_path / "out", "--data-dir", tmp_path / "sample")
    assert "whose idx are 0 to 4, each once" in refusal(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.whole_run
@pytest.mark.parametrize(
    ("task", "rows"),
    [
        pytest.param(
            "sst2",
            1_821,
            marks=[pytest.mark.thorough, pytest.mark.real_data("minilm", "glue/sst2")],
        ),
        pytest.param(
            "mrpc",
            1_725,
            marks=[pytest.mark.thorough, pytest.mark.real_data("minilm", "glue/mrpc")],
        ),
    ],
)
def test_the_real_test_sets(tmp_path, task, rows):
    settings = {"teacher": MINILM, "data_dir": str(DATA), "epochs": 1, "limit": 32}
    spec = RunSpec.resolve(f"glue-{task}", "student", **settings)
    run(spec, tmp_path / "run", export=False)
    submission = write_submission(tmp_path / "run", tmp_path)
    assert submission.rows == {FILES[task]["test"]: rows}
