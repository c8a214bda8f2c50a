"""Records of runs: those of the version before, and those that are not what a run wrote."""

import copy
import json
from pathlib import Path

import keras
import pytest
from command_line import keras_prokt
from pretended_runs import record_of

from keras_prokt.files import read_json, write_record
from keras_prokt.results.tables import results_table
from keras_prokt.runs.records import FORMAT, check_shape, read_run_record
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.training_run import run
from keras_prokt.settings import OptimizerSettings

RESULTS = Path(__file__).parents[2] / "results"
OTHERS = [None, "x", 3, [], {}, -0.5, True]


def read(folder):
    record = read_run_record(RESULTS / folder / "run.json")
    spec = RunSpec.from_json(record["spec"])
    assert spec.to_json() == record["spec"] and "format" not in record
    assert "digits" not in results_table(record)
    return record, spec


# Records of format 1, of keras_prokt 0.1.0, as they were measured.


def test_an_older_run_on_texts():
    record, spec = read("glue-mrpc-1024/bert-3-rco-seed0")
    assert (spec.app, spec.method, spec.student, spec.teacher) == (
        "glue-mrpc",
        "rco",
        "bert-3",
        "minilm",
    )
    assert (spec.epochs, spec.batch_size, spec.seed, spec.limit) == (5, 32, 0, 1024)
    assert (spec.anchors, spec.teacher_epochs, spec.temperature) == (4, 5, 1.0)
    assert spec.weights == {"kd": 1.0} and spec.label_weight == 0.0
    # The recipe says 3e-05; what was trained with is what the spec said.
    options = {"epsilon": 1e-8, "global_clipnorm": 1.0}
    both = OptimizerSettings("adam", 1e-4, "linear", options=options)
    assert spec.optimizers == {"student": both, "teacher": both}
    student = record["results"]["models"]["student"]
    assert student["validation"]["f1"] == 0.8122270703315735 and record["status"] == "completed"


def test_an_older_run_on_images():
    record, spec = read("cifar100-15-epochs-h200/prokt-0.3-seed1")
    assert (spec.proximal_weight, spec.temperature, spec.seed) == (0.3, 4.0, 1)
    assert (spec.backend, spec.steps_per_execution, spec.deterministic) == ("jax", 16, False)
    assert spec.teacher_epochs is None and spec.anchors is None
    for role, rate in (("student", 0.01), ("teacher", 0.05)):
        assert spec.optimizers[role] == OptimizerSettings(
            "coupled_sgd", rate, "steps", weight_decay=5e-4, momentum=0.9
        )
    assert record["results"]["models"]["teacher"]["test"]["accuracy"] == 0.589400053024292
    assert record["hardware"]["accelerators"] == ["gpu:0 NVIDIA H200"]
    assert "proximal_weight" in record["spec"]["method_settings"]


