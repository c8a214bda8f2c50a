"""App `text`: tables through the command line, up to class names for raw strings."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from small_glue import write_bert, write_glue

from keras_prokt import load_student
from keras_prokt.app import TaskRequest, get_app
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.text import tokenize
from keras_prokt.models.bert import bert_tokenizer
from keras_prokt.models.wordpiece import ExactBertTokenizer
from keras_prokt.runs import predict
from keras_prokt.runs.environment import describe_environment
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare
from keras_prokt.runs.teachers import ready_teacher
from keras_prokt.runs.training import Run
from keras_prokt.runs.training_run import run
from keras_prokt_apps.text_inputs import CutTexts, UnknownPieces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="tested on the default backend"
    ),
]
COMPLETED = {
    "training_seconds": 0.0,
    "examples": {},
    "results": {
        "best_epoch": 1,
        "last_epoch": 1,
        "models": {"student": {"parameters": 0, "bytes": 0}},
    },
}
WORDS = {"schlecht 👎": "awful", "good": "lovely", "so-so": "average"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("bert"))
    write_bert(
        folder, ["an", "film", "number", ",", "title", *WORDS.values(), *map(str, range(60))]
    )
    return folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "body", "stars"])
        for row in range(60):
            label = list(WORDS)[row % 3]
            writer.writerow([f"title {row}", f"an {WORDS[label]},\nnumber {row} film", label])
    return path


@pytest.fixture
def serve(server):
    """Gives the outputs of `serve_text` of a run's SavedModel, in another process."""

    def ask(folder, name="saved_model", **columns):
        return server.ask(folder / name / "1", "serve_text", **columns)

    return ask


def test_pairs_are_read_by_both_models(table, bert):
    request = TaskRequest(
        teacher=bert,
        student="bilstm",
        batch_size=4,
        seed=0,
        limit=10,
        dataset=str(table),
        text_columns=("title", "body"),
        label_column="stars",
    )
    task = get_app("text").prepare(request)
    parts = (task.train, task.validation, task.test)
    assert [part.num_examples for part in parts] == [10, 6, 6]
    assert sorted(task.class_names) == task.class_names == sorted(WORDS)
    assert task.front_end.pair
    x, y = next(task.validation.epoch())
    assert set(x["student"]) >= {"token_ids", "token_ids_pair"}
    assert x["teacher"]["segment_ids"].max() == 1
    assert y.dtype == "int32"


