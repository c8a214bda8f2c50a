"""Tables 1 to 3 and Figures 2 and 3 of the ProKT paper (Shi et al., 2021), with their numbers."""

from typing import Any

from keras_prokt.runs.protocol import ACCELERATOR, Protocol, Row

_SEEDS = (0, 1, 2)
_PAIRS = (
    "vgg13-mobilenetv2",
    "resnet50-mobilenetv2",
    "resnet50-vgg8",
    "resnet32x4-shufflenetv1",
    "resnet32x4-shufflenetv2",
    "wrn-40-2-shufflenetv1",
)
_MINUTES_OF_IMAGES, _MINUTES_OF_TEXTS = 60.0, 30.0
_PAPER = {"recipe": "paper"}
"""Whatever is found to be better later."""
_NOTE_ON_IMAGES = (
    "The paper does not say how many seeds its numbers are of; its rows but rco, prokt and "
    "crd+prokt are those of Tian et al. (2020)."
)

# Top-1 test accuracy in percent, a column a pair, as the paper prints them.
_TABLE_1 = {
    "student": (64.6, 64.6, 70.36, 70.5, 71.82, 70.5),
    "kd": (67.37, 67.35, 73.81, 74.07, 74.45, 74.83),
    "rco": (68.42, 68.95, 73.85, 75.62, 76.26, 75.53),
    "prokt": (68.79, 69.32, 73.88, 75.79, 75.59, 76.02),
    "crd": (69.73, 69.11, 74.30, 75.11, 75.65, 76.05),
    "crd+kd": (69.94, 69.54, 74.58, 75.12, 76.05, 76.27),
    "crd+prokt": (69.59, 69.93, 75.14, 76.0, 76.86, 76.76),
}
_REST_OF_TABLE_3 = {
    "fitnet": (64.14, 63.16, 70.69, 73.59, 73.54, 73.73),
    "at": (59.40, 58.58, 71.84, 71.73, 72.73, 73.32),
    "sp": (66.30, 68.08, 73.34, 73.48, 74.56, 74.52),
    "cc": (64.86, 65.43, 70.25, 71.14, 71.29, 71.38),
    "vid": (65.56, 67.57, 70.30, 73.38, 73.40, 73.61),
    "rkd": (64.52, 64.43, 71.50, 72.28, 73.21, 72.21),
    "pkt": (67.13, 66.52, 73.01, 74.10, 74.69, 73.89),
    "ab": (66.06, 67.20, 70.65, 73.55, 74.31, 73.34),
    "ft": (61.78, 60.99, 70.29, 71.75, 72.50, 72.03),
    "nst": (58.16, 64.96, 71.28, 74.12, 74.68, 74.89),
}


def _images(table: dict[str, tuple[float, ...]]) -> tuple[Row, ...]:
    return tuple(
        Row(
            method,
            method,
            {"pair": pair},
            group=pair,
            published={"accuracy": numbers[column]},
            minutes=_MINUTES_OF_IMAGES,
        )
        for column, pair in enumerate(_PAIRS)
        for method, numbers in table.items()
    )


# Test results from the benchmark's site in percent: ours are on the public validation sets.
_TASKS = {
    "glue-sst2": ("accuracy",),
    "glue-mrpc": ("f1", "accuracy"),
    "glue-qqp": ("f1", "accuracy"),
    "glue-mnli": ("accuracy", "accuracy on validation_mismatched"),
    "glue-qnli": ("accuracy",),
}
_TABLE_2 = {
    ("bert-6", "student", None): ((92.6,), (86.3, 81.4), (70.4, 88.9), (82.0, 80.4), (89.3,)),
    ("bert-6", "kd", None): ((90.8,), (86.7, 81.4), (70.5, 88.9), (81.6, 80.8), (88.9,)),
    ("bert-6", "rco", None): ((92.6,), (86.8, 81.4), (70.4, 88.7), (82.3, 81.2), (89.3,)),
    ("bert-6", "prokt", 0.0): ((92.9,), (87.1, 82.3), (70.7, 88.9), (82.5, 81.3), (89.4,)),
    ("bert-6", "prokt", 0.3): ((93.3,), (87.0, 82.3), (70.9, 88.9), (82.9, 82.2), (89.7,)),
    ("bert-6", "tinybert+kd", None): ((93.1,), (87.3, 82.6), (71.6, 89.1), (84.6, 83.2), (90.4,)),
    ("bert-6", "tinybert+prokt", 0.3): (
        *((93.6,), (88.1, 83.8), (71.2, 89.2), (84.2, 83.4), (90.9,)),
    ),
    ("bilstm", "student", None): ((86.3,), (76.2, 67.0), (60.1, 80.7), (66.9, 66.6), (73.2,)),
    ("bilstm", "kd", None): ((86.4,), (77.7, 68.1), (60.7, 81.2), (68.1, 67.6), (72.7,)),
    ("bilstm", "rco", None): ((86.7,), (76.0, 67.3), (60.1, 80.4), (66.9, 67.6), (72.5,)),
    ("bilstm", "prokt", 0.0): ((86.2,), (80.1, 71.8), (59.7, 79.7), (68.4, 68.3), (73.5,)),
    ("bilstm", "prokt", 0.3): ((88.3,), (80.3, 71.0), (60.2, 80.4), (68.8, 69.1), (76.1,)),
}


