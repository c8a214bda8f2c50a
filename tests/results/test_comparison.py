"""Comparisons of methods, against SciPy and numbers worked by hand, in every form."""

import csv
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from keras_prokt.results.comparison import Measured, compare, student_forwards
from keras_prokt.results.comparison_forms import FORMS, render

STUDENT = [0.731, 0.745, 0.750, 0.738]
KD = [0.745, 0.752, 0.757, 0.749]
PROKT = [0.761, 0.770, 0.779, 0.764]


def runs_of(method, values, seeds=None, **changes):
    """Runs of one method, one for each value."""
    settings = {"teacher": None, "cost": None, "seconds": 1.0} | changes
    seeds = range(len(values)) if seeds is None else seeds
    return [
        Measured(method, seed, value, **settings) for seed, value in zip(seeds, values, strict=True)
    ]


RUNS = runs_of("student", STUDENT) + runs_of("kd", KD) + runs_of("prokt λ=0", PROKT)


def compared(runs=RUNS, **changes):
    return compare(runs, **({"metric": "accuracy", "part": "test"} | changes))


def pair_of(comparison, method, baseline):
    [pair] = [
        pair
        for pair in comparison["comparisons"]
        if (pair["method"], pair["baseline"]) == (method, baseline)
    ]
    return pair


def test_methods_have_mean_and_interval_in_order_of_appearance():
    comparison = compared(confidence=0.9)
    assert [m["method"] for m in comparison["methods"]] == ["student", "kd", "prokt λ=0"]
    for of_method, values in zip(comparison["methods"], (STUDENT, KD, PROKT), strict=True):
        expected = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
        assert of_method["seeds"] == [0, 1, 2, 3] and of_method["n"] == 4
        assert of_method["student"]["mean"] == pytest.approx(np.mean(values))
        assert of_method["student"]["interval"] == pytest.approx(expected)
        assert of_method["student"]["bootstrap"] is None and of_method["teacher"] is None
    assert comparison["comparisons"] == []


def test_differences_are_paired_and_adjusted_over_all_of_them():
    comparison = compared(baselines=["student", "kd"])
    pairs = comparison["comparisons"]
    # kd and student are compared once, though both are baselines.
    assert [(pair["method"], pair["baseline"]) for pair in pairs] == [
        ("kd", "student"),
        ("prokt λ=0", "student"),
        ("prokt λ=0", "kd"),
    ]
    tests = [stats.ttest_rel(*values) for values in ((KD, STUDENT), (PROKT, STUDENT), (PROKT, KD))]
    for pair, expected in zip(pairs, tests, strict=True):
        assert pair["p"] == pytest.approx(expected.pvalue)
        assert pair["interval"] == pytest.approx(expected.confidence_interval())
    first, second, third = (test.pvalue for test in tests)
    assert second < third < first
    assert [pair["holm"] for pair in pairs] == pytest.approx(
        [max(first, 2 * third, 3 * second), 3 * second, max(2 * third, 3 * second)]
    )
    assert pairs[0]["difference"] == pytest.approx(np.mean(KD) - np.mean(STUDENT))


def test_a_verdict_needs_holms_p():
    # Significant alone, and not as one of three tests.
    base = np.array([0.70, 0.72, 0.71, 0.74, 0.73])
    close = base + [0.010, 0.022, 0.024, 0.002, 0.019]
    others = [base + [0.01, -0.01, 0.02, -0.02, sign * 0.001] for sign in (1, -1)]
    p = stats.ttest_rel(close, base).pvalue
    assert 0.05 / 3 < p < 0.05
    alone = runs_of("base", base.tolist()) + runs_of("close", close.tolist())
    more = [run for i, values in enumerate(others) for run in runs_of(f"m{i}", values.tolist())]
    assert compared(alone, baselines=["base"])["comparisons"][0]["verdict"] == "better"
    assert compared(alone, baselines=["close"])["comparisons"][0]["verdict"] == "worse"
    pair = pair_of(compared(alone + more, baselines=["base"]), "close", "base")
    assert pair["holm"] == pytest.approx(3 * p) and pair["verdict"] is None