@pytest.mark.process
@pytest.mark.whole_run
def test_a_run_gives_class_names_for_raw_strings(table, bert, tmp_path, serve):
    arguments = ["--app", "text", "--dataset", table.name, "--text", "body", "--label", "stars"]
    arguments += ["--teacher", bert, "--student", "bilstm", "--epochs", "1", "--out", "run"]
    result = keras_prokt("run", *arguments, "--stop-after", "1s", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["spec"]["data"]["dataset"] == str(table)
    assert record["class_names"] == sorted(WORDS)

    content = table.read_bytes()
    table.write_bytes(content + b"a,b,good\n")
    refused = keras_prokt("resume", folder, cwd=elsewhere)
    assert refused.exit_code == 2
    assert "the dataset with which the run was started" in refused.stderr
    table.write_bytes(content)
    if record["status"] != "completed":
        result = keras_prokt("resume", folder, cwd=elsewhere)
        assert result.exit_code == 0, result.stderr
    record = json.loads((folder / "run.json").read_text())
    assert record["examples"] == {"train": 48, "validation": 6, "test": 6}

    served = serve(folder, text=["an awful film", "lovely", "average 🙂\nfilm"])
    assert sorted(served) == ["class_name", "label", "probabilities"]
    assert served["class_name"] == [record["class_names"][label] for label in served["label"]]

    new = tmp_path / "new.jsonl"
    texts = ["an awful film", "lovely", "average 🙂\nfilm"]
    new.write_text("\n".join([json.dumps({"words": text}) for text in texts[:2]] + [""]))
    with new.open("a") as file:
        file.write("\n" + json.dumps({"words": texts[2]}) + "\n")
    assert predict(folder, new, tmp_path / "out.csv", text_columns=("words",)) == 3
    header, *rows = predictions(tmp_path / "out.csv")
    assert header == ["line", "words", "class_name", *(f"p({name})" for name in sorted(WORDS))]
    assert [row[:3] for row in rows] == [
        list(row) for row in zip("124", texts, served["class_name"], strict=True)
    ]
    given = [list(map(float, row[3:])) for row in rows]
    np.testing.assert_allclose(given, served["probabilities"], atol=1e-5)
    before = (tmp_path / "out.csv").read_bytes()
    for out, columns, message in (
        (tmp_path / "no.csv", None, "received 'body'"),
        (
            tmp_path / "no.csv",
            ("words", "words"),
            "Expected text_columns COLUMN for a model of single",
        ),
        (new, ("words",), "predictions that ends in .csv or .parquet"),
        (tmp_path, ("words",), "predictions that ends in .csv or .parquet"),
    ):
        with pytest.raises(ValueError, match=message):
            predict(folder, new, out, text_columns=columns, overwrite=True)
    with pytest.raises(ValueError, match="which exists; name another one with out"):
        predict(folder, new, tmp_path / "out.csv", text_columns=("words",))
    with pytest.raises(ValueError, match="Expected a file or a folder, received 'tfds:glue/cola'"):
        predict(folder, "tfds:glue/cola", tmp_path / "no.csv")
    assert not (tmp_path / "no.csv").exists() and len(new.read_text().splitlines()) == 4
    predict(folder, new, tmp_path / "out.csv", text_columns=("words",), overwrite=True)
    assert (tmp_path / "out.csv").read_bytes() == before

    running = RunFolder(folder)
    running.write({**running.read(), "status": "running"})
    with pytest.raises(ValueError, match="Expected a completed run at"):
        predict(folder, new, tmp_path / "no.csv")
    images = RunFolder(tmp_path / "images")
    spec = RunSpec.resolve("digits", "prokt")
    about = {"spec": spec.to_json(), "data": {}, "class_names": [], "export": False}
    with images.created({"status": "running", "started": "", **about, **describe_environment()}):
        images.write({**images.read(), "status": "completed", **COMPLETED})
    with pytest.raises(ValueError, match="Expected a saved student at .*, received none"):
        predict(images.path, new, tmp_path / "no.csv")


def predictions(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.process
@pytest.mark.whole_run
def test_a_run_on_pairs_gives_class_names_for_raw_pairs(bert, tmp_path, serve):
    path = tmp_path / "pairs.tsv"
    texts = {f"an {word} film": label for label, word in WORDS.items()}
    pairs = [(one, two) for one in texts for two in texts]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["one", "two", "of_one"])
        writer.writerows(8 * [(one, two, texts[one]) for one, two in pairs])
    arguments = ["--app", "text", "--dataset", path, "--text", "two, one", "--label", "of_one"]
    arguments += ["--teacher", bert, "--student", "bert-1", "--batch-size", "4", "--epochs", "1"]
    # Large steps, so that different pairs get different probabilities.
    arguments += ["--student-learning-rate", "0.01", "--teacher-learning-rate", "0.01"]
    arguments += ["--out", "run"]
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["class_names"] == sorted(WORDS)
    assert "test" in record["results"]["models"]["student"]

    one, two = zip(*pairs, strict=True)
    served = serve(tmp_path / "run", text=two, text_pair=one)
    tokens = tokenize(bert_tokenizer(bert), two, second=one)
    inputs = {
        "token_ids": np.stack(tokens.token_ids),
        "padding_mask": np.ones((len(pairs), 9), "int32"),
        "segment_ids": np.stack(tokens.segment_ids),
    }
    logits = load_student(tmp_path / "run" / "student.keras").predict(inputs, verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the texts count
    assert served["class_name"] == [record["class_names"][i] for i in logits.argmax(-1)]

    # The columns are those of the run; the pairs stand 8 times in the table, from line 2.
    result = keras_prokt("predict", "run", "--dataset", path, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"predictions.csv: {8 * len(pairs)} rows\n"
    header, *rows = predictions(tmp_path / "predictions.csv")
    assert [int(row[0]) for row in rows] == list(range(2, 2 + 8 * len(pairs)))
    answers = header.index("class_name") + 1  # behind the table's own columns
    assert answers > 2 and set(pairs) == {tuple(row[1:3]) for row in rows}
    given = [list(map(float, row[answers:])) for row in rows]
    np.testing.assert_allclose(given, np.tile(expected, (8, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("method", "student", "message"),
    [
        ("pkd+kd", "bilstm", "received 'bilstm'; use another student"),
        ("tinybert+prokt", "bilstm", "received 'bilstm'; use another student"),
        ("pkd+kd", "bert-2-4", "8 features of the teacher and 4 of the student"),
        ("kd", "bert-3", "layers from 1 to 2 .*, received 3"),
        ("kd", "bert-1-5", "a multiple of the preset's 2 attention heads, received 5"),
    ],
)
def test_students_that_do_not_suit_are_refused_before_a_teacher_is_trained(
    table, bert, tmp_path, method, student, message
):
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    spec = RunSpec.resolve("text", method, teacher=bert, student=student, **settings)
    with pytest.raises(ValueError, match=message):
        run(spec, tmp_path / "run", cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_narrow_student_learns_the_teachers_states(table, bert, tmp_path):
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    settings |= {"epochs": 1, "teacher_epochs": 1, "first_stage_epochs": 2}
    spec = RunSpec.resolve("text", "tinybert", teacher=bert, student="bert-1-4", **settings)
    record = run(spec, tmp_path / "run", export=False, cache=tmp_path / "cache")
    student = load_student(tmp_path / "run" / "student.keras").get_layer("backbone")
    assert (student.num_layers, student.hidden_dim, student.num_heads) == (1, 4, 2)
    models = record["results"]["models"]
    assert models["student"]["parameters"] < models["teacher"]["parameters"]
    history = read_history(tmp_path / "run" / "first_stage" / "history.csv")
    losses = [float(row["student_loss"]) for row in history]
    assert losses[1] < losses[0]


@pytest.mark.thorough
@pytest.mark.whole_run
def test_a_changed_table_has_another_teacher(table, bert, tmp_path):
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    spec = RunSpec.resolve("text", "kd", teacher=bert, teacher_epochs=1, **settings)

    def cached_teachers(name):
        ready_teacher(Run(spec, RunFolder(tmp_path / name), cache=tmp_path / "cache"))
        return {path.name for path in (tmp_path / "cache" / "teachers").iterdir()}

    first = cached_teachers("first")
    assert len(first) == 2  # after the last epoch, and after the best one
    assert cached_teachers("again") == first
    content = table.read_bytes()
    table.write_bytes(content.replace(b"number 7 film", b"number 8 film"))
    changed = cached_teachers("changed")
    assert len(changed) == 4 and first < changed
    table.write_bytes(content)
    assert cached_teachers("restored") == changed


def test_problems_of_a_table_are_one_line_and_nothing_is_written(table, bert, tmp_path):
    with table.open("a") as file:
        file.write("title,,good\n")
    arguments = ["--app", "text", "--dataset", table, "--text", "body", "--label", "stars"]
    result = keras_prokt("run", *arguments, "--teacher", bert, cwd=tmp_path)
    assert result.exit_code == 2
    assert f"received an empty one at {table}, line 122;" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [table]


def test_duplicate_texts_are_one_line_of_warning(table, bert, tmp_path):
    arguments = ["--app", "text", "--dataset", table, "--text", "body", "--label", "stars"]
    arguments += ["--validation", table, "--teacher", bert, "--epochs", "1", "--estimate"]
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "keras-prokt: warning: Expected the validation part" in result.stderr
    assert f"60 texts again, the first at {table}, line 2;" in result.stderr


@pytest.mark.process
@pytest.mark.whole_run
def test_a_run_is_exported_without_its_data_and_its_teacher(table, bert, tmp_path, serve):
    workplace = tmp_path / "work"
    workplace.mkdir()
    shutil.copy(table, workplace / "reviews.csv")
    shutil.copytree(bert, workplace / "small")
    arguments = ["--app", "text", "--dataset", "reviews.csv", "--text", "body", "--label", "stars"]
    # A directory of its own is a student too, and is found from any folder.
    arguments += ["--teacher", bert, "--student", "small", "--method", "student"]
    arguments += ["--epochs", "1", "--out", tmp_path / "run", "--no-export"]
    result = keras_prokt("run", *arguments, cwd=workplace)
    assert result.exit_code == 0, result.stderr
    spec = json.loads((tmp_path / "run" / "run.json").read_text())["spec"]
    assert spec["models"]["student"] == str(workplace / "small")
    evaluated = keras_prokt("evaluate", "run", cwd=tmp_path)
    assert evaluated.exit_code == 0, evaluated.stderr
    shutil.rmtree(workplace)
    result = keras_prokt("export", "run", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert predict(tmp_path / "run", table, tmp_path / "out.csv") == 60
    assert set(serve(tmp_path / "run", text=["an average film"])["class_name"]) <= set(WORDS)


def request_of(table, **models):
    columns = models.pop("columns", ("body",))
    return TaskRequest(
        **{"student": "bilstm", **models},
        batch_size=4,
        seed=0,
        dataset=str(table),
        text_columns=columns,
        label_column="stars",
    )


def test_texts_are_cut_to_the_positions_of_both_models(table, bert, tmp_path):
    short = str(tmp_path / "short")
    write_bert(short, ["an", "film", "number"], max_length=6)
    for models in ({"teacher": short}, {"teacher": bert, "student": short}):
        task = get_app("text").prepare(request_of(table, **models))
        for role in ("teacher", "student"):
            lengths = {len(row) for row in task.train.inputs[role]["token_ids"]}
            assert max(lengths) == 6
        assert task.front_end.max_length == 6
        [inputs, _] = next(iter(task.train.epoch()))
        logits = task.build_teacher()(inputs["teacher"])  # not padded beyond its positions
        assert logits.shape == (4, 3)
    cut = get_app("text").prepare(request_of(table, teacher=bert))
    assert max(len(row) for row in cut.train.inputs["teacher"]["token_ids"]) > 6


def test_texts_are_cut_at_the_length_asked_for(table, bert, tmp_path):
    short, arguments = str(tmp_path / "short"), {"teacher": bert, "columns": ("title", "body")}
    write_bert(short, max_length=6)
    with pytest.warns(CutTexts, match="fewer than 7 word pieces, received 100% that are as long"):
        task = get_app("text").prepare(request_of(table, **arguments, max_length=7))
    assert task.front_end.max_length == 7
    assert task.text_shares["teacher"] == {"cut": 1.0, "unknown": 0.0}
    of_teacher = task.train.inputs["teacher"]["token_ids"]
    assert max(len(row) for row in of_teacher) == 7
    assert max(len(row) for row in task.train.inputs["student"]["token_ids_pair"]) <= 7
    lengths = [len(row) for row in task.validation.inputs["teacher"]["token_ids"]]
    assert lengths == sorted(lengths, reverse=True)
    for teacher, length, message in (
        (short, 7, "at most 6, the positions of '.*short', received 7"),
        (bert, 4, "at least 5 .* received 4"),
    ):
        with pytest.raises(ValueError, match=f"Expected max_length of {message}"):
            get_app("text").prepare(
                request_of(table, **arguments | {"teacher": teacher}, max_length=length)
            )
    with pytest.raises(ValueError, match="no max_length with app 'digits', received 64"):
        RunSpec.resolve("digits", "prokt", max_length=64)
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    assert RunSpec.resolve("text", "prokt", max_length=64, **settings).max_length == 64


def test_word_pieces_that_a_vocabulary_lacks_are_counted_and_warned_of(table, bert, tmp_path):
    unknown = str(tmp_path / "unknown")
    write_bert(unknown, ["an", "film", "number", ","])
    expected = "the vocabulary of teacher and student can spell, received [0-9]+% unknown"
    with pytest.warns(UnknownPieces, match=expected):
        task = get_app("text").prepare(request_of(table, teacher=unknown))
    rows = task.train.inputs["student"]["token_ids"]
    pieces = [task.front_end.vocabulary[i] for row in rows for i in row]
    words = [piece for piece in pieces if piece not in ("[CLS]", "[SEP]")]
    share = words.count("[UNK]") / len(words)
    assert task.text_shares["student"] == {"cut": 0.0, "unknown": round(share, 4)}
    assert 0.2 < share < 1
    shares = get_app("text").prepare(request_of(table, teacher=bert)).text_shares
    assert shares["student"] == {"cut": 0.0, "unknown": 0.0}


def test_a_bert_of_one_segment_reads_no_pairs(table, tmp_path):
    one = str(tmp_path / "one")
    write_bert(one, num_segments=1)
    get_app("text").prepare(request_of(table, teacher=one))
    with pytest.raises(ValueError, match="Expected a BERT of 2 segments for pairs, received"):
        get_app("text").prepare(request_of(table, teacher=one, columns=("title", "body")))


@pytest.mark.thorough
def test_attention_is_matched_between_the_same_word_pieces(table, bert, tmp_path):
    same, other = str(tmp_path / "same"), str(tmp_path / "other")
    shutil.copytree(bert, same)
    write_bert(other, ["an", "film", "number"])
    settings = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    for student in ("bert-1", same):
        spec = RunSpec.resolve("text", "tinybert", teacher=bert, student=student, **settings)
        prepare(spec)
    task = get_app("text").prepare(request_of(table, teacher=bert, student=same))
    assert task.train.inputs["student"]["token_ids"] is task.train.inputs["teacher"]["token_ids"]
    spec = RunSpec.resolve("text", "tinybert", teacher=bert, student=other, **settings)
    with pytest.raises(ValueError, match="reads the teacher's word pieces with method 'tinybert'"):
        prepare(spec)


def test_validation_splits_that_are_left_out_are_one_line_of_warning(tmp_path):
    write_glue(tmp_path, ["mnli"])
    arguments = ["--app", "text", "--dataset", "tfds:glue/mnli", "--text", "premise,hypothesis"]
    arguments += ["--label", "label", "--data-dir", tmp_path]
    arguments += ["--teacher", "none"]  # refused after the data is read
    result = keras_prokt("run", *arguments, cwd=tmp_path)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if "validation_mismatched" in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("keras-prokt: warning: Expected one validation split in tfds:glue/")


def of_own_pieces(bert, table, method="prokt", **changes):
    """The spec of a run whose student has word pieces of its own."""
    settings = {"teacher": bert, "student": "bilstm-100", "epochs": 1, "dataset": str(table)}
    settings |= {"text_columns": ("body",), "label_column": "stars", **changes}
    return RunSpec.resolve("text", method, **settings)


def test_a_bilstm_with_word_pieces_of_its_own(table, bert, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    spec = of_own_pieces(bert, table)
    assert spec.student_learning_rate == 1e-3
    task = prepare(spec)
    pieces = task.front_end.vocabulary
    assert 60 < len(pieces) <= 100
    assert {"film", "lovely", "number"} < set(pieces) and "title" not in pieces
    assert task.build_student().get_layer("token_embedding").input_dim == len(pieces)
    with table.open(newline="", encoding="utf-8") as file:
        texts = [row["body"] for row in csv.DictReader(file)]
    of_texts = tokenize(ExactBertTokenizer(pieces), texts).token_ids
    rows = {tuple(row) for row in task.train.inputs["student"]["token_ids"]}
    assert rows < {tuple(row) for row in of_texts}
    assert rows.isdisjoint(tuple(row) for row in task.train.inputs["teacher"]["token_ids"])
    assert prepare(spec).front_end == task.front_end  # kept on disk
    shutil.rmtree(tmp_path / "cache")
    assert prepare(spec).front_end == task.front_end  # learnt again
    with pytest.raises(ValueError, match="at least 100 word pieces, received 99"):
        prepare(spec.replacing(student="bilstm-99"))
    with pytest.raises(ValueError, match="reads the teacher's word pieces with method 'tinybert'"):
        prepare(of_own_pieces(bert, table, "tinybert"))


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.whole_run
def test_a_run_with_word_pieces_of_its_own(table, bert, tmp_path, serve):
    spec = of_own_pieces(bert, table)
    pieces = prepare(spec).front_end.vocabulary
    run(spec, tmp_path / "run", cache=tmp_path / "cache", save_teacher=True)
    texts = ["a lovely film", "number 7", "an awful, awful, awful, awful film, number 12", "so"]
    served = serve(tmp_path / "run", text=texts)
    assert set(served["class_name"]) <= set(WORDS)
    new = tmp_path / "new.jsonl"
    new.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    predict(tmp_path / "run", new, tmp_path / "out.csv")
    given = [list(map(float, row[3:])) for row in predictions(tmp_path / "out.csv")[1:]]
    np.testing.assert_allclose(given, served["probabilities"], atol=1e-5)

    # The teacher reads the word pieces of its checkpoint.
    tokens = tokenize(bert_tokenizer(bert), texts)
    assert list(map(len, tokens.token_ids)) != list(
        map(len, tokenize(ExactBertTokenizer(pieces), texts).token_ids)
    )
    teacher = load_student(tmp_path / "run" / "teacher.keras")
    expected = []
    for ids, segments in zip(tokens.token_ids, tokens.segment_ids, strict=True):
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids), "segment_ids": segments}
        logits = teacher({name: value[None] for name, value in inputs.items()})
        expected.append(keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0])
    of_teacher = serve(tmp_path / "run", "teacher_saved_model", text=texts)
    np.testing.assert_allclose(of_teacher["probabilities"], expected, atol=1e-5)
    predict(tmp_path / "run", new, tmp_path / "teacher.csv", model="teacher")
    given = [list(map(float, row[3:])) for row in predictions(tmp_path / "teacher.csv")[1:]]
    np.testing.assert_allclose(given, expected, atol=1e-5)
