"""Settings: kinds, ranges and choices of every row, and what reaches objectives and optimizers."""

import inspect
import math

import keras
import numpy as np
import pytest

from keras_prokt import losses
from keras_prokt.app import TaskRequest
from keras_prokt.methods import OBJECTIVES, TEMPERATURE
from keras_prokt.options import option_names
from keras_prokt.runs.known_settings import all_settings
from keras_prokt.runs.optimizers import optimizer_recipe
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import (
    MOMENTUM_OPTIMIZERS,
    OPTIMIZERS,
    SCHEDULES,
    DataSettings,
    OptimizerSettings,
    SettingError,
    argument,
    settings_of,
)

# By the name that is typed, with what `--set` takes.
ROWS = all_settings() | {
    f"{objective}.{name}": row
    for objective, card in OBJECTIVES.items()
    for name, row in card.settings.items()
}
NUMBERS = [name for name, row in ROWS.items() if row.kind in (int, float)]
OTHER_KINDS = {
    float: [True, "1", None, [], math.nan, math.inf, -math.inf],
    int: [True, 1.0, "1", None, 10.5],
    str: [1, "", " ", "a\0b", "a\nb", "\ud800", ["a"]],
    bool: [0, 1, "true", None],
    tuple: ["a", [1], [""], {"a": 1}, 1],
    dict: [["a"], "a=1", 1, None],
}


def bounds_of(row):
    low = row.at_least if row.above is None else row.above
    return low, row.at_most if row.below is None else row.below


@pytest.mark.parametrize("name", ROWS)
def test_values_of_another_kind_are_refused(name):
    row = ROWS[name]
    for value in OTHER_KINDS[row.kind]:
        with pytest.raises(SettingError, match=f"Expected .*{name}.*received ") as refused:
            row.checked(name, value)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", [name for name in NUMBERS if ROWS[name].kind is float])
def test_a_number_that_is_not_finite_is_told_so_unless_a_range_says_it(name):
    row = ROWS[name]
    message = r"in [\[(]" if None not in bounds_of(row) else "that is finite and (at least|above) "
    for value in (math.nan, math.inf):
        with pytest.raises(SettingError, match=f"Expected {name} {message}.*, received {value!r}"):
            row.checked(name, value)


@pytest.mark.parametrize("name", NUMBERS)
def test_values_beyond_a_bound_are_refused_and_the_bound_itself_if_it_is_outside(name):
    row = ROWS[name]
    low, high = bounds_of(row)
    assert low is not None
    for bound, is_outside, further in ((low, row.above, -1), (high, row.below, 1)):
        if bound is None:
            continue
        outside = [bound + further, *([bound] if is_outside is not None else [])]
        if row.kind is float:
            outside = [float(value) for value in outside]
            outside.append(np.nextafter(bound, further * math.inf).item())
        for value in outside:
            with pytest.raises(SettingError, match=f"Expected {name} .*received {value!r}"):
                row.checked(name, value)
        if is_outside is None:
            assert row.checked(name, row.kind(bound)) == bound
    inside = low + 1 if high is None else (low + high) / 2
    assert row.checked(name, row.kind(inside)) == row.kind(inside)


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("proximal_weight", 1 - 1e-9, "1"),
        ("student_momentum", 1 - 1e-9, "1"),
        ("crd.momentum", 1 - 1e-9, "1"),
        ("proximal_bound", 1e-60, "0"),
        ("student_learning_rate", 1e-60, "0"),
        ("crd.temperature", 1e-60, "0"),
    ],
)
def test_numbers_that_float32_rounds_to_a_bound_are_refused(name, value, bound):
    assert float(np.float32(value)) == float(bound) != value
    with pytest.raises(SettingError, match=f"received {value!r}, which float32 rounds to {bound}"):
        ROWS[name].checked(name, value)


@pytest.mark.parametrize("name", ["label_weight", "student_learning_rate", "proximal_bound"])
@pytest.mark.parametrize("value", [1e39, 10**400], ids=["1e39", "1e400"])
def test_numbers_that_are_too_large_for_float32_are_refused(name, value):
    with pytest.raises(SettingError, match=f"Expected .*{name}.*, received"):
        ROWS[name].checked(name, value)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.choices])
