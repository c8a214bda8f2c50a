"""Which way is better of a distiller's own metrics, for callbacks that monitor one."""

from collections.abc import Iterable
from typing import Any

import keras


def set_modes(callbacks: Iterable[Any], distiller: Any) -> None:
    """Gives callbacks with `mode="auto"` the direction of the metric that they monitor.

    Keras knows the directions of the metrics that `compile` received alone.

    Args:
        callbacks: Callbacks of `fit`, such as `keras.callbacks.EarlyStopping`; those around another
            one (`OnOptimizer`) are looked into.
        distiller: Whose metrics they monitor.
    """
    modes = _modes(distiller)
    for callback in callbacks:
        inner = getattr(callback, "callback", callback)
        if isinstance(inner, keras.callbacks.Callback) and getattr(inner, "mode", None) == "auto":
            name = str(getattr(inner, "monitor", "")).removeprefix("val_")
            inner.mode = modes.get(name, "auto")


def _modes(distiller: Any) -> dict[str, str]:
    """ "max" or "min" by the name of a metric: all but those of the kind of output are losses."""
    kind = distiller.output_kind
    modes = {metric.name: "min" for metric in distiller.tracked_metrics}
    modes["teacher_loss"] = "min"
    for name in kind.metric_names:
        mode = "min" if name in kind.lower_is_better else "max"
        modes |= {f"{role}_{name}": mode for role in ("teacher", "student")}
    return modes
