"""Variables that a layer writes into Keras's files by itself, numbered."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def save_variables(store: Any, variables: Sequence[keras.Variable]) -> None:
    """Writes variables into what `save_own_variables` of a layer is given."""
    for index, variable in enumerate(variables):
        store[str(index)] = ops.convert_to_numpy(variable)


def load_variables(
    store: Any, variables: Sequence[keras.Variable], owner: str, advice: str
) -> None:
    """Reads variables from what `load_own_variables` of a layer is given.

    Args:
        store: What Keras gives.
        variables: As they were written.
        owner: Whose they are, for the message.
        advice: What the message adds.

    Raises:
        ValueError: If they are not as many.
    """
    if len(store.keys()) != len(variables):
        raise ValueError(
            f"Expected {len(variables)} variables of {owner}, received {len(store.keys())}; "
            f"{advice}."
        )
    for index, variable in enumerate(variables):
        variable.assign(store[str(index)])
