"""What is typed: methods, seeds, values and ranges; and one line where it is wrong."""

import json
import subprocess
import sys

import pytest

from keras_prokt.options import parsed_method, parsed_search, parsed_seeds, typed_names
from keras_prokt.runs.search_space import Range
from keras_prokt.settings import SettingError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kd", ("kd", {})),
        ("  prokt   lambda=.5 ", ("prokt", {"proximal_weight": 0.5})),
        ("prokt --lambda=0.5", ("prokt", {"proximal_weight": 0.5})),
        ("crd+kd weight=kd=2 weight=crd=.5", ("crd+kd", {"weights": {"kd": 2.0, "crd": 0.5}})),
        (
            "crd set=crd.num_negatives=8",
            ("crd", {"objective_settings": {"crd": {"num_negatives": 8}}}),
        ),
        ("ta assistant=a assistant=b", ("ta", {"assistants": ("a", "b")})),
        ("kd teacher-epochs=3 limit=2", ("kd", {"teacher_epochs": 3, "limit": 2})),
        ("kd deterministic=yes", ("kd", {"deterministic": True})),
        ("kd text=a,b", ("kd", {"text_columns": ("a", "b")})),
        ("kd teacher-init='my teacher.keras'", ("kd", {"teacher_init": "my teacher.keras"})),
    ],
)
def test_a_method_with_settings_of_its_own(text, expected):
    method, own = parsed_method(text)
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
    assert (method, own) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected method 'METHOD NAME=VALUE ...', received ''"),
        ("   ", "Expected method 'METHOD NAME=VALUE ...', received '   '"),
        ("kd '", "close quotes"),
        ("prokt lamda=0", "received 'lamda'; did you mean 'lambda'"),
        ("prokt lambda", "Expected NAME=VALUE after method 'prokt', received 'lambda'"),
        ("prokt lambda=x", "a number for proximal_weight, received 'x'"),
        ("prokt lambda=1", r"proximal_weight in \[0, 1\), received 1.0"),
        ("kd epochs=1.5", "a whole number for epochs, received '1.5'"),
        ("kd temperature=1 temperature=2", "Expected temperature once"),
        ("kd seed=3", "no seed in 'kd seed=3'; seeds holds for all rows"),
        ("kd deterministic=perhaps", "true or false for deterministic"),
        ("kd weight=kd", "weights OBJECTIVE=NUMBER, received 'kd'"),
        ("crd set=crd=1", "objective_settings OBJECTIVE.NAME=VALUE, received 'crd=1'"),
        ("crd set=crd.no=1", "a setting of 'crd' among .*received 'no'"),
        ("crd set=no.no=1", "an objective among .*received 'no'"),
        ("kd student-optimizer=adm", "among .*adam.*; received 'adm'"),
    ],
)
def test_a_method_that_means_nothing(text, message):
    with pytest.raises(SettingError, match=message) as refused:
        parsed_method(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("3", [3]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("7,1", [7, 1]),
        ("0-2, 7", [0, 1, 2, 7]),
        ("5-5", [5]),
    ],
)
def test_seeds(text, seeds):
    assert parsed_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", ",", "-1", "0-", "4-0", "1.5", "a", "0--4", "0-1-2", "1e3", "0-10000", "²"]
)
def test_seeds_that_mean_nothing(text):
    with pytest.raises(SettingError, match="Expected seeds such as 0-4 or 0,1,2, received"):
        parsed_seeds(text)


@pytest.mark.parametrize("text", ["1,1", "0-3,2", "0,00"])
def test_seeds_given_twice(text):
    with pytest.raises(SettingError, match="Expected different seeds, received"):
        parsed_seeds(text)


@pytest.mark.parametrize(
    ("given", "single", "over"),
    [
        ({"epochs": "5", "limit": None, "weights": ()}, {"epochs": 5}, {}),
        ({"proximal_weight": "0,0.3"}, {}, {"proximal_weight": [0.0, 0.3]}),
        ({"proximal_weight": " 0 , .3 "}, {}, {"proximal_weight": [0.0, 0.3]}),
        (
            {"student_learning_rate": "1e-3:1e-1"},
            {},
            {"student_learning_rate": Range(1e-3, 1e-1)},
        ),
        ({"batch_size": "2:8", "epochs": "1,2"}, {}, {"batch_size": Range(2, 8), "epochs": [1, 2]}),
        ({"student": "cnn-small,cnn-medium"}, {}, {"student": ["cnn-small", "cnn-medium"]}),
        # A colon of a name is no range.
        ({"student": "keras:ResNet50"}, {"student": "keras:ResNet50"}, {}),
        (
            {"weights": ("kd=0.5,1", "crd=2")},
            {"weights": {"crd": 2.0}},
            {"weights kd": [0.5, 1.0]},
        ),
        ({"weights": ("kd=0.5:1",)}, {}, {"weights kd": Range(0.5, 1.0)}),
        (
            {"objective_settings": ("crd.num_negatives=8,16", "crd.dimensions=4")},
            {"objective_settings": {"crd": {"dimensions": 4}}},
            {"objective_settings crd.num_negatives": [8, 16]},
        ),
        ({"deterministic": True, "pair": "a,b"}, {"deterministic": True, "pair": "a,b"}, {}),
        # Paths and columns have commas of their own.
        ({"dataset": "a,b.csv"}, {"dataset": "a,b.csv"}, {}),
        ({"text_columns": "a,b"}, {"text_columns": ("a", "b")}, {}),
        ({"assistants": ("a", "b")}, {"assistants": ("a", "b")}, {}),
    ],
)
def test_values_and_ranges_of_a_search(given, single, over):
    found = parsed_search(given)
    assert ({k: _as_tuple(v) for k, v in found[0].items()}, found[1]) == (single, over)


