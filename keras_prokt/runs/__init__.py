"""Runs: a spec in, a run folder out, whatever happens in between.

The public names are imported on first use, so that `import keras_prokt.runs` is quick and the
backend can still be chosen.

Example:

```python
from keras_prokt.runs import RunSpec, resume, run

record = run(RunSpec.resolve("digits", "prokt", epochs=150), "runs/digits")
record["results"]["models"]["student"]["test"]["accuracy"]
```
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_prokt.named_code import import_code
    from keras_prokt.runs.method_comparison import compare
    from keras_prokt.runs.page import report
    from keras_prokt.runs.prediction import predict
    from keras_prokt.runs.recording import Recorded, record
    from keras_prokt.runs.search_space import Range
    from keras_prokt.runs.setting_search import search
    from keras_prokt.runs.spec import RunSpec
    from keras_prokt.runs.speed import benchmark
    from keras_prokt.runs.suspect_labels import suspects
    from keras_prokt.runs.training_run import resume, run

_HOME = {
    "Range": ".search_space",
    "Recorded": ".recording",
    "RunSpec": ".spec",
    "benchmark": ".speed",
    "compare": ".method_comparison",
    "import_code": "keras_prokt.named_code",
    "predict": ".prediction",
    "record": ".recording",
    "report": ".page",
    "resume": ".training_run",
    "run": ".training_run",
    "search": ".setting_search",
    "suspects": ".suspect_labels",
}

__all__ = [
    "Range",
    "Recorded",
    "RunSpec",
    "benchmark",
    "compare",
    "import_code",
    "predict",
    "record",
    "report",
    "resume",
    "run",
    "search",
    "suspects",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'keras_prokt.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
