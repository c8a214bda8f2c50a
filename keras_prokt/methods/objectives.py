"""What the student matches: a row an objective; imports no Keras."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_prokt.methods.paper import Paper
from keras_prokt.settings import Setting


@dataclass(frozen=True)
class ObjectiveCard:
    """One row of `OBJECTIVES`.

    Attributes:
        home: `module:class` below `keras_prokt.losses`.
        summary: What the student matches, in one line.
        paper: Where it was published.
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
    paper: Paper
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
        Paper(
            ("Hinton", "Vinyals", "Dean"),
            "Distilling the Knowledge in a Neural Network",
            None,
            2015,
            "1503.02531",
        ),
        "outputs",
        "logits",
        1.0,
        "any two classifiers",
    ),
    "fitnet": ObjectiveCard(
        "fitnet:FitNet",
        "the feature map of stage 2, by a convolution trained with the student",
        Paper(
            ("Romero", "Ballas", "Kahou", "Chassang", "Gatta", "Bengio"),
            "FitNets: Hints for Thin Deep Nets",
            "ICLR",
            2015,
            "1412.6550",
        ),
        "features",
        "stage 2",
        100.0,
        "networks whose stages 2 have the same size, or one twice the other",
        settings={"stage": Setting("Which stage is matched, from 1.", int, at_least=1)},
    ),
    "at": ObjectiveCard(
        "attention_transfer:AttentionTransfer",
        "where in the image each stage is active",
        Paper(
            ("Zagoruyko", "Komodakis"),
            "Paying More Attention to Attention: Improving the Performance of Convolutional "
            "Neural Networks via Attention Transfer",
            "ICLR",
            2017,
            "1612.03928",
        ),
        "features",
        "all stages",
        1000.0,
        "networks with convolutional stages, best with equally many",
    ),
    "sp": ObjectiveCard(
        "similarity_preserving:SimilarityPreserving",
        "which examples of the batch look alike at the last stage",
        Paper(
            ("Tung", "Mori"),
            "Similarity-Preserving Knowledge Distillation",
            "ICCV",
            2019,
            "1907.09682",
        ),
        "relations",
        "last stage",
        3000.0,
    ),
    "cc": ObjectiveCard(
        "correlation_congruence:CorrelationCongruence",
        "embedded features, their errors in neighbouring examples together",
        Paper(
            ("Peng", "Jin", "Liu", "Li", "Wu", "Liu", "Zhou", "Zhang"),
            "Correlation Congruence for Knowledge Distillation",
            "ICCV",
            2019,
            "1904.01802",
        ),
        "relations",
        "pooled features",
        0.02,
        "any two classifiers with a linear last layer",
        settings={"dimensions": _DIMENSIONS},
    ),
    "vid": ObjectiveCard(
        "variational_information:VariationalInformation",
        "the feature map of each stage, as predicted with a learnt variance",
        Paper(
            ("Ahn", "Hu", "Damianou", "Lawrence", "Dai"),
            "Variational Information Distillation for Knowledge Transfer",
            "CVPR",
            2019,
            "1904.05835",
        ),
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
        Paper(
            ("Park", "Kim", "Lu", "Cho"),
            "Relational Knowledge Distillation",
            "CVPR",
            2019,
            "1904.05068",
        ),
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
        Paper(
            ("Passalis", "Tefas"),
            "Learning Deep Representations with Probabilistic Knowledge Transfer",
            "ECCV",
            2018,
            "1803.10837",
        ),
        "relations",
        "pooled features",
        30000.0,
        "any two classifiers with a linear last layer",
    ),
    "nst": ObjectiveCard(
        "neuron_selectivity:NeuronSelectivity",
        "the patterns to which the channels of each stage respond, as a set",
        Paper(
            ("Huang", "Wang"),
            "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
            None,
            2017,
            "1707.01219",
        ),
        "features",
        "all stages",
        50.0,
        "networks with convolutional stages, best with equally many",
    ),
    "ab": ObjectiveCard(
        "activation_boundary:ActivationBoundary",
        "which neurons are on, before training: the student starts with the teacher's boundaries",
        Paper(
            ("Heo", "Lee", "Yun", "Choi"),
            "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons",
            "AAAI",
            2019,
            "1811.03233",
        ),
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
        Paper(
            ("Kim", "Park", "Kwak"),
            "Paraphrasing Complex Network: Network Compression via Factor Transfer",
            "NeurIPS",
            2018,
            "1802.04977",
        ),
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
        Paper(
            ("Tian", "Krishnan", "Isola"),
            "Contrastive Representation Distillation",
            "ICLR",
            2020,
            "1910.10699",
        ),
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
        Paper(
            ("Sun", "Cheng", "Gan", "Liu"),
            "Patient Knowledge Distillation for BERT Model Compression",
            "EMNLP",
            2019,
            "1908.09355",
        ),
        "transformer",
        "[CLS] states of all layers but the last",
        0.026,  # β = 100 of the published code, which averages over 5 layers of 768 features
        "transformers of the same width, a multiple of the student's layers in the teacher",
        settings={"strategy": Setting("Which layers are matched.", choices=("skip", "last"))},
    ),
    "tinybert": ObjectiveCard(
        "tinybert:TinyBert",
        "embeddings, hidden states and attention, before training: then the outputs",
        Paper(
            ("Jiao", "Yin", "Shang", "Jiang", "Chen", "Li", "Wang", "Liu"),
            "TinyBERT: Distilling BERT for Natural Language Understanding",
            "Findings of EMNLP",
            2020,
            "1909.10351",
        ),
        "transformer",
        "embeddings, hidden states and attention scores of all layers",
        1.0,
        "transformers with equally many heads, a multiple of the student's layers in the teacher",
        first_stage="embeddings, hidden states and attention matrices",
        second_stage=("kd",),
    ),
}
"""Objectives by the name that users type: a row a method."""
