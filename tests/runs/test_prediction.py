"""Predictions of texts, images and numbers, by a run, its `student.keras` and its SavedModel."""

import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from pretended_runs import completed, record_of
from subclassed import Subclassed

from keras_prokt.data.images import BrokenImages
from keras_prokt.export import Description, export_saved_model
from keras_prokt.export.described import Described, describe_file, described
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd
from keras_prokt.models.bilstm import bilstm
from keras_prokt.outputs import OUTPUTS
from keras_prokt.results.predictions import columns_of_run
from keras_prokt.runs import RunSpec, predict, prediction, prediction_rows, predictors
from keras_prokt.runs.folder import RunFolder

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "poor", "film", "a"]
TEXT = TextFrontEnd(PIECES, max_length=8)
GREY = ImageFrontEnd((4, 4), mean=[0.5], standard_deviation=[0.25])
TEXTS = ["a fine film", "poor", "a poor, poor film"]
NAMES = ["bad", "good"]


def text_student():
    return bilstm(2, vocabulary_size=len(PIECES), embedding_dim=4, units=3)


def image_student():
    image = keras.Input((4, 4, 1), name="image")
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))


def number_student():
    inputs = [keras.Input((1,), name=name) for name in ("age", "height")]
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.concatenate(inputs)))


def sources(folder, student, front_end, app="digits", output="classes"):
    """The same student as a run folder, a file of its own and a SavedModel."""
    run = RunFolder(folder / "run")
    record = record_of(RunSpec.resolve(app, "student"), output=output, class_names=NAMES)
    with run.created(record, None if front_end is None else front_end.to_json()):
        student.save(run.student)
        run.write(completed(record, 0.5))
    shutil.copy(run.student, folder / "alone.keras")
    names = None if output == "values" else NAMES
    describe_file(folder / "alone.keras", Description(front_end, names, OUTPUTS[output]))
    found = {"run": run.path, "file": folder / "alone.keras"}
    if keras.backend.backend() == "tensorflow":
        settings = {"front_end": front_end, "class_names": names, "output": output}
        export_saved_model(student, folder / "served", **settings)
        found |= {"versions": folder / "served", "served": folder / "served" / "1"}
    return found


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def probabilities(logits):
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def check_rows(found, expected):
    given = [[float(row["p(bad)"]), float(row["p(good)"])] for row in found]
    np.testing.assert_allclose(given, expected, atol=2e-6)
    assert [row["class_name"] for row in found] == [NAMES[i] for i in expected.argmax(-1)]


@pytest.mark.slow
def test_texts_with_their_own_columns(tmp_path):
    student = text_student()
    table = tmp_path / "new.jsonl"
    rows = [{"id": n, "body": text, "line": [n]} for n, text in enumerate(TEXTS)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ids = [[2, 8, 5, 7, 3], [2, 6, 3], [2, 8, 6, 1, 6, 7, 3]]
    logits = [
        student({"token_ids": np.array([i]), "padding_mask": np.ones((1, len(i)), "int32")})
        for i in ids
    ]
    expected = probabilities(keras.ops.concatenate(logits))
    for name, source in sources(tmp_path, student, TEXT).items():
        out = tmp_path / f"{name}.csv"
        assert predict(source, table, out, text_columns=("body",)) == 3
        found = rows_of(out)
        check_rows(found, expected)
        assert [(r["line"], r["id"], r["body"], r["line (given)"]) for r in found] == [
            (str(n + 1), str(n), text, f"[{n}]") for n, text in enumerate(TEXTS)
        ]
        with pytest.raises(ValueError, match="Expected text_columns COLUMN for a model of single"):
            predict(source, table, tmp_path / "no.csv", text_columns=("id", "body"))
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".parts")]


def write_parquet(path, records):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(records), path)


