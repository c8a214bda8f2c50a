"""Teachers too big to be trained whole: the last blocks alone, or low-rank adapters (LoRA)."""

import keras

from keras_prokt.arguments import check_type, checked_integer
from keras_prokt.keras_internals import DROPOUTS, layers_in


def train_last_blocks(model: keras.Model, count: int) -> keras.Model:
    """Freezes a transformer but for its last blocks and what comes after them.

    The blocks that are frozen, the embeddings before them included, have no dropout any more: their
    outputs are then the same in each forward, so that they run once a step under ProKT, and their
    gradient is never computed.

    Args:
        model: A built model with transformer blocks: layers that hold a
            `keras.layers.MultiHeadAttention`, as those of keras-hub do.
        count: How many of the last blocks train, at least 0; with 0 only what comes after them.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no transformer blocks, or not more than `count`.

    Example:

    >>> from keras_prokt import models
    >>> from keras_prokt.models.trained_part import train_last_blocks
    >>> teacher = models.get("transformer-small")(10, (8, 8, 1))
    >>> train_last_blocks(teacher, 1) is teacher
    True
    >>> len(teacher.trainable_weights) < len(teacher.weights)
    True
    """
    check_type("model", model, keras.Model, "a built keras.Model")
    count = checked_integer("count", count, least=0)
    blocks = transformer_blocks(model)
    if not blocks:
        raise ValueError(
            f"Expected a transformer of which the last blocks train, received {model.name!r}, in "
            "which no layer holds a keras.layers.MultiHeadAttention; set layer.trainable = False "
            "of the layers to freeze."
        )
    if count >= len(blocks):
        raise ValueError(
            f"Expected fewer than the {len(blocks)} blocks of {model.name!r} to train, received "
            f"{count}; leave it out to train all."
        )
    frozen, _ = _before(model, blocks[-count] if count else blocks[-1])
    for layer in frozen if count else [*frozen, blocks[-1]]:
        layer.trainable = False
        for part in layers_in(layer):
            if isinstance(part, DROPOUTS):
                part.rate = 0.0
    return model


def train_lora(model: keras.Model, rank: int) -> keras.Model:
    """Freezes the backbone of a model but for low-rank adapters in its attention.

    Hu et al. 2021 (arXiv 2106.09685), section 4: of a frozen kernel W, W + B·A is computed, and B
    and A alone are trained; B is zero at the start. They stand at the query and value projections,
    as in the paper (`keras_hub.models.Backbone.enable_lora`). What the model has beside its
    backbone, such as the classifier, is trained too.

    Args:
        model: A built model with a keras-hub backbone in it.
        rank: Of the adapters, at least 1.

    Returns:
        The same model.

    Raises:
        ValueError: If there is no backbone with such projections.

    Example:

    ```python
    teacher = train_lora(bert_classifier("bert_base_en_uncased", num_classes=2), rank=8)
    ```
    """
    check_type("model", model, keras.Model, "a built keras.Model")
    rank = checked_integer("rank", rank, advice="8 is usual")
    from keras_hub.models import Backbone  # seconds, which the other function does not need

    backbone = next((layer for layer in layers_in(model) if isinstance(layer, Backbone)), None)
    names = [] if backbone is None else backbone.default_lora_layer_names()
    if backbone is None or not any(layer.name in names for layer in layers_in(backbone)):
        raise ValueError(
            f"Expected a model with a keras-hub backbone whose attention takes adapters, received "
            f"{model.name!r}; call layer.enable_lora(rank) of its layers yourself."
        )
    backbone.enable_lora(rank)
    return model


def transformer_blocks(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The transformer blocks of a model, in the order in which they run.

    Args:
        model: A built model.
    """
    children = _children(model)
    if any(isinstance(child, keras.layers.MultiHeadAttention) for child in children):
        return [model]
    return [block for child in children for block in transformer_blocks(child)]


def _before(
    model: keras.layers.Layer, stop: keras.layers.Layer
) -> tuple[list[keras.layers.Layer], bool]:
    """The outermost layers before another one, which is in none of them; whether it is there."""
    found = []
    for child in _children(model):
        if child is stop:
            return found, True
        inner, is_inside = _before(child, stop)
        if is_inside:
            return [*found, *inner], True
        found.append(child)
    return found, False


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return layers_in(layer, include_self=False, recursive=False)
