"""Folders of prepared data: what is written is read again, bit for bit, or refused."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from keras_prokt.app import TaskRequest
from keras_prokt.data import prepared_folder
from keras_prokt.data.batches import Batches
from keras_prokt.data.prepared_folder import Contents, PreparedFolder, settings_from, write_folder
from keras_prokt.files import digest_of_json
from keras_prokt.settings import DataSettings, SettingError, settings_of

REQUEST = TaskRequest(teacher="big", student="small", batch_size=4, seed=0)
DATA = {name: getattr(REQUEST, name) for name in settings_of(DataSettings)}


def rows(count, low, high, dtype="int32"):
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, count)
    return [random.integers(low, high, length).astype(dtype) for length in lengths]


def text_batches(count=30, **more):
    ids = rows(count, 0, 30_000)
    mask = [np.ones_like(row) for row in ids]
    inputs = {
        "teacher": {"token_ids": ids, "padding_mask": mask},
        "student": {"token_ids": ids, "other": rows(count, -70_000, 100_000, "int64")},
    }
    labels = np.arange(count, dtype="int32") % 3
    return Batches(inputs, labels, batch_size=4, shuffle=True, max_length=16, **more)


def contents(**changes):
    values = {
        "app": "some",
        "settings": {},
        "data": DATA,
        "seed": None,
        "models": {"teacher": "big", "student": "small"},
        "class_names": ["a", "b", "c"],
        "metrics": ("accuracy",),
        "parts": {"train": text_batches(), "validation": text_batches(12)},
    }
    return Contents(**{**values, **changes})


def written(folder, part_size=16_000_000, **changes):
    write_folder(folder, contents(**changes), part_size=part_size)
    return PreparedFolder(folder)


def test_texts_are_read_as_they_were_written(tmp_path):
    weights = np.linspace(0, 1, 30)
    train = text_batches(sample_weight=weights)
    folder = written(tmp_path / "new", parts={"train": train, "more": text_batches(5)})
    data = folder.data(batch_size=4, seed=0)
    assert [name for name in data] == ["train", "more"]
    read = data["train"]
    assert read.digest() == train.digest()
    assert read.digest("student") == train.digest("student")
    assert read.inputs["student"]["token_ids"] is read.inputs["teacher"]["token_ids"]
    assert read.labels.dtype == "int32" and read.sample_weight.dtype == "float64"
    for mine, other in zip(read.epoch(3), train.epoch(3), strict=True):
        for part in ("teacher", "student"):
            for name, values in other[0][part].items():
                np.testing.assert_array_equal(mine[0][part][name], values)
                assert mine[0][part][name].dtype == values.dtype
        np.testing.assert_array_equal(mine[2], other[2])
    assert folder.examples() == {"train": 30, "more": 5}


def test_whole_numbers_take_the_smallest_type(tmp_path):
    folder = written(tmp_path / "new")
    inputs = folder.record["parts"]["train"]["inputs"]
    stored = {
        name: folder.record["arrays"][number]["stored"]
        for part in inputs.values()
        for name, number in part.items()
    }
    assert stored == {"token_ids": "uint16", "padding_mask": "uint8", "other": "int32"}
    labels = folder.record["arrays"][folder.record["parts"]["train"]["labels"]]
    assert (labels["stored"], labels["dtype"]) == ("uint8", "int32")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_parts_stay_below_their_size(dtype, tmp_path):
    random = np.random.default_rng(0)
    # Noise: nothing of it can be compressed away.
    images = np.frombuffer(random.bytes(700_000), dtype)
    images = np.nan_to_num(images).reshape(-1, 7, 5, 5)[:900]
    batches = Batches(images, np.zeros(len(images), "int64"), batch_size=8, on_device=True)
    folder = written(tmp_path / "new", 100_000, parts={"train": batches})
    sizes = [path.stat().st_size for path in folder.path.iterdir()]
    assert len(sizes) == 1 + -(-images.nbytes // 99_000)
    assert max(sizes) <= 100_000
    assert folder.size == sum(sizes)
    read = folder.data(batch_size=8, seed=0)["train"]
    assert read.digest() == batches.digest()
    assert read.on_device


def test_a_limit_chooses_the_same_examples(tmp_path):
    folder = written(tmp_path / "new")
    train = replace_seed(text_batches(), 7)
    read = folder.data(batch_size=4, seed=7, limit=10)["train"]
    assert read.digest() == train.limited(10).digest()


def replace_seed(batches, seed):
    batches.seed = seed
    return batches


def test_checkpoints_are_there_as_files(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "bert"
    source.mkdir()
    files = {"config.json": b"{}", "model.safetensors": os.urandom(250_000), "empty": b""}
    for name, content in files.items():
        (source / name).write_bytes(content)
    folder = written(tmp_path / "new", 100_000, checkpoints={"hf://a/bert": source})
    place = folder.checkpoint("hf://a/bert")
    assert place == folder.checkpoint("hf://a/bert")
    assert place.startswith(str(tmp_path / "cache"))
    for name, content in files.items():
        with open(os.path.join(place, name), "rb") as file:
            assert file.read() == content
    with pytest.raises(ValueError, match=r"weights of 'other' in .*, received hf://a/bert; "):
        folder.checkpoint("other")
    # A cache that cannot be written: a file stands in its place.
    monkeypatch.setenv("KERAS_PROKT_CACHE", str(source / "config.json"))
    elsewhere = folder.checkpoint("hf://a/bert")
    assert elsewhere != place
    assert sorted(os.listdir(elsewhere)) == sorted(files)


def test_front_ends_are_read_again(tmp_path):
    front_ends = {"student": {"vocabulary": ["ä", "[PAD]"], "pair": True}, "teacher": {}}
    assert written(tmp_path / "new", front_ends=front_ends).front_ends() == front_ends


def test_damage_is_named(tmp_path):
    folder = written(tmp_path / "new")
    [part] = folder.path.glob("part-*")
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SettingError, match=r"^Expected part-001.npz in .* as it was written"):
        PreparedFolder(folder.path).data(batch_size=4, seed=0)
    part.write_bytes(content[:-1])
    with pytest.raises(SettingError, match="Expected part-001.npz in"):
        PreparedFolder(folder.path)
    part.unlink()
    with pytest.raises(SettingError, match="Expected part-001.npz in"):
        PreparedFolder(folder.path)
    part.write_bytes(content)
    record = folder.path / "prepared.json"
    record.write_text(record.read_text().replace('"some"', '"other"'))
    with pytest.raises(ValueError, match="changed since"):
        PreparedFolder(folder.path)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SettingError, match="folder of `keras-prokt prepare` for prepared"):
        PreparedFolder(tmp_path)


def test_a_folder_of_another_format_is_refused(tmp_path):
    folder = written(tmp_path / "new")
    record = {k: v for k, v in folder.record.items() if k != "sha256"} | {"format": 99}
    sealed = json.dumps({**record, "sha256": digest_of_json(record)})
    (folder.path / "prepared.json").write_text(sealed)
    with pytest.raises(SettingError, match="a folder of format 1 .* format 99"):
        PreparedFolder(folder.path)


@pytest.mark.parametrize(
    ("changes", "app", "message"),
    [
        ({}, "other", "for app 'other', received .* for app 'some'"),
        ({"data_dir": "/data"}, "some", "no data_dir with prepared, received '/data'"),
        ({"max_length": 9}, "some", "Expected max_length not given, with which .*received 9; "),
        ({"text_columns": ("a", "b")}, "some", "text_columns not given, .* received a,b"),
        ({"full_train": True}, "some", "full_train not given"),
    ],
)
def test_other_settings_are_refused(changes, app, message, tmp_path):
    folder = written(tmp_path / "new")
    folder.check(replace(REQUEST, seed=3, limit=8, label_noise=0.1), "some")
    with pytest.raises(SettingError, match=message):
        folder.check(replace(REQUEST, **changes), app)


def test_of_limited_data_the_limit_and_the_seed_are_held(tmp_path):
    data = {**DATA, "limit": 30}
    folder = written(tmp_path / "new", data=data, seed=0, settings={"limit": 30})
    folder.check(replace(REQUEST, limit=30), "some")
    with pytest.raises(SettingError, match="limit 30, with which .* received not given"):
        folder.check(REQUEST, "some")
    with pytest.raises(SettingError, match="seed 0, with which"):
        folder.check(replace(REQUEST, limit=30, seed=1), "some")
    assert settings_from(folder.path, with_models=True) == {"limit": 30}


def test_models_are_taken_from_the_folder_unless_a_pair_is_named(tmp_path):
    settings = {"teacher": "big", "text_columns": ["a", "b"]}
    path = written(tmp_path / "new", settings=settings).path
    assert settings_from(path, with_models=True)["teacher"] == "big"
    assert settings_from(path, with_models=False) == {"text_columns": ("a", "b")}
    with pytest.raises(SettingError, match="Expected student 'small', with which .* 'other'"):
        PreparedFolder(path).check_model("student", "other")


def test_nothing_is_replaced_and_parts_are_not_tiny(tmp_path):
    with pytest.raises(SettingError, match="new folder, received .* exists; .* with out"):
        write_folder(tmp_path, contents())
    with pytest.raises(SettingError, match="part_size of at least 100,000 bytes, received 5"):
        write_folder(tmp_path / "new", contents(), part_size=5)
    assert not (tmp_path / "new").exists()


def test_a_failed_folder_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise OSError("full")

    monkeypatch.setattr(prepared_folder, "write_record", fail)
    with pytest.raises(OSError, match="full"):
        write_folder(tmp_path / "new", contents())
    assert list(tmp_path.iterdir()) == []
