"""The spec of a run: its parts, its JSON form, and what does not go together."""

import json
import os
from dataclasses import replace

import pytest

from keras_prokt.app import get_app
from keras_prokt.methods import OBJECTIVES, REGIMES, known_methods, method_settings, parse_method
from keras_prokt.options import parsed_method
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import DataSettings, SettingError, TrainingSettings

OF_TABLE = {"dataset": "/t.csv", "text_columns": ("a", "b"), "label_column": "y"}
# A value of each setting that is no default, and the app and method which have it.
# The pair follows from the size of the images, if it is not given.
OF_IMAGES = {"teacher": "vgg13", "student": "vgg8"}
EXAMPLES = {
    **{name: (value, "text", "prokt", OF_TABLE) for name, value in OF_TABLE.items()},
    "validation": ("/v.csv", "text", "prokt", OF_TABLE),
    "test": ("/u.csv", "text", "prokt", OF_TABLE),
    "image_column": ("path", "images", "prokt", OF_IMAGES),
    "image_size": ("64", "images", "prokt", OF_IMAGES),
    "image_mean": ("0.5,0.5,0.5", "images", "prokt", OF_IMAGES),
    "image_deviation": ("0.25,0.25,0.25", "images", "prokt", OF_IMAGES),
    "augmentation": ("crop+mixup", "images", "prokt", OF_IMAGES),
    "broken_images": ("skip", "images", "prokt", OF_IMAGES),
    "cache_images": ("never", "images", "prokt", OF_IMAGES),
    "teacher_weights": ("/t.weights.h5", "images", "prokt", OF_IMAGES),
    "student_weights": ("/s.weights.h5", "images", "prokt", OF_IMAGES),
    "max_length": (64, "glue-sst2", "prokt", {}),
    "labelled": (32, "digits", "prokt", {}),
    "unlabelled_rows": (True, "text", "prokt", OF_TABLE),
    "output": ("values", "text", "prokt", OF_TABLE),
    "unlabelled": ("/w.csv", "text", "prokt", OF_TABLE),
    "limit": (64, "digits", "prokt", {}),
    "data_dir": ("/data", "cifar100", "prokt", {}),
    "full_train": (True, "cifar100", "prokt", {}),
    "teacher": ("cnn-medium", "digits", "prokt", {}),
    "student": ("cnn-medium", "digits", "prokt", {}),
    "epochs": (3, "digits", "prokt", {}),
    "batch_size": (8, "digits", "prokt", {}),
    "seed": (7, "digits", "prokt", {}),
    "backend": ("jax", "digits", "prokt", {}),
    "precision": ("bfloat16", "digits", "prokt", {}),
    "steps_per_execution": (2, "digits", "prokt", {}),
    "deterministic": (True, "digits", "prokt", {}),
    "temperature": (2.0, "digits", "kd", {}),
    "teacher_init": ("/t.keras", "digits", "kd", {}),
    "teacher_outputs": ("/o.npz", "digits", "prokt", {}),
    "teacher_columns": ("logits=a,b", "digits", "prokt", {"teacher_outputs": "/o.csv"}),
    "proximal_weight": (0.0, "digits", "prokt", {}),
    "proximal_bound": (0.5, "digits", "prokt", {}),
    "dual_step_size": (0.5, "digits", "prokt", {"proximal_bound": 0.5}),
    "dual_initial": (0.0, "digits", "prokt", {"proximal_bound": 0.5}),
    "anchors": (2, "digits", "rco", {}),
    "assistants": (("transformer-small",), "digits", "ta", {}),
    "weights": ({"kd": 2.0}, "digits", "kd", {}),
    "label_weight": (0.5, "digits", "kd", {}),
    "objective_settings": ({"crd": {"num_negatives": 8, "momentum": 0.25}}, "digits", "crd", {}),
    "teacher_epochs": (3, "digits", "kd", {}),
    "first_stage_epochs": (3, "digits", "ab", {}),
    "target_mode": ("training", "digits", "prokt", {}),
    "teacher_trains": ("last:1", "digits", "prokt", {}),
    "teacher_lora": (4, "digits", "prokt", {}),
    "teacher_head_start": (2, "digits", "prokt", {}),
    "teacher_keep": ("best", "digits", "kd", {}),
    "split_seed": (3, "digits", "prokt", {}),
    "hold_out": (100, "glue-sst2", "prokt", {}),
    "label_smoothing": (0.25, "digits", "student", {}),
    "patience": (3, "digits", "prokt", {}),
    "class_weight": ("balanced", "digits", "prokt", {}),
    "label_noise": (0.25, "digits", "prokt", {}),
}
for role in ("student", "teacher"):
    EXAMPLES |= {
        f"{role}_optimizer": ("rmsprop", "digits", "prokt", {}),
        f"{role}_learning_rate": (0.25, "digits", "prokt", {}),
        f"{role}_schedule": ("steps", "digits", "prokt", {}),
        f"{role}_weight_decay": (0.25, "digits", "prokt", {}),
        f"{role}_momentum": (0.25, "digits", "prokt", {f"{role}_optimizer": "sgd"}),
    }