def _as_tuple(value):
    return tuple(value) if isinstance(value, list) else value


def test_every_name_that_is_typed_is_one_setting():
    names = typed_names()
    assert names["lambda"] == "proximal_weight" and names["epsilon"] == "proximal_bound"
    assert len(set(names.values())) == len(names)


WRONG = [
    ("compare", "Expected either RUNS or --method, received none"),
    ("compare some --method kd", "Expected either RUNS or --method, received both"),
    ("compare --method dk", "received 'dk'"),
    ("compare --method kd --method kd", "Expected each --method once"),
    ("compare --method 'prokt lambda=.3' --method 'prokt lambda=0.3'", "with the same settings"),
    ("compare --method 'prokt lamda=.3'", "did you mean 'lambda'"),
    ("compare --method 'prokt lambda=2'", "Expected --lambda in [0, 1), received 2.0"),
    ("compare --method 'kd lambda=.3'", "no --lambda with method 'kd'"),
    ("compare --method 'kd seed=3'", "--seeds holds for all rows"),
    ("compare --method 'kd backend=keras'", "received 'keras'"),
    ("compare --method kd --method student --lambda .3", "none of kd, student has it"),
    ("compare --method kd --baseline student", "a baseline among kd; received 'student'"),
    ("compare --method kd --seeds 4-0", "Expected --seeds such as 0-4"),
    ("compare --method kd --seeds 1,1", "Expected different --seeds"),
    ("compare --method kd --seeds 4294967296", "--seeds in [0, 4294967295]"),
    ("compare --method kd --format word", "a format among"),
    ("compare --method kd --stop-after 5", "a duration such as 90s"),
    ("compare --method kd --student cnn-huge", "Expected a student among"),
    ("compare --method kd --out file", "new folder or that of a comparison, received 'file'"),
    ("compare --method kd --out .", "new folder or that of a comparison, received '.'"),
    ("compare nowhere", "Expected a run folder with a run.json, received 'nowhere'"),
    ("compare . --lambda .3", "Expected no --lambda with RUNS, received '.3'"),
    ("compare . --out there", "Expected no --out with RUNS"),
    ("compare . --jobs 2", "Expected no --jobs with RUNS"),
    ("compare . --seeds 0-4", "Expected no --seeds with RUNS"),
    ("compare . --retry-failed", "Expected no --retry-failed with RUNS"),
    ("compare .", "`keras-prokt run` prints the path of the folder it makes"),
    ("search --method kd", "at least one setting with several values or a range"),
    ("search --lambda .3", "at least one setting with several values or a range"),
    ("search --lambda 0,0.0", "Expected different values of --lambda"),
    ("search --lambda 0,x", "Expected a number for --lambda, received 'x'"),
    ("search --lambda 0,", "Expected a number for --lambda, received ''"),
    ("search --lambda 0,1", "Expected --lambda in [0, 1), received 1.0"),
    ("search --lambda 0:1", "Expected --lambda in [0, 1), received 1.0"),
    ("search --lambda .8:0", "Expected a range LOW:HIGH"),
    ("search --lambda 0:.4:.8", "Expected a number for --lambda, received '.4:.8'"),
    ("search --lambda :.4", "Expected a number for --lambda, received ''"),
    ("search --student-learning-rate 0:1", "Expected --student-learning-rate above 0"),
    ("search --batch-size 1.5:4", "Expected a whole number for --batch-size, received '1.5'"),
    ("search --weight at=1,2", "a weight of an objective of 'prokt'"),
    ("search --weight kd=1,x", "Expected a number for --weight kd, received 'x'"),
    ("search --set no.a=1,2", "an objective among"),
    ("search --method crd --set crd.a=1,2", "a setting of 'crd' among"),
    ("search --trials 3", "Expected no --trials without a range"),
    ("search --seeds 0,0", "Expected different --seeds"),
    ("search --method kd --lambda 0,.3", "no --lambda with method 'kd'"),
    ("search --student cnn-small,cnn-huge", "Expected a student among"),
    ("search --out .", "new folder or that of a search, received '.'"),
    ("search --stop-after x", "a duration such as 90s"),
    ("search --app cifar100 --full-train --lambda 0,.3", "not trained on, received --full-train"),
    ("resume nowhere", "Expected a run folder"),
    ("info nowhere", "Expected a run folder"),
]


@pytest.mark.process
def test_what_is_wrong_is_one_line_before_keras_is_loaded(tmp_path):
    """All of them in one process without Keras: each one line, exit code 2, nothing left behind."""
    (tmp_path / "file").write_text("here")
    program = """
import contextlib, io, json, shlex, sys
sys.modules["keras"] = None
from keras_prokt.cli import main
answers = []
for line in json.load(sys.stdin):
    shown = io.StringIO()
    code = None
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            main(shlex.split(line))
        except SystemExit as end:
            code = end.code
    answers.append((code, shown.getvalue()))
print(json.dumps(answers))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([line for line, _ in WRONG]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    wrong = []
    for (line, message), (code, shown) in zip(WRONG, json.loads(result.stdout), strict=True):
        is_right = code == 2 and message in shown and len(shown.splitlines()) == 1
        if not is_right or not shown.startswith("keras-prokt: "):
            wrong.append(f"{line}: {code} {shown}")
    assert not wrong, "\n".join(wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
