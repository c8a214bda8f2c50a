"""Properties that hold for whatever a user may give: specs, tables, batches, losses.

Few examples here; `PROPERTIES=1000 pytest tests/test_properties.py` tries many, as the nightly
script does.
"""

import csv
import functools
import io
import json
import math
import os
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("hypothesis")

from bert_vocabulary import tokenizer_json
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from losses.example_parts import built, parts
from losses.gradients import gradient

from keras_prokt import app, outputs
from keras_prokt.bert_files import SPECIAL_PIECES
from keras_prokt.data.batches import Batches
from keras_prokt.data.columns import Column
from keras_prokt.data.table import read_table
from keras_prokt.files import digest_of_json, read_record, write_record
from keras_prokt.front_ends import ImageFrontEnd, from_json
from keras_prokt.losses import LOSSES, soft_target_loss
from keras_prokt.models.bert import bert_classifier, bert_limits, bert_tokenizer
from keras_prokt.names import is_showable, showable
from keras_prokt.options import parsed_method
from keras_prokt.results.predictions import write_columns
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.stopping import parse_duration
from keras_prokt.settings import SettingError

few = settings(
    max_examples=int(os.environ.get("PROPERTIES", "25")),
    deadline=None,
    derandomize="PROPERTIES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=2)
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
WHOLE_SPEC = RunSpec.resolve("digits", "prokt").to_json()
WORDS = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12
).filter(str.strip)
LOGITS = arrays("float32", (3, 4), elements=st.floats(-50, 50, width=32))


