"""TinyBERT: embeddings, hidden states and attention of a transformer (Jiao et al. 2020)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_prokt.losses.base import Objective, Shapes
from keras_prokt.losses.layer_map import check_hidden_states, evenly_matched
from keras_prokt.typing import Tensor


def token_loss(
    teacher_states: Tensor, student_states: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mean squared difference of the states of tokens, over real positions and features.

    `MSE(H_S, H_T)` of Eq. 8 and 9 of Jiao et al., with the student's states already mapped to the
    teacher's width.

    Args:
        teacher_states: Shape `(batch, length, features)`.
        student_states: Same shape.
        mask: 1 at real tokens, 0 at padding, `(batch, length)`; all are real by default.

    Returns:
        Shape `(batch,)`, float32; 0 for an example without a real token.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.tinybert import token_loss
    >>> teacher, student = np.zeros((1, 2, 3)), np.array([[[1.0, 1, 1], [9, 9, 9]]])
    >>> float(token_loss(teacher, student, mask=np.array([[1, 0]]))[0])
    1.0
    """
    difference = ops.cast(student_states, "float32") - ops.cast(teacher_states, "float32")
    of_position = ops.mean(ops.square(difference), axis=-1)
    if mask is None:
        return ops.mean(of_position, axis=-1)
    return _mean_where(ops.cast(mask, "float32"), of_position, axis=-1)


def attention_loss(
    teacher_scores: Tensor, student_scores: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mean squared difference of attention scores before the softmax.

    `1/h Σ_i MSE(A_i^S, A_i^T)` over the `h` heads; Eq. 7 of Jiao et al. A pair of positions counts
    if both are real.

    Args:
        teacher_scores: Shape `(batch, heads, length, length)`, as before masking: without the large
            negative numbers that keep attention off the padding.
        student_scores: Same shape.
        mask: 1 at real tokens, 0 at padding, `(batch, length)`; all are real by default.

    Returns:
        Shape `(batch,)`, float32; 0 for an example without a real token.

    Example:

    >>> import numpy as np
    >>> from keras_prokt.losses.tinybert import attention_loss
    >>> float(attention_loss(np.zeros((1, 2, 3, 3)), np.full((1, 2, 3, 3), 2.0))[0])
    4.0
    """
    difference = ops.cast(student_scores, "float32") - ops.cast(teacher_scores, "float32")
    of_pair = ops.mean(ops.square(difference), axis=1)
    if mask is None:
        return ops.mean(of_pair, axis=(1, 2))
    mask = ops.cast(mask, "float32")
    return _mean_where(mask[:, :, None] * mask[:, None, :], of_pair, axis=(1, 2))


def _mean_where(mask: Tensor, values: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return ops.sum(mask * values, axis=axis) / ops.maximum(ops.sum(mask, axis=axis), 1.0)


@keras.saving.register_keras_serializable(package="keras_prokt")
class TinyBert(Objective):
    """Objective `tinybert`: embeddings, hidden states and attention scores of a transformer.

    It belongs to a stage of its own before the student learns the teacher's outputs: `first_stage`
    gives the objective itself. The loss is Eq. 11 of Jiao et al. without the prediction layer, all
    λ being 1: the distance of the embeddings, and for layer `m` of the student's `M` those of the
    hidden states and of the attention scores from the teacher's layer `g(m) = m · N / M`.

    One linear map with bias from the student's width to the teacher's, trained with the student,
    serves the embeddings and all hidden states, as in the authors' code.

    Padding does not count: each example's distances are means over its real positions, those of
    attention over its pairs of real positions. The authors' code takes means over the padded
    length, with the scores of padded keys set to 0 on both sides.

    Args:
        weight: Factor of this term.
        name: Name of the term in the logs.

    Raises:
        ValueError: Once the networks are known, if the teacher's layers are no multiple of the
            student's, or the heads differ in number.

    Example:

    >>> from keras_prokt.losses.tinybert import TinyBert
    >>> def shapes(layers, width):
    ...     states, scores = (None, None, width), (None, 2, None, None)
    ...     return {
    ...         "embeddings": states, "hidden_states": layers * [states],
    ...         "attentions": layers * [scores],
    ...     }
    >>> objective = TinyBert()
    >>> objective.build_for(shapes(4, width=12), shapes(2, width=8))
    >>> tuple(objective.projection.kernel.shape)
    (8, 12)
    """

    id = "tinybert"
    reads = ("embeddings", "hidden_states", "attentions")

    def first_stage(self) -> Objective:
        return self

    def build_adapters(self, teacher: Shapes, student: Shapes) -> None:
        widths = {}
        for role, shapes in (("teacher", teacher), ("student", student)):
            layers, attentions = len(shapes["hidden_states"]), len(shapes["attentions"])
            if layers != attentions:
                raise ValueError(
                    f"Expected as many hidden states as attentions of the {role} for objective "
                    f"'tinybert', received {layers} and {attentions}; name equally many layers "
                    f'with {role}_taps={{"hidden_states": [...], "attentions": [...]}}.'
                )
            states = [shapes["embeddings"], *shapes["hidden_states"]]
            widths[role] = check_hidden_states(self.id, role, states)
        evenly_matched(self.id, len(teacher["hidden_states"]), len(student["hidden_states"]))
        heads = [{shape[1] for shape in of["attentions"]} for of in (teacher, student)]
        if heads[0] != heads[1] or len(heads[0]) != 1:
            raise ValueError(
                "Expected as many attention heads in every layer of the teacher as of the student "
                f"for objective 'tinybert', received {sorted(heads[0])} and {sorted(heads[1])}; "
                "use a student with the teacher's number of heads."
            )
        self.projection = keras.layers.Dense(
            widths["teacher"],
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype="float32",
            name="projection",
        )
        self.projection.build((None, None, widths["student"]))

    def call(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor:
        mask = _common_mask(teacher, student)
        layers = evenly_matched(self.id, *(len(of["hidden_states"]) for of in (teacher, student)))
        loss = token_loss(teacher["embeddings"], self.projection(student["embeddings"]), mask)
        for of_teacher, of_student in zip(layers, range(1, len(layers) + 1), strict=True):
            states, scores = (
                (teacher[part][of_teacher - 1], student[part][of_student - 1])
                for part in ("hidden_states", "attentions")
            )
            loss = loss + token_loss(states[0], self.projection(states[1]), mask)
            loss = loss + attention_loss(*scores, mask)
        return loss


def _common_mask(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> Tensor | None:
    """Where both networks have real tokens; `None` if neither has a mask."""
    masks = [ops.cast(of["mask"], "float32") for of in (teacher, student) if "mask" in of]
    return None if not masks else masks[0] * masks[-1]