def test_only_seeds_that_both_have_are_compared():
    runs = runs_of("kd", KD, seeds=[0, 1, 2, 7]) + runs_of("prokt", PROKT[::-1], seeds=[5, 2, 1, 0])
    pair = pair_of(compared(runs, baselines=["kd"]), "prokt", "kd")
    assert pair["seeds"] == [0, 1, 2] and pair["n"] == 3
    assert pair["left_out"] == {"method": [5], "baseline": [7]}
    # PROKT backwards: seeds 0, 1, 2 have its first three values.
    assert pair["p"] == pytest.approx(stats.ttest_rel(PROKT[:3], KD[:3]).pvalue)
    table = render(compared(runs, baselines=["kd"]), "table")
    assert re.search(r"prokt +kd +3 +2 +\+0\.0187", table)
    assert "runs whose seed the other one lacks are left out" in table


def test_no_seed_in_common_is_no_comparison():
    runs = runs_of("kd", KD) + runs_of("prokt", PROKT, seeds=[4, 5, 6, 7])
    comparison = compared(runs, baselines=["kd"])
    pair = pair_of(comparison, "prokt", "kd")
    assert pair["n"] == 0
    assert {pair[key] for key in ("difference", "interval", "p", "holm", "verdict")} == {None}
    for form in FORMS:
        assert "prokt" in render(comparison, form)


def test_one_seed_has_no_interval_and_no_test_and_says_so():
    comparison = compared(runs_of("kd", [0.7]) + runs_of("prokt", [0.9]), baselines=["kd"])
    of_kd = comparison["methods"][0]
    assert of_kd["student"] == {"mean": 0.7, "interval": None, "bootstrap": None}
    pair = comparison["comparisons"][0]
    assert pair["difference"] == pytest.approx(0.2)
    assert pair["p"] is None and pair["verdict"] is None
    table = render(comparison, "table")
    assert re.search(r"^kd +student +1 +0\.7000 +1\.0$", table, re.MULTILINE)
    assert re.search(r"^prokt +kd +1 +\+0\.2000 +no difference shown$", table, re.MULTILINE)
    assert "one seed: the number of one run, without interval and test" in table
    assert "±" not in table and "[low, high]" not in table and "Holm" not in table


def test_equal_values_show_no_spread():
    runs = runs_of("one class", [0.684, 0.684, 0.684]) + runs_of("kd", [0.701, 0.701, 0.701])
    comparison = compared(runs, baselines=["one class"])
    pair = comparison["comparisons"][0]
    assert pair["difference"] == pytest.approx(0.017)
    assert pair["p"] is None and pair["verdict"] is None
    assert comparison["methods"][0]["student"]["interval"] is None
    table = render(comparison, "table")
    assert "equal values of all seeds show no spread" in table and "nan" not in table.lower()
    assert "no p: fewer than two seeds in common, or the same difference in all" in table


def test_a_teacher_has_a_row_of_its_own():
    runs = runs_of("kd", KD, teacher=0.9) + runs_of("student", STUDENT)
    runs += [Measured("dml", seed, 0.5, 0.6 + seed / 10, None, 1.0) for seed in (0, 1, 2)]
    runs += [Measured("dml", 3, 0.5, None, None, 1.0)]
    by_name = {m["method"]: m for m in compared(runs)["methods"]}
    assert by_name["kd"]["teacher"] == {"n": 4, "mean": pytest.approx(0.9), "interval": None}
    assert by_name["student"]["teacher"] is None
    assert by_name["dml"]["teacher"]["mean"] == pytest.approx(0.7)
    assert by_name["dml"]["teacher"]["interval"] == pytest.approx(
        stats.t.interval(0.95, 2, 0.7, 0.1 / 3**0.5)
    )
    table = render(compared(runs), "table")
    rows = [re.split(r" {2,}", line) for line in table.split("\n\n")[1].splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["kd", "student", "4"],
        ["kd", "teacher", "4"],
        ["student", "student", "4"],
        ["dml", "student", "4"],
        ["dml", "teacher", "3"],
    ]
    assert rows[1][3:] == ["0.9000", "–"] and rows[4][3:] == ["0.7000 [0.4516, 0.9484]", "–"]
    for form in ("markdown", "latex", "csv"):
        text = render(compared(runs), form)
        shown = [line for line in text.splitlines() if "dml" in line and "teacher" in line]
        assert len(shown) == 1 and "0.7" in shown[0] and "0.45" in shown[0]


