"""Numbers to be predicted, `--output values`, in tables of texts and of images."""

import csv
import json

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from PIL import Image
from small_glue import write_bert

from keras_prokt.app import TaskRequest, get_app
from keras_prokt.data.image_table import list_images
from keras_prokt.data.table import ScaleOfValues, load_texts
from keras_prokt.data.text_table import make_table
from keras_prokt.models.fine_tuned_bert import fine_tuned_classifier
from keras_prokt.runs.preparation import prepare_folder
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare
from keras_prokt.settings import SettingError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="apps are tested on the default backend"
)
COLUMNS = {"text_columns": ["body"], "label_column": "score", "has_values": True}


def of_cells(*cells, **settings):
    """The labels of a table with these cells."""
    rows = [(number, ("a text", cell)) for number, cell in enumerate(cells, start=2)]
    return make_table("t.csv", ["body"], "score", rows, "line", has_values=True, **settings).labels


def write_texts(path, values):
    with path.open("w", newline="") as file:
        rows = [(f"film {number}", value) for number, value in enumerate(values)]
        csv.writer(file).writerows([("body", "score"), *rows])
    return str(path)


def write_images(folder, count=40):
    """Images whose light is the value, -1 among them, and a table that lists them."""
    values = np.linspace(-1.0, 1.0, count).round(3)
    random = np.random.default_rng(0)
    for number, value in enumerate(values):
        pixels = random.integers(0, 20, (12, 12, 3)) + int(100 * value + 110)
        Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
    rows = [(f"{number}.png", float(value)) for number, value in enumerate(values)]
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "light"), *rows])
    return str(folder / "t.csv"), values


def test_numbers_are_read_as_people_write_them():
    cells = ["1", " -2.5 ", "3,25", "1e-3", "+.5", 4, 0.125]
    assert list(map(float, of_cells(*cells))) == [1.0, -2.5, 3.25, 0.001, 0.5, 4.0, 0.125]


@pytest.mark.parametrize(
    "cell", ["good", "nan", "inf", "1,000", "1 000", "5%", True, float("nan"), 10**19, "1e999", ""]
)
def test_what_is_no_number_is_named_with_its_line(cell):
    with pytest.raises(
        SettingError, match="Expected a number .* 'score', received .* line 3; "
    ) as e:
        of_cells("1", cell)
    assert "\n" not in str(e.value)


def test_texts_are_divided_whatever_their_values(tmp_path):
    path = write_texts(tmp_path / "t.csv", np.linspace(-1, 1, 30))
    data = load_texts(path, **COLUMNS)
    assert data.class_names == []
    assert {name: len(part) for name, part in data.parts.items()} == {
        **{"train": 24, "validation": 3, "test": 3}
    }
    found = [value for name in data.parts for value in data.labels(name)]
    assert sorted(found) == np.linspace(-1, 1, 30).tolist()


def test_a_single_value_teaches_nothing(tmp_path):
    with pytest.raises(SettingError, match="two values in column 'score', received '2.0' in each"):
        load_texts(write_texts(tmp_path / "t.csv", [2] * 30), **COLUMNS)


@pytest.mark.parametrize("scale", [1e-3, 1e5])
def test_values_of_another_scale_are_warned_of(scale, tmp_path):
    path = write_texts(tmp_path / "t.csv", np.linspace(0, 1, 30) * scale)
    with pytest.warns(ScaleOfValues, match=r"write \(value - .*\) / .* in their place"):
        load_texts(path, **COLUMNS)


def test_fractions_as_classes_are_refused_with_the_way_to_values(tmp_path):
    path = write_texts(tmp_path / "t.csv", [0.5, 1.5] * 20)
    with pytest.raises(SettingError, match="for regression say output values; otherwise"):
        load_texts(path, text_columns=["body"], label_column="score")


