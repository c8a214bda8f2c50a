"""Claim: an exported SavedModel is served under load without a failed or a wrong answer.

The C++ server of `tests/serving` (TensorFlow's own loader behind TensorFlow Serving's REST API,
without Python) at 127.0.0.1, in two parts, both bounded:

1. Two versions are loaded. `--threads` connections send `--requests` requests of 1 to 64 pictures,
   as uint8 or normalised, to either version; each answer is compared with its student's. Every
   `requests / bad`-th time one of the requests that do not fit is sent as well, which must get an
   error. Printed: wrong answers, latency, and the server's memory: before it has answered anything,
   after `--warm-up` requests, and after each quarter, which may be 3 % above that of the warm-up.
2. `--versions` new version directories appear one after the other, while the connections go on:
   `--exports` of them as a process of its own exports the two students in turn, which takes seconds
   each, the others as copies that are moved into place by what `export` moves with. Printed:
   requests, failures, versions that the server did not load.

It needs g++, cpp-httplib and nlohmann-json, as the tests of the server do.

    python benchmarks/serving_load.py [--requests 10000] [--bad 200] [--versions 200]
"""

import argparse
import http.client
import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

MOST_ROWS, TOLERANCE, QUARTERS = 64, 1e-5, 4
MOST_GROWTH = 1.03
"""Memory after the requests over that after the warm-up, the accuracy of a measurement."""

RESULTS = ("latencies", "wrong", "refused", "accepted")


def export_students(folder: Path) -> dict[int, np.ndarray]:
    """Two versions, with files of both students beside, and what each answers to all pictures."""
    import keras
    from keras import layers

    from keras_prokt.export import export_saved_model

    keras.utils.set_random_seed(0)
    front_end, answers = _front_end(), {}
    for version in (1, 2):
        image = keras.Input((8, 8, 1), name="pixels")
        x = layers.Conv2D(16, 3, activation="relu")(image)
        x = layers.Flatten()(layers.MaxPooling2D()(x))
        student = keras.Model(image, layers.Dense(10, name="logits")(x))
        export_saved_model(student, folder, front_end=front_end)
        student.save(folder.parent / f"{version}.keras")
        logits = student(front_end.normalize(pictures()))
        answers[version] = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return answers


def _front_end() -> Any:
    from keras_prokt.front_ends import ImageFrontEnd

    return ImageFrontEnd((8, 8), mean=[0.5], standard_deviation=[0.25])


def write_versions(folder: Path, count: int) -> None:
    """Exports the two students in turn."""
    import keras

    from keras_prokt.export import export_saved_model

    students = [keras.saving.load_model(folder.parent / f"{n}.keras") for n in (1, 2)]
    for number in range(count):
        export_saved_model(students[number % 2], folder, front_end=_front_end())


def pictures() -> np.ndarray:
    """What is asked, in parts."""
    return np.random.default_rng(0).integers(0, 256, (2 * MOST_ROWS, 8, 8, 1), dtype="uint8")