def test_every_setting_has_an_example():
    # A folder of prepared data is read when it is named; see test_preparation.py.
    assert {*EXAMPLES, "prepared"} == set(all_settings())


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_setting_is_read_kept_and_replaced(name):
    value, app, method, others = EXAMPLES[name]
    usual = RunSpec.resolve(app, method, **others)
    spec = RunSpec.resolve(app, method, **{**others, name: value})
    assert getattr(spec, name) == value
    again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and getattr(again, name) == value
    assert (spec == usual) == (getattr(usual, name) == value)
    # One setting alone: the optimizer of the recipe has options of its own.
    if not name.endswith("_optimizer") and name != "proximal_bound":
        replaced = usual.replacing(**{name: value})
        assert getattr(replaced, name) == value
        if name not in ("epochs", "assistants", "teacher_lora"):  # others follow from them
            assert replaced == spec
    with pytest.raises(AttributeError):
        setattr(spec, name, value)


@pytest.mark.parametrize("name", method_settings())
@pytest.mark.parametrize("method", known_methods())
def test_settings_of_other_methods_are_refused_with_theirs(method, name):
    has = name in parse_method(method).settings
    value = EXAMPLES[name][0]
    if not has:
        with pytest.raises(SettingError, match=f"no {name} with method '{method}'.*it belongs to"):
            RunSpec.resolve("digits", method, **{name: value})
        values = RunSpec.resolve("digits", method).to_json()
        values["method_settings"][name] = value
        with pytest.raises(SettingError, match="a setting of the method"):
            RunSpec.from_json(values)
        assert getattr(RunSpec.resolve("digits", method), name) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lamda": 0.3}, "Expected a setting among .*received 'lamda'"),
        ({"proximal_weight": 0.3, "proximal_bound": 0.1}, "either proximal_weight or proximal_b"),
        ({"dual_initial": 1.0}, "no dual_initial without proximal_bound"),
        ({"backend": "torch", "steps_per_execution": 2}, "TensorFlow and JAX alone"),
        ({"student_momentum": 0.5}, "no student_momentum with optimizer 'adam'"),
        ({"weights": {"kd": -1}}, "weights kd of at least 0, received -1.0"),
        ({"weights": {"kd": "1"}}, "a number for weights kd, received '1'"),
        (
            {"objective_settings": {"crd": {"momentum": 0.5}}},
            "an objective of 'prokt'",
        ),
        ({"objective_settings": {"crdd": {}}}, "did you mean 'crd'"),
        ({"objective_settings": {"kd": {"temperature": 2}}}, "no objective_settings of 'kd'"),
        ({"objective_settings": {"fitnet": {"stage": 0}}}, "objective_settings fitnet.stage of at"),
        ({"objective_settings": {"fitnet": {"stag": 1}}}, "did you mean 'stage'"),
        ({"objective_settings": {"fitnet": 1}}, "a mapping for objective_settings fitnet"),
        ({"pair": "vgg13-vgg8"}, "no pair with app 'digits'"),
        ({"text_columns": ("a",)}, "no text_columns with app 'digits'"),
        ({"full_train": True}, "no full_train with app 'digits'"),
        ({"max_length": 8}, "no max_length with app 'digits'"),
    ],
    ids=str,
)
def test_what_does_not_go_together(given, message):
    with pytest.raises(SettingError, match=message) as refused:
        RunSpec.resolve("digits", "prokt", **given)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("app", "method", "given", "message"),
    [
        ("digits", "rco", {"epochs": 3, "anchors": 4}, "epochs of at least anchors, received 3"),
        ("digits", "rco", {"teacher_epochs": 3, "anchors": 4}, "teacher_epochs of at least anch"),
        ("digits", "kd", {"teacher_init": "t", "teacher_epochs": 1}, "that teacher is not trained"),
        ("digits", "kd", {"teacher_init": "t", "teacher_schedule": "linear"}, "is not trained"),
        ("cifar100", "kd", {"pair": "resnet50-vgg"}, "did you mean 'resnet50-vgg8'"),
        ("text", "kd", {"dataset": "t.csv", "text_columns": ("a",)}, "received no label_column"),
        ("text", "kd", {"validation": "t.csv"}, "received no dataset; add it"),
        ("text", "kd", {**OF_TABLE, "text_columns": ("a", "b", "c")}, "one column in text_columns"),
        ("text", "kd", {**OF_TABLE, "label_column": "b"}, "different columns in text_columns and"),
    ],
)
def test_what_does_not_go_together_in_some_apps_and_methods(app, method, given, message):
    with pytest.raises(SettingError, match=message):
        RunSpec.resolve(app, method, **given)