def _texts() -> tuple[Row, ...]:
    rows = []
    for number, (app, metrics) in enumerate(_TASKS.items()):
        for (student, method, weight), columns in _TABLE_2.items():
            settings: dict[str, Any] = {"student": student}
            settings |= {} if weight is None else {"proximal_weight": weight}
            title = method if weight is None else f"{method} lambda={weight:g}"
            published = dict(zip(metrics, columns[number], strict=True))
            group = f"{app.removeprefix('glue-')} {student}"
            rows.append(Row(title, method, settings, group, app, published, _MINUTES_OF_TEXTS))
    return tuple(rows)


def _by_weight(weights: tuple[float, ...], minutes: float, **settings: Any) -> tuple[Row, ...]:
    return tuple(
        Row(f"lambda={w:g}", "prokt", {"proximal_weight": w, **settings}, minutes=minutes)
        for w in weights
    )


_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""λ on the axes of Figure 3."""

_PLAIN = {"temperature": 1.0, "label_weight": 0.0, "weights": {"kd": 1.0}}
"""Soft targets alone, as Eq. 3 has them."""

PROTOCOLS = (
    Protocol(
        "table-1",
        "Table 1: CIFAR-100, six pairs of networks, 240 epochs",
        "cifar100",
        _images(_TABLE_1),
        _SEEDS,
        {"full_train": True, **_PAPER},
        baselines=("kd",),
        sized_for=ACCELERATOR,
        includes=("table-3", "figure-2"),
        note=_NOTE_ON_IMAGES,
    ),
    Protocol(
        "table-3",
        "Table 3: the same with ten more methods",
        "cifar100",
        _images({**_TABLE_1, **_REST_OF_TABLE_3}),
        _SEEDS,
        {"full_train": True, **_PAPER},
        baselines=("kd",),
        sized_for=ACCELERATOR,
        includes=("table-1", "figure-2"),
        note=_NOTE_ON_IMAGES,
    ),
    Protocol(
        "table-2",
        "Table 2: GLUE, BERT-base into BERT of 6 layers and into a bi-LSTM",
        "glue-sst2",
        _texts(),
        _SEEDS,
        _PAPER,
        baselines=("kd",),
        sized_for=ACCELERATOR,
        note="The paper's numbers are those of the benchmark's site, ours of the public validation "
        "sets, on which the best epoch is chosen too; tinybert has no augmented data here.",
    ),
    Protocol(
        "figure-2",
        "Figure 2: ResNet50 into MobileNetV2 on CIFAR-100, discrete and continuous targets",
        "cifar100",
        (
            Row(
                "rco",
                "rco",
                # The same loss as that of ProKT, so that the curves are of one quantity.
                {
                    "pair": _PAIRS[1],
                    "temperature": 1.0,
                    "label_weight": 0.0,
                    "weights": {"kd": 1.0},
                },
                group=_PAIRS[1],
                minutes=2 * _MINUTES_OF_IMAGES,
            ),
            *(row for row in _images(_TABLE_1) if row.name == f"{_PAIRS[1]} prokt"),
            Row(
                "teacher alone",
                "student",
                {"student": "resnet50"},
                group=_PAIRS[1],
                published={"accuracy": 79.34},
                minutes=_MINUTES_OF_IMAGES,
            ),
        ),
        (0,),
        {"full_train": True, **_PAPER},
        keeps_history=True,
        figure="dynamics",
        sized_for=ACCELERATOR,
    ),
    Protocol(
        "figure-3-images",
        "Figure 3a: VGG13 into MobileNetV2 on CIFAR-100 by λ",
        "cifar100",
        _by_weight(_WEIGHTS, _MINUTES_OF_IMAGES, pair=_PAIRS[0]),
        _SEEDS,
        _PAPER,
        figure="proximal weight",
        sized_for=ACCELERATOR,
    ),
    Protocol(
        "figure-3-texts",
        "Figure 3b: BERT-base into BERT of 6 layers on MNLI by λ",
        "glue-mnli",
        _by_weight(_WEIGHTS, _MINUTES_OF_TEXTS, student="bert-6"),
        _SEEDS,
        _PAPER,
        figure="proximal weight",
        figure_parts=("validation", "validation_mismatched"),
        sized_for=ACCELERATOR,
    ),
)
