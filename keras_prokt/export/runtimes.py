"""What opens each form of export, to measure it: `RUNTIMES` has a row a form.

`python -m keras_prokt.export.runtimes JOB.json` measures one form in a process of its own.
"""

import contextlib
import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

Predict = Callable[[Arrays], dict[str, np.ndarray]]
"""Outputs by name, of inputs by name."""

WARM_UP = 5
"""Calls that are not measured, of each batch size."""

FEWEST, MOST = 20, 2000
"""Calls that are measured, at least and at most."""


@dataclass(frozen=True)
class Runtime:
    """One row of `RUNTIMES`.

    Attributes:
        title: What people call it.
        packages: Modules one of which must be importable.
        open: Makes of a file and a number of threads what predicts. Inputs that it has no name
            for are left out; a single one takes a single one, whatever it is called.
    """

    title: str
    packages: tuple[str, ...]
    open: Callable[[Path, int], Predict]

    def is_installed(self) -> bool:
        """Whether it can be used here."""
        return any(_is_importable(name) for name in self.packages)


def _is_importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _open_keras(path: Path, threads: int) -> Predict:
    import keras
    import tensorflow as tf

    from keras_prokt.models.loading import load_student

    model = load_student(path)
    call = tf.function(lambda inputs: model(inputs, training=False), autograph=False)

    def predict(arrays: Arrays) -> dict[str, np.ndarray]:
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        names = [tensor.name for tensor in keras.tree.flatten(structure)]
        types = {t.name: t.dtype for t in keras.tree.flatten(structure)}
        chosen = _chosen(arrays, types)
        values = keras.tree.pack_sequence_as(structure, [chosen[name] for name in names])
        return {"logits": np.asarray(keras.tree.flatten(call(values))[0])}

    return predict


def _open_saved_model(path: Path, threads: int) -> Predict:
    import tensorflow as tf

    with contextlib.suppress(ImportError):
        importlib.import_module("tensorflow_text")  # registers the operations of texts
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]
    types = {n: s.dtype.name for n, s in signature.structured_input_signature[1].items()}

    def predict(arrays: Arrays) -> dict[str, np.ndarray]:
        assert loaded is not None  # whose variables the signature needs
        values = {name: tf.constant(value) for name, value in _chosen(arrays, types).items()}
        return {name: value.numpy() for name, value in signature(**values).items()}

    return predict


def _open_onnx(path: Path, threads: int) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(int64)": "int64"}
    types = {one.name: kinds.get(one.type, "float32") for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]

    def predict(arrays: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, _chosen(arrays, types)), strict=True))

    return predict


def _open_litert(path: Path, threads: int) -> Predict:
    if _is_importable("ai_edge_litert"):
        interpreter_class = importlib.import_module("ai_edge_litert.interpreter").Interpreter
    else:
        import tensorflow as tf

        interpreter_class = tf.lite.Interpreter
    interpreter = interpreter_class(model_path=str(path), num_threads=threads)
    signatures = interpreter.get_signature_list()
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    runner = interpreter.get_signature_runner(name)
    details = runner.get_input_details()
    types = {n: np.dtype(one["dtype"]).name for n, one in details.items()}
    shapes = {n: [int(size) for size in one["shape_signature"]] for n, one in details.items()}
    one_by_one = any(shape[0] == 1 for shape in shapes.values())

    def predict(arrays: Arrays) -> dict[str, np.ndarray]:
        chosen = {n: _padded(v, shapes[n]) for n, v in _chosen(arrays, types).items()}
        if not one_by_one:
            return dict(runner(**chosen))
        rows = range(len(next(iter(chosen.values()))))
        answers = [runner(**{n: v[row : row + 1] for n, v in chosen.items()}) for row in rows]
        return {n: np.concatenate([one[n] for one in answers]) for n in answers[0]}

    return predict


