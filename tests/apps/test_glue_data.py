"""GLUE through TFDS: the real files where they are, error messages everywhere."""

import os

import numpy as np
import pytest
from marks import DATA

from keras_prokt_apps.glue.data import GLUE_TASKS, load_glue


@pytest.mark.real_data("glue/sst2")
@pytest.mark.parametrize(
    ("split", "examples", "labels"),
    [("train", 67_349, [0, 1]), ("validation", 872, [0, 1]), ("test", 1_821, [-1])],
)
def test_sst2(split, examples, labels):
    data = load_glue("sst2", split, data_dir=str(DATA))
    assert len(data) == len(data.texts) == examples and data.second is None
    assert all(isinstance(text, str) and text.strip() for text in data.texts)
    assert data.labels.shape == data.idx.shape == (examples,)
    assert data.labels.dtype == data.idx.dtype == np.int32
    assert np.unique(data.labels).tolist() == labels
    assert np.array_equal(np.sort(data.idx), np.arange(examples))


@pytest.mark.real_data("glue/sst2")
def test_sst2_known_example():
    data = load_glue("sst2", "validation", data_dir=str(DATA))
    first = int(np.flatnonzero(data.idx == 0)[0])
    assert data.texts[first] == "it 's a charming and often affecting journey . "
    assert GLUE_TASKS["sst2"].labels[data.labels[first]] == "positive"


@pytest.mark.real_data("glue/mrpc")
def test_mrpc_pairs():
    data = load_glue("mrpc", "validation", data_dir=str(DATA))
    assert len(data.texts) == len(data.second) == len(data.labels) == 408
    assert data.labels.sum() == 279  # 68.4 % equivalent, the published majority baseline


@pytest.mark.real_data("glue/sst2")
def test_directory_from_the_environment(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(DATA))
    assert len(load_glue("sst2", "validation")) == 872


@pytest.mark.real_data("glue/sst2")
def test_table_agrees_with_tfds():
    import tensorflow_datasets as tfds

    for name, task in GLUE_TASKS.items():
        config = tfds.builder_cls("glue").builder_configs[name]
        assert set(config.text_features) == set(task.sentences)
        assert tuple(config.label_classes) == task.labels


def test_metrics_of_the_table():
    assert GLUE_TASKS["mrpc"].metrics == GLUE_TASKS["qqp"].metrics == ("f1", "accuracy")
    assert "validation_mismatched" in GLUE_TASKS["mnli"].splits


def test_unknown_names():
    with pytest.raises(ValueError, match="task among .'sst2', 'mrpc'.*received 'sst-2'"):
        load_glue("sst-2", "train")
    with pytest.raises(ValueError, match="split of mnli among .*received 'validation'"):
        load_glue("mnli", "validation")


def test_missing_data(tmp_path, monkeypatch):
    absent = str(tmp_path / "absent")
    with pytest.raises(ValueError, match="absent', received no such directory; point data_dir"):
        load_glue("sst2", "train", data_dir=absent)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="received no glue/qnli there.*tfds build glue/qnli"):
        load_glue("qnli", "train")


def test_unprepared_and_broken_data(tmp_path):
    (tmp_path / "glue" / "sst2").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"received no glue/\w+ there; point data_dir"):
        load_glue("sst2", "train", data_dir=str(tmp_path))


@pytest.mark.real_data("glue/sst2")
@pytest.mark.parametrize("file", ["glue-validation.tfrecord-00000-of-00001", "dataset_info.json"])
def test_cut_file(tmp_path, file):
    source = os.path.join(DATA, "glue", "sst2", "2.0.0")
    folder = tmp_path / "glue" / "sst2" / "2.0.0"
    folder.mkdir(parents=True)
    for name in os.listdir(source):
        with open(os.path.join(source, name), "rb") as original:
            content = original.read(40_000)
        (folder / name).write_bytes(content[: len(content) // 2] if name == file else content)
    with pytest.raises(ValueError, match="readable TFDS data of glue/sst2") as caught:
        load_glue("sst2", "validation", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