class Load:
    """Connections that ask, each in a thread of its own.

    Args:
        server: The `CppServer`.
        answers: Of each version; an answer of no named version may be any of them.
        bad: Bodies that do not fit.
    """

    def __init__(self, server: Any, answers: dict[int, np.ndarray], bad: list[bytes]) -> None:
        self._server, self._answers, self._bad = server, answers, bad
        pixels = pictures()
        normalised = ((pixels / 255.0 - 0.5) / 0.25).astype("float32")
        self._signatures = {
            "serving_default": ("image", pixels),
            "serve_normalized": ("pixels", normalised),
        }

    def run(self, count: float, bad: int, threads: int, versions: bool, stop: Any = None) -> Any:
        """Sends so many good requests, and so many bad ones among them, unless it is stopped.

        Returns:
            `latencies` of good ones by rows, and how many were `wrong`; how many bad ones were
            `refused`, and `accepted`.
        """
        found: dict[str, Any] = {name: [] if name == "latencies" else 0 for name in RESULTS}
        lock, numbers = threading.Lock(), itertools.count()
        every = count / bad if bad else 0

        def work(seed: int) -> None:
            draw, connection = np.random.default_rng(seed), self._server.connection()
            while self._server.is_alive() and not (stop is not None and stop.is_set()):
                number = next(numbers)
                if number >= count:
                    break
                rows, ok, seconds = self._ask(draw, connection, versions)
                refused = None
                if every and int(number / every) != int((number + 1) / every):
                    body = self._bad[int(number / every) % len(self._bad)]
                    status, answer = self._server.ask(
                        ":predict", body, version=1, connection=connection
                    )
                    refused = status >= 400 and bool(answer["error"])
                with lock:
                    found["latencies"].append((rows, seconds))
                    found["wrong"] += not ok
                    if refused is not None:
                        found["refused" if refused else "accepted"] += 1
            connection.close()

        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return found

    def _ask(self, draw: Any, connection: Any, versions: bool) -> tuple[int, bool, float]:
        rows, start = int(draw.integers(1, MOST_ROWS + 1)), int(draw.integers(0, MOST_ROWS))
        signature = ("serving_default", "serve_normalized")[int(draw.integers(2))]
        version = int(draw.integers(1, 3)) if versions else None
        name, values = self._signatures[signature]
        body = {
            "signature_name": signature,
            "inputs": {name: values[start : start + rows].tolist()},
        }
        started = time.perf_counter()
        try:
            status, answer = self._server.ask(
                ":predict", body, version=version, connection=connection
            )
        except (OSError, http.client.HTTPException) as error:
            print(f"no answer: {type(error).__name__}: {error}", file=sys.stderr)
            connection.close()  # the next request opens it again
            status, answer = 0, None
        seconds = time.perf_counter() - started
        if status != 200:
            return rows, False, seconds
        received = np.asarray(answer["outputs"]["probabilities"])
        possible = self._answers.values() if version is None else [self._answers[version]]
        expected = [one[start : start + rows] for one in possible]
        return rows, any(_is_near(received, one) for one in expected), seconds


def _is_near(received: np.ndarray, expected: np.ndarray) -> bool:
    if received.shape != expected.shape:
        return False
    return bool(np.abs(received - expected).max() <= TOLERANCE)