def _padded(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values as long as a file of one length wants them."""
    sizes = zip(values.shape[1:], shape[1:], strict=True)
    return np.pad(values, [(0, 0), *((0, max(0, size - own)) for own, size in sizes)])


def _chosen(arrays: Arrays, types: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Inputs of a model by name: raw ones where it takes integers, else what the network reads."""
    if all(name in arrays for name in types):
        return {name: arrays[name].astype(kind) for name, kind in types.items()}
    [(name, kind)] = types.items()
    is_raw = kind == "uint8"
    [value] = [array for array in arrays.values() if (array.dtype == np.uint8) == is_raw]
    return {name: value.astype(kind)}


RUNTIMES: dict[str, Runtime] = {
    "keras": Runtime("Keras, compiled by TensorFlow", ("tensorflow",), _open_keras),
    "saved_model": Runtime("SavedModel in process", ("tensorflow",), _open_saved_model),
    "onnx": Runtime("ONNX Runtime", ("onnxruntime",), _open_onnx),
    "litert": Runtime("LiteRT", ("ai_edge_litert",), _open_litert),
}
"""What opens a form, by its name in `keras_prokt.export.FORMATS`."""


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Measures one form in this process.

    Args:
        job: `form`, `path`, `threads`; `inputs`: an `.npz` of inputs by name, as many examples as
            the largest of `batches`; `seconds` for each of these; `examples`: an `.npz` of inputs,
            `NUMBER/NAME`, whose outputs are wanted, and `outputs`: where these go; both may be
            `None`.

    Returns:
        `latency`, by batch size as a string: `p50`, `p95` and `p99` in seconds, `throughput` in
        examples a second and `calls`; `peak_bytes` of the process, and `library_bytes`: what it
        held before the file was opened.
    """
    runtime = RUNTIMES[job["form"]]
    for package in runtime.packages:
        if _is_importable(package):
            importlib.import_module(package)
    if job["form"] == "keras":
        importlib.import_module("keras_prokt.models.loading")
    held = _peak_bytes()
    predict = runtime.open(Path(job["path"]), job["threads"])
    with np.load(job["inputs"]) as file:
        inputs = dict(file)
    latency = {
        str(size): _timed(predict, {k: v[:size] for k, v in inputs.items()}, size, job["seconds"])
        for size in job["batches"]
    }
    found = {"latency": latency, "peak_bytes": _peak_bytes(), "library_bytes": held}
    if job["examples"] is not None:
        _write_outputs(predict, job["examples"], job["outputs"])
    return found


def _timed(predict: Predict, inputs: Arrays, size: int, seconds: float) -> dict[str, Any]:
    for _ in range(WARM_UP):
        predict(inputs)
    laps: list[float] = []
    until = time.perf_counter() + seconds
    while len(laps) < MOST and (len(laps) < FEWEST or time.perf_counter() < until):
        started = time.perf_counter()
        predict(inputs)
        laps.append(time.perf_counter() - started)
    points = {f"p{p}": float(np.percentile(laps, p)) for p in (50, 95, 99)}
    return {**points, "throughput": size * len(laps) / sum(laps), "calls": len(laps)}


def _write_outputs(predict: Predict, examples: str, outputs: str) -> None:
    batches: dict[int, dict[str, np.ndarray]] = {}
    with np.load(examples) as file:
        for key in file.files:
            number, _, name = key.partition("/")
            batches.setdefault(int(number), {})[name] = file[key]
    answers = [predict(batches[number]) for number in sorted(batches)]
    joined: dict[str, Any] = {
        name: np.concatenate([one[name] for one in answers])
        for name, values in answers[0].items()
        if values.dtype != object  # names of classes, which no number is worked out of
    }
    np.savez(outputs, **joined)


def _peak_bytes() -> int:
    """Most memory that this program has held."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What `getrusage` says begins with what the process held that started this one.
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        if peak is not None:
            return 1024 * int(peak[1])
    import resource  # Windows has no such module

    peak_units = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_units if sys.platform == "darwin" else 1024 * peak_units


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
