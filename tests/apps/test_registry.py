"""The app registry: what is in it, what a recipe says, how others add to it."""

import pkgutil

import pytest

import keras_prokt_apps
from keras_prokt import app as registry
from keras_prokt.app import App, OptimizerRecipe, Recipe, get_app, list_apps
from keras_prokt.methods import known_methods, parse_method
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare


def test_modules_with_an_app_are_apps():
    prefix = "keras_prokt_apps."
    found = pkgutil.walk_packages(keras_prokt_apps.__path__, prefix)
    names = {module.name.removeprefix(prefix).replace(".", "-") for module in found}
    assert {app.name for app in list_apps()} <= names
    assert {"digits", "cifar100", "text", "glue-sst2"} <= {app.name for app in list_apps()}


@pytest.mark.parametrize("app", list_apps(), ids=lambda app: app.name)
@pytest.mark.parametrize("method", [*known_methods(), "crd+kd", "at+prokt", "sp+rco", "ab+ta"])
def test_every_app_resolves_to_a_whole_spec_under_every_method(app, method):
    spec = RunSpec.resolve(app.name, method)
    assert RunSpec.from_json(spec.to_json()) == spec
    assert app.default_teacher in app.teachers
    assert app.default_student in app.students
    parsed = parse_method(method)
    assert (spec.temperature is None) == ("kd" not in parsed.matched)
    assert (spec.proximal_weight is None) == (parsed.regime != "prokt")
    assert (spec.anchors is None) == (parsed.regime != "rco")
    assert (spec.assistants is None) == (parsed.regime != "ta")
    assert (spec.first_stage_epochs is None) == (not parsed.has_first_stage)
    assert set(spec.weights or {}) == set(parsed.matched)
    assert (spec.label_weight is None) == (method == "student")


def test_overrides_win_and_the_bound_replaces_the_weight():
    spec = RunSpec.resolve("digits", "prokt", proximal_bound=0.1, epochs=3, seed=7)
    assert (spec.proximal_weight, spec.proximal_bound, spec.epochs, spec.seed) == (None, 0.1, 3, 7)
    assert RunSpec.resolve("digits", "prokt", proximal_weight=0.0).proximal_weight == 0.0


def test_specs_are_strict():
    values = RunSpec.resolve("digits", "prokt").to_json()
    with pytest.raises(ValueError, match=r"received \['lamda'\]"):
        RunSpec.from_json({**values, "lamda": 0.3})
    del values["app"]
    with pytest.raises(ValueError, match="whole run spec"):
        RunSpec.from_json(values)


def test_students_have_their_own_learning_rate():
    assert RunSpec.resolve("glue-sst2", "prokt").student_learning_rate == 1e-3
    assert RunSpec.resolve("glue-sst2", "prokt", student="bert-6").student_learning_rate == 1e-4


def test_the_spec_of_a_fixed_teacher_does_not_depend_on_the_student():
    one = RunSpec.resolve("digits", "kd", student="cnn-small", temperature=4.0, epochs=50)
    other = RunSpec.resolve("digits", "kd", student="cnn-large", epochs=90)
    assert one.teacher_run() == other.teacher_run()
    assert one.teacher_run() != RunSpec.resolve("digits", "kd", seed=1).teacher_run()


def test_the_chain_of_assistants():
    names = {"teacher": "cnn-huge", "assistants": ("cnn-large", "cnn-medium")}
    spec = RunSpec.resolve("digits", "ta", **names, epochs=50)
    assert RunSpec.from_json(spec.to_json()) == spec
    one = spec.assistant_run()
    assert (one.method, one.student, one.assistants) == ("ta", "cnn-medium", ("cnn-large",))
    two = one.assistant_run()
    assert (two.method, two.student, two.assistants) == ("kd", "cnn-large", None)
    of_kd = RunSpec.resolve("digits", "kd", teacher="cnn-huge").teacher_run()
    assert two.teacher_run() == spec.teacher_run() == of_kd
    for name, chain in {
        "cnn-large": "cnn-large, cnn-large, cnn-small",
        "cnn-small": "cnn-large, cnn-small, cnn-small",
    }.items():
        with pytest.raises(ValueError, match=f"Expected different models .* received {chain}"):
            RunSpec.resolve("digits", "ta", assistants=(name,))
    with pytest.raises(ValueError, match="cnn-large, cnn-medium, cnn-medium, cnn-small"):
        RunSpec.resolve("digits", "ta", assistants=("cnn-medium", "cnn-medium"))


def test_the_spec_of_an_older_run_is_read():
    values = RunSpec.resolve("digits", "ta").to_json()
    del values["computing"]["deterministic"]
    values["method_settings"]["assistants"] = [values["models"]["student"]]  # was not refused
    spec = RunSpec.from_json(values)
    assert not spec.deterministic and spec.assistants == (spec.student,)


