"""Contrastive representation distillation: tell an example's features from others' (CRD)."""

import math
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import checked_number, shown
from keras_prokt.losses.adapters import uniform_by_inputs
from keras_prokt.losses.base import Objective, Shape, Shapes
from keras_prokt.losses.lengths import unit
from keras_prokt.typing import Tensor

EPSILON = 1e-7
"""Added to `K / N` in the original's denominators."""

EXAMPLES_A_NEGATIVE = 16
"""Up to so many examples in the memory for each negative, products with all of them cost less.

On 2 CPU cores, batches of 64 and 128 dimensions, loss and gradient for one direction took, with
all against with the chosen ones, 0.08 and 0.47 s at 3 examples a negative (TensorFlow; JAX 0.16 and
0.77), 0.05 and 0.10 s at 12 (0.08 and 0.18), 0.04 and 0.02 s at 49 (0.07 and 0.03).
"""


def contrastive_loss(log_positive: Tensor, log_negatives: Tensor, num_examples: int) -> Tensor:
    """Noise-contrastive loss of telling one positive from `K` negatives, for one anchor.

    `−log h(s⁺) − Σ_k log(1 − h(s_k))` with `h(s) = s / (s + K/N + ε)`,
    `1 − h(s) ≈ (K/N) / (s + K/N + ε)` and `ε = 1e-7`: Eq. 18 of "Contrastive Representation
    Distillation" as its code has it, computed from the logarithms of the scores, so that no
    temperature overflows.

    Args:
        log_positive: `log s⁺`, shape `(batch,)`, the score being `s = exp(a · m / τ) / Z` of an
            anchor `a` and a remembered embedding `m`.
        log_negatives: `log s_k`, shape `(batch, K)`.
        num_examples: `N`, from which the negatives are drawn.

    Returns:
        Shape `(batch,)`, float32, at least 0.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.contrastive import contrastive_loss
    >>> value = contrastive_loss(np.log([0.5]), np.log([[0.5, 0.5]]), num_examples=4)
    >>> round(float(value[0]), 4)  # every h is 1/2
    2.0794
    """
    log_positive = ops.cast(log_positive, "float32")
    log_negatives = ops.cast(log_negatives, "float32")
    noise = log_negatives.shape[-1] / num_examples
    log_rest = math.log(noise + EPSILON)
    of_positive = ops.softplus(log_rest - log_positive)
    of_negatives = ops.softplus(log_negatives - log_rest) + math.log1p(EPSILON / noise)
    return of_positive + ops.sum(of_negatives, axis=-1)


def similarities(
    anchors: Tensor, memory: Tensor, chosen: Tensor, *, with_all: bool = False
) -> Tensor:
    """Products of each anchor with the remembered embeddings that are chosen for it.

    Args:
        anchors: Shape `(batch, dimensions)`.
        memory: Shape `(examples, dimensions)`.
        chosen: Positions in the memory, shape `(batch, choices)`, integers.
        with_all: Whether to multiply with the whole memory and then choose. The values are the
            same; it needs room for `batch · examples` numbers, the other way for
            `batch · choices · dimensions`.

    Returns:
        Shape `(batch, choices)`, float32.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.contrastive import similarities
    >>> anchors, memory = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> [float(value) for value in similarities(anchors, memory, np.array([[2, 0, 2]]))[0]]
    [3.0, 1.0, 3.0]
    """
    anchors = ops.cast(anchors, "float32")
    memory = ops.cast(memory, "float32")
    chosen = ops.cast(chosen, "int32")
    if not with_all:
        return ops.einsum("bd,bkd->bk", anchors, ops.take(memory, chosen, axis=0))
    products = ops.matmul(anchors, ops.transpose(memory))
    rows = ops.expand_dims(ops.arange(ops.shape(anchors)[0], dtype="int32"), 1)
    return ops.take(ops.reshape(products, (-1,)), rows * memory.shape[0] + chosen)


