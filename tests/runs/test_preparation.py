"""What `prepare` writes is what the apps make: the same data and the same models at the start."""

import csv
import shutil

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from small_glue import LABELS, WORDS, write_glue

from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.export import FormatCard
from keras_prokt.files import write_record
from keras_prokt.runs import preparation
from keras_prokt.runs.preparation import prepare_folder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import digests, prepare, seeded
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tested on the default backend"
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    write_glue(folder, ("mnli", "sst2"))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))


def weights_of(build):
    return seeded(build, 5).get_weights()


def assert_same_task(usual_spec, spec):
    usual, task = prepare(usual_spec), prepare(spec)
    assert digests(spec, task) == digests(usual_spec, usual)
    assert task.train.origin.count == usual.train.origin.count
    np.testing.assert_array_equal(task.train.origin.positions, usual.train.origin.positions)
    for field in (
        "class_names",
        "metrics",
        "front_end",
        "teacher_front_end",
        "validates_on_training_set",
    ):
        assert getattr(task, field) == getattr(usual, field)
    for build in ("build_teacher", "build_student"):
        pairs = zip(
            weights_of(getattr(task, build)), weights_of(getattr(usual, build)), strict=True
        )
        assert all(np.array_equal(*pair) for pair in pairs)
    first = [next(iter(one.train.epoch(1))) for one in (usual, task)]
    keras.tree.map_structure(np.testing.assert_array_equal, *first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "student", "settings"),
    [
        ("glue-mnli", "bilstm", {}),
        ("glue-mnli", "bert-1", {"max_length": 9}),
        ("glue-mnli", "bert-1-4", {"limit": 7, "seed": 2}),
        ("glue-sst2", "bilstm-100", {"hold_out": 3, "split_seed": 1}),
    ],
)
def test_texts(app, student, settings, data_dir, bert, tmp_path):
    usual = {"teacher": bert, "student": student, "batch_size": 4, "seed": 0, **settings}
    spec = RunSpec.resolve(app, "prokt", data_dir=data_dir, **usual)
    prepare_folder(spec, tmp_path / "new")
    # All but the size of batches, which has no part in it, is taken from the folder.
    from_folder = RunSpec.resolve(app, "prokt", batch_size=4, prepared=str(tmp_path / "new"))
    from_folder.check_without_keras()
    for name in usual:
        assert getattr(from_folder, name) == getattr(spec, name)
    assert_same_task(spec, from_folder)


@pytest.mark.slow
def test_other_students_with_the_word_pieces_of_the_folder(data_dir, bert, tmp_path):
    given = {"teacher": bert, "data_dir": data_dir, "batch_size": 4}
    prepare_folder(RunSpec.resolve("glue-mnli", "prokt", student="bilstm", **given), tmp_path / "a")
    prepare_folder(RunSpec.resolve("glue-mnli", "prokt", student="bert-1", **given), tmp_path / "b")

    def from_folder(name, student, method="prokt", **more):
        more |= {"prepared": str(tmp_path / name), "student": student, "batch_size": 4}
        return RunSpec.resolve("glue-mnli", method, **more)

    usual = RunSpec.resolve("glue-mnli", "prokt", student="bert-1", **given)
    assert_same_task(usual, from_folder("a", "bert-1"))
    with_assistants = from_folder("a", "bilstm", "ta", assistants=("bert-1",))
    with_assistants.check_without_keras()
    assert prepare(with_assistants.assistant_run()).train.inputs["student"].keys() >= {"token_ids"}
    for name, student in (("a", "bilstm-100"), ("b", "bilstm"), ("b", "bilstm-100")):
        with pytest.raises(SettingError, match="Expected student .*, with which .* was prepared"):
            from_folder(name, student).check_without_keras()
    with pytest.raises(SettingError, match="Expected teacher .*, with which .* was prepared"):
        from_folder("a", "bilstm", teacher="bert_base_en_uncased").check_without_keras()


def test_a_table_need_not_be_there(bert, tmp_path):
    table = tmp_path / "reviews.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "stars"])
        for row in range(60):
            writer.writerow([f"{WORDS[row % 7]} film {WORDS[row % 9]}", LABELS["sst2"][row % 2]])
    own = {"dataset": str(table), "text_columns": ("body",), "label_column": "stars"}
    spec = RunSpec.resolve("text", "prokt", teacher=bert, **own)
    prepare_folder(spec, tmp_path / "new")
    usual = digests(spec, prepare(spec))
    table.unlink()
    from_folder = RunSpec.resolve("text", "prokt", prepared=str(tmp_path / "new"))
    from_folder.check_without_keras()
    assert "dataset" in usual
    assert digests(from_folder, prepare(from_folder)) == usual


