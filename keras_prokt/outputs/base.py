"""What a model's outputs mean: the contract of a kind of output.

ProKT holds for any family of distributions: the loss on the labels is the family's negative log
likelihood, what the models match is its divergence, and all else stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_prokt.arguments import shown
from keras_prokt.data.columns import Column, columns_of
from keras_prokt.typing import Tensor


@dataclass(frozen=True)
class KerasLosses:
    """Which of Keras's losses a kind of output can be trained with, as classes and functions."""

    from_logits: tuple[tuple[Any, Any], ...]
    """Pairs of class and function with an argument `from_logits`, which are called with it."""
    of_means: tuple[Any, ...]
    """What compares labels with the means that outputs predict: probabilities, of classes."""
    of_indices: tuple[Any, ...] = ()
    """What takes integers `(batch,)` alone as labels."""
    of_rows: tuple[Any, ...] = ()
    """What takes rows `(batch, width)` alone as labels."""
    refused: tuple[Any, ...] = ()
    """What would compute a number without a meaning."""
    advice: str = "leave out loss= for the negative log likelihood"
    """What to do instead of giving a refused one."""


class Output:
    """A kind of output: what the numbers that a model returns say about an example.

    A subclass has no state; one instance of it stands in `keras_prokt.outputs.OUTPUTS`. `outputs`
    always are float32 logits, the natural parameters of the family, of shape `(batch, width)`.
    """

    id: ClassVar[str]
    """Short name that users type."""

    unit: ClassVar[str]
    """What there are `width` of: "classes"."""

    least_width: ClassVar[int]
    """Fewest of them."""

    too_narrow: ClassVar[str]
    """What to do with a model that has fewer."""

    is_inferred: ClassVar[bool] = True
    """Whether outputs that can be of this kind are taken for it where nobody says it."""

    activations: ClassVar[tuple[str, ...]] = ("softmax", "sigmoid")
    """Activations after which outputs are no logits any more."""

    activation: ClassVar[str | None] = None
    """That of `activations` which only models of this kind end in."""

    losses: ClassVar[KerasLosses]
    """What it makes of Keras's losses."""

    example_axes: int = 1
    """Axes of the outputs before the last: one label stands for each entry of them."""

    main_metric: ClassVar[str]
    """Name of the first of `metrics`: how good a model is."""

    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    """Names of those of `metrics` of which a lower value is better."""

    more_metrics: ClassVar[Mapping[str, Callable[[str], keras.metrics.Metric]]] = {}
    """What an app may ask for besides `metrics`: makes one, given what to call it. Their
    `update_state` takes labels and `for_metrics`; higher values are better."""

    faults: ClassVar[Mapping[str, str]]
    """Messages on labels that only show inside a step: `labels` and `label_rows`."""

    # Labels.

    def check_form(self, labels: Any, width: int, which: str = "") -> None:
        """Refuses labels whose type or shape cannot mean what these outputs do.

        Args:
            labels: Array, tensor or spec of one.
            width: Width of the models' outputs.
            which: Prefix of the message, such as `"validation "`.

        Raises:
            ValueError: With the type or shape received.
        """
        raise NotImplementedError

    def check_values(self, labels: Any, width: int, which: str = "") -> None:
        """Refuses labels of a whole data set whose values mean nothing.

        Args:
            labels: What `check_form` lets pass, with values.
            width: Width of the models' outputs.
            which: Prefix of the message, such as `"validation "`.

        Raises:
            ValueError: With what was found and where.
        """
        raise NotImplementedError

    def check_class_weight(self, labels: Any, width: int) -> None:
        """Refuses labels with which Keras's `class_weight` means nothing; by default none.

        Raises:
            ValueError: With what to do instead.
        """

    may_be_unlabelled: ClassVar[bool] = True
    """Whether a label can be told from the mark of what has none."""

    def check_ignore_class(self, ignore_class: int) -> None:
        """Refuses to take a value for that mark; by default none.

        Raises:
            ValueError: With what to do instead.
        """

    def valid_label(self, labels: Any, width: int) -> np.ndarray:
        """A label that may stand for one that is missing, in the form of `labels`; by default 0.

        Args:
            labels: What `check_form` lets pass.
            width: Width of the models' outputs.

        Returns:
            Booleans that broadcast to `labels`.
        """
        return np.zeros((), "bool")

    def fill_unlabelled(
        self, labels: Any, width: int, ignore_class: int, xp: Any = ops
    ) -> tuple[Any, Any]:
        """Labels with a valid one wherever there is none, and where there are labels.

        There is none where all that stands for it is `ignore_class`.

        Args:
            labels: What `check_form` lets pass, with values.
            width: Width of the models' outputs.
            ignore_class: The mark.
            xp: `keras.ops`, or `numpy` for arrays.

        Returns:
            `(labels, labelled)`: labels in the form in which they came, and booleans of shape
            `(batch,)`, or `(batch, *positions)` of positions.
        """
        further = tuple(range(self.example_axes, len(labels.shape)))
        # Unsigned integers cannot be compared with -1 everywhere.
        missing = (labels if xp is np else ops.cast(labels, "float32")) == ignore_class
        if further:
            missing = xp.all(missing, axis=further)
        where = missing[(..., *[None] * len(further))]
        filled = xp.where(where, self.valid_label(labels, width), labels)
        return filled, xp.logical_not(missing)

    def check_temperature(self, temperature: float) -> None:
        """Refuses a temperature of soft targets that means nothing; by default none.

        Raises:
            ValueError: With what to do instead.
        """

    def checked(self, labels: Tensor, width: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Labels of a batch inside the step, with what is wrong with them.

        Args:
            labels: What `check_form` lets pass.
            width: Width of the models' outputs.

        Returns:
            `(labels, flags)`: labels in a form and range that the other methods take, and a
            float32 0 or 1 for each key of `faults` that was looked for.
        """
        raise NotImplementedError

    def right_answers(self, labels: Tensor, width: int) -> Tensor:
        """Checked labels in the form of `answers`; by default they have it."""
        return labels

    def wrong_labels(
        self, labels: np.ndarray, names: Sequence[str], share: float, seed: int
    ) -> np.ndarray:
        """Labels of which a share was made wrong at random; by default there are none.

        Args:
            labels: Of a whole data set.
            names: Of the classes or labels.
            share: Of the examples, in [0, 1].
            seed: Of the draw.

        Raises:
            ValueError: If no such noise is defined for these labels.
        """
        raise ValueError(
            f"Expected no label noise for outputs of the kind {self.id!r}, received a share of "
            f"{share}; leave it out."
        )

    def best_constant(self, labels: Tensor, width: int) -> Tensor | None:
        """Outputs of the model that answers all examples alike, as well as can be: what another
        has to beat.

        Args:
            labels: Checked labels of a whole data set.
            width: Width of the outputs.

        Returns:
            Shape `(width,)`, float32; `None` if the kind does not say, as by default.
        """
        return None

    def start(self, labels: Any) -> Tensor | None:
        """The argument `outputs` of `keras_prokt.uniform_start`; by default zeros.

        Args:
            labels: Labels of the training data, an array.

        Returns:
            Shape `(width,)`, float32, or `None` for zeros.
        """
        return None

    def weights(
        self, labels: Tensor, sample_weight: Tensor | None, padding_mask: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """How much what the outputs stand for counts, and what of it is there at all.

        Args:
            labels: Checked labels of a batch.
            sample_weight: As `fit` received it.
            padding_mask: 1 at the real tokens of texts, `(batch, length)`, or `None`.

        Returns:
            `(weight, real)`: weights of the divergence's values, and 1 where one counts and 0 at
            padding; `None` for 1 everywhere. By default `(sample_weight, None)`.
        """
        return sample_weight, None

    # Losses.

    def default_loss(self, labels: Tensor, width: int) -> keras.losses.Loss:
        """The loss on the labels where `compile` received none, from logits.

        By default the negative log likelihood.
        """
        return LossOf(self.negative_log_likelihood, name="negative_log_likelihood")

    def smoothed_loss(self, label_smoothing: float) -> keras.losses.Loss:
        """The loss on smoothed labels, from logits; by default there is none.

        Args:
            label_smoothing: How much of a label goes to a neutral one, in (0, 1).

        Raises:
            ValueError: If such labels cannot be smoothed.
        """
        raise ValueError(
            f"Expected no label smoothing for outputs of the kind {self.id!r}, received "
            f"{label_smoothing}; leave it out."
        )

    def class_counts(self, labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
        """How many examples of a data set each class has; by default there are no classes.

        Args:
            labels: Of the whole set.
            names: Of the classes in their order, or nothing, in place of which numbers stand.

        Returns:
            By name, in the order of `class_weighted_loss`.

        Raises:
            ValueError: If examples do not have one class each.
        """
        raise ValueError(
            f"Expected no class weights for outputs of the kind {self.id!r}, received some; leave "
            "them out."
        )

    def class_weighted_loss(
        self, weights: Sequence[float], label_smoothing: float = 0.0
    ) -> keras.losses.Loss:
        """The loss on labels in which classes count differently, from logits.

        Args:
            weights: Of each class, in the order of `class_counts`.
            label_smoothing: As in `smoothed_loss`, or 0.

        Raises:
            ValueError: If the kind has no classes.
        """
        raise ValueError(
            f"Expected no class weights for outputs of the kind {self.id!r}, received some; leave "
            "them out."
        )

    def check_loss(self, loss: Any, name: str, labels: Any, width: int, which: str = "") -> None:
        """Refuses labels in a form that a loss of Keras does not take; by default none.

        Args:
            loss: What `compile` received, resolved.
            name: What to call it.
            labels: What `check_form` lets pass.
            width: Width of the models' outputs.
            which: Prefix of the message.
        """

    def divergence(self, target: Tensor, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """KL divergence of a model's distribution from its target, float32 `(batch,)`, in nats.

        Args:
            target: Logits of the target.
            outputs: Logits of the model.
            temperature: `T > 0`, divides both.
        """
        raise NotImplementedError

    def negative_log_likelihood(self, labels: Tensor, outputs: Tensor) -> Tensor:
        """How wrong outputs are about checked labels, float32 `(batch,)`, in nats.

        What of it is the same for all outputs may be left out.
        """
        raise NotImplementedError

    # Outputs.

    def means(self, outputs: Tensor) -> Tensor:
        """The labels' means under the model, the shape of `outputs`: of classes, probabilities."""
        raise NotImplementedError

    def outputs_of_means(self, means: np.ndarray) -> np.ndarray:
        """Outputs whose `means` are given, which are clipped by 1e-7; by default there are none.

        Args:
            means: Probabilities, shape `(rows, width)`.

        Raises:
            ValueError: If they are none, with the first such row, or outputs have no probabilities.
        """
        raise ValueError(
            f"Expected outputs themselves of the kind {self.id!r}, received probabilities; it has "
            "none."
        )

    def for_metrics(self, outputs: Tensor) -> Tensor:
        """What the metrics given to `compile` receive; by default the logits."""
        return outputs

    def check_metric(self, metric: Any) -> None:
        """Refuses a metric given to `compile` that `for_metrics` does not suit; by default none."""

    def metrics(self, width: int, prefix: str = "") -> list[keras.metrics.Metric]:
        """New metrics, the first of which is `main_metric`.

        Their `update_state` takes checked labels and logits.

        Args:
            width: Width of the models' outputs.
            prefix: Beginning of their names, such as `"student_"`.
        """
        raise NotImplementedError

    @property
    def metric_names(self) -> list[str]:
        """Names of `metrics`, without prefix."""
        return [metric.name for metric in self.metrics(self.least_width)]

    def scores(self, labels: Tensor, outputs: Tensor) -> dict[str, float]:
        """What a run reports of a whole data set beside its metrics; by default nothing.

        Args:
            labels: Checked labels.
            outputs: Logits.

        Returns:
            By name; of `keras_prokt.outputs.scores.LOWER_IS_BETTER` lower values are better.
        """
        return {}

    def report(self, labels: Tensor, outputs: Tensor) -> dict[str, Any]:
        """What a run writes down of each class of a whole data set; by default nothing.

        Args:
            labels: Checked labels.
            outputs: Logits.

        Returns:
            Plain numbers and lists of them, as `keras_prokt.outputs.reports.class_report`.
        """
        return {}

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """What a served model returns, by name."""
        raise NotImplementedError

    def answers(self, outputs: Tensor) -> Tensor:
        """The one value of each output that a run keeps of an example; by default `means`.

        Shape `(batch,)` or `(batch, width)`. Where it equals `right_answers` the model is right:
        bootstraps of `keras_prokt.results.statistics.BOOTSTRAP_METRICS` are worked out of both.
        """
        return self.means(outputs)

    def columns(self, outputs: Tensor, names: Sequence[str]) -> list[Column]:
        """Predictions as the columns of a table; by default `predictions`, by number.

        Args:
            outputs: Logits.
            names: What `check_names` lets pass, or nothing, in place of which numbers stand.
        """
        found = self.predictions(outputs)
        return [
            column
            for name, values in found.items()
            for column in columns_of(name, ops.convert_to_numpy(values))
        ]

    def check_names(self, names: Sequence[str], width: int) -> None:
        """Refuses names of the classes or labels that are not one string for each.

        Raises:
            ValueError: With what is expected.
        """
        check_strings(names, width, self.unit)

    def name_table(self, names: Sequence[str], width: int) -> list[str]:
        """The strings that a served model chooses from."""
        return list(names)

    def name_indices(self, predictions: Mapping[str, Tensor]) -> Tensor:
        """Which of `name_table` a served model returns, integers."""
        raise NotImplementedError

    def are_finite(self, outputs: Tensor) -> Tensor:
        """Whether every probability has a finite logarithm, as a boolean."""
        return ops.all(ops.isfinite(outputs))

    def may_be_probabilities(self, outputs: Tensor) -> Tensor:
        """Whether all outputs lie in [0, 1] and are not all equal, as a float32 0 or 1.

        Logits may lie there too, so that only models are asked of which nothing else is known.
        """
        if not self.activations:
            return ops.zeros(())
        least, most = ops.min(outputs), ops.max(outputs)
        is_within = ops.logical_and(least >= 0, most <= 1)
        return ops.cast(ops.logical_and(is_within, most > least), "float32")

    def are_probabilities(self, outputs: Tensor) -> Tensor:
        """Whether outputs certainly are no logits but probabilities, as a float32 0 or 1."""
        return ops.zeros(())

    def fits(self, shape: Sequence[int | None]) -> bool:
        """Whether outputs of a shape, without the batch, can be of this kind."""
        return len(shape) == 1 and shape[0] is not None and shape[0] >= self.least_width

    def for_outputs(self, shape: Sequence[int | None]) -> "Output":
        """This kind for outputs of a shape, without the batch, that fits."""
        return self

    @property
    def form(self) -> str:
        """Shape of the outputs in words."""
        return f"(batch, {self.unit})"

    def check_model_outputs(self, role: str, outputs: Any) -> tuple[int | None, ...]:
        """The shape of a model's symbolic outputs, without the batch.

        Args:
            role: "teacher" or "student", or the model's name.
            outputs: What the model returns.

        Raises:
            ValueError: If it is not one tensor of logits of a shape that fits.
        """
        shape: Any = getattr(outputs, "shape", None)
        if shape is None or not self.fits(shape[1:]):
            received = f"shape {tuple(shape)}" if shape is not None else type(outputs).__name__
            raise ValueError(
                f"Expected the {role} to output one tensor of logits of shape {self.form} with at "
                f"least {self.least_width} {self.unit}, received {received}; {self.too_narrow}."
            )
        return tuple(shape[1:])


class MeanOf(keras.metrics.Mean):
    """Mean over examples, or positions, of a function of labels and outputs.

    Args:
        function: `(labels, outputs) -> (batch,)`, or `(batch, *positions)`.
        name: Name of the metric.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str):
        super().__init__(name=name)
        self._function = function

    def example_values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The function's values, `(batch,)`."""
        return self._function(y_true, y_pred)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        values = self.example_values(y_true, y_pred)
        if len(values.shape) > 1:
            # Keras takes the mean of each example first, by which positions of batches that are
            # padded to different lengths would count differently.
            values = ops.reshape(values, (-1,))
            if sample_weight is not None:
                sample_weight = ops.reshape(sample_weight, (-1,))
        super().update_state(values, sample_weight=sample_weight)


class LossOf(keras.losses.Loss):
    """A function `(labels, predictions) -> loss of each example` as a loss of Keras's.

    Args:
        function: The function.
        name: Name of the loss.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str):
        super().__init__(name=name)
        self._function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self._function(y_true, y_pred)


def named_columns(answers: Tensor, probabilities: Tensor, names: Sequence[str]) -> list[Column]:
    """The name of each example's answer, and the probability of each name.

    Args:
        answers: Which of the names, integers `(batch,)`.
        probabilities: Shape `(batch, names)`.
        names: Of the answers.
    """
    numbers = ops.convert_to_numpy(answers).tolist()
    shares = ops.convert_to_numpy(probabilities).T.tolist()
    named = [(f"p({name})", share) for name, share in zip(names, shares, strict=True)]
    return [("class_name", [names[number] for number in numbers]), *named]


def check_strings(names: Any, count: int, unit: str) -> None:
    """Refuses what is not `count` strings.

    Raises:
        ValueError: With what was received.
    """
    is_list = isinstance(names, Sequence) and not isinstance(names, str | bytes)
    if not is_list or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"Expected class_names to be {count} strings, one for each of the {unit}, received "
            f"{shown(names)}; list them in the order of the logits."
        )
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Expected class_names that are text, received {ascii(name)[:80]} with half a "
                "surrogate pair, which UTF-8 does not have; read them with the right encoding."
            ) from error
