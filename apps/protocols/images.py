"""CIFAR-100, 60 epochs: long enough for the order of the paper to show, if it does."""

from typing import Any

from keras_prokt.runs.protocol import ACCELERATOR, Protocol, Row

_EPOCHS = 60
_MODELS: dict[str, dict[str, Any]] = {
    "wrn-16-2-mobilenetv2": {"pair": "wrn-16-2-mobilenetv2"},
    "wrn-16-2-resnet8x4": {"teacher": "wrn-16-2", "student": "resnet8x4"},
}


def _rows(group: str, models: dict[str, Any]) -> tuple[Row, ...]:
    methods: dict[str, tuple[str, dict[str, Any]]] = {
        "labels": ("student", {}),
        "kd": ("kd", {}),
        "rco": ("rco", {}),
        "prokt lambda=0": ("prokt", {"proximal_weight": 0.0}),
        "prokt lambda=0 target-mode=training": (
            "prokt",
            {"proximal_weight": 0.0, "target_mode": "training"},
        ),
        "prokt lambda=0.3 target-mode=training": (
            "prokt",
            {"proximal_weight": 0.3, "target_mode": "training"},
        ),
        "prokt lambda=0.3 label-weight=0.5 target-mode=training": (
            "prokt",
            {"proximal_weight": 0.3, "label_weight": 0.5, "target_mode": "training"},
        ),
    }
    return tuple(
        Row(title, method, {**models, **settings}, group, minutes=6.0)
        for title, (method, settings) in methods.items()
    )


PROTOCOLS = (
    Protocol(
        "cifar-60",
        "CIFAR-100, 45,000 images, 60 epochs, settings that nobody has chosen",
        "cifar100",
        tuple(row for group, models in _MODELS.items() for row in _rows(group, models)),
        (0, 1, 2),
        {"epochs": _EPOCHS, "teacher_epochs": _EPOCHS, "recipe": "paper"},
        baselines=("kd", "labels"),
        figure="validation",
        sized_for=ACCELERATOR,
    ),
)
