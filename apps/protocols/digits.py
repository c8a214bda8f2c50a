"""Digits, 150 epochs, until validation is flat: with right and with wrong training labels.

The 360 test images are fixed by a seed of their own (`keras_prokt.data.digits.TEST_SEED`) and take
no part in the tuning; training and validation images follow the seed of the run. Seeds of the
tuning are not among those reported.
"""

from typing import Any

from keras_prokt.runs.protocol import Protocol, Row, row
from keras_prokt_apps.protocols.chosen import DIGITS, DIGITS_WRONG_LABELS
from keras_prokt_apps.protocols.rows import Choice, chosen_rows

_EPOCHS = 150
_SHARED = {"epochs": _EPOCHS, "teacher_epochs": _EPOCHS, "recipe": "paper"}
"""As many epochs for a teacher that is trained before as for the student."""


def _prokt(**settings: Any) -> Row:
    return row("prokt", 0.7, **settings, target_mode="training")


def _kd(**settings: Any) -> Row:
    return row("kd", 0.6, **settings)


def _labels(rate: float, epochs: int | None = None, **settings: Any) -> Row:
    longer = {} if epochs is None else {"epochs": epochs}
    minutes = 0.3 * (epochs or _EPOCHS) / _EPOCHS
    return row("student", minutes, student_learning_rate=rate, **longer, **settings)


_RATES = (1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 1.5e-2, 2e-2, 3e-2)

_FIRST_LOOK = (
    _prokt(proximal_weight=0.3, label_weight=0.0),
    _prokt(proximal_weight=0.3, label_weight=0.5),
    _prokt(proximal_weight=0.3, label_weight=1.0),
    _prokt(proximal_weight=0.6, label_weight=0.5),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=5e-3),
    _prokt(proximal_weight=0.3, label_weight=0.5, temperature=4.0),
    _prokt(proximal_weight="0.6..0", label_weight=0.5),
    _kd(temperature=1.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.5),
    _kd(temperature=2.0, label_weight=0.5),
    _kd(temperature=8.0, label_weight=0.5),
    _kd(temperature=4.0, label_weight=1.0),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=2e-2),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=5e-3),
    *(_labels(rate) for rate in _RATES),
)

_NOISY_FIRST_LOOK = (
    _prokt(proximal_weight=0.3, label_weight=0.0),
    _prokt(proximal_weight=0.6, label_weight=0.0),
    _prokt(proximal_weight=0.8, label_weight=0.0),
    _prokt(proximal_weight=0.6, label_weight=0.5),
    _prokt(proximal_weight=0.6, label_weight=0.0, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.6, label_weight=0.0, student_learning_rate=5e-3),
    _prokt(proximal_weight=0.6, label_weight=0.0, temperature=4.0),
    _prokt(proximal_weight="0.8..0.3", label_weight=0.0),
    _kd(temperature=1.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.0),
    _kd(temperature=8.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.5),
    _kd(temperature=8.0, label_weight=0.5),
    _kd(temperature=2.0, label_weight=0.0),
    _kd(temperature=4.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=4.0, label_weight=0.0, student_learning_rate=5e-3),
    *(_labels(rate) for rate in _RATES),
)


_TUNING = (
    _prokt(proximal_weight=0.3, label_weight=0.0, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.3, label_weight=1.0, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.6, label_weight=0.0, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.6, label_weight=0.5, student_learning_rate=2e-2),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=1e-2),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=3e-2),
    _prokt(proximal_weight=0.3, label_weight=0.5, student_learning_rate=2e-2, temperature=4.0),
    _kd(temperature=1.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=2.0, label_weight=0.5, student_learning_rate=2e-2),
    _kd(temperature=4.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=2e-2),
    _kd(temperature=8.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=8.0, label_weight=0.5, student_learning_rate=2e-2),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=1e-2),
    _kd(temperature=4.0, label_weight=0.5, student_learning_rate=3e-2),
    *(_labels(rate) for rate in (1e-2, 1.5e-2, 2e-2, 2.5e-2, 3e-2)),
    *(_labels(rate, epochs) for rate, epochs in ((1e-2, 600), (2e-2, 300), (2e-2, 600))),
)
"""Around the rate at which all three were best at the first look; the labels, which cost next to
nothing beside a teacher, also for longer."""


