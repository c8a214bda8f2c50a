"""What a search shows: the choice, how sure it is, and a picture."""

import copy
import struct
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from keras_prokt.results.search import choose, plot_search, search_table

SCORES = {0.0: (0.5, 0.7), 0.3: (0.6, 0.9), 0.8: (0.2, 0.4)}


def configuration(title, students, values=None, *, tests=(), teachers=None, **changes):
    runs = [
        {
            "seed": seed,
            "folder": f"{title}-seed-{seed}",
            "student": student,
            "teacher": teachers[seed] if teachers else None,
            "test": tests[seed] if tests else None,
        }
        for seed, student in enumerate(students)
    ]
    return {
        "title": title,
        "values": values or {},
        "is_whole": True,
        "failures": [],
        "runs": runs,
        **changes,
    }


@pytest.fixture
def found():
    """Three values of λ with two seeds each; the second is chosen."""
    configurations = [
        configuration(
            f"lambda={value:g}", students, {"proximal_weight": value}, teachers=(0.9, 0.95)
        )
        for value, students in SCORES.items()
    ]
    for run, test in zip(configurations[1]["runs"], (0.5, 0.7), strict=True):
        run["test"] = test
    return {
        "app": "digits",
        "method": "prokt",
        "settings": {"proximal_weight": "linear"},
        "seeds": [0, 1],
        "trials": None,
        "metric": "accuracy",
        "configurations": configurations,
        "chosen": "lambda=0.3",
    }


def interval(values, sign=""):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return f"{np.mean(values):{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def row_of(found, title):
    return next(line for line in search_table(found).splitlines() if line.startswith(title))


def test_the_highest_mean_of_whole_configurations_is_chosen():
    half = configuration("half", [0.9], is_whole=False)
    assert choose([configuration("a", [0.5, 0.7]), configuration("b", [0.6, 0.7]), half]) == "b"
    assert choose([half]) is None and choose([]) is None


def test_the_lowest_mean_is_chosen_where_lower_is_better(found):
    configurations = [configuration("a", [0.5, 0.7]), configuration("b", [0.6, 0.7])]
    assert choose(configurations, "min") == "a"
    lowest = choose(found["configurations"], "min")
    table = search_table({**found, "chosen": lowest, "mode": "min"})
    assert f"* chosen: the lowest mean on validation, {lowest}" in table
    assert "equals" not in table


def test_of_equal_means_the_first_is_chosen_whatever_the_rounding():
    # 0.1 + 0.2 is more than 0.3 in floating point.
    first, second = configuration("a", [0.3, 0.0]), configuration("b", [0.1, 0.2])
    assert choose([first, second]) == "a" and choose([second, first]) == "b"


def test_the_table_has_intervals_and_differences_seed_by_seed(found):
    for value, students in SCORES.items():
        row = row_of(found, f"lambda={value:g}")
        assert interval(students) in row and interval((0.9, 0.95)) in row
        assert row.rstrip().endswith("0, 1")
        if value == 0.3:
            assert row.startswith("lambda=0.3 *")
            continue
        differences = np.subtract(students, SCORES[0.3])
        # -.4 and -.5 are a spread; so are -.1 and -.2.
        assert interval(differences, "+") in row


def test_the_choice_is_told_with_its_test_data_and_a_warning(found):
    table = search_table(found)
    assert "* chosen: the highest mean on validation, lambda=0.3" in table
    assert "the best of 3 is favoured by chance" in table
    assert f"test accuracy, of the chosen: {interval((0.5, 0.7))}" in table
    assert "one seed" not in table and "also measured" not in table and "unfinished" not in table
    found["configurations"][0]["runs"][0]["test"] = 0.4
    assert "test data was also measured for lambda=0, chosen before" in search_table(found)


def test_one_seed_has_no_interval_and_the_way_to_more_is_told(found):
    found["seeds"] = [0]
    for one in found["configurations"]:
        one["runs"] = one["runs"][:1]
    table = search_table(found)
    assert "one seed has no interval; more seeds in the same folder give one" in table
    assert "--" not in table.rpartition("* chosen")[2]
    assert "[" not in table


def test_the_first_of_equals_is_said_to_be_one(found):
    assert "equals" not in search_table(found)
    for run, student in zip(found["configurations"][2]["runs"], (0.9, 0.6), strict=True):
        run["student"] = student
    expected = "* chosen: the highest mean on validation, lambda=0.3, the first of 2 equals"
    assert expected in search_table(found).splitlines()
    # Half a configuration is no equal of whole ones.
    found["configurations"][2]["is_whole"] = False
    assert "equals" not in search_table(found)