def test_a_teacher_of_one_run_is_said_to_be_of_one():
    runs = [Measured("dml", seed, 0.5, None if seed else 0.6, None, 1.0) for seed in (0, 1)]
    table = render(compared(runs + runs_of("kd", KD)), "table")
    assert "one seed (the teacher of dml): the number of one run" in table


def cost(teacher, student, flops=(8000, 2000)):
    forwards = {"teacher": teacher, "student": student}
    return {"forwards": forwards, "flops": dict(zip(forwards, flops, strict=True))}


@pytest.mark.parametrize(
    ("of_run", "expected"),
    [
        (cost(100, 300), 700.0),
        (cost(0, 300), 300.0),
        (cost(0, 300, flops=(None, 2000)), 300.0),
        (cost(100, 300, flops=(None, 2000)), None),
        (cost(100, 300, flops=(8000, None)), None),
        ({"forwards": {"student": 300}, "flops": {}}, None),
        ({"forwards": {"student": 300}, "flops": None}, None),
    ],
)
def test_forwards_of_all_models_in_those_of_the_student(of_run, expected):
    assert student_forwards(of_run) == expected


def test_cost_is_the_mean_of_the_runs():
    runs = [
        Measured("kd", 0, 0.5, None, cost(100, 300), 1.0),
        Measured("kd", 1, 0.6, None, cost(300, 500), 4.0),
        Measured("prokt", 0, 0.5, None, cost(100, 300), 1.0),
        Measured("prokt", 1, 0.6, None, None, 1.0),
    ]
    comparison = compared(runs)
    kd, prokt = comparison["methods"]
    assert kd["cost"]["forwards"] == {"teacher": 200.0, "student": 400.0}
    assert kd["cost"]["student_forwards"] == 1200.0 and kd["seconds"] == 2.5
    assert prokt["cost"] is None
    table = render(comparison, "table")
    assert re.search(r"kd .* teacher 200, student 400 +1,200 +2\.5$", table, re.MULTILINE)
    assert "student forwards: those of all models together, each counted by its FLOPs" in table


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_the_bootstrap_covers_seeds_and_examples(metric):
    draws = np.random.default_rng(0)
    labels = draws.integers(2, size=200)

    def runs(method, share, labels=labels):
        for seed in range(4):
            predicted = np.where(draws.random(200) < share, labels, 1 - labels)
            student = float(np.mean(predicted == labels))
            yield Measured(method, seed, student, None, None, 1.0, labels.tolist(), predicted)

    kd, prokt, elsewhere = (
        list(runs("kd", 0.7)),
        list(runs("prokt", 0.9)),
        list(runs("elsewhere", 0.9, labels=1 - labels)),
    )
    comparison = compared(kd + prokt + elsewhere, metric=metric, baselines=["kd"])
    low, high = comparison["methods"][0]["student"]["bootstrap"]
    # The examples alone have a standard error of sqrt(.7 * .3 / 200 / 4) = .016.
    assert 0.6 < low < 0.7 < high < 0.8 and high - low > 3 * 0.016
    low, high = pair_of(comparison, "prokt", "kd")["bootstrap"]
    assert 0.1 < low < 0.2 < high < 0.3
    assert pair_of(comparison, "elsewhere", "kd")["bootstrap"] is None
    assert comparison["methods"][2]["student"]["bootstrap"] is not None
    table = render(comparison, "table")
    assert "2,000 bootstrap draws of seeds and test examples" in table
    assert ("standard error of up to 0.03" in table) == (metric == "accuracy")

    half_known = [*kd[1:], Measured("kd", 0, 0.7, None, None, 1.0, labels)]
    assert compared(half_known, metric=metric)["methods"][0]["student"]["bootstrap"] is None
    one = compared([kd[0], prokt[0]], metric=metric, baselines=["kd"])
    assert one["methods"][0]["student"]["bootstrap"] is None
    assert one["comparisons"][0]["bootstrap"] is None
    other = compared(kd, metric="mcc")["methods"][0]
    assert other["student"]["bootstrap"] is None and other["examples_standard_error"] is None


