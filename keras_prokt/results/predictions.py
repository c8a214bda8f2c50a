"""Predictions of a run's model as a table, by the kind of its outputs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_prokt import outputs
from keras_prokt.data.columns import Column
from keras_prokt.files import replacing


def columns_of_run(logits: np.ndarray, record: Mapping[str, Any]) -> list[Column]:
    """What a run's model says of examples, as `Output.columns` has it.

    Args:
        logits: What it predicts, shape `(examples, width)`.
        record: The run's record, as in `run.json`: the kind of its outputs and their names.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.results.predictions import columns_of_run
    >>> record = {"output": "labels", "class_names": ["even", "round"]}
    >>> columns_of_run(np.array([[0.0, 5.0]], "float32"), record)[:3]
    [('even', [0]), ('round', [1]), ('p(even)', [0.5])]
    """
    # A run of an older version says nothing: it has what the width alone tells.
    kind = outputs.get(record.get("output", outputs.infer(*logits.shape[1:]).id))
    return kind.columns(ops.convert_to_tensor(logits, "float32"), record["class_names"])


def write_predictions(
    path: str | Path, logits: np.ndarray, record: Mapping[str, Any], *before: Column
) -> None:
    """Writes predictions as a CSV in UTF-8, whole or not at all.

    Args:
        path: Where to; a file that is there is replaced.
        logits: As in `columns_of_run`.
        record: As in `columns_of_run`.
        *before: Columns that say which examples these are.
    """
    headings, values = zip(*before, *columns_of_run(logits, record), strict=True)
    with (
        replacing(Path(path)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headings)
        for row in zip(*values, strict=True):
            writer.writerow(f"{v:.6f}" if isinstance(v, float) else v for v in row)
