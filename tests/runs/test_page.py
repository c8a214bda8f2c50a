"""`keras-prokt report`: what a page of runs, comparisons and searches says."""

import keras
import numpy as np
import pytest
from command_line import keras_prokt
from pretended_runs import completed, record_of, write_run

from keras_prokt.files import digest_of_file
from keras_prokt.outputs.reports import class_report
from keras_prokt.results.page import Picture
from keras_prokt.runs import RunSpec
from keras_prokt.runs import page as pages
from keras_prokt.runs.disagreements import disagreements
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.run_list import Entry, RunList
from keras_prokt.runs.task import digests, prepare
from keras_prokt.runs.titled_runs import titled_runs

HISTORY = (
    "epoch,seconds,student_loss,gap,student_accuracy,teacher_accuracy,val_student_accuracy\n"
    "0,1.0,0.5,0.4,0.2,0.4,0.3\n1,1.0,0.4,0.3,0.5,0.9,0.6\n"
)


def finish(path, spec, accuracy=0.6, **changes):
    """A completed run whose models have classes, curves and a teacher, and are not trained."""
    folder = RunFolder(path)
    labels = np.arange(20) % 10
    if not folder.record.is_file():
        with folder.created(record_of(spec)):
            pass
    folder.history.write_text(HISTORY)
    measured = {"accuracy": accuracy, "loss": 1.0, "seconds": 0.1}
    record = completed(record_of(spec, **changes), accuracy, test=measured)
    record["class_names"] = ["<b>0</b>", *map(str, range(1, 10))]
    results = record["results"]
    results["models"]["teacher"] = {**results["models"]["student"], "parameters": 10}
    report = class_report(labels, np.roll(labels, 1), np.full((20, 10), 0.1))
    results["reports"] = {"student": {"test": report}, "teacher": {"test": report}}
    results["mode"] = "max"
    record["files"] = {"history.csv": digest_of_file(folder.history)}
    folder.write({**record, **changes})
    return folder


