"""How a comparison is shown: a function a form, and the table of them; imports no Keras."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_prokt.names import is_known, unknown_name
from keras_prokt.results.comparison_csv import csv_text
from keras_prokt.results.comparison_notes import notes_below
from keras_prokt.results.comparison_text import grids, headings
from keras_prokt.results.latex import in_latex, latex_row
from keras_prokt.results.tables import format_table


def _table(comparison: Mapping[str, Any]) -> str:
    parts = headings(comparison)
    parts += [format_table(*grid, left=True) for grid in grids(comparison)]
    return "\n\n".join([*parts, "\n".join(notes_below(comparison))])


def _markdown(comparison: Mapping[str, Any]) -> str:
    parts = [_in_markdown(heading) for heading in headings(comparison)]
    for columns, rows in grids(comparison):
        lines = [[_in_markdown(column) for column in columns], ["---"] * len(columns)]
        lines += [[_in_markdown(cell) for cell in row] for row in rows]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    parts.append("\n".join(f"- {_in_markdown(note)}" for note in notes_below(comparison)))
    return "\n\n".join(parts)


_A_NUMBER_OR_INTERVAL = re.compile(r"[-+\d.,e –]*(\[[-+\d.]+, [-+\d.]+\])?")


def _in_markdown(text: str) -> str:
    if _A_NUMBER_OR_INTERVAL.fullmatch(text):
        return text
    return re.sub(r"[\\`*_{}<>|~&$#\[\]]", r"\\\g<0>", text)


def _latex(comparison: Mapping[str, Any]) -> str:
    lines = [r"% needs \usepackage{booktabs}"]
    lines.append("\n\n".join(in_latex(heading) for heading in headings(comparison)))
    for columns, rows in grids(comparison):
        lines += [
            "",
            rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
            r"\toprule",
            latex_row(columns),
            r"\midrule",
            *map(latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    lines += ["", r"\begin{itemize}"]
    lines += [rf"\item {in_latex(note)}" for note in notes_below(comparison)]
    return "\n".join([*lines, r"\end{itemize}"])


def _json(comparison: Mapping[str, Any]) -> str:
    return json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False)


FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "table": _table,
    "csv": csv_text,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
}
"""How a comparison can be shown."""


def render(comparison: Mapping[str, Any], form: str) -> str:
    """A comparison as a text.

    Args:
        comparison: As returned by `compare`.
        form: "table" for a terminal; "csv" with a row for each student, teacher and comparison, all
            digits, and texts that a spreadsheet would run as formulas behind an apostrophe;
            "json"; "markdown"; or "latex", two tables of the package `booktabs`.

    Returns:
        The text, without a newline at its end. The forms for people say below the numbers what
        they mean.

    Raises:
        ValueError: If the form is unknown.

    Example:

    >>> from keras_prokt.results.comparison import Measured, compare
    >>> from keras_prokt.results.comparison_forms import render
    >>> runs = [Measured("kd", 0, 0.5, None, None, 1.0), Measured("kd", 1, 0.75, None, None, 1.0)]
    >>> text = render(compare(runs, metric="accuracy", part="test", confidence=0.5), "table")
    >>> print("\\n".join(text.splitlines()[:5]))
    test accuracy, higher is better
    <BLANKLINE>
    method  model    seeds  test accuracy            seconds
    ------  -------  -----  -----------------------  -------
    kd      student  2      0.6250 [0.5000, 0.7500]  1.0
    """
    if not is_known(form, FORMS):
        raise ValueError(unknown_name("a form", form, FORMS))
    return FORMS[form](comparison)
