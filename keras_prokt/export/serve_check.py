"""Whether a SavedModel answers as the student did that was exported, without Keras.

`python -m keras_prokt.export.serve_check DIRECTORY [URL]` is the process that loads it, or asks a
server that runs already. This module imports no Keras.
"""

import base64
import importlib.util
import json
import math
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_prokt.export.warm_up import Example, read_examples

SECONDS = 60.0
"""How long a server may take for one answer."""


class Checked(NamedTuple):
    """One signature, asked."""

    signature: str
    request: str
    """What was sent, for people."""
    difference: float
    """The largest of two numbers; infinite where labels, texts or shapes differ."""


def latest_version(path: str | Path) -> Path:
    """The SavedModel that is meant: itself, the latest version in a folder, that of a run.

    Raises:
        ValueError: If there is none.
    """
    given = Path(path).expanduser()
    for folder in (given, given / "saved_model"):
        if (folder / "saved_model.pb").is_file():
            return folder
        versions = [int(one.name) for one in _children(folder) if one.name.isdecimal()]
        if versions and (folder / str(max(versions)) / "saved_model.pb").is_file():
            return folder / str(max(versions))
    raise ValueError(
        f"Expected a SavedModel, a folder of its versions or a run with one, received "
        f"{str(path)!r}; export one with `keras-prokt export`."
    )


def check_served(path: str | Path, url: str | None = None) -> list[Checked]:
    """Asks each signature what was stored beside it, in a process that imports no Keras.

    Args:
        path: As in `latest_version`.
        url: Of the model at a server that speaks TensorFlow Serving's REST API, such as
            `http://127.0.0.1:8501/v1/models/shapes`; `None` to load the SavedModel itself.

    Returns:
        Each signature that has an example, and how far its answers are from the student's.

    Raises:
        ValueError: If there is no SavedModel or it holds no examples, or it or the server does not
            answer.
    """
    directory = latest_version(path)
    if url is not None and urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(
            f"Expected the URL of a model, such as http://127.0.0.1:8501/v1/models/NAME, received "
            f"{url!r}; name one."
        )
    command = [sys.executable, "-m", __name__, str(directory), *([] if url is None else [url])]
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = child.stdout.splitlines()
    if child.returncode or not lines:
        last = (child.stderr.splitlines() or ["no output"])[-1]
        raise ValueError(
            f"Expected the process that loads {str(directory)!r} to answer, received exit status "
            f"{child.returncode} after {last[:200]!r}; export the student again."
        )
    found = json.loads(lines[-1])
    if "error" in found:
        raise ValueError(found["error"])
    return [Checked(*one) for one in found["checked"]]


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


Ask = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def _loaded(directory: Path) -> Ask:
    """Asks the SavedModel itself."""
    import tensorflow as tf

    # TensorFlow Text's own package would import Keras.
    spec = importlib.util.find_spec("tensorflow_text")
    for folder in (spec and spec.submodule_search_locations) or []:
        for library in sorted(Path(folder, "python", "ops").glob("*.so")):
            tf.load_op_library(str(library))
    try:
        model = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected a whole SavedModel, received {str(directory)!r} ({_short(error)}); export "
            "the student again."
        ) from error

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        try:
            answers = model.signatures[signature](**tensors)
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"Expected an answer of signature {signature!r} of {str(directory)!r}, received "
                f"{type(error).__name__} ({_short(error)}); export the student again."
            ) from error
        return {name: np.asarray(values) for name, values in answers.items()}

    return ask


def _server(url: str) -> Ask:
    """Asks a server by REST, in columns."""
    url = url.rstrip("/").removesuffix(":predict")

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        columns = {name: _as_json(values) for name, values in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        request = urllib.request.Request(
            f"{url}:predict", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                found = json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            reason = error.read(2000).decode("utf-8", "replace")
            raise ValueError(
                f"Expected an answer of signature {signature!r} at {url}, received status "
                f"{error.code} ({' '.join(reason.split())[:300]}); serve this SavedModel there."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Expected an answer in JSON from {url}, received {type(error).__name__} "
                f"({_short(error)}); check that TensorFlow Serving's REST API is there."
            ) from error
        return found

    return ask


def _as_json(values: np.ndarray) -> Any:
    if values.dtype != object:
        return values.tolist()
    return [_text_as_json(value) for value in values.tolist()]


def _text_as_json(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def difference(example: Example, answers: Any) -> float:
    """How far answers are from those of an example.

    Args:
        example: It.
        answers: Arrays by name, or nested lists as of JSON; of a single output also itself.
    """
    if len(example.outputs) == 1 and not isinstance(answers, Mapping):
        answers = {next(iter(example.outputs)): answers}
    if not isinstance(answers, Mapping) or set(answers) != set(example.outputs):
        return math.inf
    found = 0.0
    for name, expected in example.outputs.items():
        if expected.dtype == object:
            texts = np.vectorize(_text, [object])
            right, answer = texts(expected), texts(np.asarray(answers[name], object))
        else:
            right, answer = expected, np.asarray(answers[name])
        if right.shape != answer.shape:
            return math.inf
        if right.dtype.kind == "f":
            away = np.abs(right.astype("float64") - answer.astype("float64"))
            # A maximum of Python's passes over what is no number.
            found = float(np.max([found, away.max(initial=0.0)]))
        elif not np.array_equal(right, answer):
            return math.inf
        if not math.isfinite(found):
            return math.inf
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _shown(inputs: Mapping[str, np.ndarray]) -> str:
    kinds = {name: "string" if v.dtype == object else v.dtype.name for name, v in inputs.items()}
    return ", ".join(f"{name} {kinds[name]} {values.shape}" for name, values in inputs.items())


def _main(directory: Path, url: str | None = None) -> None:
    sys.modules["keras"] = None  # type: ignore[assignment]  # TensorFlow would import it
    try:
        examples = read_examples(directory)
        ask = _loaded(directory) if url is None else _server(url)
        checked = [
            Checked(
                one.signature,
                _shown(one.inputs),
                difference(one, ask(one.signature, one.inputs)),
            )
            for one in examples
        ]
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
        return
    print(json.dumps({"checked": checked}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