def spec_of(seed=0, **settings):
    return RunSpec.resolve("digits", "prokt", epochs=2, seed=seed, **settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with both models, of which the student errs."""
    path, spec = tmp_path_factory.mktemp("runs") / "run", spec_of()
    task = prepare(spec)
    changes = {"data": digests(spec, task), "save_teacher": True}
    folder = finish(path, spec, **changes)
    keras.utils.set_random_seed(0)
    task.build_teacher().save(folder.teacher)
    task.build_student().save(folder.student)
    return folder


@pytest.mark.slow
def test_a_run_has_tables_pictures_examples_and_digests(run, tmp_path):
    found = keras_prokt("report", run.path, "--out", "a/page.html", "--examples", 3, cwd=tmp_path)
    assert (found.exit_code, found.stdout) == (0, "a/page.html\n"), found.stderr
    page = (tmp_path / "a/page.html").read_text()
    assert len(page) < 3e6
    for said in ("Confusion matrix", "Curves of training", "Calibration", "KL(teacher", "SHA-256"):
        assert said in page, said
    assert page.count('class="example"') == 3 and "<b>" not in page and "&lt;b&gt;0" in page
    assert run.read()["data"]["train data"] in page and "cnn-small" in page
    again = keras_prokt("report", run.path, "--out", "a/page.html", "--examples", 0, cwd=tmp_path)
    assert again.exit_code == 0
    page = (tmp_path / "a/page.html").read_text()
    assert 'class="example"' not in page and [*(tmp_path / "a").iterdir()] == [
        tmp_path / "a/page.html"
    ]


@pytest.mark.slow
def test_the_examples_are_those_of_the_largest_divergence(run):
    found = disagreements(run, 300)
    values = [one.divergence for one in found.examples]
    assert values == sorted(values, reverse=True) and len(values) == found.looked_at == 237
    image = found.examples[0].image
    assert image.shape == (8, 8, 1) and image.dtype == "uint8" and image.max() > 200
    task = prepare(run.spec())
    row = {position: k for k, position in enumerate(task.validation.origin.positions)}
    pixels = task.validation.inputs["student"][row[found.examples[0].position]]
    np.testing.assert_allclose(image / 255, pixels / pixels.max(), atol=0.15)


@pytest.mark.slow
def test_without_the_teacher_those_are_shown_that_are_answered_differently(run, tmp_path):
    folder = RunFolder(tmp_path / "copy")
    record = run.read()
    with folder.created({**record, "save_teacher": False}):
        pass
    folder.student.write_bytes(run.student.read_bytes())
    student = {one.position: one.student for one in disagreements(run, 300).examples}
    task = prepare(run.spec())
    positions = task.validation.origin.positions
    answers = [student[p].partition(" ")[0] for p in positions]
    numbers = [task.class_names.index(one) for one in answers]
    teacher = [(k + 1) % 10 if n < 4 else k for n, k in enumerate(numbers)]
    folder.predictions.mkdir()
    lines = [f"0,{s},{t}" for s, t in zip(numbers, teacher, strict=True)]
    path = folder.predictions / "validation.csv"
    path.write_text("\n".join(["label,student,teacher", *lines]) + "\n")
    files = {"predictions/validation.csv": digest_of_file(path)}
    folder.write({**record, "save_teacher": False, "files": files})
    found = disagreements(folder, 300)
    assert {one.position for one in found.examples} == set(positions[:4])
    assert all(one.divergence is None for one in found.examples)
    surest = [float(one.student.partition("(")[2][:-1]) for one in found.examples]
    assert surest == sorted(surest, reverse=True)


def test_data_that_is_not_as_it_was_is_told_on_the_page(run, tmp_path):
    folder = finish(tmp_path / "run", spec_of(), data={"train data": "0" * 64}, save_teacher=True)
    block = pages._examples(folder, folder.read(), 3)
    assert "are not shown: Expected the train data" in block.lines[0]


@pytest.fixture
def not_drawn(monkeypatch):
    """Names of what would be drawn; most time goes into pictures, which have tests of their own."""
    names = []

    def pretend(draw, caption, alt, *arguments, **settings):
        names.append(draw.__name__)
        return Picture("data:,", "data:,", 480, caption, alt)

    monkeypatch.setattr(pages, "drawn", pretend)
    return names


@pytest.fixture
def comparison(tmp_path):
    entries = [
        Entry(
            f"run-{weight}-{seed}", f"prokt lambda={weight}", spec_of(seed, proximal_weight=weight)
        )
        for weight in (0.0, 0.4)
        for seed in (0, 1)
    ]
    runs = RunList(tmp_path / "comparison", "comparison")
    baselines = ["prokt lambda=0.0"]
    runs.create({"baselines": baselines}, entries, measures_test=True)
    for number, entry in enumerate(entries):
        finish(runs.path / entry.name, entry.spec, 0.5 + 0.01 * number**2)
    return runs


def test_a_comparison_has_figures_2_and_3(comparison, not_drawn, tmp_path):
    pages.report([comparison.path], tmp_path / "page.html", examples=0)
    page = (tmp_path / "page.html").read_text()
    for said in ("4 of 4 runs: completed", "Figure 2", "Figure 3", "Differences, seed by seed"):
        assert said in page, said
    assert page.count("<summary>prokt lambda=") == 2
    expected = ["plot_comparison", "draw_validation", "draw_dynamics", "draw_proximal_weight"]
    assert not_drawn[:4] == expected


@pytest.mark.slow
def test_figures_of_a_page_stand_below_each_other(comparison):
    titled = titled_runs([comparison.path])[0]
    picture = pages._figures(titled[:2])[0]
    assert picture.width == 480 and picture.light != picture.dark


def test_a_search_has_its_picture_and_its_choice(not_drawn, tmp_path):
    weights = {0.0: "lambda=0", 0.4: "lambda=0.4"}
    spec = {w: spec_of(proximal_weight=w) for w in weights}
    entries = [Entry(f"run-{w}", title, spec[w]) for w, title in weights.items()]
    from keras_prokt.runs.known_settings import title_of

    entries = [
        Entry(e.name, title_of({"proximal_weight": w}), e.spec)
        for e, w in zip(entries, weights, strict=True)
    ]
    about = {
        "app": "digits",
        "method": "prokt",
        "given": {"epochs": 2},
        "over": {"proximal_weight": [*weights]},
        "seeds": [0],
        "trials": None,
        "configurations": {
            e.title: {"proximal_weight": w} for e, w in zip(entries, weights, strict=True)
        },
    }
    runs = RunList(tmp_path / "search", "search")
    runs.create(about, entries, measures_test=False)
    for entry, accuracy in zip(entries, (0.5, 0.7), strict=True):
        finish(runs.path / entry.name, entry.spec, accuracy)
    pages.report([runs.path, runs.path / "run-0.0"], tmp_path / "page.html", examples=0)
    page = (tmp_path / "page.html").read_text()
    assert f"The choice, {entries[1].title}, seed 0" in page and "Figure 3" in page
    assert page.count("<h2>") == 2 and not_drawn[0] == "plot_search"


def test_an_unfinished_run_is_reported_as_it_is(tmp_path):
    write_run(tmp_path / "run", spec_of())
    pages.report([tmp_path / "run"], tmp_path / "page.html")
    assert "status: not completed" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("bad", ["none", "empty", "damaged", "in the way"])
def test_what_is_no_run_is_refused_in_one_line(bad, tmp_path):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "damaged", spec_of())
    record = tmp_path / "damaged" / "run.json"
    record.write_text(record.read_text().replace("digits", "digitz"))
    write_run(tmp_path / "whole", spec_of(), 0.5)
    (tmp_path / "mine.html").write_text("mine")
    run, out = ("whole", "mine.html") if bad == "in the way" else (bad, "new.html")
    found = keras_prokt("report", run, "--out", out, cwd=tmp_path)
    assert found.exit_code == 2 and found.stdout == ""
    assert found.stderr.count("\n") == 1 and found.stderr.startswith("keras-prokt: Expected")
    assert (tmp_path / "mine.html").read_text() == "mine" and not (tmp_path / "new.html").exists()