def test_values_that_are_no_choice_are_refused_with_the_nearest(name):
    row = ROWS[name]
    for choice in row.choices:
        assert row.checked(name, choice) == choice
    with pytest.raises(SettingError, match=f"did you mean '{row.choices[-1]}'"):
        row.checked(name, f"{row.choices[-1]}x")


@pytest.mark.parametrize("name", all_settings())
def test_messages_name_the_option_on_the_command_line(name):
    row = ROWS[name]
    with pytest.raises(SettingError) as refused:
        row.checked(name, OTHER_KINDS[row.kind][0])
    option = row.option_of(name)
    assert option.startswith("--") and option_names()[name] == option
    assert f" {option}" in refused.value.shown_as(option_names())
    assert name in str(refused.value) and "--" not in str(refused.value)


def test_a_message_with_a_key_and_without_options():
    error = SettingError(f"Expected {argument('weights', 'kd')}, not {argument('seeds')}.")
    assert str(error) == "Expected weights kd, not seeds."
    assert error.shown_as({"weights": "--weight"}) == "Expected --weight kd, not seeds."


def test_every_option_is_typed_differently_and_explained():
    options = [row.option_of(name) for name, row in all_settings().items()]
    assert len(set(options)) == len(options)
    for name, row in ROWS.items():
        assert row.help.endswith((".", "]")), name


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("proximal_weight", ".5", 0.5),
        ("epochs", "3", 3),
        ("deterministic", "Yes", True),
        ("deterministic", "0", False),
        ("teacher", "cnn-large", "cnn-large"),
        ("assistants", "cnn-medium", ("cnn-medium",)),
    ],
)
def test_typed_values(name, text, value):
    assert ROWS[name].parsed(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("proximal_weight", "many", "a number for proximal_weight, received 'many'; such as 0.3"),
        ("proximal_weight", "nan", "proximal_weight in "),
        ("epochs", "2.5", "a whole number for epochs, received '2.5'; such as 2"),
        ("epochs", "0", "epochs of at least 1, received 0"),
        ("deterministic", "maybe", "true or false for deterministic, received 'maybe'"),
        ("student_optimizer", "adm", "did you mean 'adam'"),
    ],
)
def test_typed_values_that_mean_nothing(name, text, message):
    with pytest.raises(SettingError, match=message):
        ROWS[name].parsed(name, text)


def test_apps_are_asked_for_every_setting_of_the_data():
    names = list(inspect.signature(TaskRequest).parameters)
    assert set(settings_of(DataSettings)) <= set(names)
    assert RunSpec.resolve("digits", "prokt", limit=64).request().limit == 64


# What reaches an objective.


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_settings_of_an_objective_are_the_arguments_of_its_class(objective):
    known = inspect.signature(losses.objective_class(objective)).parameters
    # Every run has a weight; the temperature of soft targets is a setting of the method.
    of_runs = {"weight", "name"} | ({"temperature"} if objective == "kd" else set())
    assert set(OBJECTIVES[objective].settings) == set(known) - of_runs
    for name, row in {**OBJECTIVES[objective].settings, "temperature": TEMPERATURE}.items():
        if name in known:
            row.checked(name, known[name].default)  # the default is in its range


@pytest.mark.parametrize(
    ("objective", "name", "value"),
    [(o, name, row) for o, card in OBJECTIVES.items() for name, row in card.settings.items()],
)
def test_the_smallest_values_of_a_setting_make_an_objective(objective, name, value):
    row = value
    low, _ = bounds_of(row)
    values = list(row.choices) or [row.kind(low + (0.5 if row.above is not None else 0))]
    if objective == "rkd":
        values = [0.5]  # both weights of 0 leave nothing to match
    for one in values:
        made = losses.objective_class(objective)(**{name: row.checked(name, one)})
        assert made.get_config()[name] == one


# What reaches an optimizer.