def test_where_lower_is_better_the_lower_one_is():
    for mode, verdict in (("max", "better"), ("min", "worse")):
        comparison = compared(metric="deviance", mode=mode, baselines=["kd"])
        assert pair_of(comparison, "prokt λ=0", "kd")["verdict"] == verdict
        assert pair_of(comparison, "prokt λ=0", "kd")["difference"] > 0
        better = {"max": "higher", "min": "lower"}[mode]
        assert f"test deviance, {better} is better" in render(comparison, "table").splitlines()
        assert comparison["mode"] == mode


@pytest.mark.parametrize("metric", ["accuracy", "exact_match"])
def test_examples_alone_are_the_spread_of_shares_of_examples(metric):
    draws = np.random.default_rng(0)
    labels = draws.integers(2, size=(100, 3))
    predicted = np.where(draws.random((100, 3)) < 0.9, labels, 1 - labels)
    runs = [
        Measured("kd", seed, 0.75, None, None, 1.0, labels.tolist(), predicted.tolist())
        for seed in (0, 1)
    ]
    comparison = compared(runs, metric=metric)
    [method] = comparison["methods"]
    # Labels of one example are not drawn apart from each other.
    expected = None if metric == "accuracy" else pytest.approx((0.75 * 0.25 / 100) ** 0.5)
    assert method["examples_standard_error"] == expected
    table = render(comparison, "table")
    assert ("the exact_match of one run a standard error" in table) == (metric == "exact_match")
    low, high = method["student"]["bootstrap"]
    share = np.mean(predicted == labels)
    if metric == "exact_match":
        share = np.mean((predicted == labels).all(-1))
    assert low < share < high


def test_the_order_of_the_runs_changes_nothing_but_the_order_of_the_methods():
    backwards = compared(RUNS[::-1], baselines=["kd"])
    forwards = compared(baselines=["kd"])
    assert backwards["methods"] == forwards["methods"][::-1]
    assert backwards["comparisons"] == forwards["comparisons"][::-1]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least one run, received none"):
        compared([])
    with pytest.raises(ValueError, match="received two of 'kd' with seed 3; they are not"):
        compared([*RUNS, *runs_of("kd", [0.5], seeds=[3])])
    with pytest.raises(ValueError, match="received 'kdd'; did you mean 'kd'?"):
        compared(baselines=["kdd"])
    with pytest.raises(ValueError, match="received `student` nan of 'kd' with seed 0"):
        compared(runs_of("kd", [float("nan")]))
    with pytest.raises(ValueError, match="received `seconds` inf of 'kd' with seed 0"):
        compared(runs_of("kd", [0.5], seconds=float("inf")))
    with pytest.raises(ValueError, match="`confidence` between 0 and 1"):
        compared(confidence=95)
    with pytest.raises(ValueError, match="received 'lateks'; did you mean 'latex'?"):
        render(compared(), "lateks")


SHARED = {"app": "digits", "batch-size": 64, "limit": None, "dataset": "/a\nb_c/100%.csv"}
OWN = {"kd": {"temperature": 4.0, "weight": {"kd": 0.9}}, "prokt λ=0": {"lambda": 0.0}}


def test_what_was_compared_stands_above_and_what_differs_below():
    comparison = compared(settings=SHARED, own_settings=OWN)
    assert comparison["settings"] == SHARED
    assert [m["settings"] for m in comparison["methods"]] == [{}, OWN["kd"], OWN["prokt λ=0"]]
    lines = render(comparison, "table").splitlines()
    assert lines[0] == "app digits, batch-size 64, dataset /a b_c/100%.csv"
    assert lines[2] == "test accuracy, higher is better"
    assert lines[-2:] == [
        "settings of kd: temperature 4, weight kd=0.9",
        "settings of prokt λ=0: lambda 0",
    ]
    lines = render(comparison, "markdown").splitlines()
    assert lines[0] == r"app digits, batch-size 64, dataset /a b\_c/100%.csv"
    assert lines[-1] == "- settings of prokt λ=0: lambda 0"
    text = render(comparison, "latex")
    assert "\napp digits, batch-size 64, dataset /a b\\_c/100\\%.csv\n\n" in text
    assert r"\item settings of kd: temperature 4, weight kd=0.9" in text
    rows = list(csv.DictReader(io.StringIO(render(comparison, "csv"))))
    shared = "app digits, batch-size 64, dataset /a\nb_c/100%.csv"
    assert [row["settings"] for row in rows] == [
        shared,
        f"{shared}, temperature 4, weight kd=0.9",
        f"{shared}, lambda 0",
    ]
    assert json.loads(render(comparison, "json"))["settings"] == SHARED