@pytest.mark.slow
@pytest.mark.parametrize("is_prepared", [False, True])
def test_both_models_of_texts_have_one_output(is_prepared, tmp_path):
    write_bert(str(tmp_path / "bert"))
    dataset = write_texts(tmp_path / "t.csv", np.linspace(-1, 1, 30))
    spec = RunSpec.resolve(
        "text",
        "prokt",
        dataset=dataset,
        text_columns=("body",),
        label_column="score",
        output="values",
        teacher=str(tmp_path / "bert"),
        batch_size=8,
    )
    if is_prepared:
        folder = prepare_folder(spec, tmp_path / "prepared", weights=True)
        spec = spec.replacing(prepared=str(folder.path))
    task = prepare(spec)
    assert (task.output, task.class_names) == ("values", [])
    assert task.metrics == ("mean_squared_error", "mean_absolute_error")
    assert task.train.labels.dtype == "float32"
    for model in (task.build_teacher(), task.build_student()):
        assert model.output_shape == (None, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlabelled_rows": True}, "no unlabelled_rows with output values, received True; of"),
        ({"unlabelled": "more.csv"}, "no unlabelled with output values, received 'more.csv'; of"),
    ],
)
def test_texts_without_a_value_are_refused(settings, message, tmp_path):
    request = TaskRequest(
        teacher="bert",
        student="bilstm",
        batch_size=8,
        seed=0,
        dataset="t.csv",
        text_columns=("body",),
        label_column="score",
        output="values",
        **settings,
    )
    with pytest.raises(SettingError, match=message):
        get_app("text").check(request)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augmentation": "crop+mixup"}, "without mixup with output values, .* they mix classes"),
        ({"dataset": "tfds:mnist"}, "a table of images and numbers .* received 'tfds:mnist'"),
        (
            {"label_column": "path,light"},
            "one column of numbers .* received 'path,light'; name one",
        ),
        ({"dataset": "FOLDER"}, "a table of images and numbers .* its folders are classes"),
    ],
)
def test_images_whose_values_mean_nothing_are_refused(settings, message, tmp_path):
    table, _ = write_images(tmp_path)
    values = {"dataset": table, "image_column": "path", "label_column": "light", **settings}
    if values["dataset"] == "FOLDER":
        (tmp_path / "cat").mkdir()
        values |= {"dataset": str(tmp_path), "image_column": None, "label_column": None}
    models = {"teacher": "cnn-small", "student": "cnn-small", "image_size": "12"}
    request = TaskRequest(**models, batch_size=8, seed=0, output="values", **values)
    with pytest.raises(SettingError, match=message):
        get_app("images").check(request)


def test_a_folder_that_is_listed_for_classes_stays_one_of_classes(tmp_path):
    table, values = write_images(tmp_path)
    listed = list_images(table, image_column="path", label_column="light", has_values=True)["train"]
    assert [float(label) for label in listed.table.labels] == values.tolist()
    assert listed.has_values


@pytest.mark.whole_run
def test_a_run_predicts_the_light_of_images(tmp_path):
    table, values = write_images(tmp_path)
    run, out = str(tmp_path / "run"), tmp_path / "p.csv"
    models = ["--teacher", "cnn-small", "--student", "cnn-small", "--no-export"]
    data = ["--dataset", table, "--image", "path", "--label", "light", "--augmentation", "none"]
    rates = ["--teacher-learning-rate", "0.02", "--student-learning-rate", "0.02"]
    shown = keras_prokt(
        *["run", "--app", "images", *data, "--output", "values", *models, *rates],
        *["--epochs", "30", "--batch-size", "8", "--out", run],
        cwd=tmp_path,
    )
    assert shown.exit_code == 0, shown.output
    assert "best constant answer" in shown.output and "each class" not in shown.output
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["output"] == "values" and record["results"]["metric"] == "mean_squared_error"
    shown = keras_prokt("predict", run, "--dataset", table, "--out", out, cwd=tmp_path)
    assert shown.exit_code == 0, shown.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = np.array([float(row["values"]) for row in rows])
    assert [float(row["light"]) for row in rows] == values.tolist()
    # -1 is a value like others, and no missing label.
    assert np.square(found - values).mean() < 0.05 < np.square(values - values.mean()).mean()


@pytest.mark.slow
def test_a_fine_tuned_regression_is_a_teacher_of_values(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    config = transformers.BertConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        num_labels=1,
        problem_type="regression",
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijk"])
    )
    ids = np.array([[2, 5, 6, 3], [2, 9, 3, 0]])
    mask = (ids > 0).astype("int32")
    with torch.no_grad():
        expected = model(torch.tensor(ids), torch.tensor(mask)).logits.numpy()
    inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}
    found = fine_tuned_classifier(tmp_path, []).predict(inputs, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="gives one class to a text .* 'regression' with 1 output"):
        fine_tuned_classifier(tmp_path, ["bad", "good"])