def test_a_student_on_the_labels_is_trained_as_long_as_a_teacher():
    epochs = [RunSpec.resolve("glue-sst2", method).epochs for method in ("student", "kd", "prokt")]
    assert epochs == [4, 6, 6]  # the paper's supplement
    assert RunSpec.resolve("glue-sst2", "student", epochs=5).epochs == 5
    stage = RunSpec.resolve("glue-sst2", "tinybert", student="bert-6").first_stage_epochs
    assert stage == 10


def test_route_constrained_optimization_weighs_like_distillation():
    of_kd, of_rco = (RunSpec.resolve("cifar100", method) for method in ("kd", "rco"))
    for name in ("temperature", "weights", "label_weight"):
        assert getattr(of_rco, name) == getattr(of_kd, name)


def test_weights_of_objectives():
    spec = RunSpec.resolve("digits", "prokt", weights={"kd": 0.5}, label_weight=0.1)
    assert (spec.weights, spec.label_weight) == ({"kd": 0.5}, 0.1)
    with pytest.raises(ValueError, match="a weight of an objective of 'prokt' among kd"):
        RunSpec.resolve("digits", "prokt", weights={"at": 0.5})
    with pytest.raises(ValueError, match="Expected weights kd of at least 0, received -1.0"):
        RunSpec.resolve("digits", "prokt", weights={"kd": -1.0})


def test_methods_of_transformers_bring_a_pair_of_them():
    spec = RunSpec.resolve("digits", "pkd")
    assert (spec.teacher, spec.student) == ("transformer-large", "transformer-small")
    assert RunSpec.resolve("digits", "pkd", student="cnn-small").student == "cnn-small"
    assert RunSpec.resolve("digits", "at").student == "cnn-small"


def test_other_packages_add_apps_by_entry_point(monkeypatch):
    optimizer = OptimizerRecipe("adam", 1e-3)
    mine = App(
        "mine", "", {"a": ""}, {"b": ""}, "a", "b", Recipe(1, 1, optimizer, optimizer, 1), None
    )

    class EntryPoint:
        @staticmethod
        def load():
            return mine

    monkeypatch.setattr(
        registry, "entry_points", lambda group: [EntryPoint] if group == "keras_prokt.apps" else []
    )
    assert get_app("mine") is mine


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_optimizers_of_a_recipe(schedule):
    optimizer = OptimizerRecipe("adamw", 0.1, schedule, {"global_clipnorm": 1.0}).build(10)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert optimizer.global_clipnorm == 1.0
    assert float(OptimizerRecipe("sgd", 0.1, schedule).build(10, 0.5).learning_rate) == 0.5
    if schedule != "constant":
        optimizer.iterations.assign(10)
        assert float(optimizer.learning_rate) == pytest.approx(0.0, abs=1e-8)


def test_full_train_is_refused_where_there_is_no_such_protocol():
    assert RunSpec.resolve("cifar100", "kd", full_train=True).full_train
    with pytest.raises(ValueError, match="no full_train with app 'digits'"):
        RunSpec.resolve("digits", "kd", full_train=True)


def test_a_recipe_has_its_own_weights_of_objectives():
    assert RunSpec.resolve("digits", "at+kd").weights == {"at": 1.0, "kd": 1.0}
    assert RunSpec.resolve("cifar100", "at+kd").weights == {"at": 1000.0, "kd": 1.0}
    assert RunSpec.resolve("digits", "at+kd", weights={"at": 7.0}).weights["at"] == 7.0


def test_a_short_run_shortens_what_is_trained_before_it():
    def before(method, **settings):
        spec = RunSpec.resolve("cifar100", method, **settings)
        return spec.teacher_epochs, spec.first_stage_epochs, spec.anchors

    assert before("ab+rco") == (240, 30, 4)
    assert before("ab+rco", epochs=24) == (24, 3, 4)
    assert before("ab+rco", epochs=2) == (2, 1, 2)
    assert before("ab+rco", epochs=1) == (1, 1, 1)
    assert before("ab+rco", epochs=480) == (240, 30, 4)
    assert before("ab+rco", epochs=24, teacher_epochs=3) == (3, 3, 3)
    assert before("ab+rco", epochs=24, first_stage_epochs=9, anchors=2) == (24, 9, 2)
    with pytest.raises(ValueError, match="Expected epochs of at least 1"):
        before("rco", epochs=0)
    with pytest.raises(ValueError, match="Expected epochs of at least anchors"):
        before("rco", epochs=2, anchors=3)


def test_digits_are_read_by_a_network_of_the_users_own(tmp_path, monkeypatch):
    code = "import keras\ndef net(classes, shape):\n    return keras.Sequential("
    layers = "[keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])\n"
    (tmp_path / "own_digits.py").write_text(code + layers)
    monkeypatch.syspath_prepend(tmp_path)
    task = prepare(RunSpec.resolve("digits", "prokt", student="own_digits:net"))
    assert task.build_student().output_shape == (None, 10)
    for name in ("own_digits:none", "keras:ResNet50"):
        with pytest.raises(ValueError, match="module:function"):
            prepare(RunSpec.resolve("digits", "prokt", student=name)).build_student()