def test_what_rows_have_in_common_is_said_once_and_not_again_what_headings_say():
    titles = ["student", "kd", "mine", "prokt lambda=.30 weight=kd=2", "prokt lambda=0.6..0"]
    teacher = {"teacher-optimizer": "adam", "temperature": 4.0}
    own = {
        "student": {"method": "student"},
        "kd": {"method": "kd", **teacher},
        "mine": {"method": "kd", **teacher, "temperature": 9.0},
        titles[3]: {"method": "prokt", **teacher, "lambda": 0.3, "weight": {"kd": 2.0}},
        titles[4]: {"method": "prokt", **teacher, "lambda": "0.6..0", "weight": {"kd": 1.0}},
    }
    runs = [run for title in titles for run in runs_of(title, KD)]
    comparison = compared(runs, own_settings=own)
    lines = render(comparison, "table").splitlines()
    assert [line for line in lines if line.startswith("settings of ")] == [
        "settings of all but student: teacher-optimizer adam",
        "settings of all but student, mine: temperature 4",
        "settings of mine: method kd, temperature 9",
        "settings of prokt lambda=0.6..0: weight kd=1",
    ]
    # A heading that says something else says nothing of it.
    own[titles[3]] |= {"lambda": 0.4}
    table = render(compared(runs, own_settings=own), "table")
    assert f"settings of {titles[3]}: lambda 0.4" in table
    assert [m["settings"] for m in comparison["methods"]][4] == own[titles[4]]


def test_without_settings_there_is_no_line_of_them():
    comparison = compared()
    assert comparison["settings"] == {} and render(comparison, "table").startswith("test accuracy")
    assert "settings" not in render(comparison, "table")


def test_seconds_are_said_to_be_of_the_distillation_alone():
    assert "\nseconds: of the distillation alone, mean of the runs" in render(compared(), "table")


# Forms


AWKWARD = ["=1+2", "wrn-16-2_a", "100% & #1 $x$ {y} \\z", "a|b *c* <d>", "[1] ~^", "prokt λ=-1"]


@pytest.fixture
def awkward():
    """A comparison of methods whose names mean something in each form."""
    draws = np.random.default_rng(1)
    runs = [
        run
        for name in AWKWARD
        for run in runs_of(name, draws.normal(0.7, 0.05, 3).tolist(), cost=cost(1, 2), teacher=0.8)
    ]
    return compared(runs, baselines=["=1+2"])


def test_json_is_the_comparison(awkward):
    assert json.loads(render(awkward, "json")) == awkward
    assert "λ" in render(awkward, "json")


