"""What may happen to stored inputs on their way into a batch; imports no Keras."""

import abc
from typing import Any, Protocol

import numpy as np


class Transform(Protocol):
    """Makes a batch of an input out of what is stored, such as augmented images out of uint8."""

    def draw(self, count: int, generator: np.random.Generator) -> tuple[Any, ...]:
        """What is random about a batch of `count` examples, small arrays; empty if nothing is."""
        ...

    def apply(self, values: Any, drawn: tuple[Any, ...], xp: Any) -> Any:
        """The batch made of the stored values, a function of the arguments and of nothing else.

        Args:
            values: The stored values of its examples.
            drawn: What `draw` gave; empty where the data is not shuffled (evaluation).
            xp: Whose arrays these are: `numpy`, or `jax.numpy` while XLA compiles it.
        """
        ...


class LabelTransform(abc.ABC, Transform):
    """A `Transform` that changes labels with the one input array."""

    @abc.abstractmethod
    def mixed_labels(self, labels: np.ndarray, drawn: tuple[Any, ...]) -> np.ndarray:
        """The labels of a batch after what was drawn for its examples.

        Args:
            labels: Those of its examples.
            drawn: What `draw` gave, not empty.
        """
