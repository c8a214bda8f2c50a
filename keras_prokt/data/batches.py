"""Batches whose order is a function of the seed and the epoch, and of nothing else.

That is what exact resuming needs: a run continued in epoch 7 sees in epoch 7 what the
uninterrupted run saw.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_prokt import backends
from keras_prokt.data.ahead import made_ahead
from keras_prokt.data.parts import INDEX, TARGET, names_parts, part_of
from keras_prokt.data.rows import Rows
from keras_prokt.data.transform import LabelTransform, Transform

LENGTH_STEP = 8
"""Where XLA compiles every shape anew, ragged inputs are padded to a multiple of this.

That is on JAX and on accelerators of TensorFlow; long inputs are padded there to a multiple of a
quarter of the next power of 2: 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512. Elsewhere a
batch is as long as the longest of its examples.
"""

SORTED_BATCHES = 50
"""Examples of this many batches are sorted by length together."""


class Origin(NamedTuple):
    """Where the examples of a data set come from."""

    positions: np.ndarray
    """Position of each example in the data as its user has it, from 0."""
    count: int
    """How many rows that data has."""


class Batches:
    """A data set in batches: shuffled by `(seed, epoch)`, ragged inputs batched by length.

    Args:
        inputs: An array, a list of 1-d arrays (ragged), `Rows` that are read when a batch wants
            them, or a nested dict of these; all of one length.
        labels: Integer labels `(n,)` or one-hot rows.
        batch_size: Examples a batch; the last one may be smaller.
        seed: Seed of the order.
        shuffle: Whether the order changes every epoch. Without, the order is that of the data.
        sample_weight: Weights `(n,)`, or `None`.
        transform: Makes a batch of each input array out of what is stored; a `Transform`. It draws
            from a `numpy.random.Generator` seeded by seed, epoch and batch, so the same on every
            backend.
        max_length: Length beyond which ragged inputs are not padded, that of the longest which
            the models can read; `None` if any will do.
        on_device: Whether JAX copies what is stored to its device at the first batch and makes
            batches there (XLA), so that a step sends positions and random numbers alone. It must
            fit there beside the models. Without effect on other backends, without a `transform`,
            and under a `keras.distribution`.
        origin: Which rows of the user's data these are, before it was divided; by default all of
            it in its order.
        targets: Stored outputs of a teacher, float32 `(n, width)`, the part `target` of a batch.
        labels_per_position: Whether labels `(n, longest)` belong to the positions of the ragged
            inputs; a batch has as many of them as of these, padding included.

    Raises:
        ValueError: If lengths differ, the batch size is not positive, or nothing is there.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.data.batches import Batches
    >>> batches = Batches(np.zeros((10, 3)), np.arange(10), batch_size=4, shuffle=True)
    >>> len(batches)
    3
    >>> [labels.shape[0] for _, labels in batches.epoch(0)]
    [4, 4, 2]
    """

    def __init__(
        self,
        inputs: Any,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        sample_weight: np.ndarray | None = None,
        transform: Transform | None = None,
        max_length: int | None = None,
        on_device: bool = False,
        origin: Origin | None = None,
        targets: np.ndarray | None = None,
        labels_per_position: bool = False,
    ):
        if batch_size < 1:
            raise ValueError(f"Expected a batch size of at least 1, received {batch_size!r}.")
        self.inputs = inputs
        self.labels = np.asarray(labels)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.shuffle = bool(shuffle)
        self.sample_weight = sample_weight
        self.transform = transform
        self.max_length = max_length
        self.on_device = bool(on_device)
        self._makers_on_device: dict[int, Callable[[Any, Any], Any] | None] = {}
        leaves = _leaves(inputs)
        lengths = {len(leaf) for leaf in leaves} | {len(self.labels)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                "Expected inputs and labels of one length above 0, received lengths "
                f"{sorted(lengths)}."
            )
        if isinstance(transform, LabelTransform) and len({id(leaf) for leaf in leaves}) > 1:
            raise ValueError(
                "Expected one input array with a transform that mixes labels, received "
                f"{len(leaves)}; give both models the same one."
            )
        count = len(self.labels)
        self.origin = Origin(np.arange(count), count) if origin is None else origin
        self.targets = targets
        self.labels_per_position = bool(labels_per_position)
        ragged = [leaf for leaf in leaves if isinstance(leaf, list)]
        self._lengths = (
            np.max([[len(row) for row in leaf] for leaf in ragged], axis=0) if ragged else None
        )

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.num_examples // self.batch_size)

    def limited(self, count: int) -> "Batches":
        """The first `count` examples in an order given by the seed alone."""
        order = np.random.default_rng([self.seed, 1]).permutation(self.num_examples)
        return self.taking(np.sort(order[:count]))

    def longest_first(self) -> "Batches":
        """The same examples by falling length, for evaluation of ragged inputs: little padding.

        Those of one length stay in the order of the data.

        Raises:
            ValueError: If no input is ragged.
        """
        if self._lengths is None:
            raise ValueError("Expected ragged inputs, received arrays; they have one length.")
        return self.taking(np.argsort(-self._lengths, kind="stable"))

    def in_order(self) -> "Batches":
        """The same examples in the order of the data, without anything random about them."""
        return self._like(self.inputs, self.labels, self.sample_weight, shuffle=False)

    def with_index(self) -> "Batches":
        """The same batches with each example's position in this data set, under `index`."""
        inputs = self.inputs
        if not isinstance(inputs, dict) or "student" not in inputs:
            inputs = {"teacher": inputs, "student": inputs}
        inputs = {**inputs, INDEX: np.arange(self.num_examples, dtype="int32")}
        return self._like(inputs, self.labels, self.sample_weight)

    def with_targets(self, targets: np.ndarray) -> "Batches":
        """The same batches with stored outputs of a teacher, under `target`.

        Args:
            targets: Float32, shape `(n, width)`, in the order of this data set.
        """
        return self._like(self.inputs, self.labels, self.sample_weight, targets=targets)

    def with_labels(self, labels: np.ndarray) -> "Batches":
        """The same examples with other labels."""
        return self._like(self.inputs, labels, self.sample_weight)

    def taking(self, indices: np.ndarray) -> "Batches":
        """Some of the examples, in the order of their indices."""
        return self._like(
            _map(self.inputs, _once(lambda leaf: _taken(leaf, indices))),
            self.labels[indices],
            None if self.sample_weight is None else self.sample_weight[indices],
            origin=self.origin._replace(positions=self.origin.positions[indices]),
            targets=None if self.targets is None else self.targets[indices],
        )

    def _like(
        self,
        inputs: Any,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        **changed: Any,
    ) -> "Batches":
        return Batches(
            inputs,
            labels,
            batch_size=self.batch_size,
            seed=self.seed,
            sample_weight=sample_weight,
            transform=self.transform,
            max_length=self.max_length,
            on_device=self.on_device,
            **{
                "shuffle": self.shuffle,
                "origin": self.origin,
                "targets": self.targets,
                "labels_per_position": self.labels_per_position,
                **changed,
            },
        )

    def batch_indices(self, epoch: int) -> list[np.ndarray]:
        """Which examples make up each batch of an epoch."""
        order = np.arange(self.num_examples)
        if not self.shuffle:
            return self._cut(order)
        generator = np.random.default_rng([self.seed, 0, epoch])
        generator.shuffle(order)
        if self._lengths is None:
            return self._cut(order)
        # Sort by length within groups of many batches: little padding, and still random batches.
        size = SORTED_BATCHES * self.batch_size
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        batches = [
            batch
            for group in groups
            for batch in self._cut(group[np.argsort(self._lengths[group], kind="stable")])
        ]
        return [batches[i] for i in generator.permutation(len(batches))]

    def batches_by_length(self) -> list[np.ndarray]:
        """Which examples make up batches with little padding, the longest first; of what is not
        ragged batches in its order."""
        lengths = np.zeros(self.num_examples) if self._lengths is None else self._lengths
        return self._cut(np.argsort(-lengths, kind="stable"))

    def digest(self, part: str | None = None) -> str:
        """SHA-256 of the labels and the stored inputs, in the order of the data.

        Args:
            part: The inputs of "teacher" or "student" alone, where both have their own.
        """
        has_parts = isinstance(self.inputs, dict) and part in self.inputs
        digest = hashlib.sha256(np.ascontiguousarray(self.labels))
        for leaf in _leaves(self.inputs[part] if has_parts else self.inputs):
            if isinstance(leaf, Rows):
                digest.update(leaf.digest())
                continue
            rows = leaf
            if isinstance(leaf, list):
                digest.update(np.array([len(row) for row in leaf], "int64"))
                rows = np.concatenate(leaf)
            digest.update(f"{rows.dtype} {rows.shape}".encode())
            digest.update(np.ascontiguousarray(rows))
        return digest.hexdigest()

    def lengths(self) -> dict[str, float] | None:
        """How long ragged inputs are, and what padding them costs in the first epoch.

        Returns:
            `mean` and `longest` of the examples' lengths, of an example with several inputs the
            longest; `padded_lengths`, how many combinations of lengths the batches have; and
            `padding`, the share of padding in all inputs. `None` where no input is ragged.
        """
        if self._lengths is None:
            return None
        ragged = {id(leaf): leaf for leaf in _leaves(self.inputs) if isinstance(leaf, list)}
        of_inputs = [np.array([len(row) for row in leaf]) for leaf in ragged.values()]
        shapes, positions = set(), 0
        for indices in self.batch_indices(0):
            padded = [self._padded_length(lengths[indices].max()) for lengths in of_inputs]
            shapes.add(tuple(padded))
            positions += sum(padded) * len(indices)
        return {
            "mean": round(float(self._lengths.mean()), 2),
            "longest": int(self._lengths.max()),
            "padded_lengths": len(shapes),
            "padding": round(1 - int(sum(lengths.sum() for lengths in of_inputs)) / positions, 4),
        }

    def batch(
        self, indices: np.ndarray, generator: np.random.Generator | None = None
    ) -> tuple[Any, ...]:
        """The batch of the given examples, padded: `(inputs, labels[, sample_weight])`."""
        target = None if self.targets is None else self.targets[indices]
        inputs, labels = self._inputs_and_labels(indices, generator)
        inputs = self._with_target(inputs, target)
        if self.labels_per_position:
            assert self._lengths is not None
            labels = labels[:, : self._padded_length(self._lengths[indices].max())]
        if self.sample_weight is None:
            return inputs, labels
        return inputs, labels, self.sample_weight[indices]

    def _inputs_and_labels(
        self, indices: np.ndarray, generator: np.random.Generator | None = None
    ) -> tuple[Any, np.ndarray]:
        """What the models read of the given examples, with their index, and what they learn."""
        labels = self.labels[indices]

        def of_leaf(leaf: Any) -> Any:
            nonlocal labels
            if self.transform is None or leaf is index:
                return self._padded(_rows(leaf, indices))
            drawn = () if generator is None else self.transform.draw(len(indices), generator)
            if drawn and isinstance(self.transform, LabelTransform):
                labels = self.transform.mixed_labels(labels, drawn)
            if (make := self._maker_on_device(leaf)) is not None:
                return make(indices, drawn)
            return self.transform.apply(self._padded(_rows(leaf, indices)), drawn, np)

        index = self.inputs.get(INDEX) if isinstance(self.inputs, dict) else None
        return _map(self.inputs, _once(of_leaf)), labels

    def epoch(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """The batches of one epoch."""
        return (make() for make in self._makers(epoch))

    def _makers(self, epoch: int) -> Iterator[Callable[[], tuple[Any, ...]]]:
        """What makes each batch of one epoch; none depends on another."""
        for number, indices in enumerate(self.batch_indices(epoch)):
            seed = [self.seed, 2, epoch, number]
            generator = np.random.default_rng(seed) if self.shuffle else None
            yield functools.partial(self.batch, indices, generator)

    def _stream(self, epochs: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """The batches of some epochs, made ahead where reading takes long."""
        makers = (make for epoch in epochs for make in self._makers(epoch))
        return made_ahead(makers) if self._reads_slowly else (make() for make in makers)

    def for_training(self, first_epoch: int = 0) -> Any:
        """What `fit(x=..., steps_per_epoch=len(self))` takes: epochs without end.

        Args:
            first_epoch: Epoch (0-based) to begin with.

        Returns:
            On TensorFlow a `tf.data.Dataset`, elsewhere a generator.
        """

        def stream() -> Iterator[tuple[Any, ...]]:
            return self._stream(itertools.count(first_epoch))

        data_set = backends.current().data_set(stream, self._signature)
        return stream() if data_set is None else data_set

    def for_evaluation(self) -> Any:
        """What `validation_data=`, `evaluate` and `predict` take, as often as wanted."""

        def stream() -> Iterator[tuple[Any, ...]]:
            return self._stream([0])

        data_set = backends.current().data_set(stream, self._signature, len(self))
        return _EvaluationBatches(self) if data_set is None else data_set

    @property
    def _reads_slowly(self) -> bool:
        leaves = _leaves(self.inputs)
        return any(isinstance(leaf, Rows) and leaf.reads_slowly for leaf in leaves)

    def _with_target(self, inputs: Any, target: Any) -> Any:
        """The inputs of a batch, with the stored outputs of its examples if there are any."""
        if target is None:
            return inputs
        named = inputs if names_parts(inputs) else {"teacher": inputs, "student": inputs}
        return {**named, TARGET: target}

    def _padded(self, rows: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        if isinstance(rows, np.ndarray):
            return rows
        length = self._padded_length(max(len(row) for row in rows))
        padded = np.zeros((len(rows), length), dtype=rows[0].dtype)
        for row, values in zip(padded, rows, strict=True):
            row[: len(values)] = values
        return padded

    def _padded_length(self, longest: int) -> int:
        if not backends.current().compiles_every_shape:
            return int(longest)
        step = max(LENGTH_STEP, 2 ** int(longest - 1).bit_length() // 4)
        length = int(-(-longest // step) * step)
        return (
            length if self.max_length is None else max(int(longest), min(length, self.max_length))
        )

    def _maker_on_device(self, leaf: np.ndarray) -> Callable[[Any, Any], Any] | None:
        """Makes batches of a stored array on the device; `None` where the host does."""
        # A distribution places its batches itself, from the host's memory.
        if not self.on_device or keras.distribution.distribution() is not None:
            return None
        if id(leaf) not in self._makers_on_device:
            make = backends.current().batches_on_device(leaf, self.transform.apply)
            self._makers_on_device[id(leaf)] = make
        return self._makers_on_device[id(leaf)]

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        return [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]

    def _signature(self) -> tuple[Any, ...]:
        """Shapes and dtypes of a batch."""
        one = np.arange(1)
        # Of training, whose labels may have another form.
        generator = np.random.default_rng(0) if self.shuffle else None
        inputs, labels = self._inputs_and_labels(one, generator)
        ragged = [isinstance(leaf, list) for leaf in _leaves(self.inputs)]
        specs = [
            keras.KerasTensor(
                (None, None) if is_ragged else (None, *leaf.shape[1:]), _dtype_of(leaf)
            )
            for is_ragged, leaf in zip(ragged, _leaves(inputs), strict=True)
        ]
        inputs = _map(self.inputs, lambda leaf: specs.pop(0))
        target = None if self.targets is None else _spec(self.targets)
        label = _spec(labels)
        if self.labels_per_position:
            label = keras.KerasTensor((None, None), label.dtype)
        weights = () if self.sample_weight is None else (_spec(self.sample_weight),)
        return (self._with_target(inputs, target), label, *weights)


class _EvaluationBatches(keras.utils.PyDataset):
    def __init__(self, batches: Batches):
        super().__init__()
        self._batches = batches
        self._indices = batches.batch_indices(0)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._batches.batch(self._indices[index])


def inputs_of(x: Any, role: str) -> Any:
    """The part of a batch that one of the two models reads."""
    return part_of(x, role)


def teacher_part(x: Any) -> Any:
    """The part of a batch that the teacher reads."""
    return inputs_of(x, "teacher")


def _once(function: Any) -> Any:
    """The function, called once for an array that stands in several places."""
    results: dict[int, Any] = {}

    def of_leaf(leaf: Any) -> Any:
        if id(leaf) not in results:
            results[id(leaf)] = function(leaf)
        return results[id(leaf)]

    return of_leaf


def _leaves(inputs: Any) -> list[Any]:
    if isinstance(inputs, dict):
        return [leaf for value in inputs.values() for leaf in _leaves(value)]
    return [inputs]


def _map(inputs: Any, function: Any) -> Any:
    if isinstance(inputs, dict):
        return {key: _map(value, function) for key, value in inputs.items()}
    return function(inputs)


def _rows(leaf: Any, indices: np.ndarray) -> Any:
    return [leaf[i] for i in indices] if isinstance(leaf, list) else leaf[indices]


def _taken(leaf: Any, indices: np.ndarray) -> Any:
    return leaf.taking(indices) if isinstance(leaf, Rows) else _rows(leaf, indices)


def _spec(array: Any) -> keras.KerasTensor:
    return keras.KerasTensor((None, *array.shape[1:]), _dtype_of(array))


def _dtype_of(array: Any) -> str:
    return keras.backend.standardize_dtype(array.dtype)
