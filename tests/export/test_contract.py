"""What holds for every form of export, the table of them, and where they stand in a run."""

import json
import sys

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from keras import layers
from pretended_runs import write_run

from keras_prokt import StudentOnly, export
from keras_prokt.cli.shared import print_results
from keras_prokt.export import (
    FORMATS,
    Description,
    Format,
    FormatCard,
    ImageFrontEnd,
    export_student,
)
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.travel import _files_of_begun

PICTURES = ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])
NAMES = [f"digit {number}" for number in range(10)]


def pair_student():
    """Two inputs, so that their names and their order count."""
    inputs = {name: keras.Input((4,), name=name) for name in ("second", "first")}
    x = layers.BatchNormalization()(layers.Dense(5)(inputs["first"]) - inputs["second"][:, :1])
    return keras.Model(inputs, layers.Dense(2)(x))


def pair_batch():
    draw = np.random.default_rng(1).normal
    return {name: draw(size=(6, 4)).astype("float32") for name in ("first", "second")}


def picture_student():
    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(image)))


def picture_batch():
    return np.random.default_rng(1).normal(size=(6, 8, 8, 1)).astype("float32")


def path_of(name):
    """A path that a form can be written to."""
    return FORMATS[name].file or FORMATS[name].place


# What it holds has a test of its own, tests/export/test_hugging_face.py.
OF_ANY_STUDENT = [name for name in FORMATS if name != "huggingface"]


@pytest.fixture(params=OF_ANY_STUDENT)
def name(request):
    card = FORMATS[request.param]
    if missing := card.missing():
        pytest.skip(f"needs {', '.join(missing)}")
    if card.backend not in (None, keras.backend.backend()):
        pytest.skip("tested on the backend that writes it")
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("described", [False, True])
def test_what_is_written_is_the_student(tmp_path, name, described):
    card = FORMATS[name]
    student, batch = (picture_student, picture_batch) if described else (pair_student, pair_batch)
    student, batch = student(), batch()
    known = {"front_end": PICTURES, "class_names": NAMES} if described else {}
    known = {key: value for key, value in known.items() if key in card.holds}
    path = tmp_path / "new" / (card.file or card.place)
    written = export_student(student, str(path), name, **known)
    assert written.exists() and (written == path or written.parent == path)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]

    form, description = card.load(), Description(**known)
    assert form.largest_difference(written, student, batch, description) < 1e-5
    student.set_weights([3 * weight for weight in student.get_weights()])
    assert form.largest_difference(written, student, batch, description) > 1e-3


@pytest.mark.slow
def test_half_precision_is_within_the_tolerance(tmp_path, name):
    """Of float32 numbers: what leaves is compared with the copy that leaves."""
    student = keras.Sequential(
        [
            keras.Input((32,), name="features"),
            layers.Dense(64, "relu", dtype="mixed_float16"),
            layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)),
        ]
    )
    batch = np.random.default_rng(1).normal(size=(6, 32)).astype("float32")
    assert export_student(student, tmp_path / path_of(name), name, validation=batch).exists()


