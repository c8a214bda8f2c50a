"""App `tokens`: words with tags through the command line, up to tags for raw strings."""

import json

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from marks import thorough
from pieces import KillAt, Killed
from pretended_runs import completed, record_of
from tagged_words import sentences, write_bert, write_conll

from keras_prokt import load_student
from keras_prokt.app import TaskRequest, get_app
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.tagged_sentences import load_tagged, read_tagged
from keras_prokt.data.tags import commonest_tags, entity_f1
from keras_prokt.front_ends import WordFrontEnd
from keras_prokt.results.evaluation import evaluate
from keras_prokt.runs import RunSpec, resume, run, training
from keras_prokt.runs.finished_run import evaluate_run
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.task import prepare
from keras_prokt_apps.token_predictions import predict_sentences

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tested on the default backend"
)
SMALL = {"epochs": 2, "batch_size": 16, "limit": 60}
TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"), 8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_conll(tmp_path_factory.mktemp("data") / "train.conll", 100)


def request_of(bert, dataset, student="bilstm", **settings):
    values = {"batch_size": 8, "seed": 0, "dataset": dataset, **settings}
    return TaskRequest(teacher=bert, student=student, **values)


def task_of(*arguments, **settings):
    return get_app("tokens").prepare(request_of(*arguments, **settings))


def spec_of(bert, dataset, method="prokt", **settings):
    values = {"teacher": bert, "dataset": dataset, **SMALL, **settings}
    return RunSpec.resolve("tokens", method, **values)