@pytest.mark.slow
def test_without_weights_only_what_needs_none_is_built(data_dir, bert, tmp_path):
    spec = RunSpec.resolve("glue-sst2", "student", teacher=bert, data_dir=data_dir)
    folder = prepare_folder(spec, tmp_path / "new", weights=False)
    assert not folder.record["checkpoints"]
    task = prepare(RunSpec.resolve("glue-sst2", "student", prepared=str(tmp_path / "new")))
    assert task.build_student().output_shape == (None, 2)
    with pytest.raises(SettingError, match=r"weights of .*, received no weights; prepare the fol"):
        task.build_teacher()


@pytest.mark.slow
def test_presets_that_are_no_directories_are_written_as_such(data_dir, bert, tmp_path, monkeypatch):
    from keras_prokt.models import bert as models

    task = prepare(RunSpec.resolve("glue-sst2", "prokt", teacher=bert, data_dir=data_dir))
    task.presets = ("hf://a/name",)
    load = models._load_backbone
    monkeypatch.setattr(
        models,
        "_load_backbone",
        lambda preset, *more: load(bert if preset == "hf://a/name" else preset, *more),
    )
    folder = preparation._checkpoints(task, tmp_path)["hf://a/name"]
    mine = weights_of(lambda: models.bert_classifier(str(folder), 2))
    other = weights_of(lambda: models.bert_classifier(bert, 2))
    assert all(np.array_equal(*pair) for pair in zip(mine, other, strict=True))


def test_the_command(tmp_path):
    done = keras_prokt("prepare", "--limit", 64, "--seed", 3, "--out", "new", cwd=tmp_path)
    assert done.exit_code == 0, done.output
    assert "train: 64 examples" in done.output
    assert "train with `keras-prokt run --app digits --prepared new`" in done.output
    folder = PreparedFolder(tmp_path / "new")
    assert f"new: {folder.size / 1e6:.2f} MB in 2 files" in done.output
    again = keras_prokt("prepare", "--out", "new", cwd=tmp_path)
    assert again.exit_code == 2 and "another one with --out" in again.output
    for size, message in (("5K", "--part-size of at least"), ("many", "Expected --part-size such")):
        small = keras_prokt("prepare", "--out", "other", "--part-size", size, cwd=tmp_path)
        assert small.exit_code == 2 and message in small.output
    refused = keras_prokt("run", "--prepared", "new", "--split-seed", 1, cwd=tmp_path)
    assert refused.exit_code == 2
    assert "Expected --split-seed not given, with which" in refused.output


@pytest.mark.whole_run
def test_a_run_without_tensorflow_says_how_to_export_later(tmp_path, monkeypatch):
    keras_prokt("prepare", "--limit", 64, "--out", "new", cwd=tmp_path)
    monkeypatch.setattr(FormatCard, "missing", lambda card: ["tensorflow"])
    options = ("--prepared", "new", "--epochs", 1, "--out", "run")
    done = keras_prokt("run", *options, cwd=tmp_path)
    assert done.exit_code == 0, done.output
    assert "SavedModel: left out without tensorflow" in done.output
    assert not (tmp_path / "run" / "saved_model").exists()
    monkeypatch.undo()
    # The data is not needed for that.
    shutil.rmtree(tmp_path / "new")
    later = keras_prokt("export", "run", cwd=tmp_path)
    assert later.exit_code == 0, later.output
    assert (tmp_path / "run" / "saved_model" / "1" / "saved_model.pb").is_file()


def test_apps_that_cannot_take_data_from_a_folder_say_so(tmp_path, monkeypatch):
    from dataclasses import replace

    from keras_prokt.app import get_app

    app = replace(get_app("digits"), can_prepare=False)
    monkeypatch.setattr("keras_prokt.runs.spec.get_app", lambda name: app)
    with pytest.raises(SettingError, match="Expected no prepared with app 'digits', received"):
        RunSpec.resolve("digits", "prokt", prepared=str(tmp_path))


def test_stored_outputs_find_their_rows_in_a_folder(tmp_path):
    np.savez(tmp_path / "outputs.npz", logits=np.random.default_rng(0).normal(size=(1797, 10)))
    spec = RunSpec.resolve("digits", "kd", limit=50, seed=3)
    folder = prepare_folder(spec, tmp_path / "new", weights=False)
    stored = {"teacher_outputs": str(tmp_path / "outputs.npz"), "limit": 50, "seed": 3}
    from_folder = RunSpec.resolve("digits", "kd", prepared=str(folder.path), **stored)
    usual = prepare(RunSpec.resolve("digits", "kd", **stored)).train
    np.testing.assert_array_equal(prepare(from_folder).train.targets, usual.targets)
    record = dict(folder.record)
    for part in record["parts"].values():
        del part["positions"]
    write_record(folder.path / "prepared.json", record)
    with pytest.raises(SettingError, match="prepared that says which rows of the data it has, wit"):
        prepare(from_folder)
