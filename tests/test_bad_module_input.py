"""Bad input for the public arguments of the submodules, as `test_bad_input.py` for the top level.

Public is what the API reference lists. What has no row here says why.
"""

import importlib
import inspect
from pathlib import Path

import keras
import pytest
from bad_values import BAD, assert_refused
from keras import layers
from pretended_runs import write_run

import keras_prokt
from docs_pages.reference import MODULES
from keras_prokt import losses
from keras_prokt.methods import OBJECTIVES
from keras_prokt.runs import RunSpec

EXECUTION = {
    "jobs": "count",
    "threads": "count",
    "stop": "function",
    "retries_failed": "flag",
    "stream": "function",
    "show": "function",
}
PRICES = {"weight": "number", "name": "text"}
# Callable -> argument -> what it takes, a key of `BAD`.
TABLE = {
    "callbacks.plot_dynamics": {
        "history_csv": "path",
        "png": "path",
        "metric": "text",
        "title": "text",
        "chance": "number",
        "marks_best": "flag",
        "monitor": "text",
        "mode": "choice",
    },
    "export.export_student": {
        "student": "model",
        "path": "path",
        "format": "choice",
        "front_end": "front end",
        "class_names": "names",
        "output": "choice",
        "quantize": "choice",
        "max_loss": "number",
        "length": "count",
        "overwrite": "flag",
    },
    "export.get": {"name": "choice"},
    "front_ends.ImageFrontEnd": {
        "size": "numbers",
        "mean": "numbers",
        "standard_deviation": "numbers",
        "crop_to_aspect_ratio": "flag",
    },
    "front_ends.TextFrontEnd": {
        "vocabulary": "texts",
        "lowercase": "flag",
        "strip_accents": "flag",
        "max_length": "count",
        "pair": "flag",
    },
    "front_ends.WordFrontEnd": {
        "vocabulary": "texts",
        "lowercase": "flag",
        "strip_accents": "flag",
        "max_length": "count",
    },
    "front_ends.from_json": {"config": "mapping"},
    "front_ends.get": {"kind": "choice"},
    "losses.KerasLoss": {"loss": "function", **PRICES},
    "losses.SmoothedCrossEntropy": {"label_smoothing": "number", "name": "text"},
    "losses.as_keras_loss": {
        "objective": "function",
        "teacher_layer_name": "text",
        "student_layer_name": "text",
    },
    "losses.get": {"names": "objectives"},
    "losses.objective_class": {"name": "choice"},
    "methods.parse_method": {"name": "choice"},
    "optimizers.CoupledSGD": {"learning_rate": "rate", "momentum": "number", "l2": "number"},
    "outputs.get": {"name": "choice"},
    "runs.RunSpec.resolve": {"app": "choice", "method": "choice"},
    "runs.benchmark": {"out": "path", "seconds": "number"},
    "runs.compare": {
        "methods": "mapping",
        "out": "path",
        "seeds": "numbers",
        "baselines": "texts",
        "metric": "text",
        **EXECUTION,
    },
    "runs.import_code": {"module": "text"},
    "runs.predict": {
        "source": "path",
        "data": "path",
        "out": "path",
        "text_columns": "texts",
        "overwrite": "flag",
        "model": "choice",
        "broken_images": "choice",
    },
    "runs.record": {
        "spec": "function",
        "teachers": "paths",
        "out": "path",
        "class_order": "texts",
        "overwrite": "flag",
    },
    "runs.report": {"paths": "paths", "out": "path", "examples": "count", "overwrite": "flag"},
    "runs.resume": {"out": "path", "cache": "path", "stop_after": "number", "stop": "function"},
    "runs.run": {
        "spec": "function",
        "out": "path",
        "overwrite": "flag",
        "export": "flag",
        "save_teacher": "flag",
        "cache": "path",
        "stop_after": "number",
        "measures_test": "flag",
        "keeps_checkpoint": "flag",
        "stop": "function",
    },
    "runs.search": {
        "app": "choice",
        "method": "choice",
        "over": "mapping",
        "out": "path",
        "seeds": "numbers",
        "trials": "count",
        "latency": "number",
        **EXECUTION,
    },
    "runs.suspects": {"run": "path", "out": "path", "overwrite": "flag"},
    **{f"losses.{name}": {**PRICES} for name in OBJECTIVES},
}
OF_OBJECTIVES = {
    "ab": {"margin": "number"},
    "cc": {"dimensions": "count"},
    "crd": {
        "num_negatives": "count",
        "temperature": "number",
        "momentum": "number",
        "dimensions": "count",
    },
    "fitnet": {"stage": "count"},
    "ft": {"factor_ratio": "number"},
    "kd": {"temperature": "number"},
    "pkd": {"strategy": "choice"},
    "rkd": {"distance_weight": "number", "angle_weight": "number"},
    "vid": {"initial_variance": "number"},
}
for name, arguments in OF_OBJECTIVES.items():
    TABLE[f"losses.{name}"] |= arguments

