"""What optimizers need to call TensorFlow's fused kernels."""

from typing import Any

import keras


def resource_handle(variable: Any) -> Any:
    """TensorFlow's handle of a variable, of Keras or of TensorFlow.

    Keras hands over TensorFlow's variable in `update_step` and keeps its own for its moments.
    """
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