def add_versions(server: Any, folder: Path, count: int, exports: int) -> int:
    """Has new versions appear, one after the other; how many the server did not load."""
    from keras_prokt.export.graph import move_to_next_version

    missed, first = 0, 1 + max(int(one.name) for one in folder.iterdir())
    copies = shutil.copytree(folder, folder.parent / "copies")
    command = [sys.executable, __file__, "--write", str(folder), "--exports", str(exports)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as writer:
        for version in range(first, first + count):
            if version < first + exports:
                while not (folder / str(version)).exists() and writer.poll() is None:
                    time.sleep(0.02)
                if not (folder / str(version)).exists():
                    return missed + first + count - version
            else:
                source = copies / str(1 + version % 2)
                copied = shutil.copytree(source, folder.parent / "unfinished")
                if move_to_next_version(copied, folder).name != str(version):
                    return missed + first + count - version
            missed += _states(server, version) != ["AVAILABLE"]
            if version - first > 4:  # the server has let go of it
                shutil.rmtree(folder / str(version - 4))
    return missed


def _states(server: Any, version: int) -> list[str]:
    """What the server says of a version, when it says something."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection = server.connection()
        status, answer = server.ask("", version=version, connection=connection)
        connection.close()
        if status == 200:
            return [one["state"] for one in answer["model_version_status"]]
        time.sleep(0.02)
    return []


def under_load(load: Load, server: Any, kinds: int, given: argparse.Namespace) -> bool:
    """The first part; whether its claim holds."""
    sizes = [server.memory()]
    load.run(given.warm_up, 0, given.threads, True)
    load.run(kinds, kinds, given.threads, True)  # what is refused is read and written too
    sizes.append(server.memory())
    stop = threading.Event()
    timer = threading.Timer(given.seconds, stop.set)
    timer.daemon = True
    timer.start()
    found: dict[str, Any] = {name: [] if name == "latencies" else 0 for name in RESULTS}
    started = time.perf_counter()
    for _ in range(QUARTERS):
        part = load.run(
            given.requests // QUARTERS, given.bad // QUARTERS, given.threads, True, stop
        )
        found = {name: found[name] + part[name] for name in RESULTS}
        sizes.append(server.memory())
    seconds = time.perf_counter() - started
    timer.cancel()
    laps = found["latencies"]
    print(
        f"{len(laps):,} requests of 1 to {MOST_ROWS} pictures to two versions, {given.threads} "
        f"connections: {len(laps) / seconds:.0f} a second, {found['wrong']} failed or further than "
        f"{TOLERANCE} from the student's answer"
    )
    asked = found["refused"] + found["accepted"]
    print(f"{found['refused']} of {asked} requests that do not fit, {kinds} bodies, were refused")
    for low, high in ((1, 8), (57, MOST_ROWS), (1, MOST_ROWS)):
        chosen = [1000 * lap for rows, lap in laps if low <= rows <= high] or [np.nan]
        p50, p99 = np.percentile(chosen, (50, 99))
        print(f"latency of {low} to {high} rows, ms: p50 {p50:.1f}, p99 {p99:.1f}")
    start, *later = (f"{size / 2**20:.0f}" for size in sizes)
    print(f"memory of the server, MiB: {start} before, {later[0]} after the warm-up, then after")
    print(f"each quarter {', '.join(later[1:])}")
    answered = len(laps) == QUARTERS * (given.requests // QUARTERS)
    is_right = answered and not found["wrong"] and not found["accepted"]
    return is_right and max(sizes[2:]) <= MOST_GROWTH * sizes[1] and server.is_alive()


def under_new_versions(load: Load, server: Any, folder: Path, given: argparse.Namespace) -> bool:
    """The second part; whether its claim holds."""
    missed: list[int] = []
    stop = threading.Event()

    def publish() -> None:
        try:
            missed.append(add_versions(server, folder, given.versions, given.exports))
        finally:
            stop.set()

    writer = threading.Thread(target=publish)
    writer.start()
    found = load.run(np.inf, 0, given.threads, False, stop)
    writer.join()
    if not server.is_alive():
        said = server.process.stderr.read()[-500:]
        print(f"the server ended with status {server.process.returncode}: {said}")
        return False
    said = f"{missed[0]} not loaded" if missed else "broken off"
    p50, p99 = np.percentile([1000 * lap for _, lap in found["latencies"]], (50, 99))
    print(
        f"{given.versions} new versions under load, {given.exports} by export: {said}, "
        f"{found['wrong']} of {len(found['latencies']):,} requests failed or wrong, "
        f"ms: p50 {p50:.1f}, p99 {p99:.1f}; the server holds {server.memory() / 2**20:.0f} MiB"
    )
    return missed == [0] and not found["wrong"] and server.is_alive()


def main() -> int:
    """Runs both parts; 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--bad", type=int, default=200)
    parser.add_argument("--versions", type=int, default=200)
    parser.add_argument("--exports", type=int, default=20)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--warm-up", type=int, default=500)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=1800, help="at most, of the first part")
    given = parser.parse_args()
    if given.write is not None:
        write_versions(given.write, given.exports)
        return 0

    from bad_requests import bad_requests
    from cpp_server import CppServer, build

    from keras_prokt.export.warm_up import read_examples

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "served"
        answers = export_students(folder)
        bad = [
            body
            for example in read_examples(folder / "1")
            for what, body in bad_requests(example.signature, example.inputs)
            # No files are a batch of none, and large numbers are numbers.
            if (example.signature, what) != ("serve_encoded", "empty list") and what != "1e38"
        ]
        with CppServer(build(Path(scratch)), folder, keep=2) as server:
            load = Load(server, answers, bad)
            held = under_load(load, server, len(bad), given)
            held = under_new_versions(load, server, folder, given) and held
    print("holds" if held else "DOES NOT HOLD")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
