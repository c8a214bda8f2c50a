"""The two tables of methods: what the student matches, and who trains when.

A method is written `objective+objective+regime`, such as `crd+kd` or `crd+prokt`. This module
imports no Keras, so that the command line can list the tables at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_prokt.names import unknown_name
from keras_prokt.settings import OptimizerSettings, Setting, of_role, settings_of


@dataclass(frozen=True)
class ObjectiveCard:
    """One row of `OBJECTIVES`.

    Attributes:
        home: `module:class` below `keras_prokt.losses`.
        summary: What the student matches, in one line.
        paper: Authors, title, venue.
        year: Year of publication.
        kind: "outputs", "features", "relations", "contrast", "initialisation" or "transformer".
        reads: What it reads of the two networks, for people.
        weight: Default weight β, of the CIFAR-100 recipe or of the objective's own paper.
        suits: Pairs that it suits.
        first_stage: What a stage before the distillation itself trains, against a teacher that
            has been trained; `None` for methods of one stage.
        second_stage: Objectives of the distillation after a first stage; `None` for the objective
            itself.
        needs_fixed_teacher: Whether its first stage fits one teacher and no other.
        settings: Arguments of its class that a run may set (`--set crd.num_negatives=4096`).
    """

    home: str
    summary: str
    paper: str
    year: int
    kind: str
    reads: str
    weight: float
    suits: str = "any two networks with convolutional stages"
    first_stage: str | None = None
    second_stage: tuple[str, ...] | None = None
    needs_fixed_teacher: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)


_DIMENSIONS = Setting("Width of the embedding.", int, at_least=1)

OBJECTIVES: dict[str, ObjectiveCard] = {
    "kd": ObjectiveCard(
        "soft_targets:SoftTargets",
        "the softened output distribution",
        "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, arXiv 1503.02531",
        2015,
        "outputs",
        "logits",
        1.0,
        "any two classifiers",
    ),
    "fitnet": ObjectiveCard(
        "fitnet:FitNet",
        "the feature map of stage 2, by a convolution trained with the student",
        "Romero, Ballas, Kahou, Chassang, Gatta, Bengio: FitNets: Hints for Thin Deep Nets, "
        "ICLR 2015, arXiv 1412.6550",
        2015,
        "features",
        "stage 2",
        100.0,
        "networks whose stages 2 have the same size, or one twice the other",
        settings={"stage": Setting("Which stage is matched, from 1.", int, at_least=1)},
    ),
    "at": ObjectiveCard(
        "attention_transfer:AttentionTransfer",
        "where in the image each stage is active",
        "Zagoruyko, Komodakis: Paying More Attention to Attention: Improving the Performance of "
        "Convolutional Neural Networks via Attention Transfer, ICLR 2017, arXiv 1612.03928",
        2017,
        "features",
        "all stages",
        1000.0,
        "networks with convolutional stages, best with equally many",
    ),
    "sp": ObjectiveCard(
        "similarity_preserving:SimilarityPreserving",
        "which examples of the batch look alike at the last stage",
        "Tung, Mori: Similarity-Preserving Knowledge Distillation, ICCV 2019, arXiv 1907.09682",
        2019,
        "relations",
        "last stage",
        3000.0,
    ),
    "cc": ObjectiveCard(
        "correlation_congruence:CorrelationCongruence",
        "embedded features, their errors in neighbouring examples together",
        "Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang: Correlation Congruence for Knowledge "
        "Distillation, ICCV 2019, arXiv 1904.01802",
        2019,
        "relations",
        "pooled features",
        0.02,
        "any two classifiers with a linear last layer",
        settings={"dimensions": _DIMENSIONS},
    ),
    "vid": ObjectiveCard(
        "variational_information:VariationalInformation",
        "the feature map of each stage, as predicted with a learnt variance",
        "Ahn, Hu, Damianou, Lawrence, Dai: Variational Information Distillation for Knowledge "
        "Transfer, CVPR 2019, arXiv 1904.05835",
        2019,
        "features",
        "all stages",
        1.0,
        "networks with convolutional stages, best with equally many",
        settings={
            "initial_variance": Setting(
                "Variance at the start.", float, above=0, is_logarithmic=True
            )
        },
    ),
    "rkd": ObjectiveCard(
        "relational:Relational",
        "distances and angles between the examples of the batch",
        "Park, Kim, Lu, Cho: Relational Knowledge Distillation, CVPR 2019, arXiv 1904.05068",
        2019,
        "relations",
        "pooled features",
        1.0,
        "any two classifiers with a linear last layer",
        settings={
            "distance_weight": Setting("Weight of the distances.", float, at_least=0),
            "angle_weight": Setting("Weight of the angles.", float, at_least=0),
        },
    ),
    "pkt": ObjectiveCard(
        "probabilistic:Probabilistic",
        "who is near whom in the batch, as probabilities",
        "Passalis, Tefas: Learning Deep Representations with Probabilistic Knowledge Transfer, "
        "ECCV 2018, arXiv 1803.10837",
        2018,
        "relations",
        "pooled features",
        30000.0,
        "any two classifiers with a linear last layer",
    ),
    "nst": ObjectiveCard(
        "neuron_selectivity:NeuronSelectivity",
        "the patterns to which the channels of each stage respond, as a set",
        "Huang, Wang: Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, "
        "arXiv 1707.01219",
        2017,
        "features",
        "all stages",
        50.0,
        "networks with convolutional stages, best with equally many",
    ),
    "ab": ObjectiveCard(
        "activation_boundary:ActivationBoundary",
        "which neurons are on, before training: the student starts with the teacher's boundaries",
        "Heo, Lee, Yun, Choi: Knowledge Transfer via Distillation of Activation Boundaries Formed "
        "by Hidden Neurons, AAAI 2019, arXiv 1811.03233",
        2019,
        "initialisation",
        "all stages, before the activation",
        1.0,
        "networks with convolutional stages, best with equally many",
        first_stage="connectors and the student's features",
        second_stage=(),
        settings={"margin": Setting("Margin of the boundary.", float, above=0)},
    ),
    "ft": ObjectiveCard(
        "factor_transfer:FactorTransfer",
        "a paraphrase of the last stage, which a translator learns with the student",
        "Kim, Park, Kwak: Paraphrasing Complex Network: Network Compression via Factor Transfer, "
        "NeurIPS 2018, arXiv 1802.04977",
        2018,
        "features",
        "last stage",
        200.0,
        first_stage="a paraphraser of the teacher's features",
        needs_fixed_teacher=True,
        settings={
            "factor_ratio": Setting(
                "Channels of a factor over those of the stage.", float, above=0, at_most=1
            )
        },
    ),
    "crd": ObjectiveCard(
        "contrastive:ContrastiveRepresentation",
        "embedded features, by which an example is told from examples of other classes",
        "Tian, Krishnan, Isola: Contrastive Representation Distillation, ICLR 2020, "
        "arXiv 1910.10699",
        2020,
        "contrast",
        "pooled features, position of each example",
        0.8,
        "any two classifiers with a linear last layer",
        settings={
            "num_negatives": Setting("Negative examples of each one.", int, at_least=1),
            "temperature": Setting("Temperature of the critic.", float, above=0),
            "momentum": Setting("Momentum of the memory.", float, at_least=0, below=1),
            "dimensions": _DIMENSIONS,
        },
    ),
    "pkd": ObjectiveCard(
        "patient:Patient",
        "the direction of the [CLS] state after each transformer layer but the last",
        "Sun, Cheng, Gan, Liu: Patient Knowledge Distillation for BERT Model Compression, "
        "EMNLP 2019, arXiv 1908.09355",
        2019,
        "transformer",
        "[CLS] states of all layers but the last",
        0.026,  # β = 100 of the published code, which averages over 5 layers of 768 features
        "transformers of the same width, a multiple of the student's layers in the teacher",
        settings={"strategy": Setting("Which layers are matched.", choices=("skip", "last"))},
    ),
    "tinybert": ObjectiveCard(
        "tinybert:TinyBert",
        "embeddings, hidden states and attention, before training: then the outputs",
        "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu: TinyBERT: Distilling BERT for Natural "
        "Language Understanding, Findings of EMNLP 2020, arXiv 1909.10351",
        2020,
        "transformer",
        "embeddings, hidden states and attention scores of all layers",
        1.0,
        "transformers with equally many heads, a multiple of the student's layers in the teacher",
        first_stage="embeddings, hidden states and attention matrices",
        second_stage=("kd",),
    ),
}
"""Objectives by the name that users type: a row a method."""


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
        "Epochs of kd's teacher, trained before. [default: the recipe's, in proportion to "
        "--epochs]",
        int,
        at_least=1,
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
        "Start from a trained teacher (.keras). Under prokt it then trains with a smaller step.",
        metavar="scratch|PATH",
        is_file=True,
        is_listed=False,
    )
}
TEACHER_OPTIMIZER: dict[str, Setting] = {
    of_role("teacher", name): row for name, row in settings_of(OptimizerSettings).items()
}
"""Settings of the optimizer of a teacher that a run trains."""


@dataclass(frozen=True)
class Regime:
    """One row of `REGIMES`: who trains when.

    Attributes:
        summary: One line for people.
        distiller: Name of the class in `keras_prokt.distillers`.
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
    """

    summary: str
    distiller: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    trains_teacher: str | None = None
    adds_soft_targets: bool = True
    label_weight: float | None = 0.0
    keeps_teacher: bool = False
    starts_untrained: bool = False

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

REGIMES: dict[str, Regime] = {
    "prokt": Regime(
        "teacher and student trained together, the teacher held near the student (this paper)",
        "ProKTDistiller",
        {
            **_TEACHER_INIT,
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
    ),
    FIXED: Regime(
        "a teacher trained first, then fixed (the default where a method names no regime)",
        "FrozenTeacherDistiller",
        {**_TEACHER_INIT, **_TARGETS},
        "before",
        adds_soft_targets=False,
        label_weight=None,
        keeps_teacher=True,
    ),
    "rco": Regime(
        "checkpoints of the teacher's own training as targets in turn (Jin et al. 2019)",
        "FrozenTeacherDistiller",
        {
            **_TARGETS,
            "anchors": Setting("Checkpoints of the teacher that rco uses.", int, at_least=1),
        },
        "before",
        label_weight=None,
    ),
    "ta": Regime(
        "a fixed teacher teaches an assistant, which teaches the student (Mirzadeh et al. 2020)",
        "FrozenTeacherDistiller",
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
    ),
    "dml": Regime(
        "two networks learn the labels and each other's outputs (Zhang et al. 2018)",
        "MutualDistiller",
        {**_TEACHER_INIT, **_TARGETS, **_HEAD_START},
        "along",
        label_weight=1.0,
        starts_untrained=True,
    ),
    "student": Regime(
        "the student alone, on the labels", "StudentOnly", adds_soft_targets=False, label_weight=1.0
    ),
}
"""Regimes by the name that users type: a row a regime."""


@dataclass(frozen=True)
class Method:
    """What `objective+objective+regime` means.

    Attributes:
        name: As written.
        regime: Name of the regime.
        objectives: Names of the objectives that were written.
        matched: Names of the objectives of the distillation itself (the second stage where there
            are two).
        label_weight: Weight γ of the labels in the student's loss.
    """

    name: str
    regime: str
    objectives: tuple[str, ...]
    matched: tuple[str, ...]
    label_weight: float

    @property
    def distils(self) -> bool:
        """Whether the student learns from another model, and not from the labels alone."""
        return bool(self.objectives or self.matched)

    @property
    def has_first_stage(self) -> bool:
        """Whether something is trained before the distillation itself."""
        return any(OBJECTIVES[name].first_stage for name in self.objectives)

    @property
    def trains_teacher_before(self) -> bool:
        """Whether a teacher is trained before anything of the student is."""
        return REGIMES[self.regime].trains_teacher_before or self.has_first_stage

    @property
    def settings(self) -> dict[str, Setting]:
        """What a run of it may set beyond what all runs may, by name."""
        more = dict(REGIMES[self.regime].settings)
        if "kd" in self.matched:
            more["temperature"] = TEMPERATURE
        if self.distils:
            more |= DISTILLATION
        if self.trains_teacher_before:
            more |= TEACHER_EPOCHS
        if self.has_first_stage:
            more |= FIRST_STAGE_EPOCHS
        if self.trains_teacher_before or REGIMES[self.regime].trains_teacher_along:
            more |= TEACHER_OPTIMIZER
        return more


def parse_method(name: str) -> Method:
    """The method that a user typed.

    `γ·CE + Σ βᵢ·Lᵢ` is the student's loss: the objectives with the weights of `OBJECTIVES`, and the
    labels with γ = 1, or 0 where soft targets are the only objective, and under `prokt`.

    Args:
        name: Objectives and at most one regime in any order, joined by `+`: `"prokt"`, `"kd"`,
            `"crd+kd"`, `"at+prokt"`, `"sp+rco"`, `"dml"`, `"student"`.

    Raises:
        ValueError: On unknown names, names given twice, and combinations that make no sense, with
            the reason.

    Example:

    >>> from keras_prokt.methods import parse_method
    >>> parse_method("kd").label_weight, parse_method("kd").regime
    (0.0, 'fixed')
    >>> parse_method("prokt").matched
    ('kd',)
    """
    parts = [part.strip() for part in name.split("+")]
    for part in parts:
        if part not in OBJECTIVES and part not in REGIMES:
            raise ValueError(unknown_name("a method", part, {*OBJECTIVES, *REGIMES} - {FIXED}))
    regimes = [part for part in parts if part in REGIMES]
    objectives = tuple(part for part in parts if part in OBJECTIVES)
    if len(set(parts)) != len(parts):
        raise ValueError(f"Expected each part of a method once, received {name!r}; drop one.")
    if len(regimes) > 1:
        raise ValueError(
            f"Expected at most one of {', '.join(regimes)}, received {name!r}; each of them "
            "decides how the teacher is trained."
        )
    regime = regimes[0] if regimes else FIXED
    if regime == "student" and objectives:
        raise ValueError(
            f"Expected no objective beside 'student', received {name!r}; without a teacher there "
            f"is nothing to match; leave 'student' out to distil by {'+'.join(objectives)}."
        )
    if regime == FIXED and not objectives:
        raise ValueError(
            f"Expected an objective or a regime, received {name!r}; 'kd' is the first."
        )
    _check_first_stages(name, objectives, regime)
    matched: list[str] = []
    if REGIMES[regime].adds_soft_targets:
        matched.append("kd")
    for objective in objectives:
        second = OBJECTIVES[objective].second_stage
        matched += [o for o in (second if second is not None else (objective,)) if o not in matched]
    label_weight = REGIMES[regime].label_weight
    if label_weight is None:
        label_weight = 0.0 if matched == ["kd"] else 1.0
    return Method(name, regime, objectives, tuple(matched), label_weight)


def _check_first_stages(name: str, objectives: tuple[str, ...], regime: str) -> None:
    for objective in objectives:
        card = OBJECTIVES[objective]
        if card.first_stage is None:
            continue
        if card.needs_fixed_teacher and not REGIMES[regime].keeps_teacher:
            raise ValueError(
                f"Expected {objective!r} with one fixed teacher, received {name!r}; its first "
                f"stage ({card.first_stage}) fits the teacher it was trained on and no later one."
            )
        if REGIMES[regime].starts_untrained:
            raise ValueError(
                f"Expected {objective!r} with a teacher that can be trained before, received "
                f"{name!r}; its first stage ({card.first_stage}) needs one, and both networks of "
                f"{regime!r} start untrained."
            )


def known_methods() -> list[str]:
    """Every objective and every regime that can be typed by itself."""
    return [*OBJECTIVES, *(name for name in REGIMES if name != FIXED)]


def method_settings() -> dict[str, Setting]:
    """Every setting that only some methods have, by name."""
    of_regimes = {name: row for regime in REGIMES.values() for name, row in regime.settings.items()}
    return {
        "temperature": TEMPERATURE,
        **of_regimes,
        **DISTILLATION,
        **TEACHER_EPOCHS,
        **FIRST_STAGE_EPOCHS,
        **TEACHER_OPTIMIZER,
    }
