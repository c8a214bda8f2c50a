"""Disks that fill and files that may not grow: a short message, and nothing of before is lost."""

import contextlib
import os
import shutil
import subprocess
import sys

import keras
import pytest
from runs.damage import outcome_of
from small_disk import small_disk

pytestmark = [
    pytest.mark.process,
    pytest.mark.whole_run,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
SETTINGS = ["--method", "prokt", "--limit", "64", "--epochs", "2", "--batch-size", "32"]
SETTINGS += ["--teacher", "cnn-medium"]
DISK_MIB = 8


def command(*arguments, cache, cwd=None, before=(), **settings):
    """A command in a process of its own, whose end can crash."""
    environment = {**os.environ, "KERAS_PROKT_CACHE": str(cache)}
    program = [*before, sys.executable, "-m", "keras_prokt.cli", *map(str, arguments)]
    return subprocess.run(
        program, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, **settings
    )


def assert_refused(result):
    said = [line for line in result.stderr.splitlines() if line and " epoch " not in line]
    assert result.returncode in (1, 2), result
    assert 1 <= len(said) <= 3 and said[-1].startswith("keras-prokt: Expected files"), said


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def on_disk(path):
    """Bytes of a file in whole pages; folders of a tmpfs take none."""
    return -(-path.stat().st_size // 4096) * 4096 if path.is_file() else 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A completed run."""
    folder = tmp_path_factory.mktemp("full") / "run"
    result = command("run", *SETTINGS, "--out", folder, cache=folder.parent / "cache")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def disk(tmp_path):
    """A small disk."""
    with small_disk(tmp_path / "disk", f"{DISK_MIB}m") as path:
        yield path


def fill(disk, left):
    """Fills a disk up to some bytes."""
    free = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(bytes(max(0, free - left)))


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(0.03, id="at the first files"),
        pytest.param(0.6, id="at a checkpoint", marks=pytest.mark.thorough),
        pytest.param(1.0, id="at the export", marks=pytest.mark.thorough),
    ],
)
def test_a_run_that_was_to_be_replaced_is_whole_when_the_disk_is_full(finished, disk, share):
    folder = disk / "run"
    shutil.copytree(finished, folder)
    before = contents(folder)
    # What the run takes before it writes half of its SavedModel; linked files take it once.
    sizes = {path.stat().st_ino: on_disk(path) for path in finished.rglob("*")}
    exported = sum(map(on_disk, (finished / "saved_model").rglob("*")))
    fill(disk, int(share * (sum(sizes.values()) - exported / 2)))
    again = ["run", *SETTINGS, "--seed", "5", "--overwrite", "--out", folder]
    result = command(*again, cache=finished.parent / "cache")
    assert_refused(result)
    assert result.returncode == 1
    assert ("while TensorFlow wrote" in result.stderr) == (share == 1)
    assert contents(folder) == before
    others = {path.name for path in disk.iterdir()} - {"run", "ballast"}
    assert others <= {"run.unfinished-1"}
    assert all(name in result.stderr for name in others)


@pytest.mark.thorough
def test_a_new_run_goes_on_when_there_is_room_again(finished, disk):
    folder = disk / "run"
    fill(disk, 250_000)
    cache = finished.parent / "cache"
    result = command("run", *SETTINGS, "--out", folder, cache=cache)
    assert_refused(result)
    assert result.stderr.endswith(f" Go on then with `keras-prokt resume {folder}`.\n")
    (disk / "ballast").unlink()
    result = command("resume", folder, cache=cache)
    assert result.returncode == 0, result.stderr
    assert outcome_of(folder) == outcome_of(finished)
    assert not [path for path in folder.rglob(".*")]


@pytest.mark.thorough
@pytest.mark.parametrize("kilobytes", [1, 60])
def test_files_that_may_not_grow(finished, tmp_path, kilobytes):
    # By a shell: a process that has loaded JAX had better not be forked.
    limited = ["bash", "-c", f'ulimit -f {kilobytes} && exec "$@"', "bash"]
    folder, cache = tmp_path / "run", finished.parent / "cache"
    shutil.copytree(finished, folder)
    before = contents(folder)
    again = ["run", *SETTINGS, "--overwrite", "--out", folder]
    assert_refused(command(*again, cache=cache, before=limited))
    assert contents(folder) == before
    new = tmp_path / "new"
    assert_refused(command("run", *SETTINGS, "--out", new, cache=cache, before=limited))
    if new.exists():
        result = command("resume", new, cache=cache)
        assert result.returncode == 0, result.stderr
        assert outcome_of(new) == outcome_of(finished)


@pytest.mark.thorough
def test_a_run_in_a_folder_of_others_is_not_replaced(finished, tmp_path):
    """As a user who may write into the run, and not beside it."""
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    parent = tmp_path / "parent"
    shutil.copytree(finished, parent / "run")
    nobody = 65534
    for path in [parent / "run", *(parent / "run").rglob("*")]:
        os.chown(path, nobody, nobody)
    for path in [tmp_path, *tmp_path.parents]:
        with contextlib.suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o011)
    before = contents(parent / "run")
    who = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    try:
        able = subprocess.run([*who, sys.executable, "-c", "import keras_prokt.cli"], cwd=parent)
    except OSError as error:
        pytest.skip(f"nobody can be another user: {error}")
    if able.returncode != 0:
        pytest.skip("another user cannot read this environment")
    result = command(
        "run", *SETTINGS, "--overwrite", "--out", parent / "run", cache=tmp_path, before=who
    )
    assert result.returncode == 2
    assert "in a folder that cannot be written" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert contents(parent / "run") == before