def updated_memory(memory: Tensor, index: Tensor, embeddings: Tensor, momentum: float) -> Tensor:
    """The memory after new embeddings of some examples.

    `m_i ← u / ‖u‖` with `u = momentum · m_i + (1 − momentum) · e_i`.

    Args:
        memory: Shape `(examples, dimensions)`.
        index: Positions of the examples, shape `(batch,)`, integers, each once.
        embeddings: Shape `(batch, dimensions)`.
        momentum: In [0, 1).

    Returns:
        The shape of `memory`, float32.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.contrastive import updated_memory
    >>> memory = updated_memory(np.zeros((3, 2)), np.array([1]), np.array([[3.0, 4.0]]), 0.5)
    >>> [round(float(value), 4) for value in memory[1]]
    [0.6, 0.8]
    """
    memory = ops.cast(memory, "float32")
    index = ops.cast(index, "int32")
    embeddings = ops.cast(embeddings, "float32")
    mixed = momentum * ops.take(memory, index, axis=0) + (1 - momentum) * embeddings
    return ops.scatter_update(memory, ops.expand_dims(index, 1), unit(mixed))


@keras.saving.register_keras_serializable(package="keras_prokt")
class ContrastiveRepresentation(Objective):
    """Objective `crd`: recognise an example among others by the other network's features.

    Tian, Krishnan, Isola, "Contrastive Representation Distillation", section 3. The pooled features
    of both networks are embedded by a linear map and scaled to length 1; both maps are trained
    with the student. Memories hold an embedding of every training example by each network. The
    student's embedding is an anchor for the teacher's memory, and the teacher's for the student's:
    `contrastive_loss` of the same example against `num_negatives` examples of other classes, summed
    over the two. `Z` is set from the first training batch, as the mean of `exp(a · m / τ)` times
    the number of examples. After that, in training, the memories of the batch's examples move.

    `adapt` has to be told the labels of the training data, and each batch needs the positions of
    its examples among them: `x = {"teacher": ..., "student": ..., "index": ...}`. They must lie in
    [0, examples); others cannot be seen inside a compiled step, whose memories would be wrong.

    Negatives are drawn on the device and with replacement. The CRD codebase draws without where
    a class has enough others, on the host; the expected loss is the same.

    With `N` examples, the memories take `2 · N · dimensions · 4` bytes (51 MB for 50,000 examples
    of 128), and one step besides `2 · batch · N · 4` bytes up to 16 examples a negative, else
    `2 · batch · (num_negatives + 1) · dimensions · 4` bytes.

    Args:
        num_negatives: `K`; 16,384 in the paper, whose ablation finds 4,096 less than 0.1 points
            worse.
        temperature: `τ > 0`; 0.07 in the CRD codebase.
        momentum: Share of the old embedding in the memory, in [0, 1); 0.5 in the CRD codebase.
        dimensions: Size of the embeddings; 128 in the CRD codebase.
        weight: Factor of this term; 0.8 in the CIFAR-100 recipe.
        name: Name of the term in the logs.

    Raises:
        ValueError: On settings out of range; once the networks are known, if `adapt` has not been
            called.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.contrastive import ContrastiveRepresentation
    >>> objective = ContrastiveRepresentation(num_negatives=8, dimensions=4)
    >>> objective.adapt(np.array([0, 1, 2, 0, 1, 2]))
    >>> objective.build_for({"pooled": (None, 6)}, {"pooled": (None, 3)})
    >>> teacher = {"pooled": np.ones((2, 6), "float32"), "index": np.array([4, 1])}
    >>> student = {"pooled": np.ones((2, 3), "float32"), "index": np.array([4, 1])}
    >>> tuple(objective(teacher, student, training=True).shape)
    (2,)
    """

    id = "crd"
    reads = ("pooled", "index")
    output_kinds = ("classes",)  # negatives are examples of another class

    def __init__(
        self,
        num_negatives: int = 16384,
        temperature: float = 0.07,
        *,
        momentum: float = 0.5,
        dimensions: int = 128,
        weight: float = 1.0,
        name: str | None = None,
    ):
        super().__init__(weight=weight, name=name)
        temperature = checked_number("temperature", temperature, is_bounded=True)
        momentum = checked_number("momentum", momentum, is_bounded=True)
        for what, number, usual in (
            ("num_negatives", num_negatives, "16384, or 4096 to be quick,"),
            ("dimensions", dimensions, "128"),
        ):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(
                    f"Expected a positive whole number as {what}, received {shown(number)}; "
                    f"{usual} is usual."
                )
        if not 0 < temperature < float("inf"):
            raise ValueError(
                f"Expected a temperature above 0, received {temperature!r}; 0.07 is usual."
            )
        if not 0 <= momentum < 1:
            raise ValueError(
                f"Expected a momentum in [0, 1), received {momentum!r}; with 1 the memories would "
                "stay random, 0.5 is usual."
            )
        self.num_negatives = num_negatives
        self.temperature = float(temperature)
        self.momentum = float(momentum)
        self.dimensions = dimensions
        self.num_examples: int | None = None
        self.seeds = keras.random.SeedGenerator()

    def adapt(self, labels: Any) -> None:
        """Tells which examples are negatives of each other: those of different classes.

        A second time it takes other labels of equally many examples; the memories stay.

        Args:
            labels: Class indices `(examples,)` of the training data, in the order of the batches'
                `index`.

        Raises:
            ValueError: If they are not class indices of at least two classes, or not as many as
                before.
        """
        labels = np.asarray(labels)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "Expected class indices of shape (examples,) for objective 'crd', received "
                f"{labels.dtype} of shape {labels.shape}; use labels.argmax(-1) for one-hot labels."
            )
        classes, of_example, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if len(classes) < 2:
            raise ValueError(
                "Expected labels of at least two classes for objective 'crd', received "
                f"{len(classes)}; the negatives of an example are those of other classes."
            )
        if self.num_examples is None:
            self._make_memories(len(labels))
        if self.num_examples != len(labels):
            raise ValueError(
                f"Expected the labels of {self.num_examples} examples, for which objective 'crd' "
                f"has memories, received {len(labels)}; make a new objective for other data."
            )
        starts = np.cumsum(sizes) - sizes
        self.by_class.assign(np.argsort(of_example, kind="stable"))
        self.starts.assign(starts[of_example])
        self.sizes.assign(sizes[of_example])

    def _make_memories(self, num_examples: int) -> None:
        self.num_examples = num_examples

        def positions(name: str) -> keras.Variable:
            # Keras's "int" is int64 on TensorFlow, which keeps int32 variables off GPUs.
            return self.add_weight(
                shape=(num_examples,), initializer="zeros", dtype="int", trainable=False, name=name
            )

        self.by_class = positions("examples_by_class")
        self.starts = positions("starts_of_own_class")
        self.sizes = positions("sizes_of_own_class")
        limit = (3 / self.dimensions) ** 0.5
        self.teacher_memory, self.student_memory = (
            self.add_weight(
                shape=(num_examples, self.dimensions),
                initializer=keras.initializers.RandomUniform(-limit, limit),
                trainable=False,
                name=f"{role}_memory",
                aggregation="mean",
            )
            for role in ("teacher", "student")
        )
        self.log_normalizers = self.add_weight(
            shape=(2,),
            initializer="zeros",
            trainable=False,
            name="log_normalizers",
            aggregation="mean",
        )
        self.is_normalized = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="is_normalized", aggregation="mean"
        )

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        if self.num_examples is None:
            raise ValueError(
                "Expected objective 'crd' to know the labels of the training data, received none; "
                "call objective.adapt(labels) before, with the class indices in the order of the "
                "batches' \"index\" (for a name such as 'crd+kd': objectives = "
                "keras_prokt.losses.get('crd+kd'), then adapt each)."
            )
        self.teacher_embedding = self._embedding("teacher", teacher["pooled"])
        self.student_embedding = self._embedding("student", student["pooled"])

    def _embedding(self, role: str, shape: Shape) -> keras.layers.Layer:
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(
                f"Expected pooled features of the {role} of shape (batch, features) for objective "
                f"'crd', received {tuple(shape)}; name another layer with "
                f'{role}_taps={{"pooled": ...}}.'
            )
        layer = keras.layers.Dense(
            self.dimensions,
            kernel_initializer=uniform_by_inputs(shape[-1]),
            bias_initializer=uniform_by_inputs(shape[-1]),
            dtype="float32",
            name=f"{role}_embedding",
        )
        layer.build((None, shape[-1]))
        return layer

    def draw_negatives(self, index: Tensor) -> Tensor:
        """Positions of random examples of other classes, with replacement.

        Args:
            index: Positions of the anchors, shape `(batch,)`, integers.

        Returns:
            Shape `(batch, num_negatives)`, int32.
        """
        start, size = (
            ops.expand_dims(ops.cast(ops.take(of.value, index), "int32"), 1)
            for of in (self.starts, self.sizes)
        )
        # Of 31 random bits the remainder is uniform but for num_examples / 2³¹.
        shape = (ops.shape(index)[0], self.num_negatives)
        bits = keras.random.randint(shape, 0, 2**31 - 1, dtype="int32", seed=self.seeds)
        others = ops.mod(bits, self.num_examples - size)
        others = others + ops.where(others >= start, size, ops.zeros_like(size))
        return ops.cast(ops.take(self.by_class.value, others), "int32")

    def call(
        self,
        teacher: Mapping[str, Tensor],
        student: Mapping[str, Tensor],
        training: bool | None = None,
    ) -> Tensor:
        if "index" not in student:
            raise ValueError(
                "Expected batches with the positions of their examples for objective 'crd', "
                'received none; give x = {"teacher": ..., "student": ..., "index": ...}.'
            )
        index = ops.cast(student["index"], "int32")
        of_teacher = unit(self.teacher_embedding(teacher["pooled"]))
        of_student = unit(self.student_embedding(student["pooled"]))
        chosen = ops.concatenate([ops.expand_dims(index, 1), self.draw_negatives(index)], axis=1)
        # Copies: PyTorch needs what it multiplied by for the gradient, after the memories moved.
        teacher_memory = ops.copy(self.teacher_memory.value)
        student_memory = ops.copy(self.student_memory.value)
        # In the order (student as anchor, teacher as anchor).
        log_scores = [
            self._log_scores(of_student, teacher_memory, chosen),
            self._log_scores(of_teacher, student_memory, chosen),
        ]
        log_normalizers = self._log_normalizers(log_scores)
        if training:
            self.log_normalizers.assign(log_normalizers)
            self.is_normalized.assign(ops.ones(()))
            self._remember(self.teacher_memory, teacher_memory, index, of_teacher)
            self._remember(self.student_memory, student_memory, index, of_student)
        loss = 0.0
        for number, scores in enumerate(log_scores):
            scores = scores - log_normalizers[number]
            loss = loss + contrastive_loss(scores[:, 0], scores[:, 1:], self.num_examples)
        return loss

    def _log_scores(self, anchors: Tensor, memory: Tensor, chosen: Tensor) -> Tensor:
        with_all = self.num_examples <= EXAMPLES_A_NEGATIVE * self.num_negatives
        return similarities(anchors, memory, chosen, with_all=with_all) / self.temperature

    def _log_normalizers(self, log_scores: list[Tensor]) -> Tensor:
        """`log Z` of the two directions: those of the first training batch once it has been."""
        choices = ops.cast(ops.size(log_scores[0]), "float32")
        sums = ops.stack([ops.logsumexp(scores) for scores in log_scores])
        now = ops.stop_gradient(sums - ops.log(choices) + math.log(self.num_examples))
        return ops.where(self.is_normalized.value > 0, self.log_normalizers.value, now)

    def _remember(
        self, variable: keras.Variable, memory: Tensor, index: Tensor, embeddings: Tensor
    ) -> None:
        updated = updated_memory(memory, index, ops.stop_gradient(embeddings), self.momentum)
        replicas = backends.current().number_of_replicas()
        if replicas > 1:
            # The variable becomes the mean over replicas, of which each changes rows of its own.
            updated = memory + replicas * (updated - memory)
        variable.assign(updated)

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "num_negatives": self.num_negatives,
            "temperature": self.temperature,
            "momentum": self.momentum,
            "dimensions": self.dimensions,
        }
        if self.num_examples is not None:
            config["num_examples"] = self.num_examples
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        num_examples, shapes = config.pop("num_examples", None), config.pop("shapes", None)
        objective = super().from_config(config)
        if num_examples is not None:
            # The labels come with the weights.
            objective._make_memories(num_examples)
        if shapes is not None:
            objective.build_for(shapes["teacher"], shapes["student"])
        return objective