@pytest.mark.slow
def test_parquet_keeps_the_types_of_columns(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to read Parquet")
    from pyarrow import parquet

    rows = [{"id": 1, "body": "a film", "mixed": 1}, {"id": 2, "body": "poor", "mixed": "x"}]
    table = tmp_path / "new.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = sources(tmp_path, text_student(), TEXT)["file"]
    predict(source, table, tmp_path / "out.parquet", text_columns=("body",))
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.column("id").to_pylist() == [1, 2]
    assert found.column("mixed").to_pylist() == ["1", "x"]
    assert found.schema.field("p(good)").type == pyarrow.float64()


@pytest.mark.slow
def test_a_folder_of_images_for_a_grey_network(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, 4, 4), dtype="uint8")
    (tmp_path / "new" / "deep").mkdir(parents=True)
    names = ["a b.png", "deep/ü.png", "z.png"]
    for name, picture in zip(names, pixels, strict=True):
        Image.fromarray(picture).save(tmp_path / "new" / name)
    student = image_student()
    expected = probabilities(student(GREY.normalize(pixels[..., None])))
    for name, source in sources(tmp_path, student, GREY).items():
        assert predict(source, tmp_path / "new", tmp_path / f"{name}.csv") == 3
        found = rows_of(tmp_path / f"{name}.csv")
        assert sorted(row["path"] for row in found) == names
        by_path = sorted(found, key=lambda row: row["path"])
        check_rows(by_path, expected)
    table = tmp_path / "t.parquet"
    write_parquet(
        table,
        [
            {"id": name, "image": {"bytes": (tmp_path / "new" / name).read_bytes(), "path": name}}
            for name in names
        ],
    )
    predict(source, table, tmp_path / "embedded.csv", text_columns=("image",))
    found = rows_of(tmp_path / "embedded.csv")
    assert [(row["id"], row["image"]) for row in found] == [
        (name, f"row {number}") for number, name in enumerate(names, 1)
    ]
    check_rows(found, expected)
    (tmp_path / "new" / "broken.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"received 1 of 4 that cannot: 'broken.png' \(empty\)"):
        predict(source, tmp_path / "new", tmp_path / "no.csv")
    assert not (tmp_path / "no.csv").exists()
    with pytest.warns(BrokenImages, match="received 1 of 4 .*; they are left out"):
        assert predict(source, tmp_path / "new", tmp_path / "3.csv", broken_images="skip") == 3
    with pytest.raises(ValueError, match="no broken_images with a model that reads no images"):
        source = sources(tmp_path / "texts", text_student(), TEXT)["file"]
        predict(source, tmp_path / "new", tmp_path / "no.csv", broken_images="skip")


@pytest.mark.slow
@pytest.mark.parametrize("output", ["classes", "labels", "values"])
def test_columns_of_numbers_by_the_names_of_the_inputs(output, tmp_path):
    student = number_student()
    table = tmp_path / "people.csv"
    table.write_text("name;height;age\nAda;1.7;36\nBob;1.8;40\n")
    logits = keras.ops.convert_to_numpy(student([np.array([[36.0]]), np.array([[1.7]])]))[0]
    for name, source in sources(tmp_path, student, None, output=output).items():
        assert predict(source, table, tmp_path / f"{name}.csv") == 2
        first = rows_of(tmp_path / f"{name}.csv")[0]
        assert (first["line"], first["name"], first["age"]) == ("2", "Ada", "36")
        if output == "classes":
            check_rows([first], probabilities(logits[None]))
        elif output == "labels":
            assert float(first["p(good)"]) == pytest.approx(1 / (1 + np.exp(-logits[1])), abs=2e-6)
        else:
            values = [float(value) for key, value in first.items() if key.startswith("values")]
            np.testing.assert_allclose(values, logits, atol=2e-6)
    for cell in ("tall", ""):
        table.write_text(f"age,height\n36,{cell}\n")
        message = f"a number in column 'height', received '{cell}' at .*, line 2; correct it"
        with pytest.raises(ValueError, match=message):
            predict(source, table, tmp_path / "no.csv")


@pytest.mark.slow
def test_a_killed_prediction_goes_on(tmp_path, monkeypatch):
    source = sources(tmp_path, number_student(), None)["file"]
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 2)
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    table.write_text("age,height\n" + "".join(f"{n},{n}\n" for n in range(5)))
    predict(source, table, tmp_path / "whole.csv")
    usual, asked = prediction_rows.NumberRows.ask, []

    def ask(self, predictor, rows):
        asked.append(int(rows["height"][0]))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return usual(self, predictor, rows)

    monkeypatch.setattr(prediction_rows.NumberRows, "ask", ask)
    with pytest.raises(KeyboardInterrupt):
        predict(source, table, out)
    assert not out.exists() and prediction.parts_of(out).is_dir()
    predict(source, table, out)
    assert asked == [0, 2, 2, 4]  # the first part is not asked for again
    assert out.read_text() == (tmp_path / "whole.csv").read_text()
    assert not prediction.parts_of(out).exists()
    # What is kept of other rows is not taken.
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        predict(source, table, out, overwrite=True)
    table.write_text("age,height\n" + "".join(f"{n + 1},{n}\n" for n in range(5)))
    predict(source, table, out, overwrite=True)
    assert asked == [0, 2, 0, 2, 4]


