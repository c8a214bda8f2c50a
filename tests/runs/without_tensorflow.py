"""A run in a process of its own, where packages can be missing; run as a script by its test.

    python without_tensorflow.py JSON

Prints a JSON object as the last line: what the run gave, and what has been imported.
"""

import importlib.abc
import json
import sys

PACKAGES = ("tensorflow", "tensorflow_text", "tensorflow_datasets", "keras_hub")


class Missing(importlib.abc.MetaPathFinder):
    """Makes packages as if they were not installed, and notes who imports them."""

    def __init__(self, names):
        self._names = names
        self.importers = set()

    def find_spec(self, name, path=None, target=None):
        if name in PACKAGES:
            frame = sys._getframe(1)
            while "importlib" in frame.f_globals["__name__"]:
                frame = frame.f_back
            self.importers.add(f"{frame.f_globals['__name__']}: {name}")
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def tiny(num_classes, input_shape):
    """A network for images that is quick anywhere."""
    import keras

    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


def main(given):
    missing = Missing(given["missing"])
    sys.meta_path.insert(0, missing)
    from pieces import StopLater

    from keras_prokt.runs import RunSpec, resume, run
    from keras_prokt.runs.finished_run import evaluate_run

    spec = RunSpec.resolve(given["app"], given["method"], backend="jax", **given["settings"])
    spec.check_without_keras()
    out = given["out"]
    stop = StopLater(given["stop"]) if given["stop"] else None
    record = run(spec, out, stop=stop, export=given["export"])
    statuses = [record["status"]]
    if given["stop"]:
        record = resume(out)
        statuses.append(record["status"])
    evaluated = evaluate_run(out)
    models = record["results"]["models"]
    losses = {
        name: {part: of_model[part]["loss"] for part in evaluated}
        for name, of_model in models.items()
    }
    result = {
        "statuses": statuses,
        "data": record["data"],
        "losses": losses,
        "evaluated": {part: values["loss"] for part, values in evaluated.items()},
        "parameters": {name: of_model["parameters"] for name, of_model in models.items()},
        "imported": sorted(name for name in PACKAGES if name in sys.modules),
        "importers": sorted(missing.importers),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
