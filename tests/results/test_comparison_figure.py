"""The picture of a comparison says what the table says."""

import pytest
from matplotlib.figure import Figure

from keras_prokt import pictures
from keras_prokt.results.comparison import Measured, compare
from keras_prokt.results.comparison_figure import plot_comparison

STUDENTS = {"student": (0.70, 0.71, 0.723), "kd": (0.80, 0.81, 0.82), "prokt": (0.80, 0.82, 0.81)}


@pytest.fixture
def drawn(monkeypatch):
    """Figures that were written."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    return figures


def compared(methods=STUDENTS, seeds=3, **settings):
    runs = [
        Measured(method, seed, value, 0.9 if method != "student" else None, None, 1.0)
        for method in methods
        for seed, value in enumerate(STUDENTS[method][:seeds])
    ]
    return compare(runs, metric="accuracy", part="test", settings={"app": "digits"}, **settings)


def test_rows_means_intervals_and_verdicts(drawn, tmp_path):
    plot_comparison(compared(baselines=["kd"]), tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    means, differences = drawn[0].axes
    assert drawn[0].get_suptitle() == "digits, test data, 95 % intervals"
    assert (means.get_xlabel(), differences.get_title()) == ("accuracy", "(b) differences to kd")
    names = [label.get_text() for label in means.get_yticklabels()]
    assert names == ["student (n = 3)", "kd (n = 3)", "prokt (n = 3)"]
    assert means.containers[0].lines[0].get_xdata() == pytest.approx([0.711, 0.81, 0.81])
    assert means.containers[1].lines[0].get_xdata() == pytest.approx([0.9, 0.9])
    fills = [one.lines[0].get_markerfacecolor() for one in differences.containers]
    assert fills == ["black", "white"]  # student − kd is certain, prokt − kd is not
    first = differences.containers[1].lines[2][0].get_segments()[0]
    half = 4.302653 * 0.01 / 3**0.5  # t of 2 degrees of freedom; differences 0, .01 and −.01
    assert first[:, 0] == pytest.approx([-half, half], abs=1e-6)


def test_one_seed_has_no_bars_and_no_second_panel(drawn, tmp_path):
    plot_comparison(compared(["kd"], seeds=1), tmp_path / "comparison.png")
    (means,) = drawn[0].axes
    segments = means.containers[0].lines[2][0].get_segments()
    assert not any(ends.size for ends in segments)


def test_several_baselines_are_named_and_long_headings_cut(drawn, tmp_path):
    runs = [
        Measured(method, seed, 0.5 + 0.1 * seed, None, None, 1.0)
        for method in ("kd", "student", f"prokt {'x' * 100}")
        for seed in range(2)
    ]
    found = compare(runs, metric="loss", part="validation", mode="min", baselines=["kd", "student"])
    plot_comparison(found, tmp_path / "comparison.png")
    names = [label.get_text() for label in drawn[0].axes[1].get_yticklabels()]
    assert names[0] == "student − kd (n = 2)" and all(len(name) < 90 for name in names)
    assert drawn[0].axes[1].get_xlabel().startswith("better to the left")


def test_dollars_in_names_are_dollars(drawn, tmp_path):
    name = r"prokt student=$\foo$"  # no formula that Matplotlib knows
    runs = [Measured(m, s, 0.1 * s, None, None, 1.0) for m in (name, "kd") for s in range(2)]
    found = compare(runs, metric="accuracy", part="test", baselines=[name])
    plot_comparison(found, tmp_path / "comparison.png")
    pictures.save(pictures.new_figure(4, 3, name), tmp_path / "title.png")
    assert (tmp_path / "title.png").is_file() and (tmp_path / "comparison.png").is_file()
