"""The C++ server of `tests/serving`: compiled once, started on a folder of versions, asked."""

import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("serving") / "server.cc"
NAME = "student"


class CannotBuild(Exception):
    """A compiler or a header is not on this machine."""


def kept_in(config: Any, tmp_path_factory: Any) -> Path:
    """Where pytest keeps files from run to run; a temporary folder without its cache."""
    cache = getattr(config, "cache", None)
    return tmp_path_factory.mktemp("serving") if cache is None else cache.mkdir("serving")


def build(cache: Path) -> Path:
    """The server's program, compiled where `cache` does not have it yet.

    Raises:
        CannotBuild: With what is missing.
    """
    import tensorflow as tf

    compiler = shutil.which("g++")
    libraries = Path(tf.sysconfig.get_lib())
    if compiler is None:
        raise CannotBuild("needs g++")
    if not (libraries / "libtensorflow_cc.so.2").exists():
        raise CannotBuild("needs a TensorFlow with libtensorflow_cc.so.2")
    digest = hashlib.sha256(SOURCE.read_bytes() + tf.__version__.encode()).hexdigest()[:16]
    program = cache / f"server-{digest}"
    # Test files on two workers want it at the same time, and compiling takes a minute.
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _compile(compiler, libraries, cache, program)
    return program


def _compile(compiler: str, libraries: Path, cache: Path, program: Path) -> None:
    import tensorflow as tf

    linked = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", "-pthread"]
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        # Debian has compiled cpp-httplib, others have it as a header alone.
        for more in (["-lcpp-httplib"], []):
            command = [compiler, "-std=c++17", "-O1", f"-I{tf.sysconfig.get_include()}"]
            command += [str(SOURCE), "-o", f"{scratch}/server", f"-L{libraries}"]
            command += [*linked, f"-Wl,-rpath,{libraries}", *more]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                os.replace(f"{scratch}/server", program)
                return
            if "No such file or directory" in result.stderr:
                missing = [line for line in result.stderr.splitlines() if "No such file" in line]
                raise CannotBuild(f"needs cpp-httplib and nlohmann-json: {missing[0]}")
            if "cannot find -lcpp-httplib" not in result.stderr:
                break
    raise AssertionError(result.stderr)


def text_libraries() -> list[str]:
    """The libraries of TensorFlow Text whose operations served graphs have."""
    spec = importlib.util.find_spec("tensorflow_text")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "python", "ops")
    names = ("_fast_wordpiece_tokenizer", "_regex_split_ops", "_normalize_ops")
    return [str(folder / f"{name}.so") for name in names]


class CppServer:
    """A server of the `keep` highest versions in a folder; a context that ends it.

    Args:
        program: What `build` returned.
        directory: The folder of versions.
        keep: How many versions are loaded.
        libraries: Libraries of operations to load.
        name: Of the model.
    """

    def __init__(
        self,
        program: Path,
        directory: Path,
        keep: int = 1,
        libraries: list[str] | None = None,
        name: str = NAME,
    ) -> None:
        self._scratch = Path(tempfile.mkdtemp())
        port_file = self._scratch / "port"
        self.process = subprocess.Popen(
            [program, port_file, name, directory, str(keep), *(libraries or [])],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        while not port_file.exists():
            if self.process.poll() is not None:
                raise AssertionError(f"The server ended: {self.process.communicate()[1]}")
            time.sleep(0.05)
        self.name = name
        self.port = int(port_file.read_text())
        self.url = f"http://127.0.0.1:{self.port}/v1/models/{name}"
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "CppServer":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._connection is not None:
            self._connection.close()
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self._scratch)

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own, for another thread."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        version: int | None = None,
        kind: str = "application/json",
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[int, Any]:
        """Status and answer; JSON as Python's values.

        Args:
            path: Behind the model's name or version, such as ":predict"; or all of it.
            body: Bytes, an iterator of them (sent in chunks), or what becomes JSON; without one it
                is a GET.
            version: Of the model; `None` for its latest.
            kind: Content type.
            connection: Another thread's.
        """
        if connection is None:
            self._connection = self._connection or self.connection()
            connection = self._connection
        if not path.startswith("/test"):
            of_version = "" if version is None else f"/versions/{version}"
            path = f"/v1/models/{self.name}{of_version}{path}"
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": kind})
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status, json.loads(content) if is_json else content

    def is_alive(self) -> bool:
        """Whether its process has not ended."""
        return self.process.poll() is None

    def memory(self) -> int:
        """Resident bytes of its process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