def test_an_older_run_without_digests_of_its_data():
    record, spec = read("cifar100-short/kd-seed0")
    assert (spec.weights, spec.label_weight, spec.limit) == ({"kd": 0.9}, 0.1, 4500)
    assert (record["data"], record["class_names"]) == ({}, [])
    assert record["training_seconds"] == 438.44
    assert "proximal_weight" not in record["spec"]["method_settings"]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/*/run.json")), ids=lambda p: p.parent.name)
def test_every_published_run_is_read(path):
    record = read_run_record(path)
    written = json.loads(path.read_text())
    assert record["results"] == written["results"]
    spec = RunSpec.from_json(record["spec"])
    for name, value in written["spec"].items() if written["format"] == 1 else ():
        ours = getattr(spec, name)
        assert (list(ours) if isinstance(ours, tuple) else ours) == value, name


def damaged(tmp_path, change):
    record = json.loads((RESULTS / "cifar100-short/kd-seed0/run.json").read_text())
    change(record)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record))
    return path


def test_an_older_record_that_cannot_be_read(tmp_path):
    path = damaged(tmp_path, lambda record: record["spec"].update(lamda=0.3))
    with pytest.raises(ValueError, match=r"Expected a whole run.json .*one with \['lamda'\]"):
        read_run_record(path)
    path = damaged(tmp_path, lambda record: record["spec"].update(epochs=0))
    with pytest.raises(ValueError, match="epochs of at least 1, received 0.*restore it"):
        read_run_record(path)


# Records of this version.


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The `run.json` of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    backend = keras.backend.backend()
    spec = RunSpec.resolve("digits", "prokt", limit=64, epochs=1, backend=backend)
    record = run(spec, folder / "run", export=False, cache=folder / "cache")
    contents = read_json(folder / "run" / "run.json")
    assert contents.pop("format") == FORMAT and contents.pop("sha256")
    assert contents == record
    return record


def sealed(tmp_path, record):
    path = tmp_path / "run.json"
    write_record(path, record)
    return path


@pytest.mark.whole_run
def test_a_value_that_was_changed(written, tmp_path):
    path = sealed(tmp_path, {"format": FORMAT, **written})
    assert read_run_record(path) == written
    text = path.read_text()
    assert text.count('"seed": 0') == 1
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ValueError, match="run.json' as it was written, received one that was"):
        read_run_record(path)
    path.write_text(text.replace('"sha256"', '"sha255"'))
    with pytest.raises(ValueError, match="received one that was changed since"):
        read_run_record(path)


@pytest.mark.whole_run
@pytest.mark.parametrize("version", [FORMAT + 1, "2", None, 0, 1.5, [2]])
def test_another_format(written, version, tmp_path):
    path = sealed(tmp_path, {"format": version, **written})
    with pytest.raises(ValueError, match=f"format {FORMAT} or older .*read it with the version"):
        read_run_record(path)
    path = sealed(tmp_path, {"format": version, "package": {"version": "9.1"}})
    with pytest.raises(ValueError, match=r"version of keras_prokt that wrote it, 9\.1\.$"):
        read_run_record(path)


@pytest.mark.parametrize(
    "place", [(), ("training",), ("optimizers", "student"), ("method_settings",)], ids="/".join
)
def test_settings_of_a_newer_version_are_named_in_one_line(place, tmp_path):
    spec = RunSpec.resolve("digits", "prokt")
    record = record_of(spec, package={"version": "0.9.1", "git": "abc1234"})
    inner = record["spec"]
    for key in place:
        inner = inner[key]
    inner["momentum_of_time"] = 0.5
    sealed(tmp_path, {"format": FORMAT, **record})
    for command in ("info", "resume", "evaluate", "export"):
        result = keras_prokt(command, tmp_path, cwd=tmp_path)
        assert result.exit_code == 2
        [said] = result.stderr.splitlines()
        assert "received 'momentum_of_time'; read it with the version that wrote it" in said
        assert said.endswith("0.9.1 of commit abc1234.")
    with pytest.raises(ValueError, match="momentum_of_time") as refused:
        read_run_record(tmp_path / "run.json")
    assert refused.value.__suppress_context__


def test_no_record_at_all(tmp_path):
    path = tmp_path / "run.json"
    for text in ("", "{", "[]", "3", "null", "{}", '{"format": 1}', "[" * 100_000, "\x00"):
        path.write_text(text)
        with pytest.raises(ValueError, match="Expected") as refused:
            read_run_record(path)
        assert len(str(refused.value).splitlines()) == 1
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="Expected a JSON file"):
        read_run_record(path)


def places(value, path=()):
    """The way to every key of nested JSON objects."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield (*path, key)
            yield from places(one, (*path, key))


def changes_of(record):
    """The record with each key missing, and with each other value in its place."""
    for *way, last in places(record):
        for other in ("missing", *OTHERS):
            changed = copy.deepcopy(record)
            at = changed
            for key in way:
                at = at[key]
            if other == "missing":
                del at[last]
            else:
                at[last] = other
            yield f"{'.'.join([*way, last])} {other!r}", changed


@pytest.mark.whole_run
def test_any_key_that_is_missing_or_of_another_kind_is_one_line_or_does_no_harm(written, tmp_path):
    count = {"read": 0, "refused": 0}
    for what, changed in changes_of({"format": FORMAT, **written}):
        try:
            record = read_run_record(sealed(tmp_path, changed))
        except ValueError as error:
            assert len(str(error).splitlines()) == 1 and "Expected" in str(error), what
            count["refused"] += 1
        else:
            assert RunSpec.from_json(record["spec"]).to_json() == record["spec"], what
            assert written["spec"]["method"] in results_table(record), what
            count["read"] += 1
    assert count["refused"] > count["read"] > 10


@pytest.mark.whole_run
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("student", "test", "classes", "recall"), "lists of one length in the report of student"),
        (("student", "test", "calibration", "accuracy"), "lists of one length in the report of"),
        (("student", "test", "confusion"), "lists of one length in the report of student on test"),
        (("student", "test", "confusion", 0), "lists of one length in the report of student on t"),
        (None, "reports on 9 classes, received some on .10."),
    ],
)
def test_reports_whose_lists_do_not_go_together(written, keys, message, tmp_path):
    record = json.loads(json.dumps({"format": FORMAT, **written}))
    cut = record["class_names"] if keys is None else record["results"]["reports"]
    for key in keys or ():
        cut = cut[key]
    cut.pop()
    with pytest.raises(ValueError, match=f"Expected a whole run.json .*{message}"):
        read_run_record(sealed(tmp_path, record))


@pytest.mark.slow
def test_any_key_of_an_older_record_too(tmp_path):
    older = json.loads((RESULTS / "glue-mrpc-1024/bert-3-rco-seed0/run.json").read_text())
    path = tmp_path / "run.json"
    for what, changed in changes_of(older):
        path.write_text(json.dumps(changed))
        try:
            record = read_run_record(path)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1 and "Expected" in str(error), what
        else:
            assert RunSpec.from_json(record["spec"]).to_json() == record["spec"], what


@pytest.mark.whole_run
@pytest.mark.parametrize("key", ["training_seconds", "examples", "results"])
def test_a_completed_run_has_results(written, key, tmp_path):
    record = {"format": FORMAT, **written}
    del record[key]
    with pytest.raises(ValueError, match=f"Expected '{key}' in run.json, received none"):
        read_run_record(sealed(tmp_path, record))
    assert read_run_record(sealed(tmp_path, {**record, "status": "running"}))


@pytest.mark.parametrize(
    ("value", "shape", "message"),
    [
        (True, int, "Expected int at here, received True"),
        ("a", ("b", "c"), "another value at here, received 'a'"),
        ({"a": 1}, {"a": int, "b?": str, "c": str}, "Expected 'c' in here, received none"),
        ({"a": 1, "d": 1}, {"a": int}, "Expected no 'd' in here"),
        ({"a": [1, "x"]}, {"*": [int]}, r"Expected int at here: 'a'\[1\], received 'x'"),
        ([], {"a?": int}, "Expected an object at here, received list"),
        ({}, [int], "Expected a list at here, received dict"),
    ],
)
def test_shapes(value, shape, message):
    with pytest.raises(ValueError, match=message):
        check_shape(value, shape, "here")


def test_values_of_a_shape():
    check_shape({"a": 1, "b": "x"}, {"a": int, "b?": str}, "here")
    check_shape({"a": 1}, {"a": (int, type(None)), "b?": str, "*": str}, "here")
    check_shape({"a": None, "z": "y"}, {"a": (int, type(None)), "*": str}, "here")
