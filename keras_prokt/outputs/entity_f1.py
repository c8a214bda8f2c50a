"""F1 of entities, spans of positions, from the logits of their tags."""

from typing import Any

import keras
from keras import ops

from keras_prokt.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_prokt")
class EntityF1(keras.metrics.Metric):
    """F1 of entities: right are those whose words and type are, in all examples (micro).

    `2 TP / (2 TP + FP + FN)` (Tjong Kim Sang and De Meulder 2003), 0 where neither labels nor
    predictions have entities. The classes are tags in IOB2 in the order of
    `keras_prokt.data.tags.iob2_classes`: `O`, then `B-X` and `I-X` of each type X. An `I-X` that
    follows no tag of X begins an entity, as for CoNLL's own script and the default mode of
    seqeval, whose number this is. Positions that do not count, such as all but the first piece of
    a word, are as if they were not there.

    Args:
        name: Name of the metric.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt.outputs.entity_f1 import EntityF1
    >>> metric = EntityF1()
    >>> right, predicted = np.array([[1, 2, 0, 3]]), np.array([[1, 2, 0, 1]])
    >>> metric.update_state(right, keras.ops.one_hot(predicted, 5))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "entity_f1"):
        super().__init__(name=name, dtype="float32")
        self._true_positives = self.add_weight(name="true_positives", initializer="zeros")
        self._positives = self.add_weight(name="positives", initializer="zeros")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: Tags `(batch, length)`.
            y_pred: Logits `(batch, length, classes)`, of an odd number of classes.
            sample_weight: `(batch, length)`, 0 where a position does not count, or `None`.
        """
        if len(y_pred.shape) != 3 or y_pred.shape[-1] % 2 == 0:
            raise ValueError(
                "Expected logits (batch, length, classes) of O and two tags of each type for "
                f"entity_f1, received shape {tuple(y_pred.shape)}; use the metric 'accuracy'."
            )
        right = ops.cast(y_true, "int32")
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        if sample_weight is not None:
            counts = ops.broadcast_to(sample_weight, ops.shape(right)) != 0
            right, predicted = (_to_front(counts, tags) for tags in (right, predicted))
        begins, types, stops = _entities(right)
        predicted_begins, predicted_types, predicted_stops = _entities(predicted)
        both_begin = ops.logical_and(begins, predicted_begins)
        both_begin = ops.logical_and(both_begin, types == predicted_types)
        # What both begin both end if neither stops before the other: at the next stop of either.
        either_stops = ops.logical_or(stops, predicted_stops)
        both_stop = ops.logical_and(stops, predicted_stops)
        both_begin = _to_front(either_stops, both_begin)
        both_stop = _to_front(either_stops, both_stop, otherwise=1)
        both_end = ops.pad(both_stop[:, 1:], ((0, 0), (0, 1)), constant_values=1)
        self._true_positives.assign_add(ops.sum(ops.cast(both_begin * both_end, "float32")))
        # 2 TP + FP + FN
        self._positives.assign_add(_count(begins) + _count(predicted_begins))

    def result(self) -> Tensor:
        return ops.divide_no_nan(2.0 * self._true_positives, self._positives)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def _entities(tags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each position its type of entity, and whether one begins, and whether the last one stops.

    Args:
        tags: `(batch, length)`, int32.

    Returns:
        `(begins, types, stops)`.
    """
    types = (tags + 1) // 2  # 0 of O
    before = ops.pad(types[:, :-1], ((0, 0), (1, 0)))
    is_first = ops.logical_or(tags % 2 == 1, types != before)
    begins = ops.logical_and(types != 0, is_first)
    return begins, types, ops.logical_or(begins, types == 0)


def _to_front(where: Tensor, values: Tensor, otherwise: int = 0) -> Tensor:
    """Values where a condition holds, in their order, and behind them another one for the rest."""
    where = ops.cast(where, "int32")
    order = ops.argsort((1 - where) * ops.shape(where)[1] + ops.cumsum(where, axis=1), axis=1)
    values = ops.cast(values, "int32") * where + otherwise * (1 - where)
    return ops.take_along_axis(values, order, axis=1)


def _count(where: Tensor) -> Tensor:
    return ops.sum(ops.cast(where, "float32"))
