"""Directories of models that somebody else has written: nothing that they name is imported."""

import json
import pickle
import shutil
import sys

import keras
import pytest

from keras_prokt.data.table import read_records, read_table
from keras_prokt.models.bert import bert_classifier, bert_tokenizer
from keras_prokt.models.image_networks import image_network

BY_MODULE = {"module": "stranger", "class_name": "Layer"}
"""What makes Keras import a module, where it believes a file."""
SCALE = {"mean": [0.5] * 3, "standard_deviation": [0.25] * 3}


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A module that can be imported; its file that appears if it was."""
    (tmp_path / "stranger.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nclass Layer: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
    sys.modules.pop("stranger", None)


@pytest.fixture
def resnet(tmp_path):
    import keras_hub

    folder = str(tmp_path / "resnet")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone.save_to_preset(folder)
    keras_hub.layers.ResNetImageConverter(image_size=(8, 8)).save_to_preset(folder)
    return tmp_path / "resnet"


def change(path, *keys, **values):
    """Changes what stands in a JSON file, in an object in it where keys lead there."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys:
        inner = inner[key]
    inner.update(values)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("registered_name", ["keras_hub>BertBackbone", "Layer", None])
def test_a_bert_that_names_a_module(registered_name, bert, stranger, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(bert, folder)
    change(folder / "config.json", registered_name=registered_name, **BY_MODULE)
    change(folder / "tokenizer.json", **BY_MODULE)
    if registered_name == "keras_hub>BertBackbone":
        assert isinstance(bert_classifier(str(folder), 2), keras.Model)  # by its name alone
        assert bert_tokenizer(str(folder)).vocabulary_size()
    else:
        for read in (lambda: bert_classifier(str(folder), 2), lambda: bert_tokenizer(str(folder))):
            with pytest.raises(ValueError, match="Expected a BERT preset, received"):
                read()
    assert not stranger.exists()


@pytest.mark.parametrize("load_weights", [True, False])
def test_a_bert_of_keras_hub_without_its_class(load_weights, bert, tmp_path):
    shutil.copytree(bert, tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    del config["class_name"]
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Expected readable BERT weights .*'?dict'? .*; download"):
        bert_classifier(str(tmp_path / "copy"), 2, load_weights=load_weights)


@pytest.mark.parametrize("file", ["config.json", "image_converter.json"])
@pytest.mark.parametrize("keys", [(), ("config", "dtype")])
def test_an_image_preset_that_names_a_module(file, keys, resnet, stranger):
    change(resnet / file, *keys, **BY_MODULE)
    try:
        image_network(f"hub:{resnet}", **SCALE)(2, (8, 8, 3))
    except ValueError as error:
        assert "Expected an image preset of keras-hub" in str(error)
        assert "\n" not in str(error)
    assert not stranger.exists()


def test_a_preset_that_reads_no_images_is_refused(bert):
    with pytest.raises(ValueError, match="Expected an image preset of keras-hub, received"):
        image_network(f"hub:{bert}", **SCALE)(2, (8, 8, 3))


class _Runs:
    """What a pickle makes a program do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_column_of_parquet_with_a_pickle_in_it(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(_Runs(tmp_path / "ran")),
    }
    fields = [pyarrow.field("body", pyarrow.string(), metadata=metadata)]
    schema = pyarrow.schema([*fields, pyarrow.field("stars", pyarrow.string())])
    table = pyarrow.table([["a", "b"], ["1", "2"]], schema=schema)
    parquet.write_table(table, tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet", text_columns=["body"], label_column="stars")
    records = read_records(tmp_path / "t.parquet", text_columns=["body"])
    assert read.texts == (["a", "b"],) and len(records) == 2
    assert not (tmp_path / "ran").exists()