def test_what_cannot_be_predicted_is_one_line(tmp_path):
    found = sources(tmp_path, image_student(), None)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    for source, data, out, message in (
        (found["file"], "t.csv", "p.csv", "Expected a model of texts, of images, or of inputs"),
        (found["run"], "t.csv", "p.txt", "predictions that ends in .csv or .parquet"),
        ("none.keras", "t.csv", "p.csv", "Expected a model file (.keras), received 'none.keras'"),
        (found["run"], "t.csv", "t.csv", "Expected a new file for the predictions"),
        (found["run"], "tfds:glue/cola", "p.csv", "export the set as a table first"),
    ):
        result = keras_prokt(
            "predict", source, "--dataset", data, "--out", out, "--overwrite", cwd=tmp_path
        )
        assert result.exit_code == 2 and message in result.stderr
        assert len(result.stderr.splitlines()) == 1 and not (tmp_path / "p.csv").exists()
    teacher = keras_prokt(
        *("predict", found["file"], "--dataset", "t.csv", "--model", "teacher"), cwd=tmp_path
    )
    assert "Expected a run folder for its teacher" in teacher.stderr


def test_a_file_says_what_it_is_and_stays_a_model_of_keras(tmp_path):
    student = image_student()
    student.save(tmp_path / "student.keras")
    assert described(tmp_path / "student.keras") == ((None, (), None))
    for _ in range(2):  # the second time it has one
        describe_file(tmp_path / "student.keras", Description(GREY, NAMES, OUTPUTS["classes"]))
    assert described(tmp_path / "student.keras") == (GREY, NAMES, "classes")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    for one, two in zip(loaded.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("units", "activation", "output"),
    [(2, "softmax", "classes"), (2, "sigmoid", "labels"), (1, "sigmoid", "labels")],
)
def test_probabilities_of_a_network_are_those_that_are_written(units, activation, output):
    age = keras.Input((1,), name="age")
    network = keras.Model(age, keras.layers.Dense(units, activation)(age))
    ages = np.array([0.5, -2.0], "float32")
    expected = keras.ops.convert_to_numpy(network(ages[:, None]))
    for known in (Described(), Described(output=output)):
        predictor = predictors.KerasPredictor(Path("own.keras"), known, network)
        columns = columns_of_run(predictor.numbers({"age": ages}), predictor.record(units))
        found = [values for name, values in columns if name.startswith("p(")]
        assert len(found) == 2  # of one label that of no as well
        np.testing.assert_allclose(np.transpose(found[-units:]), expected, atol=1e-6)


@pytest.mark.parametrize("is_subclassed", [False, True])
def test_images_are_normalised_a_batch_at_once(is_subclassed, monkeypatch):
    monkeypatch.setattr(predictors, "BATCH_SIZE", 2)
    usual, sizes = ImageFrontEnd.normalize, []
    monkeypatch.setattr(
        ImageFrontEnd, "normalize", lambda self, x: sizes.append(len(x)) or usual(self, x)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype="uint8")
    network = Subclassed() if is_subclassed else image_student()
    network(np.zeros((1, 4, 4, 1), "float32"))
    predictor = predictors.KerasPredictor(Path("own.keras"), Described(GREY), network)
    found = predictor.images(pixels)
    assert sizes == [2, 2, 1]
    expected = keras.ops.convert_to_numpy(network(GREY.normalize(pixels)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "dtype", "read"),
    [
        ("3.0", "int32", 3),
        (" -3 ", "int8", -3),
        (str(2**53 + 1), "int64", 2**53 + 1),
        (2**53 + 1, "int64", 2**53 + 1),
        ("1.5", "float32", 1.5),
        ("1.5", "int32", None),
        ("nan", "int32", None),
        (float("inf"), "int64", None),
        (2**31, "int32", None),
        (-1, "uint8", None),
        (10**400, "int64", None),
        (10**400, "float32", None),
    ],
)
def test_numbers_are_read_as_they_are_or_refused(value, dtype, read):
    if read is not None:
        found = prediction_rows._value(value, dtype, "age", "t.csv, line 2")
        assert found == np.array(found, dtype) == read
        return
    kind = "a number" if dtype == "float32" else rf"a whole number \({dtype}\)"
    message = f"Expected {kind} in column 'age', received .* at t.csv, line 2; correct it"
    with pytest.raises(ValueError, match=message):
        prediction_rows._value(value, dtype, "age", "t.csv, line 2")