@pytest.mark.parametrize("part", ["front_end", "class_names"])
def test_what_it_does_not_hold_is_refused(tmp_path, name, part):
    card = FORMATS[name]
    if part in card.holds:
        pytest.skip("it holds that")
    given = {part: PICTURES if part == "front_end" else NAMES}
    with pytest.raises(ValueError, match=f"Expected no {part} with format '{name}'.*: saved_model"):
        export_student(picture_student(), tmp_path / path_of(name), name, **given)
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_refused(tmp_path, name, monkeypatch):
    path = tmp_path / path_of(name)
    monkeypatch.setattr(FormatCard, "missing", lambda card: ["onnx", "tf2onnx"])
    with pytest.raises(ValueError, match=f"Expected onnx, tf2onnx for format '{name}', received"):
        export_student(pair_student(), path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_was_written_is_printed_where_keras_prints_it(tmp_path, name, capsys):
    student = pair_student()
    for verbose in (False, True):
        path = tmp_path / str(verbose) / path_of(name)
        written = export_student(student, path, name, verbose=verbose)
        assert (str(written) in capsys.readouterr().out) == verbose


def test_names_aliases_and_places_are_each_of_one_form():
    words = [word for name, card in FORMATS.items() for word in (name, *card.aliases)]
    places = [card.place for card in FORMATS.values()]
    assert len(set(words)) == len(words) and len(set(places)) == len(places)
    taken = [place for card in FORMATS.values() for place in card.places().values()]
    assert len(set(taken)) == len(taken)
    parts = {part for card in FORMATS.values() for part in card.holds}
    assert parts <= {"front_end", "class_names"}
    for word in ("tf_saved_model", "SavedModel", "saved-model"):
        assert export.get(word) is FORMATS["saved_model"]


def test_packages_are_looked_for(monkeypatch):
    card = FormatCard("home", "title", "place", packages=("numpy", "no_such_package", "tensorflow"))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert card.missing() == ["no_such_package", "tensorflow"]


@pytest.mark.slow
def test_a_distiller_exports_in_any_form(tmp_path, name):
    student = picture_student()
    distiller = StudentOnly(student)
    card = FORMATS[name]
    for number, word in enumerate((name, *card.aliases)):
        written = distiller.export(tmp_path / str(number) / path_of(name), format=word)
        difference = card.load().largest_difference(
            written, student, picture_batch(), Description()
        )
        assert difference < 1e-5


def test_unknown_forms_are_refused_with_the_nearest(tmp_path):
    for word, nearest in (("saved_modl", "did you mean 'saved_model'"), (3, "use one of those")):
        with pytest.raises(ValueError, match=f"a form of export among .*{nearest}") as error:
            StudentOnly(picture_student()).export(tmp_path / "here", format=word)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path):
    """The folder of a completed run, without a training."""
    write_run(tmp_path / "run", RunSpec.resolve("digits", "student"), 0.5, class_names=NAMES)
    folder = RunFolder(tmp_path / "run")
    picture_student().save(folder.student)
    folder.write_front_end(PICTURES.to_json())
    return folder


@pytest.mark.slow
def test_the_command_writes_it_into_the_run(folder, tmp_path, name, monkeypatch):
    card = FORMATS[name]
    done = keras_prokt("export", "run", "--format", name, cwd=tmp_path)
    assert done.exit_code == 0, done.output
    if type(card.load()).open is not Format.open:  # else nothing runs it
        assert "keras-prokt: compared on 237 validation examples: largest diff" in done.stderr
    written = tmp_path / done.stdout.strip()
    assert written.is_relative_to(folder.path / card.place)
    student = keras.saving.load_model(folder.student)
    known = {"front_end": PICTURES} if "front_end" in card.holds else {}
    difference = card.load().largest_difference(
        written, student, picture_batch(), Description(**known)
    )
    assert difference < 1e-5
    again = keras_prokt("export", "run", "--format", name, cwd=tmp_path)
    assert again.exit_code == (0 if card.has_versions else 2), again.output
    if not card.has_versions:
        assert f"received '{done.stdout.strip()}', which exists" in again.stderr
        assert "replace it (--overwrite)" in again.stderr
        again = keras_prokt("export", "run", "--format", name, "--overwrite", cwd=tmp_path)
    assert again.exit_code == 0, again.output
    card_file = min((folder.path / card.place).rglob("model_card.md"))
    text = card_file.read_text()
    assert f"# Student of digits as {card.title}\n" in text and "student " in text
    snippet = text.partition("```python\n")[2].partition("```")[0]
    if type(card.load()).open is not Format.open:
        monkeypatch.chdir(written if card.has_versions else written.parent)
        exec(compile(snippet, "snippet", "exec"), {})
    left = {path.name for path in folder.path.iterdir()}
    assert left == {"run.json", "front_end.json", "student.keras", card.place}


def test_the_command_lists_and_checks_the_forms(folder, tmp_path):
    shown = keras_prokt("export", "--help", cwd=tmp_path).stdout
    assert all(name in shown for name in FORMATS)
    wrong = keras_prokt("export", "run", "--format", "kers", cwd=tmp_path)
    assert wrong.exit_code == 2
    assert "received 'kers'; did you mean 'keras'?\n" in wrong.stderr


def test_a_run_knows_its_place(folder, name, capsys):
    card = FORMATS[name]
    for role, place in (("student", card.place), ("teacher", f"teacher_{card.place}")):
        path = folder.export_of(role, name)
        assert path == folder.path / place / (card.file or "")
        path.parent.mkdir(exist_ok=True)
        path.write_text("exported")
    print_results(folder, folder.read())
    shown = capsys.readouterr().out
    for role, words in (("student", ""), ("teacher", " of the teacher")):
        assert f"{card.title}{words}: {folder.export_of(role, name)}\n" in shown
    left = {"run.json", "front_end.json", "student.keras"}
    assert {path.name for path in _files_of_begun(folder)} == left
    assert json.loads(folder.record.read_text())["status"] == "completed"
    assert folder.delete()
