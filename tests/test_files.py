"""Files that are there whole or not at all, and records that say whether they were changed."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from keras_prokt import files

ROOT = Path(__file__).parents[1]


def test_a_file_is_replaced_as_a_whole_or_stays(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old\n")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old\n" and os.listdir(tmp_path) == ["a.txt"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=f"no file, but .*: '.*{name}'"):
            files.write_text(tmp_path / name, "lost")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "folder").is_dir()


def test_newlines_are_those_of_the_text(tmp_path):
    files.write_text(tmp_path / "a", "one\ntwo\r\n")
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\r\n"


def test_a_folder_is_made_as_a_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "new") as writing:
        (writing / "a").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with files.new_folder(tmp_path / "new") as writing:
        (writing / "a").write_text("whole")
    assert os.listdir(tmp_path) == ["new"] and (tmp_path / "new" / "a").read_text() == "whole"
    # As mkdir makes them, and not private.
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_of_two_that_make_one_folder_the_first_wins(tmp_path):
    with files.new_folder(tmp_path / "new") as second:
        (second / "a").write_text("second")
        with files.new_folder(tmp_path / "new") as first:
            (first / "a").write_text("first")
    assert (tmp_path / "new" / "a").read_text() == "first"
    with pytest.raises(OSError), files.new_folder(tmp_path / "new", may_exist=False) as third:
        (third / "a").write_text("third")
    assert os.listdir(tmp_path) == ["new"]


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_prokt.files import new_folder
with new_folder(Path(sys.argv[1])) as writing:
    (writing / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "new")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    [left] = os.listdir(tmp_path)
    assert left.startswith(".unfinished-new-")
    # One that has just been made, before it is locked, is somebody's.
    just_made = tmp_path / f".unfinished-new-{os.getpid()}-x"
    just_made.mkdir()
    with files.new_folder(tmp_path / "new") as outer:
        assert just_made.is_dir()
        just_made.rmdir()
        assert left not in os.listdir(tmp_path)
        with files.new_folder(tmp_path / "new"):
            assert outer.is_dir()
    assert os.listdir(tmp_path) == ["new"]


def test_every_bit_of_a_record_counts(tmp_path):
    path, record = tmp_path / "r.json", {"a": [1, 2.5, None], "b": {"c": "λ"}, "d": float("nan")}
    files.write_record(path, {k: v for k, v in record.items() if k != "d"})
    whole = path.read_bytes()
    expected = files.read_record(path)
    other = 0
    for position in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert files.read_record(path) == expected  # white space
            other += 1
        except ValueError as error:
            assert "\n" not in str(error)
    assert other < 40 < 8 * len(whole)
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Expected"):
            files.read_record(path)


@pytest.mark.parametrize("text", ["[]", "3", "null", "", "{", "[" * 100_000, '{"a": 1}'])
def test_what_is_no_record_is_refused(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match="Expected"):
        files.read_record(tmp_path / "r.json")


def test_a_kept_folder_is_known_by_its_key_and_its_contents(tmp_path):
    folder, key = tmp_path / "kept", {"seed": 0, "names": ["a", "b"]}

    def keep():
        with (
            files.new_kept_folder(folder, key) as writing,
            zipfile.ZipFile(writing / "model.keras", "w") as archive,
        ):
            archive.writestr("config.json", "{}")

    keep()
    assert files.is_kept(folder, {"names": ("a", "b"), "seed": 0})
    whole = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert not files.is_kept(folder, key) and not folder.exists()
    keep()
    contents = json.loads((folder / "contents.json").read_text())
    (folder / "contents.json").write_text(json.dumps({**contents, "files": {}}))
    assert not files.is_kept(folder, key)
    keep()
    # Another one in its place, whole by itself.
    assert not files.is_kept(folder, {**key, "seed": 1}) and not folder.exists()
    assert not files.is_kept(folder, key)


def test_an_empty_name_of_the_cache_is_the_usual_one(monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", "")
    assert files.cache_folder() == Path("~/.cache/keras_prokt").expanduser()
    monkeypatch.setenv("KERAS_PROKT_CACHE", "/somewhere")
    assert files.cache_folder() == Path("/somewhere")
    assert files.cache_folder("/else") == Path("/else")


def test_who_has_no_home_has_a_cache_that_is_no_one_elses(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_PROKT_CACHE", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def expanduser(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    folder = files.cache_folder()
    assert folder == tmp_path / f"keras_prokt-{os.getuid()}" and folder == files.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ValueError, match="received another's; set KERAS_PROKT_CACHE"):
        files.cache_folder()
