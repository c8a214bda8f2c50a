"""What a model's outputs mean: one file a kind, `OUTPUTS` lists them."""

from collections.abc import Mapping

from keras_prokt.names import is_known, unknown_name
from keras_prokt.outputs.base import Output
from keras_prokt.outputs.classes import Classes
from keras_prokt.outputs.labels import Labels
from keras_prokt.outputs.positions import Positions
from keras_prokt.outputs.values import Values

OUTPUTS: dict[str, Output] = {
    kind.id: kind for kind in (Classes(), Labels(), Positions(), Values())
}
"""Kind of output by the name that users type; of those that need no name (`is_inferred`) the first
that outputs fit is the default."""


def get(name: str) -> Output:
    """The kind of output of a name.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.

    Example:

    >>> from keras_prokt import outputs
    >>> outputs.get("labels").unit
    'labels'
    """
    if not is_known(name, OUTPUTS):
        raise ValueError(unknown_name("a kind of output", name, OUTPUTS))
    return OUTPUTS[name]


def infer(*shape: int | None) -> Output:
    """What outputs of a shape mean where nobody says it.

    Of `(batch, width)` one class an example, if that is possible: one logit is no distribution over
    classes, so that it can only be a label of its own. Outputs with more axes can only be those of
    positions.

    Args:
        *shape: Shape of a model's outputs, without the batch.

    Raises:
        ValueError: If outputs of that shape are of no kind; the message lists those that there are.

    Example:

    >>> from keras_prokt import outputs
    >>> outputs.infer(1).id, outputs.infer(10).id, outputs.infer(128, 10).id
    ('labels', 'classes', 'positions')
    """
    for kind in OUTPUTS.values():
        if kind.is_inferred and kind.fits(shape):
            return kind
    forms = ", ".join(f"{kind.form} ({name})" for name, kind in OUTPUTS.items())
    raise ValueError(
        f"Expected outputs of one of the shapes {forms}, received {(None, *shape)}; change the "
        "model's last layers."
    )


def told_by(activations: Mapping[str, str | None]) -> Output | None:
    """The kind of output that the models' own last activations tell: sigmoids are labels.

    Args:
        activations: Role of a model -> the activation that makes probabilities of its logits,
            `None` if there is none.

    Returns:
        `None` where the shape of the outputs is to tell.

    Raises:
        ValueError: If one model's activation says otherwise than the other's.

    Example:

    >>> from keras_prokt import outputs
    >>> outputs.told_by({"teacher": None, "student": "sigmoid"}).id
    'labels'
    """
    said = {role: activation for role, activation in activations.items() if activation}
    if len(set(said.values())) > 1:
        received = " and ".join(f"{activation} ({role})" for role, activation in said.items())
        raise ValueError(
            f"Expected teacher and student that end alike, received {received}; say what the "
            "outputs mean: output='classes', or output='labels'."
        )
    return next((kind for kind in OUTPUTS.values() if kind.activation in said.values()), None)


__all__ = [
    *("OUTPUTS", "Classes", "Labels", "Output", "Positions", "Values"),
    *("get", "infer", "told_by"),
]
