"""GLUE texts, MiniLM into the bi-LSTM of the paper: trials, MRPC and SST-2.

GLUE's public validation set is the test set, reported once; choices are made on rows of the
training set that are held out.
"""

from dataclasses import replace
from typing import Any

from keras_prokt.runs.protocol import ACCELERATOR, Protocol, Row, row
from keras_prokt_apps.protocols.chosen import TEXTS
from keras_prokt_apps.protocols.rows import PAPERS_FORM, chosen_rows

_EPOCHS = 6
_MODELS = {"teacher": "minilm", "student": "bilstm"}
_MINILM = "the files of sentence-transformers/all-MiniLM-L6-v2"
_SHARED = {**_MODELS, "epochs": _EPOCHS, "teacher_epochs": _EPOCHS, "recipe": "paper"}
_MINUTES = 6.0
"""About how long a run of 5,000 phrases takes; the labels alone a third of it."""


def _prokt(**settings: Any) -> Row:
    return row("prokt", _MINUTES, **settings)


def _kd(**settings: Any) -> Row:
    return row("kd", _MINUTES, **settings)


_TRIALS = (
    _prokt(proximal_weight=0.3, label_weight=0.0),
    _prokt(proximal_weight=0.3, label_weight=0.5),
    _prokt(proximal_weight=0.3, label_weight=1.0),
    _prokt(proximal_weight=0.6, label_weight=0.5),
    _prokt(proximal_weight=0.0, label_weight=0.5),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=2e-3),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=5e-4),
    _prokt(proximal_weight="0.6..0", label_weight=0.5),
    _kd(temperature=1.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.0),
    _kd(temperature=1.0, label_weight=0.5),
    _kd(temperature=4.0, label_weight=0.5),
    _kd(temperature=2.0, label_weight=0.5),
    _kd(temperature=8.0, label_weight=0.5),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=2e-3),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=5e-4),
    *(
        row("student", _MINUTES / 3, student_learning_rate=rate)
        for rate in (2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
    ),
    # The labels cost little beside a teacher: also for longer.
    *(
        row("student", _MINUTES / 6 * epochs / 3, student_learning_rate=rate, epochs=epochs)
        for rate, epochs in ((5e-4, 18), (1e-3, 12), (1e-3, 18))
    ),
    # With the first, the paper's form at its values of λ; they are no trials of the recipe.
    *(
        Row(f"lambda={weight:g}", "prokt", settings, PAPERS_FORM, minutes=_MINUTES)
        for weight in (0.0, 0.6)
        for settings in [{"proximal_weight": weight, "label_weight": 0.0}]
    ),
)

_COMPARED = chosen_rows(TEXTS, _MINUTES)


def _compared(
    name: str, summary: str, app: str, minutes: float, **settings: Any
) -> tuple[Protocol, ...]:
    """A protocol of what the trials chose, once they have."""
    if not _COMPARED:
        return ()
    return (
        Protocol(
            name,
            summary,
            app,
            tuple(replace(row, minutes=row.minutes * minutes / _MINUTES) for row in _COMPARED),
            tuple(range(100, 105)),
            {**_SHARED, **settings},
            baselines=("kd", "labels"),
            figure="validation",
            checkpoint=_MINILM,
        ),
    )


PROTOCOLS = (
    Protocol(
        "texts-tuning",
        "trials of each method on 5,000 phrases of SST-2, for all texts",
        "glue-sst2",
        _TRIALS,
        (0,),
        {**_SHARED, "limit": 5_000, "hold_out": 2_000},
        measures_test=False,
        chooses=True,
        checkpoint=_MINILM,
        note="8 trials of each method, and the paper's form at two more values of λ; one seed; "
        "choices on held-out training rows only.",
    ),
    *_compared(
        "mrpc-full",
        "MRPC, 3,268 pairs, 400 held out: the recipe of the texts against distillation",
        "glue-mrpc",
        12.0,
        hold_out=400,
    ),
    *_compared(
        "sst2-20k",
        "20,000 phrases of SST-2, 2,000 held out: the recipe against distillation",
        "glue-sst2",
        35.0,
        hold_out=2_000,
        limit=20_000,
    ),
    Protocol(
        "sst2-full",
        "all phrases of SST-2 but 2,000 that are held out, settings that nobody has chosen",
        "glue-sst2",
        (
            Row("labels", "student", minutes=1.0),
            Row("kd temperature=1", "kd", {"temperature": 1.0}, minutes=2.0),
            Row("kd temperature=4", "kd", {"temperature": 4.0}, minutes=2.0),
            Row("rco", "rco", minutes=2.0),
            Row("prokt lambda=0", "prokt", {"proximal_weight": 0.0}, minutes=2.0),
            Row("prokt lambda=0.3", "prokt", {"proximal_weight": 0.3}, minutes=2.0),
            Row(
                "prokt lambda=0.3 label-weight=0.5",
                "prokt",
                {"proximal_weight": 0.3, "label_weight": 0.5},
                minutes=2.0,
            ),
        ),
        (0, 1, 2),
        {**_SHARED, "hold_out": 2_000},
        baselines=("kd temperature=1", "labels"),
        figure="validation",
        checkpoint=_MINILM,
        sized_for=ACCELERATOR,
    ),
)
