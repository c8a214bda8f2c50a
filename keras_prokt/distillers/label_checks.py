"""What labels have to be that a distiller learns from or is measured on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_prokt.distillers import unlabelled
from keras_prokt.distillers.batch import CheckedLabels
from keras_prokt.outputs import Output
from keras_prokt.outputs.label_loss import LabelLossOnLogits


@dataclass(frozen=True)
class LabelChecks:
    """Checks of labels, in arrays before the first step and of a batch inside it.

    Args:
        loss: What reads the labels; it knows the kind of output, and `ignore_class`.
        width: Width of the models' outputs.
    """

    loss: LabelLossOnLogits
    width: int

    @property
    def kind(self) -> Output:
        """What the models' outputs mean."""
        return self.loss.output

    def check_form(self, labels: Any, which: str = "") -> None:
        """Refuses labels whose type or shape means nothing to the outputs or the loss.

        Args:
            labels: Array, tensor or spec of one.
            which: Prefix of the message, such as `"validation "`.

        Raises:
            ValueError: With what was received.
        """
        self.kind.check_form(labels, self.width, which)
        self.loss.check_form(labels, self.width, which)

    def check_values(self, labels: Any, which: str = "") -> None:
        """Refuses labels of a whole data set whose values mean nothing.

        Args:
            labels: What `check_form` lets pass, with values.
            which: Prefix of the message, such as `"validation "`.

        Raises:
            ValueError: With what was found and where.
        """
        self.kind.check_values(self._filled(labels), self.width, which)

    def in_step(self, labels: Any) -> CheckedLabels:
        """The labels of a batch, and flags of what is wrong with their values.

        Args:
            labels: As the batch has them.

        Raises:
            ValueError: On a type or shape that means nothing.
        """
        self.kind.check_form(labels, self.width)
        labels = ops.convert_to_tensor(labels)
        self.loss.check_form(labels, self.width)
        labelled = None
        if self.loss.ignore_class is not None:
            labels, labelled = self.kind.fill_unlabelled(labels, self.width, self.loss.ignore_class)
            labelled = ops.cast(labelled, "float32")
        labels, flags = self.kind.checked(labels, self.width)
        return CheckedLabels(labels, labelled, flags)

    def check_training(
        self, labels: Any, untrained: str | None, validation_split: float, verbose: Any
    ) -> None:
        """Refuses training data without a label where that leaves a model untrained.

        Prints how many have one, if any may not.

        Args:
            labels: The `y` of `fit`, or `None`.
            untrained: Role of the model that learns nothing without labels, if there is one.
            validation_split: As in `fit`.
            verbose: As in `fit`.

        Raises:
            ValueError: With the reason.
        """
        if (labelled := self._labelled_rows(labels)) is None:
            return
        ignore_class = self.loss.ignore_class
        unlabelled.check_some_labelled(labelled, ignore_class, untrained, validation_split)
        unlabelled.say_counts(labelled, verbose)

    def check_held_out(self, labels: Any, which: str) -> None:
        """Refuses data to be measured on of which nothing has a label.

        Args:
            labels: Arrays, or `None`.
            which: "validation " or "evaluation ".

        Raises:
            ValueError: If there is no label.
        """
        if (labelled := self._labelled_rows(labels)) is not None:
            unlabelled.check_held_out(labelled, self.loss.ignore_class, which)

    def check_class_weight(self, labels: Any) -> None:
        """Refuses labels with which Keras's `class_weight` means nothing.

        Args:
            labels: The `y` of `fit`.

        Raises:
            ValueError: With what to do instead.
        """
        if self.loss.ignore_class is not None:
            unlabelled.check_class_weight(labels, self.loss.ignore_class)
        self.kind.check_class_weight(self._filled(labels), self.width)

    def _filled(self, labels: Any) -> Any:
        """The labels with a valid one wherever there is none."""
        ignore_class = self.loss.ignore_class
        if ignore_class is None:
            return labels
        return unlabelled.filled(labels, self.kind, self.width, ignore_class)

    def _labelled_rows(self, labels: Any) -> np.ndarray | None:
        """Which rows have a label; `None` of streams, and if all have one."""
        ignore_class = self.loss.ignore_class
        if ignore_class is None or labels is None:
            return None
        return unlabelled.labelled_rows(labels, self.kind, self.width, ignore_class)