def test_csv_has_a_row_a_model_and_a_row_a_comparison(awkward):
    text = render(awkward, "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["row"] for row in rows] == ["student", "teacher"] * 6 + ["comparison"] * 5
    assert not any(None in row or None in row.values() for row in rows)
    for model in (0, 1):
        assert [row["method"] for row in rows[model:12:2]] == ["'=1+2", *AWKWARD[1:]]
    assert {row["baseline"] for row in rows[12:]} == {"'=1+2"}
    for row in rows[1:12:2]:
        assert float(row["mean"]) == pytest.approx(0.8)
        assert (row["n"], row["interval_low"]) == ("3", "")
    first, last = awkward["methods"][0], awkward["comparisons"][-1]
    assert float(rows[0]["mean"]) == first["student"]["mean"]
    assert float(rows[0]["interval_low"]) == first["student"]["interval"][0]
    assert float(rows[0]["forwards_of_teacher"]) == 1
    assert float(rows[0]["all_in_student_forwards"]) == 6
    assert rows[0]["seeds"] == "0 1 2" and rows[0]["bootstrap_low"] == ""
    assert float(rows[-1]["p"]) == last["p"] and float(rows[-1]["holm"]) == last["holm"]
    assert rows[-1]["verdict"] == "no difference shown"


@pytest.mark.parametrize("name", ["=1", "+a", "-a", "@SUM(A1)", " =1", "\t=1", "＝1"])
def test_csv_defuses_formulas_but_not_numbers(name):
    runs = runs_of(name, [0.1, 0.3, 0.2]) + runs_of("kd", [0.5, 0.6, 0.9])
    rows = list(csv.DictReader(io.StringIO(render(compared(runs, baselines=["kd"]), "csv"))))
    assert rows[0]["method"] == rows[2]["method"] == f"'{name}"
    # .1 - .5, .3 - .6, .2 - .9
    assert float(rows[2]["difference"]) == pytest.approx(-1.4 / 3)


def test_markdown_keeps_its_columns(awkward):
    lines = render(awkward, "markdown").splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 + 12 + 2 + 5
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert len(set(cells[:14])) == 1 and len(set(cells[14:])) == 1
    assert r"| a\|b \*c\* \<d\> | student | 3 |" in "\n".join(tables)
    assert r"| wrn-16-2\_a | teacher | 3 |" in "\n".join(tables)


def test_latex_escapes_what_would_not_compile(awkward):
    text = render(awkward, "latex")
    assert r"wrn-16-2\_a & student & 3" in text
    assert r"100\% \& \#1 \$x\$ \{y\} \textbackslash{}z & student & 3" in text
    assert r"a\textbar{}b {*}c{*} \textless{}d\textgreater{} & student & 3" in text
    assert r"{[}1{]} \textasciitilde{}\textasciicircum{} & student & 3" in text
    assert r"prokt $\lambda$=$-$1 & student & 3" in text
    assert text.isascii()
    assert [text.count(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")] == [2] * 3
    for table in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.DOTALL):
        columns = len(re.match(r"\\begin\{tabular\}\{(l+)\}", table).group(1))
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
    body = "\n".join(text.splitlines()[1:])
    assert not re.search(r"(?<!\\)[%#]", body)
    for line in body.splitlines():
        bare = re.sub(r"\\[\\{}$&%#_]", "", line)
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert "_" not in bare


def test_latex_knows_the_greek_letters():
    names = "αβγδεζηθικλμνξπρςστυφχψω ΓΔΘΛΞΠΣΥΦΨΩ"
    text = render(compared(runs_of(names, [0.5])), "latex")
    assert text.isascii()
    for letter in (r"$\alpha$$\beta$", r"$\xi$$\pi$$\rho$$\varsigma$$\sigma$", r"$\Lambda$$\Xi$"):
        assert letter in text
    assert r"$\psi$$\omega$ $\Gamma$" in text


def test_a_table_is_lines_of_printable_text():
    name = "a\nb\x1b[31m\tc"
    for form in ("table", "markdown", "latex"):
        text = render(compared(runs_of(name, KD)), form)
        assert "\x1b" not in text and "\t" not in text and re.search("^.*a b .*c", text, re.M)


def test_the_forms_for_people_say_what_the_numbers_are(awkward):
    for form in ("table", "markdown", "latex"):
        text = render(awkward, form)
        assert "test accuracy, higher is better" in text
        assert re.search(r"mean over seeds and its 95 \\?% interval by Student's t", text)
        assert "paired t test, two-sided; intervals are not adjusted" in text
        assert "adjusted for 5 tests" in text
        assert "that is no evidence of equality" in text
        assert not text.endswith("\n")
    assert "its 90 % interval" in render(compared(confidence=0.9), "table")


@pytest.mark.process
def test_importing_it_imports_nothing_slow():
    code = (
        "import sys, keras_prokt.results.comparison\n"
        "print({'keras', 'tensorflow', 'numpy', 'scipy'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
