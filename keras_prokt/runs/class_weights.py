"""Weights of classes as people type them; imports no Keras."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_prokt.names import unknown_name
from keras_prokt.settings import Setting, SettingError, argument

if TYPE_CHECKING:
    import numpy as np

BALANCED = "balanced"
"""What is typed for weights with which all classes count the same."""

_WEIGHT = Setting("A weight.", float, at_least=0)


def parsed_class_weights(text: str) -> dict[str, float] | None:
    """The weights that a text says.

    Args:
        text: `balanced`, or `NAME=WEIGHT,NAME=WEIGHT`.

    Returns:
        Weights by the name of the class; `None` for `balanced`.

    Raises:
        SettingError: On anything else.

    Example:

    >>> from keras_prokt.runs.class_weights import parsed_class_weights
    >>> parsed_class_weights("spam=5, ham=0.5")
    {'spam': 5.0, 'ham': 0.5}
    """
    if text.strip() == BALANCED:
        return None
    weights: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, value = entry.rpartition("=")
        if not (equals and name.strip()):
            raise SettingError(
                f"Expected {argument('class_weight')} balanced, or NAME=WEIGHT,NAME=WEIGHT, "
                f"received {text!r}; such as spam=5."
            )
        if (name := name.strip()) in weights:
            raise SettingError(
                f"Expected {argument('class_weight', name)} once, received it again; leave one."
            )
        weights[name] = _WEIGHT.parsed("class_weight", value.strip(), name)
    if not any(weights.values()):
        raise SettingError(
            f"Expected {argument('class_weight')} above 0 of one class at least, received {text!r}."
        )
    return weights


def weights_of(text: str, counts: "np.ndarray", names: Sequence[str]) -> "np.ndarray":
    """The weight of each class.

    Args:
        text: As in `parsed_class_weights`.
        counts: Training examples of each class.
        names: Of the classes.

    Returns:
        Shape `(classes,)`; 1 for those that the text does not name.

    Raises:
        SettingError: If the text names a class that there is not, or, balanced, one has no
            example.
    """
    import numpy as np

    from keras_prokt.outputs.class_weights import balanced_weights

    given = parsed_class_weights(text)
    if given is not None:
        for name in given:
            if name not in names:
                raise SettingError(
                    unknown_name(f"a class in {argument('class_weight')}", name, names)
                )
        return np.array([given.get(name, 1.0) for name in names])
    if not counts.all():
        name = names[int(np.argmin(counts))]
        raise SettingError(
            f"Expected training examples of every class with {argument('class_weight')} balanced, "
            f"received none of {name!r}; give weights as NAME=WEIGHT, or more examples."
        )
    return balanced_weights(counts)