def spec_of(optimizer, schedule="constant", **settings):
    given = {f"student_{name}": value for name, value in settings.items()}
    return RunSpec.resolve(
        "digits", "prokt", student_optimizer=optimizer, student_schedule=schedule, **given
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_a_step_under_every_schedule(name, schedule):
    spec = spec_of(name, schedule, learning_rate=0.125)
    optimizer = optimizer_recipe(spec.optimizers["student"]).build(total_steps=8)
    assert float(optimizer.learning_rate) == pytest.approx(0.125)
    variable = keras.Variable(np.ones((2, 2), "float32"))
    optimizer.apply([keras.ops.convert_to_tensor(np.full((2, 2), 0.5, "float32"))], [variable])
    values = keras.ops.convert_to_numpy(variable)
    assert np.isfinite(values).all() and (values < 1).all()


def test_schedules_fall_as_they_say():
    def rates(schedule):
        recipe = optimizer_recipe(spec_of("sgd", schedule, learning_rate=1.0).optimizers["student"])
        optimizer = recipe.build(total_steps=8)
        found = []
        for step in (0, 4, 5, 6, 7, 8):
            optimizer.iterations.assign(step)
            found.append(float(optimizer.learning_rate))
        return found

    assert rates("constant") == [1.0] * 6
    assert rates("linear") == pytest.approx([1 - step / 8 for step in (0, 4, 5, 6, 7, 8)])
    cosine = [(1 + math.cos(math.pi * step / 8)) / 2 for step in (0, 4, 5, 6, 7, 8)]
    assert rates("cosine") == pytest.approx(cosine, abs=1e-7)
    assert rates("steps") == pytest.approx([1.0, 1.0, 0.1, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_and_momentum_reach_the_optimizer(name, role):
    given = {"optimizer": name, "learning_rate": 0.5, "weight_decay": 0.125}
    if name in MOMENTUM_OPTIMIZERS:
        given["momentum"] = 0.25
    spec = RunSpec.resolve("digits", "prokt", **{f"{role}_{k}": v for k, v in given.items()})
    assert getattr(spec, f"{role}_weight_decay") == 0.125
    optimizer = optimizer_recipe(spec.optimizers[role]).build(total_steps=8)
    assert float(optimizer.learning_rate) == 0.5
    if name == "coupled_sgd":
        assert (optimizer.l2, optimizer.weight_decay) == (0.125, None)
    else:
        assert optimizer.weight_decay == 0.125
    if name in MOMENTUM_OPTIMIZERS:
        assert optimizer.momentum == 0.25


def test_decay_is_a_part_of_the_gradient_of_coupled_sgd_alone():
    steps = {}
    for name in ("sgd", "coupled_sgd"):
        spec = spec_of(name, learning_rate=0.5, weight_decay=0.25, momentum=0.5)
        optimizer = optimizer_recipe(spec.optimizers["student"]).build(total_steps=8)
        variable = keras.Variable(np.array([2.0], "float32"))
        for _ in range(2):
            optimizer.apply([keras.ops.convert_to_tensor(np.array([1.0], "float32"))], [variable])
        steps[name] = float(keras.ops.convert_to_numpy(variable)[0])
    # Worked by hand: v = -0.5·(1 + 0.25·w) + 0.5·v, and w - 0.5·0.25·w before v = -0.5 + 0.5·v.
    first = 2.0 - 0.5 * (1 + 0.5)
    second = first - 0.5 * (1 + 0.25 * first) + 0.5 * (first - 2.0)
    assert steps["coupled_sgd"] == pytest.approx(second)
    first = 2.0 * (1 - 0.125) - 0.5
    assert steps["sgd"] == pytest.approx(first * (1 - 0.125) - 0.5 - 0.25)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - set(MOMENTUM_OPTIMIZERS)))
def test_momentum_belongs_to_some_optimizers(name):
    with pytest.raises(SettingError, match=f"no student_momentum with optimizer '{name}'"):
        spec_of(name, momentum=0.5)


def test_another_optimizer_keeps_of_the_recipe_what_it_has_too():
    own = RunSpec.resolve("cifar100", "student").optimizers["student"]
    assert own.optimizer == "coupled_sgd" and own.momentum == 0.9 and own.weight_decay == 5e-4
    other = RunSpec.resolve("cifar100", "student", student_optimizer="adamw").optimizers["student"]
    rate, schedule = own.learning_rate, own.schedule
    assert other == OptimizerSettings("adamw", rate, schedule, None, None, {})
    of_texts = RunSpec.resolve("glue-sst2", "student", student_optimizer="sgd")
    assert of_texts.optimizers["student"].options == {"global_clipnorm": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NUMBERS if ROWS[name].kind is int])
def test_whole_numbers_with_which_no_backend_counts_are_refused(name):
    with pytest.raises(SettingError, match="Expected .* (of at most|in \\[)"):
        ROWS[name].checked(name, 10**20)