_SECOND_TUNING = (
    _prokt(proximal_weight=0.6, label_weight=0.0, student_learning_rate=2e-2, temperature=4.0),
    _prokt(proximal_weight=0.6, label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _prokt(proximal_weight=0.8, label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _prokt(proximal_weight=0.3, label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _kd(temperature=16.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=8.0, label_weight=0.0, student_learning_rate=3e-2),
    _kd(temperature=8.0, label_weight=0.0, student_learning_rate=1e-2),
    _kd(temperature=8.0, label_weight=1.0, student_learning_rate=2e-2),
    *(_labels(rate, epochs) for rate, epochs in ((5e-3, 600), (1.5e-2, 600))),
    *(_labels(rate, epochs) for rate, epochs in ((1e-2, 900), (1e-2, 1200))),
)
"""Where the tuning was best at an edge: kd at its highest temperature, which ProKT had not tried
without labels; the labels at their longest."""


_THIRD_TUNING = (
    _prokt(proximal_weight=0.0, label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _prokt(proximal_weight=0.1, label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _prokt(proximal_weight="0.6..0", label_weight=0.0, student_learning_rate=2e-2, temperature=8.0),
    _prokt(proximal_weight=0.1, label_weight=0.0, student_learning_rate=2e-2, temperature=4.0),
    _kd(temperature=8.0, label_weight=0.0, student_learning_rate=2e-2, teacher_keep="best"),
    _kd(temperature=6.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=12.0, label_weight=0.0, student_learning_rate=2e-2),
    _kd(temperature=8.0, label_weight=0.25, student_learning_rate=2e-2),
    _labels(1e-2, 1800),
    _labels(7e-3, 1200),
    _labels(1.5e-2, 1200),
    _labels(1e-2, 1200, label_smoothing=0.1),
)
"""What the second left open: ProKT at kd's temperature with a teacher that is hardly held, since
held it was worse the higher T is; kd between its temperatures; the labels still longer."""


_SMOOTHED = {"student_learning_rate": 2e-2, "label_weight": 0.0, "label_smoothing": 0.1}

_FOURTH_TUNING = (
    *(_prokt(proximal_weight=weight, **_SMOOTHED) for weight in (0.0, 0.1, 0.3)),
    _prokt(proximal_weight=0.0, temperature=4.0, **_SMOOTHED),
    *(_kd(temperature=temperature, **_SMOOTHED) for temperature in (1.0, 4.0, 8.0)),
    _kd(temperature=4.0, **{**_SMOOTHED, "label_weight": 0.5}),
    *(_labels(1e-2, 1200, label_smoothing=smoothing) for smoothing in (0.05, 0.2)),
    _labels(1e-2, 600, label_smoothing=0.1),
    _labels(2e-2, 1200, label_smoothing=0.1),
)
"""Smoothed labels, which the labels alone gained most by in the third, wherever a model learns
labels: under kd and ProKT that is the teacher. One seed: a trial that beats the best of its method
there would have had the others too."""

_CHOICE = (*_TUNING, *_SECOND_TUNING, *_THIRD_TUNING)


def _trials(
    name: str,
    summary: str,
    rows: tuple[Row, ...],
    seeds: int,
    share: float | None,
    includes: tuple[str, ...] = (),
    trials: int = 8,
) -> Protocol:
    beside = f", beside those of {', '.join(includes)}" if includes else ""
    return Protocol(
        name,
        summary,
        "digits",
        rows,
        tuple(range(seeds)),
        {**_SHARED, **({} if share is None else {"label_noise": share})},
        split_follows_seed=True,
        measures_test=False,
        chooses=True,
        includes=includes,
        note=f"{trials} trials of each method{beside}; choices on validation images only.",
    )


def _compared(
    name: str, summary: str, choice: Choice | None, **settings: Any
) -> tuple[Protocol, ...]:
    """A protocol of what the trials chose, once they have."""
    if choice is None:
        return ()
    return (
        Protocol(
            name,
            summary,
            "digits",
            chosen_rows(choice, 0.7),
            tuple(range(100, 140)),
            {**_SHARED, **settings},
            baselines=("kd", "labels"),
            split_follows_seed=True,
            figure="validation",
        ),
    )


PROTOCOLS = (
    _trials(
        "digits-first-look",
        "where to look: trials of each method on digits, one seed",
        _FIRST_LOOK,
        1,
        None,
    ),
    _trials(
        "digits-tuning",
        "trials of each method on digits, 150 epochs",
        _TUNING,
        10,
        None,
        ("digits-first-look",),
    ),
    _trials(
        "digits-second-tuning",
        "more trials of each method on digits, beyond the edges of the tuning",
        _SECOND_TUNING,
        10,
        None,
        ("digits-tuning", "digits-first-look"),
        trials=4,
    ),
    _trials(
        "digits-third-tuning",
        "more trials of each method on digits: temperatures, and a teacher that is hardly held",
        _THIRD_TUNING,
        5,
        None,
        ("digits-second-tuning", "digits-tuning", "digits-first-look"),
        trials=4,
    ),
    _trials(
        "digits-fourth-tuning",
        "a look at smoothed labels on digits, one seed",
        _FOURTH_TUNING,
        1,
        None,
        ("digits-third-tuning", "digits-second-tuning", "digits-tuning", "digits-first-look"),
        trials=4,
    ),
    _trials(
        "digits-choice",
        "the trials of each method on digits at the five seeds that all of them have",
        _CHOICE,
        5,
        None,
        ("digits-third-tuning", "digits-second-tuning", "digits-tuning", "digits-first-look"),
        trials=16,
    ),
    _trials(
        "digits-wrong-labels-first-look",
        "the first look with 30 % wrong training labels, validation labels included",
        _NOISY_FIRST_LOOK,
        1,
        0.3,
    ),
    _trials(
        "digits-wrong-labels-tuning",
        "the same trials with 30 % wrong training labels, five seeds",
        _NOISY_FIRST_LOOK,
        5,
        0.3,
        ("digits-wrong-labels-first-look",),
    ),
    *_compared(
        "digits-long",
        "digits until validation is flat: the found recipe against distillation and the labels",
        DIGITS,
    ),
    *_compared(
        "digits-wrong-labels",
        "the same with 30 % wrong training labels, with the teachers",
        DIGITS_WRONG_LABELS,
        label_noise=0.3,
    ),
    Protocol(
        "figure-2-digits",
        "Figure 2 on digits: discrete targets beside continuous ones",
        "digits",
        (
            Row("rco", "rco", {"temperature": 1.0, "label_weight": 0.0}, minutes=0.7),
            Row("prokt", "prokt", {"target_mode": "training"}, minutes=0.7),
            Row(
                "teacher alone",
                "student",
                {"student": "cnn-large", "student_learning_rate": 2e-3},
                minutes=0.5,
            ),
        ),
        tuple(range(100, 105)),
        _SHARED,
        split_follows_seed=True,
        keeps_history=True,
        figure="dynamics",
    ),
    Protocol(
        "figure-3-digits",
        "Figure 3 on digits: student and teacher by λ, the paper's form",
        "digits",
        tuple(
            Row(f"lambda={weight:g}", "prokt", {"proximal_weight": weight}, minutes=0.7)
            for weight in (0.0, 0.2, 0.4, 0.6, 0.8)
        ),
        tuple(range(100, 110)),
        _SHARED,
        split_follows_seed=True,
        figure="proximal weight",
    ),
)