def test_a_chain_needs_an_assistant():
    with pytest.raises(SettingError, match="at least one of assistants with method 'ta'"):
        RunSpec.resolve("digits", "ta").replacing(assistants=None)


def test_what_is_not_given_is_not_refused():
    nothing = {"proximal_weight": None, "weights": {}, "text_columns": (), "full_train": False}
    assert RunSpec.resolve("digits", "student", **nothing) == RunSpec.resolve("digits", "student")


def test_files_are_kept_by_absolute_path_and_others_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    table = {"text_columns": ("a",), "label_column": "y", "validation": "~/v.csv"}
    spec = RunSpec.resolve("text", "kd", dataset="t.csv", **table, teacher_init="t.keras")
    assert spec.files() == {
        "dataset": str(tmp_path / "t.csv"),
        "validation": "/home/me/v.csv",
        "teacher_init": str(tmp_path / "t.keras"),
    }
    spec = RunSpec.resolve("text", "kd", **{**table, "dataset": "tfds:glue/cola"})
    assert spec.dataset == "tfds:glue/cola" and set(spec.files()) == {"validation"}
    (tmp_path / "minilm").mkdir()
    assert RunSpec.resolve("text", "kd", teacher="minilm").teacher == os.path.abspath("minilm")


@pytest.mark.parametrize("method", ["prokt", "kd", "ta", "rco", "student", "crd+prokt"])
def test_every_key_of_a_spec_is_known(method):
    values = RunSpec.resolve("digits", method).to_json()
    parts = ["models", "training", "data", "computing", "method_settings"]
    places = [values, *(values[part] for part in parts), *values["optimizers"].values()]
    for place in places:
        place["other"] = 1
        with pytest.raises(ValueError, match="Expected (spec keys|a setting of the method) among"):
            RunSpec.from_json(values)
        del place["other"]
    assert RunSpec.from_json(values) == RunSpec.resolve("digits", method)
    for key in ("app", "method", "models", "training", "optimizers"):
        with pytest.raises(ValueError, match="Expected a whole run spec"):
            RunSpec.from_json({k: v for k, v in values.items() if k != key})
    for key, part in (("models", "student"), ("training", "epochs"), ("training", "batch_size")):
        with pytest.raises(ValueError, match=f"a whole run spec, received one without {part}"):
            RunSpec.from_json({**values, key: {**values[key], part: None}})


def test_names_that_are_no_setting():
    spec = RunSpec.resolve("digits", "prokt")
    with pytest.raises(AttributeError, match="no setting 'lambda_'"):
        _ = spec.lambda_
    with pytest.raises(SettingError, match="did you mean 'epochs'"):
        spec.replacing(epoch=3)
    with pytest.raises(SettingError, match="epochs of at least 1, received 0"):
        spec.replacing(epochs=0)
    assert spec.replacing(method="dml", proximal_weight=None).method == "dml"
    changed = spec.replacing(epochs=2, batch_size=8, seed=1, limit=9)
    assert changed.training == TrainingSettings(2, 8, 1) and changed.data == DataSettings(limit=9)


@pytest.mark.parametrize("method", ["kd", "crd+prokt", "ta", "rco"])
def test_the_runs_that_a_run_is_made_of_are_whole_specs(method):
    spec = RunSpec.resolve("digits", method, seed=3, limit=64)
    teacher = spec.teacher_run() if "teacher_epochs" in parse_method(method).settings else None
    if teacher is not None:
        assert (teacher.method, teacher.student) == ("student", "cnn-large")
        assert (teacher.seed, teacher.limit, teacher.epochs) == (3, 64, spec.teacher_epochs)
        assert teacher.optimizers == {"student": spec.optimizers["teacher"]}
        assert RunSpec.from_json(teacher.to_json()) == teacher


def test_methods_train_what_their_regime_says():
    for method in known_methods():
        trains = set(RunSpec.resolve("digits", method).optimizers)
        assert trains == {"student"} | ({"teacher"} if method != "student" else set())
    assert set(OBJECTIVES) | set(REGIMES) >= set(known_methods())


