"""The rows that are compared in the end, made of what the trials chose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_prokt.runs.protocol import Row
from keras_prokt.runs.reproduction import Reproduction

Settings = Mapping[str, Any]

PAPERS_FORM = "prokt, paper's form"
"""Group of trials that are ProKT as the paper has it: no labels in the student's loss."""


@dataclass(frozen=True)
class Choice:
    """Settings of the best trial of each method, on validation.

    Attributes:
        labels: Of the student alone.
        kd: Of distillation from a trained teacher; RCO takes the same.
        prokt: The found recipe.
        papers_form: Of ProKT as the paper has it, best of those trials.
    """

    labels: Settings = field(default_factory=dict)
    kd: Settings = field(default_factory=dict)
    prokt: Settings = field(default_factory=dict)
    papers_form: Settings = field(default_factory=dict)


def is_papers_form(row: Row) -> bool:
    """Whether a trial is ProKT as the paper has it: a constant λ, T = 1, and γ = 0."""
    weight = row.settings.get("proximal_weight")
    return (
        row.method == "prokt"
        and isinstance(weight, float)
        and row.settings.get("label_weight") == 0
        and row.settings.get("temperature", 1.0) == 1
    )


def choice_of(trials: Reproduction) -> Choice | None:
    """What trials choose, `None` until all their runs are there."""
    rows = trials.protocol.rows
    best = [
        trials.best_of([row for row in rows if row.group == group])
        for group in ("student", "kd", "prokt")
    ]
    best.append(trials.best_of([row for row in rows if is_papers_form(row)]))
    if any(row is None for row in best):
        return None
    return Choice(*(dict(row.settings) for row in best if row is not None))


def chosen_rows(choice: Choice | None, minutes: float, **shared: Any) -> tuple[Row, ...]:
    """The methods that are compared: the primary comparisons first.

    Args:
        choice: What the trials chose; without it there are no rows.
        minutes: About how long a run of two networks takes.
        **shared: Settings of every row.

    Returns:
        The rows; of two that are the same the first.
    """
    if choice is None:
        return ()
    none_held = {**choice.papers_form, "proximal_weight": 0.0}
    rows = (
        Row("prokt, found recipe", "prokt", {**choice.prokt, **shared}, minutes=minutes),
        Row("kd", "kd", {**choice.kd, **shared}, minutes=minutes),
        Row("labels", "student", {**choice.labels, **shared}, minutes=minutes / 2),
        Row(
            "kd, best teacher epoch",
            "kd",
            {**choice.kd, **shared, "teacher_keep": "best"},
            minutes=minutes,
        ),
        Row(PAPERS_FORM, "prokt", {**choice.papers_form, **shared}, minutes=minutes),
        Row("prokt lambda=0", "prokt", {**none_held, **shared}, minutes=minutes),
        Row("rco", "rco", {**choice.kd, **shared}, minutes=minutes),
    )
    kept: list[Row] = []
    for row in rows:
        same = [one for one in kept if (one.method, one.settings) == (row.method, row.settings)]
        kept += [] if same else [row]
    return tuple(kept)