def test_processes_that_write_the_same_file_keep_their_own_parts(tmp_path):
    one, other = (prediction._Parts(tmp_path / "p.csv", {"model": name}, 1) for name in "ab")
    for parts, value in ((one, 1.0), (other, 2.0), (one, None), (other, None)):
        parts.carry_out([None], lambda _, value=value: np.array([value]))
        assert list(parts.logits()) == [[1.0 if parts is one else 2.0]]


@pytest.mark.parametrize(
    ("front_end", "name", "message"),
    [
        (GREY, "photos", "which is read as a folder of images, which has no columns, received a;"),
        (None, "t.csv", "which is read by the names of the model's inputs, received a; leave"),
    ],
)
def test_columns_are_refused_where_none_would_be_read(front_end, name, message, tmp_path):
    (tmp_path / "photos").mkdir()
    source = prediction.Source(tmp_path, Described(front_end), tmp_path)
    with pytest.raises(ValueError, match=f"Expected no text_columns with '.*{name}', {message}"):
        prediction.prepare_prediction(
            source, tmp_path / name, tmp_path / "p.csv", text_columns=("a",)
        )


@pytest.mark.parametrize("name", ["history.csv", "predictions/test.csv", "checkpoint/x.csv"])
def test_predictions_take_the_place_of_no_file_of_a_run(name, tmp_path):
    spec = RunSpec.resolve("digits", "student")
    with RunFolder(tmp_path / "run").created(record_of(spec)):
        pass
    for folder in (tmp_path / "run", tmp_path / "run" / "predictions" / ".."):
        with pytest.raises(ValueError, match="where a run keeps its own"):
            prediction.check_out(folder / name, overwrite=True)
    prediction.check_out(tmp_path / "run" / "mine.csv")


@pytest.fixture(scope="module")
def number_file(tmp_path_factory):
    """A model of two numbers, alone."""
    path = tmp_path_factory.mktemp("numbers") / "alone.keras"
    number_student().save(path)
    describe_file(path, Description(None, NAMES, OUTPUTS["classes"]))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("out", ["p.csv", "p.parquet"])
def test_a_table_is_read_and_written_in_parts(form, out, number_file, tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to read Parquet")
    from pyarrow import parquet

    rows = [{"age": n, "height": n / 4, "name": f"n{n}"} for n in range(5)]
    rows[4]["id"] = "late"  # a column that the first part does not have
    table, out = tmp_path / f"t.{form}", tmp_path / out
    if form == "parquet":
        names = {"age": "int64", "height": "float64", "name": "string", "id": "string"}
        schema = pyarrow.schema([(n, getattr(pyarrow, t)()) for n, t in names.items()])
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema), table)
    elif form == "jsonl":
        table.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [list(rows[4]), *([row.get(n, "") for n in rows[4]] for row in rows)]
        table.write_text("\n".join((",\t"[form == "tsv"]).join(map(str, row)) for row in lines))
    predict(number_file, table, tmp_path / f"whole{out.suffix}")
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 2)
    asked, usual = [], prediction_rows.NumberRows.ask

    def ask(self, predictor, part):
        asked.append(part["age"].tolist())
        return usual(self, predictor, part)

    monkeypatch.setattr(prediction_rows.NumberRows, "ask", ask)
    assert predict(number_file, table, out) == 5 and asked == [[0, 1], [2, 3], [4]]
    whole = tmp_path / f"whole{out.suffix}"
    if out.suffix == ".csv":
        found, expected = rows_of(out), rows_of(whole)
    else:
        tables = [parquet.read_table(path) for path in (out, whole)]
        assert tables[0].schema.equals(tables[1].schema)
        keeps_types = form in ("jsonl", "parquet")
        age = pyarrow.int64() if keeps_types else pyarrow.string()
        assert tables[0].schema.field("age").type == age
        found, expected = (one.to_pylist() for one in tables)
    assert [row["id"] or "" for row in found] == ["", "", "", "", "late"]
    for one, other in zip(found, expected, strict=True):
        for name in ("p(bad)", "p(good)"):
            assert float(one.pop(name)) == pytest.approx(float(other.pop(name)), abs=2e-6)
        assert one == other


def test_a_table_that_changes_while_it_is_read_is_refused(number_file, tmp_path, monkeypatch):
    table = tmp_path / "t.csv"
    table.write_text("age,height\n1,2\n")
    usual = prediction_rows.NumberRows.ask

    def ask(self, predictor, part):
        with table.open("a") as file:
            file.write("3,4\n")
        return usual(self, predictor, part)

    monkeypatch.setattr(prediction_rows.NumberRows, "ask", ask)
    with pytest.raises(ValueError, match="t.csv' to stay as it is while it is read, received a ch"):
        predict(number_file, table, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