def written(folder, text, name="train.conll"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_both_models_read_the_same_positions_and_first_pieces_have_the_tags(bert, dataset):
    task = task_of(bert, dataset)
    parts = (task.train, task.validation, task.test)
    assert [part.num_examples for part in parts] == [80, 10, 10]
    assert (task.output, task.class_names) == ("positions", TAGS)
    assert task.metrics == ("entity_f1", "accuracy")
    x, y = next(task.train.epoch())
    assert x["teacher"]["token_ids"] is x["student"]["token_ids"]
    assert set(x["student"]) == {"token_ids", "padding_mask"}
    assert y.shape == x["teacher"]["token_ids"].shape
    # [CLS], [SEP], padding and the pieces that go on with a word have no tag.
    pieces = np.array(task.front_end.vocabulary)[x["teacher"]["token_ids"]]
    goes_on = np.char.startswith(pieces.astype(str), "##")
    assert goes_on.any()
    special = np.isin(pieces, ["[CLS]", "[SEP]", "[PAD]"])
    np.testing.assert_array_equal(y == -1, goes_on | special)


@pytest.mark.slow
def test_what_is_read_and_what_is_to_be_beaten_is_said(bert, dataset, tmp_path, capsys):
    task_of(bert, dataset)
    said = capsys.readouterr().err
    assert "tags: 5, entities in IOB2\n" in said
    assert "the commonest tag of each word: entity F1 0." in said and "cut" not in said
    task = task_of(bert, dataset, max_length=9)
    assert "train: " in (said := capsys.readouterr().err)
    words = sum(map(len, read_tagged(dataset).words))
    kept = sum(int((p.labels >= 0).sum()) for p in (task.train, task.validation, task.test))
    cut = sum(int(line.split()[1]) for line in said.splitlines() if "are cut at" in line)
    assert cut == words - kept > 0
    plain = written(tmp_path, "a DET\nhouse NOUN\nwas VERB\n\n" * 30)
    assert task_of(bert, plain).metrics == ("accuracy",)
    assert "tags: 3, each for itself\nthe commonest tag of each word: accuracy 1.0" in (
        capsys.readouterr().err
    )
    iob1 = written(tmp_path, "mr O\nparis I-PER\n\nin O\nkent I-LOC\n\n" * 30)
    task_of(bert, iob1)
    assert "entities in IOB1, learnt and predicted as IOB2" in capsys.readouterr().err


def test_limit_takes_some_sentences_by_the_seed_alone(bert, dataset):
    some, others = (task_of(bert, dataset, limit=20, seed=seed).train for seed in (0, 1))
    assert some.num_examples == 20 and some.origin.count == 100
    assert not np.array_equal(some.origin.positions, others.origin.positions)
    all_words = read_tagged(dataset).words
    lengths = [int((row >= 0).sum()) for row in some.labels]
    assert lengths == [len(all_words[i]) for i in some.origin.positions]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": None}, "Expected dataset with app 'tokens', received none; name"),
        ({"unlabelled_rows": True}, "no unlabelled_rows with app 'tokens'.*; each word"),
        ({"text_columns": ("a", "b")}, "one column of words in text_columns.* received a,b; name"),
        ({"student": "bilstm-500"}, "the teacher's word pieces, received 'bilstm-500'; what"),
        ({"student": "bilstms"}, "a student"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(bert, dataset, settings, message):
    values = {"dataset": dataset, "student": "bilstm", **settings}
    with pytest.raises(ValueError, match=message) as error:
        get_app("tokens").check(request_of(bert, **values))
    assert "\n" not in str(error.value)


def test_a_student_with_other_word_pieces_is_refused(bert, dataset, tmp_path):
    from small_glue import write_bert as write_other

    write_other(str(tmp_path / "other"))
    with pytest.raises(ValueError, match="with the word pieces of .*, received .*; what the two"):
        task_of(bert, dataset, str(tmp_path / "other"))


def test_stored_outputs_of_whole_examples_are_refused(bert, dataset, tmp_path):
    np.savez(tmp_path / "outputs.npz", logits=np.zeros((100, 5), "float32"))
    spec = spec_of(bert, dataset, "kd", teacher_outputs=str(tmp_path / "outputs.npz"))
    with pytest.raises(ValueError, match="no teacher_outputs with app 'tokens', .*; a row is"):
        prepare(spec)


@pytest.mark.parametrize(
    ("out", "columns", "message"),
    [
        (
            "tags.csv",
            None,
            "that ends in .conll or .txt or .bio, received 'tags.csv'; name another",
        ),
        ("tags.conll", ("a", "b"), "one column of words in text_columns, received a,b; name that"),
    ],
)
def test_predictions_have_one_column_of_words_and_a_suffix_of_conll(
    out, columns, message, bert, dataset, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    front_end = WordFrontEnd(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"], max_length=8)
    run_folder = RunFolder(tmp_path / "run")
    with run_folder.created(record_of(spec_of(bert, dataset)), front_end.to_json()) as record:
        run_folder.write(completed(record, 0.5))
    with pytest.raises(ValueError, match=message):
        predict_sentences(tmp_path / "run", dataset, out, text_columns=columns)
    assert not (tmp_path / out).exists()


@pytest.fixture(scope="module")
def finished(bert, tmp_path_factory):
    """Folder and record of a whole run."""
    place = tmp_path_factory.mktemp("run")
    dataset = write_conll(place / "train.conll", 300)
    rates = {"teacher_learning_rate": 3e-3, "student_learning_rate": 1e-2}
    spec = spec_of(bert, dataset, limit=None, epochs=8, **rates)
    record = run(spec, place / "run", cache=place / "cache", save_teacher=True)
    return place / "run", record


@pytest.mark.whole_run
def test_a_run_is_measured_by_entities(finished):
    folder, record = finished
    assert record["results"]["metric"] == "entity_f1"
    values = [float(row["val_student_entity_f1"]) for row in read_history(folder / "history.csv")]
    assert record["results"]["best_epoch"] == 1 + int(np.argmax(values))
    measured = record["results"]["models"]["student"]
    assert measured["validation"]["entity_f1"] == pytest.approx(max(values), abs=1e-6)
    assert list(measured["test"]) == ["entity_f1", "accuracy", "loss", "seconds"]
    again = evaluate_run(folder)["test"]
    assert {**again, "seconds": 0} == {**measured["test"], "seconds": 0}
    rows = (folder / "predictions" / "test.csv").read_text().splitlines()[1:]
    pairs = [row.split(",")[:2] for row in rows]
    assert np.mean([label == answer for label, answer in pairs]) == measured["test"]["accuracy"]


@pytest.mark.whole_run
def test_predicted_tags_have_the_f1_of_the_record(finished, tmp_path):
    folder, record = finished
    labeling = pytest.importorskip("seqeval.metrics", reason="an implementation by others")
    test = load_tagged(record["spec"]["data"]["dataset"]).parts["test"]
    text = "\n\n".join("\n".join(map("\t".join, sentence)) for sentence in test.columns)
    written(tmp_path, f"{text}\n", "test.conll")
    result = keras_prokt("predict", folder, "--dataset", "test.conll", cwd=tmp_path)
    assert result.stdout == "predictions.conll: 30 rows\n"
    found = read_tagged(tmp_path / "predictions.conll")
    assert found.words == test.words
    assert [[c[1] for c in sentence] for sentence in found.columns] == test.tags
    measured = record["results"]["models"]["student"]["test"]["entity_f1"]
    assert measured > 0
    assert labeling.f1_score(test.tags, found.tags) == pytest.approx(measured, abs=1e-6)
    refused = keras_prokt("predict", folder, "--dataset", "test.conll", cwd=tmp_path)
    assert refused.exit_code == 2 and "Expected a new file for the predictions" in refused.stderr


@pytest.mark.whole_run
def test_words_alone_and_json_lines_are_tagged_and_cut_words_counted(finished, tmp_path):
    folder, _ = finished
    words = [["in", "paris"], ["the"] * 80]
    records = [json.dumps({"tokens": one}) for one in words]
    written(tmp_path, "\n".join(records), "new.jsonl")
    arguments = ("--dataset", "new.jsonl", "--text", "tokens", "--out", "out.conll")
    result = keras_prokt("predict", folder, *arguments, "--model", "teacher", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "18 words are cut at max_length; they have the tag O" in result.stderr
    found = read_tagged(tmp_path / "out.conll")
    assert found.words == words and found.tags[1][-18:] == ["O"] * 18
    assert {tag for tags in found.tags for tag in tags} <= set(TAGS)


@pytest.mark.process
@pytest.mark.whole_run
def test_its_saved_model_tags_the_words_of_raw_strings(finished, server, tmp_path):
    folder, _ = finished
    texts = ["The old house, to Paris Kent", "mr YORK.", "", " ".join(["the"] * 70)]
    served = server.ask(folder / "saved_model" / "1", "serve_text", text=texts)
    words = [["The", "old", "house", ",", "to", "Paris", "Kent"], ["mr", "YORK", "."], []]
    found = [[word for word in row if word] for row in served["words"]]
    assert found == [*words, ["the"] * 70]
    tags = [row[: len(of_text)] for row, of_text in zip(served["tags"], found, strict=True)]
    lines = "\n\n".join("\n".join(one) for one in found if one)
    written(tmp_path, f"{lines}\n", "served.conll")
    assert keras_prokt("predict", folder, "--dataset", "served.conll", cwd=tmp_path).exit_code == 0
    predicted = read_tagged(tmp_path / "predictions.conll").tags
    assert tags[:2] == predicted[:2] and tags[2] == []
    # Behind the end of what the model reads there is no tag.
    assert tags[3] == [*predicted[2][:62], *[""] * 8]


@pytest.mark.whole_run
@pytest.mark.parametrize("method", thorough("prokt", "kd"))
def test_a_killed_run_goes_on_exactly(method, bert, dataset, tmp_path, monkeypatch):
    spec = spec_of(bert, dataset, method, **({"teacher_epochs": 1} if method == "kd" else {}))
    run(spec, tmp_path / "whole", export=False, cache=tmp_path / "one")
    kill = KillAt(6)
    with monkeypatch.context() as patched:
        patched.setattr(training, "Progress", lambda *_: kill)
        with pytest.raises(Killed):
            run(spec, tmp_path / "killed", export=False, cache=tmp_path / "other")
    resume(tmp_path / "killed", cache=tmp_path / "other")
    students = [load_student(tmp_path / name / "student.keras") for name in ("whole", "killed")]
    for one, other in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_an_evaluation_counts_words_alone(bert, dataset):
    task = task_of(bert, dataset)
    keras.utils.set_random_seed(0)
    model = task.build_student()
    [found] = evaluate(model, {"test": task.test}, "student", task.metrics, "positions").values()
    right, predicted, losses = [], [], []
    for x, labels in task.test.epoch():
        logits = model.predict_on_batch(x["student"])
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for row, of_row, of_labels in zip(labels, logits.argmax(-1), logs, strict=True):
            right.append([TAGS[tag] for tag in row[row >= 0]])
            predicted.append([TAGS[tag] for tag in of_row[row >= 0]])
            losses += [-of_labels[i, tag] for i, tag in enumerate(row) if tag >= 0]
    flat = [np.concatenate(tags) for tags in (right, predicted)]
    assert found.metrics["accuracy"] == pytest.approx(np.mean(flat[0] == flat[1]))
    assert found.metrics["entity_f1"] == pytest.approx(entity_f1(right, predicted), abs=1e-6)
    assert found.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    np.testing.assert_array_equal(np.array(TAGS)[found.right_answers], flat[0])


@pytest.mark.whole_run
def test_context_is_learnt_beyond_the_commonest_tag_of_each_word(tmp_path):
    labeling = pytest.importorskip("seqeval.metrics", reason="an implementation by others")
    train = write_conll(tmp_path / "train.conll", 2000)
    held_out = {
        name: write_conll(tmp_path / f"{name}.conll", 200, seed)
        for name, seed in (("validation", 1), ("test", 2))
    }
    spec = RunSpec.resolve(
        "tokens",
        "prokt",
        teacher=write_bert(tmp_path / "bert", 64),
        dataset=train,
        **held_out,
        epochs=6,
        batch_size=16,
        teacher_learning_rate=2e-3,
        student_learning_rate=3e-3,
    )
    record = run(spec, tmp_path / "run", export=False, cache=tmp_path / "cache")
    known = commonest_tags(*zip(*sentences(2000), strict=True))
    words, tags = zip(*sentences(200, 2), strict=True)
    baseline = labeling.f1_score(list(map(list, tags)), list(known.answers(words)))
    found = record["results"]["models"]["student"]["test"]["entity_f1"]
    assert baseline > 0.1
    assert found > baseline + 0.1