# What has no row, and why.
WITHOUT_ROW = {
    **dict.fromkeys(
        [
            "distillers.JointDistiller",
            "export.Description",
            "export.FormatCard",
            "front_ends.Signature",
            "losses.LabelLossOnLogits",
            "losses.Objective",
            "methods.Method",
            "methods.ObjectiveCard",
            "methods.Paper",
            "methods.Regime",
            "outputs.Positions",
        ],
        "written by who adds a kind of its own; contract tests look at it",
    ),
    **dict.fromkeys(
        [
            "losses.kl_divergence",
            "losses.soft_target_loss",
            "losses.weighted_mean",
            "outputs.infer",
            "outputs.told_by",
        ],
        "a function of tensors or shapes that Keras has made",
    ),
    **dict.fromkeys(["runs.Range", "runs.Recorded", "runs.RunSpec"], "values that others check"),
    "losses.SoftTargets": "the objective kd",
    "optimizers.FusedAdam": "hands all its arguments to Keras's Adam",
    "distillers.JointOptimizer": "made by compile, which looks at both optimizers",
}
# Arguments of which any value will do, or that another test looks at.
WITHOUT_KIND = {
    "export.export_student": {"calibration", "validation", "verbose", "input_signature"},
    "optimizers.CoupledSGD": {"name", "options"},
    "runs.search": {"given"},  # the settings of `RunSpec.resolve`, tests/test_settings.py
    "runs.RunSpec.resolve": {"given"},
}
ROWS = [(name, argument) for name, arguments in TABLE.items() for argument in arguments]


def found(name):
    """The callable of a row."""
    module, _, path = name.partition(".")
    if module == "losses" and path in losses.LOSSES:
        return losses.LOSSES[path]
    value = importlib.import_module(f"keras_prokt.{module}")
    for part in path.split("."):
        value = getattr(value, part)
    return value


def public():
    """The names of all that is public below the top level and takes arguments, each once."""
    seen = {id(getattr(keras_prokt, name)) for name in keras_prokt.__all__}
    for module in MODULES:
        for name in (imported := importlib.import_module(module)).__all__:
            value = getattr(imported, name)
            is_error = inspect.isclass(value) and issubclass(value, Exception)
            is_called = (inspect.isclass(value) or inspect.isfunction(value)) and not is_error
            if is_called and id(value) not in seen and inspect.signature(value).parameters:
                yield f"{module.removeprefix('keras_prokt.')}.{name}"
            seen.add(id(value))


def test_every_public_argument_has_a_row_or_a_reason():
    assert {name for name in public() if name not in TABLE} == set(WITHOUT_ROW)
    for name, arguments in TABLE.items():
        named = set(inspect.signature(found(name)).parameters)
        assert named == set(arguments) | WITHOUT_KIND.get(name, set()), name


def test_no_module_has_the_name_of_a_function():
    """Imported, it would stand in the place of the function."""
    for module in MODULES:
        imported = importlib.import_module(module)
        beside = {path.stem for path in Path(imported.__file__).parent.glob("*.py")}
        assert not beside & {*imported.__all__}, module


@pytest.fixture(scope="module")
def student():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


@pytest.fixture
def good(student, tmp_path, monkeypatch):
    """Arguments of a callable that nothing is wrong with, in a folder with an unfinished run."""
    monkeypatch.chdir(tmp_path)
    spec = RunSpec.resolve("digits", "student", epochs=1, limit=64)
    write_run(tmp_path / "run", spec)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    of = {
        "callbacks.plot_dynamics": {"history_csv": "history.csv", "png": "dynamics.png"},
        "export.export_student": {"student": student, "path": "student.keras", "format": "keras"},
        "export.get": {"name": "onnx"},
        "front_ends.ImageFrontEnd": {
            **{"size": (8, 8), "mean": [0.5], "standard_deviation": [0.5]}
        },
        "front_ends.TextFrontEnd": {"vocabulary": pieces},
        "front_ends.WordFrontEnd": {"vocabulary": pieces},
        "losses.KerasLoss": {"loss": keras.distillation.LogitsDistillation()},
        "losses.as_keras_loss": {"objective": losses.LOSSES["at"]()},
        "runs.RunSpec.resolve": {"app": "digits", "method": "kd"},
        "runs.benchmark": {"out": "run"},
        "runs.compare": {"methods": {"student": spec}, "out": "new", "seeds": [0]},
        "runs.predict": {"source": "run", "data": "table.csv", "out": "new.csv"},
        "runs.record": {"spec": spec, "teachers": ["run"], "out": "new.npz"},
        "runs.report": {"paths": ["run"], "out": "new.html"},
        "runs.resume": {"out": "run"},
        "runs.run": {"spec": spec, "out": "new"},
        "runs.search": {
            **{"app": "digits", "method": "prokt", "out": "new"},
            **{"over": {"proximal_weight": [0, 0.3]}, "seeds": [0]},
        },
        "runs.suspects": {"run": "run", "out": "new.csv"},
    }
    return lambda name: of.get(name, {})


@pytest.mark.parametrize(("name", "argument"), ROWS, ids=[".".join(row) for row in ROWS])
def test_bad_arguments_are_refused_in_one_line(name, argument, good, tmp_path):
    call, kind = found(name), TABLE[name][argument]
    before = sorted(path.name for path in tmp_path.iterdir())
    is_needed = inspect.signature(call).parameters[argument].default is inspect.Parameter.empty
    for value in BAD[kind] + ([None] if is_needed else []):
        arguments = {**good(name), argument: value}
        assert_refused(lambda arguments=arguments: call(**arguments), argument, value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
