"""GLUE tasks, read from TensorFlow Datasets' own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_prokt.data.tfds_files import read_split
from keras_prokt.names import OneLineWarning

if TYPE_CHECKING:
    # Apps import this module to be listed, which is to take no time.
    import numpy as np


_INFERENCE = ("entailment", "neutral", "contradiction")
_INFERENCE_OR_NOT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueFile:
    """What one file of a submission to GLUE looks like.

    Args:
        rows: Examples of GLUE's own test set.
        predictions: What it writes for each label number, or `None` for any number.
    """

    rows: int
    predictions: tuple[str, ...] | None = ("0", "1")


GLUE_FILES = {
    "CoLA.tsv": GlueFile(1_063),
    "SST-2.tsv": GlueFile(1_821),
    "MRPC.tsv": GlueFile(1_725),
    "STS-B.tsv": GlueFile(1_379, None),
    "QQP.tsv": GlueFile(390_965),
    "MNLI-m.tsv": GlueFile(9_796, _INFERENCE),
    "MNLI-mm.tsv": GlueFile(9_847, _INFERENCE),
    "QNLI.tsv": GlueFile(5_463, _INFERENCE_OR_NOT),
    "RTE.tsv": GlueFile(3_000, _INFERENCE_OR_NOT),
    "WNLI.tsv": GlueFile(146),
    "AX.tsv": GlueFile(1_104, _INFERENCE),
}
"""All files of a submission to GLUE, by name, those of tasks without an app as well."""


class UnofficialRows(OneLineWarning):
    """A file of a submission has another number of rows than GLUE's own test set."""


@dataclass(frozen=True)
class GlueTask:
    """What one GLUE task looks like.

    Args:
        sentences: Names of its text fields in TFDS, one or two.
        labels: Names of the classes, by label number.
        files: Name in `GLUE_FILES` of the predictions for each test split.
        metrics: What the GLUE benchmark reports, of `"accuracy"` and `"f1"`.
        splits: Names of its splits. The labels of test splits are -1, as GLUE publishes them.
    """

    sentences: tuple[str, ...]
    labels: tuple[str, ...]
    files: Mapping[str, str]
    metrics: tuple[str, ...] = ("accuracy",)
    splits: tuple[str, ...] = ("train", "validation", "test")


GLUE_TASKS = {
    "sst2": GlueTask(("sentence",), ("negative", "positive"), {"test": "SST-2.tsv"}),
    "mrpc": GlueTask(
        ("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        {"test": "MRPC.tsv"},
        metrics=("f1", "accuracy"),
    ),
    "qqp": GlueTask(
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        {"test": "QQP.tsv"},
        metrics=("f1", "accuracy"),
    ),
    "mnli": GlueTask(
        ("premise", "hypothesis"),
        _INFERENCE,
        {"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
        splits=(
            "train",
            "validation_matched",
            "validation_mismatched",
            "test_matched",
            "test_mismatched",
        ),
    ),
    "qnli": GlueTask(("question", "sentence"), _INFERENCE_OR_NOT, {"test": "QNLI.tsv"}),
}


@dataclass(frozen=True)
class GlueSplit:
    """One split of a GLUE task in memory.

    Args:
        texts: The sentences, or the first ones of the pairs.
        second: The second ones of the pairs, `None` for tasks of one sentence.
        labels: Class of each example, shape `(examples,)`, int32; -1 where GLUE hides it.
        idx: GLUE's own number of each example, shape `(examples,)`, int32; submissions use it.
    """

    texts: list[str]
    second: list[str] | None
    labels: "np.ndarray"
    idx: "np.ndarray"

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def columns(self) -> list[list[str]]:
        """The texts, a list a sentence: one, or two of pairs."""
        return [self.texts] if self.second is None else [self.texts, self.second]


def load_glue(
    task: str, split: str, *, data_dir: str | None = None, download: bool = False
) -> GlueSplit:
    """Reads one split of a GLUE task.

    Args:
        task: A key of `GLUE_TASKS`, e.g. `"sst2"`.
        split: One of the task's `splits`, e.g. `"validation"`.
        data_dir: Directory that holds `glue/<task>/` as TFDS writes it. `None`: the environment
            variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        download: Whether to download and prepare the data into `data_dir` when it is not there
            (TFDS then needs the package `importlib_resources`).

    Returns:
        The split, in the order of the files.

    Raises:
        ValueError: If the task or split is unknown, or the data is missing or unreadable.

    Example:

    ```python
    validation = load_glue("sst2", "validation", data_dir="/data/tfds")
    validation.texts[0], validation.labels[0]
    ```
    """
    if task not in GLUE_TASKS:
        raise ValueError(f"Expected task among {list(GLUE_TASKS)}, received {task!r}; choose one.")
    fields = GLUE_TASKS[task]
    if split not in fields.splits:
        raise ValueError(
            f"Expected split of {task} among {list(fields.splits)}, received {split!r}; choose one."
        )
    columns = read_split(f"glue/{task}", split, data_dir=data_dir, download=download)
    texts = [[text.decode("utf-8") for text in columns[name]] for name in fields.sentences]
    return GlueSplit(
        texts=texts[0],
        second=texts[1] if len(texts) == 2 else None,
        labels=columns["label"].astype("int32"),
        idx=columns["idx"].astype("int32"),
    )