def test_what_all_runs_have_in_common_stands_above(found):
    found["shared"] = {"teacher": "cnn-large", "student": "cnn-small", "epochs": 40, "limit": None}
    assert search_table(found).splitlines()[:3] == [
        "digits, method prokt, seeds 0, 1",
        "teacher cnn-large, student cnn-small, epochs 40",
        "",
    ]


def test_what_is_missing_and_what_failed_is_told(found):
    first = found["configurations"][0]
    first |= {"is_whole": False, "runs": first["runs"][:1]}
    table = search_table(found)
    assert "unfinished: 2 of 3 configurations are completed" in table
    first |= {"failures": ["the loss became NaN", "again"], "runs": []}
    table = search_table(found)
    assert "failed: lambda=0: the loss became NaN" in table and "unfinished" not in table
    found["trials"] = 5
    assert "unfinished: 2 of 5 configurations are completed" in search_table(found)


def test_before_the_first_run_there_is_a_table_too(found):
    found["chosen"] = None
    for one in found["configurations"]:
        one |= {"is_whole": False, "runs": []}
    assert search_table(found).splitlines() == [
        "digits, method prokt, seeds 0, 1",
        "unfinished: 0 of 3 configurations are completed",
    ]


def size_of(png):
    header = png.read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", header[16:24])


@pytest.mark.slow
def test_the_picture_has_a_column_a_setting_and_a_row_a_model(found, tmp_path):
    plot_search(found, tmp_path / "one.png")
    width, height = size_of(tmp_path / "one.png")
    several = copy.deepcopy(found)
    several["settings"] |= {"student_learning_rate": "log", "student": "names"}
    for number, one in enumerate(several["configurations"]):
        one["values"] |= {"student_learning_rate": 10.0**-number, "student": "ab"[number % 2]}
        for run in one["runs"]:
            run["teacher"] = None
    plot_search(several, tmp_path / "several.png")
    wide, low = size_of(tmp_path / "several.png")
    assert wide > 2 * width and low < height
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "several.png"]


def test_the_picture_shows_the_whole_configurations_alone(found, tmp_path):
    from matplotlib.figure import Figure

    found["configurations"][2] |= {"is_whole": False}
    shown = []
    savefig = Figure.savefig

    def looked_at(figure, *arguments, **settings):
        shown.extend(line for axes in figure.axes for line in axes.lines)
        savefig(figure, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", looked_at)
        plot_search(found, tmp_path / "search.png")
    points = {(float(x), round(float(y), 6)) for line in shown for x, y in line.get_xydata()}
    assert {(0.0, 0.6), (0.3, 0.75)} <= points and all(x < 0.8 for x, _ in points)
    stars = [line.get_xydata().tolist() for line in shown if line.get_marker() == "*"]
    assert stars[0] == [[0.3, pytest.approx(0.75)]]


@pytest.mark.parametrize("scale", ["linear", "log", "names"])
def test_values_that_are_texts_are_drawn_as_names(scale, found, tmp_path):
    from matplotlib.axes import Axes

    found["settings"] = {"proximal_weight": scale}
    found["configurations"][1]["values"]["proximal_weight"] = "0.6..0"
    names = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "set_xticks", lambda axes, places, shown, **_: names.append(shown))
        plot_search(found, tmp_path / "search.png")
    assert names == [["0.0", "0.6..0", "0.8"]] * 2  # teacher and student


@pytest.mark.process
def test_a_search_is_shown_without_keras():
    program = (
        "import sys; sys.modules['keras'] = None\n"
        "import keras_prokt.results.search; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_budget_adds_the_curve_of_latency_with_the_teacher(found, tmp_path):
    from matplotlib.figure import Figure

    found["settings"] = {"student": "names"}
    for number, one in enumerate(found["configurations"]):
        one["values"] = {"student": f"s{number}"}
    found |= {"latency": 0.01, "latencies": {"s0": 0.004, "s1": 0.002, "s2": 0.008, "s3": 0.05}}
    found["teacher_latency"] = 0.1
    shown, savefig = [], Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda f, *a, **k: (shown.append(f), savefig(f, *a, **k)))
        plot_search(found, tmp_path / "search.png")
    curve, teacher, allowed = shown[0].axes[1].lines
    assert curve.get_xdata().tolist() == [2.0, 4.0, 8.0]
    assert teacher.get_xdata() == [100.0] and allowed.get_xdata()[0] == 10.0