@pytest.fixture(autouse=True, scope="module")
def _apps_once():
    """Modules of apps are looked up once, and not for each spec."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_load_apps", functools.cache(app._load_apps))
        yield


@pytest.mark.slow
@few
@given(
    st.sampled_from(["prokt", "kd", "student", "crd+kd", "rkd+prokt", "dml"]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.floats(1e-6, 1.0),
)
def test_a_spec_is_its_json(method, seed, epochs, rate):
    given_values = {"seed": seed, "epochs": epochs, "student_learning_rate": rate}
    spec = RunSpec.resolve("digits", method, **given_values)
    again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and again.replacing(seed=spec.seed) == spec


@few
@given(
    st.sampled_from(
        ["seed", "epochs", "batch_size", "proximal_weight", "temperature", "label_weight"]
        + ["student_learning_rate", "teacher_optimizer", "limit", "student", "backend", "weights"]
    ),
    ANY,
)
def test_a_setting_is_taken_or_refused_by_name(name, value):
    try:
        spec = RunSpec.resolve("digits", "prokt", **{name: value})
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith("Expected")
        return
    json.dumps(spec.to_json(), allow_nan=False)
    assert RunSpec.from_json(spec.to_json()) == spec


@few
@given(st.sampled_from(["models", "training", "method", "app", "optimizers", "data"]), JSON)
def test_a_spec_of_any_json_is_read_or_refused(part, value):
    values = {**WHOLE_SPEC, part: value}
    try:
        RunSpec.from_json(values)
    except ValueError as error:
        assert str(error)


@few
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.integers(0), st.integers(0, 7))
def test_a_record_comes_back_or_is_refused(record, place, bit):
    assume("sha256" not in record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        try:
            write_record(path, record)
        except UnicodeEncodeError:  # half characters
            return
        assert read_record(path) == record
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        path.write_bytes(content)
        try:
            assert read_record(path) == record  # of a space another space
        except ValueError as error:
            assert str(error).startswith("Expected")
    assert digest_of_json(record) == digest_of_json(dict(reversed(record.items())))


@few
@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), min_size=1, max_size=6))
def test_a_table_is_read_as_it_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".csv", ".jsonl"):
            path = Path(folder) / f"table{suffix}"
            if suffix == ".csv":
                text = io.StringIO()
                csv.writer(text).writerows([("body", "label"), *rows])
                path.write_text(text.getvalue(), encoding="utf-8", newline="")
            else:
                lines = [json.dumps({"body": body, "label": label}) for body, label in rows]
                path.write_text("\n".join(lines), encoding="utf-8")
            table = read_table(path, text_columns=("body",), label_column="label")
            assert list(table.texts[0]) == [body for body, _ in rows]
            assert table.labels == [str(label) for _, label in rows]


@few
@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_a_table_of_any_bytes_is_read_or_refused(content, suffix):
    pytest.importorskip("pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        path.write_bytes(content)
        try:
            read_table(path, text_columns=("body",), label_column="label")
        except ValueError as error:
            assert str(error).startswith("Expected")


@few
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=4))
def test_cells_come_back_from_a_file_of_predictions(cells):
    columns: list[Column] = [("n", list(range(len(cells)))), ("body", cells)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        write_columns(path, columns)
        with path.open(newline="", encoding="utf-8") as file:
            found = [row[1] for row in csv.reader(file)][1:]
    for cell, again in zip(cells, found, strict=True):
        assert again in (cell, f"'{cell}")
        assert not again.lstrip().startswith(("=", "@"))


@few
@given(
    st.integers(1, 40),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
    st.integers(0, 5),
    st.booleans(),
)
def test_an_epoch_has_every_example_once_and_is_the_same_again(n, size, seed, epoch, shuffle):
    x = np.arange(n, dtype="float32")[:, None]
    batches = Batches(x, np.arange(n), batch_size=size, seed=seed, shuffle=shuffle)
    first, again = ([np.asarray(labels) for _, labels in batches.epoch(epoch)] for _ in range(2))
    assert len(first) == len(batches) == math.ceil(n / size)
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert sorted(np.concatenate(first).tolist()) == list(range(n))
    for inputs, labels in batches.epoch(epoch):
        np.testing.assert_array_equal(np.asarray(inputs)[:, 0], labels)


@few
@given(LOGITS, LOGITS, st.floats(0.05, 100))
def test_soft_targets_are_a_distance(teacher, student, temperature):
    loss = keras.ops.convert_to_numpy(soft_target_loss(teacher, student, temperature))
    same = keras.ops.convert_to_numpy(soft_target_loss(teacher, teacher, temperature))
    moved = keras.ops.convert_to_numpy(soft_target_loss(teacher + 3, student - 2, temperature))
    scale = temperature**2
    assert np.isfinite(loss).all() and (loss >= -1e-5 * scale).all()
    np.testing.assert_allclose(same, 0, atol=1e-5 * scale)
    np.testing.assert_allclose(moved, loss, rtol=1e-3, atol=1e-4 * scale * max(1, 50 / temperature))


FACTORS = st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e4])


@functools.cache
def objective_of(name):
    return built(LOSSES[name](), parts("teacher", 4), parts("student", 4))


@pytest.mark.slow
@few
@given(st.sampled_from([*LOSSES]), FACTORS, FACTORS, st.sets(st.integers(0, 3)), st.integers(0, 99))
def test_objectives_of_what_is_finite_are_finite(name, of_teacher, of_student, dead, seed):
    """Features of any size, and of examples of which nothing is left: dead ReLUs."""

    def scaled(role, factor):
        def change(values):
            values = values * np.float32(factor)
            values[sorted(dead)] = 0
            return values

        of = parts(role, 4, seed)
        read = {
            part: value
            if part in ("mask", "index")
            else ([change(one) for one in value] if isinstance(value, list) else change(value))
            for part, value in of.items()
        }
        return {part: read[part] for part in (*objective.reads, "mask", "index")}

    objective = objective_of(name)
    teacher, student = scaled("teacher", of_teacher), scaled("student", of_student)
    [read] = objective.reads[:1]
    variable = student[read][0] if isinstance(student[read], list) else student[read]

    def total(tensor):
        moved = {**student}
        moved[read] = [tensor, *student[read][1:]] if isinstance(student[read], list) else tensor
        values = objective(teacher, moved, training=False)
        assert values.shape == (4,)
        return keras.ops.sum(values)

    assert np.isfinite(keras.ops.convert_to_numpy(total(variable)))
    assert np.isfinite(gradient(total, variable)).all()


@few
@given(
    st.sampled_from(["classes", "labels", "values"]),
    arrays("float32", (3, 4), elements=st.floats(-1e4, 1e4, width=32)),
    arrays("float32", (3, 4), elements=st.floats(-1e4, 1e4, width=32)),
)
def test_divergences_are_finite_and_smallest_at_their_target(kind, target, logits):
    output = outputs.get(kind).for_outputs((4,))
    of = [keras.ops.convert_to_numpy(output.divergence(target, one)) for one in (target, logits)]
    assert np.isfinite(of).all()
    np.testing.assert_allclose(of[0], 0, atol=1e-3)
    assert (of[1] >= of[0] - 1e-3).all()


@few
@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), min_size=1, max_size=6))
def test_tables_of_other_forms_are_read_as_they_were_written(rows):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        text = io.StringIO()
        csv.writer(text, delimiter="\t").writerows([("body", "label"), *rows])
        tabs = Path(folder) / "table.tsv"
        tabs.write_text(text.getvalue(), encoding="utf-8", newline="")
        columns = {"body": [body for body, _ in rows], "label": [label for _, label in rows]}
        packed = Path(folder) / "table.parquet"
        parquet.write_table(pyarrow.table(columns), packed)
        for path in (tabs, packed):
            table = read_table(path, text_columns=("body",), label_column="label")
            assert list(table.texts[0]) == columns["body"]
            assert table.labels == [str(label) for label in columns["label"]]


@few
@given(
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.floats(1e-3, 1), min_size=3, max_size=3),
)
def test_a_front_end_is_its_json(size, mean, deviation):
    front_end = ImageFrontEnd(size, mean=mean, standard_deviation=deviation)
    again = from_json(json.loads(json.dumps(front_end.to_json())))
    assert again == front_end
    pixels = np.arange(2 * size[0] * size[1] * 3, dtype="uint8").reshape(2, *size, 3)
    np.testing.assert_array_equal(again.normalize(pixels), front_end.normalize(pixels))


@few
@given(
    st.sampled_from(["prokt", "kd", "crd+kd", "rco"]),
    st.floats(0, 0.875, width=32),
    st.floats(0, 100, width=32),
    st.integers(1, 10**6),
)
def test_a_row_of_a_comparison_is_what_was_typed(method, weight, gamma, epochs):
    own = {"label-weight": repr(gamma), "epochs": repr(epochs)}
    if method == "prokt":
        own["lambda"] = repr(weight)
    typed = " ".join([method, *(f"{name}={value}" for name, value in own.items())])
    found, values = parsed_method(typed)
    assert found == method
    assert (values["label_weight"], values["epochs"]) == (gamma, epochs)
    assert values.get("proximal_weight", weight) == weight


@few
@given(st.text(max_size=20))
def test_what_is_shown_does_nothing_else(text):
    assert is_showable(showable(text))
    assert showable(showable(text)) == showable(text)


@few
@given(st.text(max_size=8) | st.from_regex(r"\A[0-9]{1,4}(\.[0-9])?[smh]\Z"))
def test_a_duration_is_seconds_or_refused(text):
    try:
        assert 0 < parse_duration(text) < 1e13
    except SettingError:
        raise
    except ValueError as error:
        assert str(error).startswith("Expected a duration")


BERT = {
    "config.json": {
        **{"model_type": "bert", "vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16},
        **{"type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1},
    },
    "tokenizer_config.json": {
        **{"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
    },
    "tokenizer.json": json.loads(tokenizer_json([*SPECIAL_PIECES, "a", "##b"])),
}
"""The files of a BERT in Hugging Face's form, without weights."""
# Small enough to be built where they are taken.
VALUES = JSON | st.sampled_from([0, -1, 1, 4, 2.5, 1e300, 10**30, True, "gelu", [], {}, None])


@few
@given(
    st.sampled_from([(name, key) for name, file in BERT.items() for key in [None, *file]]),
    VALUES,
)
def test_a_file_of_a_bert_is_read_or_refused(place, value):
    name, key = place
    with tempfile.TemporaryDirectory() as folder:
        for file, content in BERT.items():
            changed = content if key is None else {**content, key: value}
            changed = (value if key is None else changed) if file == name else content
            Path(folder, file).write_text(json.dumps(changed))
        _is_read_or_refused(lambda: bert_limits(folder).max_length < 2**31)
        _is_read_or_refused(lambda: len(bert_tokenizer(folder)(["a ab c"])) == 1)
        if name == "config.json":
            small = {"num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size"}
            assume(key not in small or value in (1, 4))
            _is_read_or_refused(
                lambda: bert_classifier(folder, 2, load_weights=False).count_params() > 0
            )


def _is_read_or_refused(read):
    try:
        assert read()
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith("Expected")