def test_a_spec_in_which_something_is_ignored_is_refused_wherever_it_comes_from():
    spec = RunSpec.resolve("digits", "prokt")
    for changes, message in (
        ({"dual_initial": 0.5}, "no dual_initial without proximal_bound"),
        ({"proximal_bound": 0.5}, "either proximal_weight or proximal_bound"),
        ({"dataset": "/t.csv"}, "no dataset with app 'digits'"),
        ({"full_train": True}, "no full_train with app 'digits'"),
        ({"anchors": 2}, "no anchors with method 'prokt'"),
    ):
        with pytest.raises(SettingError, match=message):
            spec.replacing(**changes)
    values = spec.to_json()
    values["method_settings"]["dual_initial"] = 0.5
    with pytest.raises(SettingError, match="no dual_initial without proximal_bound"):
        RunSpec.from_json(values)
    values = spec.to_json()
    values["method_settings"]["teacher_learning_rate"] = 0.5
    with pytest.raises(SettingError, match="a setting of the method"):
        RunSpec.from_json(values)


def test_an_assistant_is_taught_as_the_student_is():
    spec = RunSpec.resolve("digits", "ta", teacher_keep="best", target_mode="training")
    assistant = spec.assistant_run()
    assert (assistant.teacher_keep, assistant.target_mode) == ("best", "training")


class TestFoundRecipe:
    @pytest.fixture
    def app(self, monkeypatch):
        """App `digits` as if a recipe had been found for it."""
        digits = get_app("digits")
        found = {
            "proximal_weight": 0.6,
            "label_weight": 0.5,
            "target_mode": "training",
            "student_learning_rate": 2e-2,
        }
        digits = replace(digits, recipe=replace(digits.recipe, prokt=found))
        monkeypatch.setattr("keras_prokt.runs.spec.get_app", lambda name: {"digits": digits}[name])

    def test_it_is_the_default_of_prokt(self, app):
        spec = RunSpec.resolve("digits", "prokt")
        assert (spec.proximal_weight, spec.label_weight) == (0.6, 0.5)
        assert (spec.target_mode, spec.student_learning_rate) == ("training", 2e-2)
        assert RunSpec.resolve("digits", "prokt", recipe="found") == spec
        assert not spec.changed_settings()

    def test_the_form_of_the_paper_is_one_option_away(self, app, monkeypatch):
        paper = RunSpec.resolve("digits", "prokt", recipe="paper")
        assert (paper.proximal_weight, paper.label_weight) == (0.3, 0.0)
        assert paper.student_learning_rate == 1e-2
        assert "lambda" in paper.changed_settings()
        monkeypatch.undo()
        assert RunSpec.resolve("digits", "prokt", recipe="paper") == paper

    def test_what_is_given_comes_before_it(self, app):
        spec = RunSpec.resolve("digits", "prokt", proximal_weight=0.1)
        assert (spec.proximal_weight, spec.label_weight) == (0.1, 0.5)
        bounded = RunSpec.resolve("digits", "prokt", proximal_bound=0.1)
        assert bounded.proximal_weight is None and bounded.label_weight == 0.5

    def test_other_methods_and_other_students_keep_theirs(self, app):
        assert RunSpec.resolve("digits", "kd").student_learning_rate == 1e-2
        assert RunSpec.resolve("digits", "at+prokt").proximal_weight == 0.3
        small = RunSpec.resolve("digits", "prokt", student="transformer-small")
        assert (small.student_learning_rate, small.label_weight) == (2e-3, 0.5)

    def test_what_is_no_recipe_is_refused(self, app, monkeypatch):
        with pytest.raises(ValueError, match="did you mean 'paper'"):
            RunSpec.resolve("digits", "prokt", recipe="papers")
        monkeypatch.undo()
        with pytest.raises(ValueError, match="no other was found"):
            RunSpec.resolve("cifar100", "prokt", recipe="found")

    def test_a_row_of_a_comparison_may_have_it(self):
        assert parsed_method("prokt recipe=paper") == ("prokt", {"recipe": "paper"})


@pytest.mark.parametrize("label_weight", [0.0, "0..0"])
def test_a_loss_without_any_weight_trains_nothing(label_weight):
    nothing = {"weights": {"kd": 0.0}, "label_weight": label_weight}
    with pytest.raises(SettingError, match="received 0 of kd and of the labels, which trains noth"):
        RunSpec.resolve("digits", "kd", **nothing)
    RunSpec.resolve("digits", "kd", **{**nothing, "label_weight": "0..1"})
    RunSpec.resolve("digits", "kd", weights={"kd": 0.0}, label_weight=1.0)


@pytest.mark.parametrize("setting", [{"weights": {"kd": 1e-50}}, {"label_weight": 1e-50}])
def test_a_value_that_float32_takes_for_0_says_so(setting):
    with pytest.raises(SettingError, match="of at least 0, received 1e-50, which float32 rounds "):
        RunSpec.resolve("digits", "kd", **setting)
