"""Rows of an array that need not be in memory; imports no Keras."""

import abc
from typing import Any, Self

import numpy as np


class Rows(abc.ABC):
    """What stands in `Batches` for an array whose rows are read when a batch wants them.

    Attributes:
        shape: Of the whole array.
        dtype: Of its values.
        reads_slowly: Whether reading rows takes long, as decoding does, so that batches are
            better made ahead of the step.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    reads_slowly: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    @abc.abstractmethod
    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """The rows of some indices, as an array in memory."""

    @abc.abstractmethod
    def taking(self, indices: np.ndarray) -> Self:
        """Some of the rows, of which none is read."""

    @abc.abstractmethod
    def digest(self) -> bytes:
        """A digest of the rows in their order, without reading them."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[np.arange(len(self))], dtype)
