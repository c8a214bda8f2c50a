"""Who trains when: a row a regime, with the settings that it has; imports no Keras."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_prokt.methods.objectives import OBJECTIVES
from keras_prokt.methods.paper import Paper
from keras_prokt.settings import (
    OptimizerSettings,
    Setting,
    SettingError,
    argument,
    name_of_role,
    settings_of,
)

TEMPERATURE = Setting(
    "T of the soft targets.  [default: the recipe's; 1 of a teacher that trains along]",
    float,
    at_least=0.01,
    at_most=1e4,
)

DISTILLATION: dict[str, Setting] = {
    "weights": Setting(
        "Weight of an objective, such as at=500; may be given for several.",
        dict,
        option="--weight",
        metavar="OBJECTIVE=β",
        at_least=0,
    ),
    "label_weight": Setting(
        "Weight γ of the labels in the student's loss; 1..0 goes from one to the other over the "
        "epochs.",
        float,
        at_least=0,
        may_change=True,
    ),
    "objective_settings": Setting(
        "A setting of an objective, such as crd.num_negatives=4096; `keras-prokt methods NAME` "
        "lists them; may be given for several.",
        dict,
        option="--set",
        metavar="OBJECTIVE.NAME=VALUE",
    ),
}
"""Settings of all methods in which a student learns from another model."""

TEACHER_EPOCHS: dict[str, Setting] = {
    "teacher_epochs": Setting(
        "Epochs of kd's teacher, trained before; 0 for one that is trained already. [default: the "
        "recipe's, in proportion to --epochs]",
        int,
        at_least=0,
    ),
    "teacher_keep": Setting(
        "Which epoch of that teacher teaches: its last, or its best on validation. [default: last]",
        choices=("last", "best"),
    ),
}

FIRST_STAGE_EPOCHS: dict[str, Setting] = {
    "first_stage_epochs": Setting("Epochs of ab's, ft's and tinybert's stage 1.", int, at_least=1)
}

_TARGETS: dict[str, Setting] = {
    "target_mode": Setting(
        "Mode of the forwards that only make targets: inference, or training, in which batch "
        "normalisation follows the weights at once. [default: inference]",
        choices=("inference", "training"),
    )
}

_HEAD_START: dict[str, Setting] = {
    "teacher_head_start": Setting(
        "Epochs that the teacher trains alone before the student begins; they count in the cost.",
        int,
        at_least=1,
    )
}

_TEACHER_INIT: dict[str, Setting] = {
    "teacher_init": Setting(
        "Start from a trained teacher (.keras, .h5); under prokt it trains with a smaller step.",
        metavar="scratch|PATH",
        is_file=True,
        is_listed=False,
    )
}

_TRAINED_PART: dict[str, Setting] = {
    "teacher_trains": Setting(
        "Which part of the teacher trains: last:N, its last N transformer blocks and what comes "
        "after them; the rest has no dropout and runs once a step. [default: all]",
        metavar="last:N",
    ),
    "teacher_lora": Setting(
        "Rank of low-rank adapters in the teacher's attention, which train in place of its "
        "backbone, with 30 times its learning rate unless one is given.",
        int,
        at_least=1,
    ),
}

_TEACHER_OUTPUTS: dict[str, Setting] = {
    "teacher_outputs": Setting(
        "Stored outputs of a teacher, a row for each row of the training data: .npz, or a table "
        "with columns p(NAME) or logit(NAME). Under prokt in place of the labels.",
        metavar="FILE",
        is_file=True,
        is_listed=False,
    ),
    "teacher_columns": Setting(
        "Other columns of that table, in the order of the classes.",
        metavar="probabilities|logits=A,B",
        is_listed=False,
    ),
}

TEACHER_OPTIMIZER: dict[str, Setting] = {
    name_of_role("teacher", name): row for name, row in settings_of(OptimizerSettings).items()
}
"""Settings of the optimizer of a teacher that a run trains."""


@dataclass(frozen=True)
class Regime:
    """One row of `REGIMES`: who trains when.

    Attributes:
        summary: One line for people.
        paper: Where it was published; `None` where there is nothing to cite.
        home: `module:class` below `keras_prokt.distillers`.
        settings: What a run of it may set beyond what all runs may, by name. Those that are
            arguments of the distiller reach it.
        trains_teacher: When the teacher is trained: "before" the distillation, then fixed;
            "along" with the student; `None` for never.
        adds_soft_targets: Whether soft targets belong to it whatever else is matched.
        label_weight: Weight γ of the labels in the student's loss; `None` for 0 beside soft
            targets alone and 1 beside anything else.
        keeps_teacher: Whether one teacher with the same weights teaches from beginning to end.
        starts_untrained: Whether it is a part of the method that neither network knows anything;
            then they start from different weights, equal architectures too.
        check: Refuses, by `SettingError`, a spec of a run whose settings do not go together.
    """

    summary: str
    paper: Paper | None
    home: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    trains_teacher: str | None = None
    adds_soft_targets: bool = True
    label_weight: float | None = 0.0
    keeps_teacher: bool = False
    starts_untrained: bool = False
    check: Callable[[Any], None] | None = None

    @property
    def trains_teacher_along(self) -> bool:
        """Whether the teacher is trained in the distillation itself."""
        return self.trains_teacher == "along"

    @property
    def trains_teacher_before(self) -> bool:
        """Whether the teacher is trained before the distillation and then fixed."""
        return self.trains_teacher == "before"


FIXED = "fixed"
"""The regime of a method that names none."""


def _check_bounded_form(spec: Any) -> None:
    """Eq. 6 of the paper adapts λ itself, by settings that mean nothing without a bound."""
    if spec.proximal_weight is not None and spec.proximal_bound is not None:
        raise SettingError(
            f"Expected either {argument('proximal_weight')} or {argument('proximal_bound')}, "
            "received both; with a bound the weight adapts itself."
        )
    for name in ("dual_step_size", "dual_initial"):
        if getattr(spec, name) is not None and spec.proximal_bound is None:
            raise SettingError(
                f"Expected no {argument(name)} without {argument('proximal_bound')}, received "
                f"{getattr(spec, name)!r}; it belongs to the bounded form."
            )


def _check_anchors(spec: Any) -> None:
    if spec.anchors is not None and spec.epochs < spec.anchors:
        raise SettingError(
            f"Expected {argument('epochs')} of at least {argument('anchors')}, received "
            f"{spec.epochs} and {spec.anchors}; each anchor is the target for at least one epoch."
        )
    if spec.anchors is not None and (spec.teacher_epochs or 0) < spec.anchors:
        raise SettingError(
            f"Expected {argument('teacher_epochs')} of at least {argument('anchors')}, received "
            f"{spec.teacher_epochs} and {spec.anchors}; the anchors are states at the ends of "
            "epochs."
        )


def _check_assistants(spec: Any) -> None:
    if not spec.assistants:
        raise SettingError(
            f"Expected at least one of {argument('assistants')} with method 'ta', received none; "
            "`keras-prokt apps` lists the models of the app."
        )


REGIMES: dict[str, Regime] = {
    "prokt": Regime(
        "teacher and student trained together, the teacher held near the student (this paper)",
        Paper(
            ("Shi", "Song", "Zhou", "Li", "Li"),
            "Follow Your Path: a Progressive Method for Knowledge Distillation",
            "ECML PKDD",
            2021,
            "2107.09305",
        ),
        "prokt:ProKTDistiller",
        {
            **_TEACHER_INIT,
            **_TRAINED_PART,
            **_TEACHER_OUTPUTS,
            **_TARGETS,
            **_HEAD_START,
            "proximal_weight": Setting(
                "λ in [0, 1) of prokt; 0.6..0 goes from one to the other over the epochs.",
                float,
                may_change=True,
                option="--lambda",
                at_least=0,
                below=1,
                advice="the paper's Figure 3 goes from 0 to 0.8",
            ),
            "proximal_bound": Setting(
                "ε > 0: the bounded form of prokt.",
                float,
                option="--epsilon",
                above=0,
                is_logarithmic=True,
            ),
            "dual_step_size": Setting(
                "ρ of the bounded form.", float, above=0, is_logarithmic=True
            ),
            "dual_initial": Setting("β at the start of the bounded form.", float, at_least=0),
        },
        "along",
        check=_check_bounded_form,
    ),
    FIXED: Regime(
        "a teacher trained first, then fixed (the default where a method names no regime)",
        OBJECTIVES["kd"].paper,
        "frozen:FrozenTeacherDistiller",
        {**_TEACHER_INIT, **_TRAINED_PART, **_TEACHER_OUTPUTS, **_TARGETS},
        "before",
        adds_soft_targets=False,
        label_weight=None,
        keeps_teacher=True,
    ),
    "rco": Regime(
        "checkpoints of the teacher's own training as targets in turn (Jin et al. 2019)",
        Paper(
            ("Jin", "Peng", "Wu", "Liu", "Liu", "Liang", "Yan", "Hu"),
            "Knowledge Distillation via Route Constrained Optimization",
            "ICCV",
            2019,
            "1904.09149",
        ),
        "frozen:FrozenTeacherDistiller",
        {
            **_TRAINED_PART,
            **_TARGETS,
            "anchors": Setting("Checkpoints of the teacher that rco uses.", int, at_least=1),
        },
        "before",
        label_weight=None,
        check=_check_anchors,
    ),
    "ta": Regime(
        "a fixed teacher teaches an assistant, which teaches the student (Mirzadeh et al. 2020)",
        Paper(
            ("Mirzadeh", "Farajtabar", "Li", "Levine", "Matsukawa", "Ghasemzadeh"),
            "Improved Knowledge Distillation via Teacher Assistant",
            "AAAI",
            2020,
            "1902.03393",
        ),
        "frozen:FrozenTeacherDistiller",
        {
            **_TEACHER_INIT,
            **_TARGETS,
            "assistants": Setting(
                "A model between teacher and student, of ta; the largest first if several.",
                tuple,
                option="--assistant",
            ),
        },
        "before",
        label_weight=None,
        keeps_teacher=True,
        check=_check_assistants,
    ),
    "dml": Regime(
        "two networks learn the labels and each other's outputs (Zhang et al. 2018)",
        Paper(
            ("Zhang", "Xiang", "Hospedales", "Lu"),
            "Deep Mutual Learning",
            "CVPR",
            2018,
            "1706.00384",
        ),
        "mutual:MutualDistiller",
        {**_TEACHER_INIT, **_TRAINED_PART, **_TARGETS, **_HEAD_START},
        "along",
        label_weight=1.0,
        starts_untrained=True,
    ),
    "student": Regime(
        "the student alone, on the labels",
        None,
        "student_only:StudentOnly",
        adds_soft_targets=False,
        label_weight=1.0,
    ),
}
"""Regimes by the name that users type: a row a regime."""
