"""The pictures of an archive: what is drawn can be told apart."""

import random

import pytest
from matplotlib.figure import Figure

from keras_prokt.results.figures import draw_validation


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    return figures


def runs_of(titles, mode="max"):
    chance = random.Random(0)
    for title in titles:
        for _ in range(2):
            values = [1.0 - 0.9 / epoch + 0.01 * chance.random() for epoch in range(1, 21)]
            values = values if mode == "max" else [1.0 - value for value in values]
            results = {"metric": "accuracy", "mode": mode}
            yield {"title": title, "validation": values, "results": results}


def test_no_two_of_many_lines_look_alike(drawn, tmp_path):
    names = [f"method {number}" for number in range(12)]
    draw_validation(list(runs_of(names)), tmp_path / "v.png", "many")
    [figure] = drawn
    lines = figure.axes[0].get_lines()
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(lines) == len(looks) == len(names)
    assert len({line.get_color() for line in lines[:7]}) == 7


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_end_that_counts_fills_its_panel(mode, drawn, tmp_path):
    draw_validation(list(runs_of(["a", "b"], mode)), tmp_path / "v.png", "end")
    _, end = drawn[0].axes
    bottom, top = end.get_ylim()
    values = [value for line in end.get_lines() for value in line.get_ydata()[10:]]
    assert bottom <= min(values) and max(values) <= top
    assert top - bottom < 1.2 * (max(values) - min(values))
