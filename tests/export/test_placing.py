import os

import pytest

from keras_prokt.export import placing


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / ".unfinished"
    folder.mkdir()
    return folder


def directory(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def contents(folder):
    return {one.name: one.read_text() for one in folder.iterdir() if one.is_file()}


def test_a_file_and_its_companions_arrive(tmp_path, scratch):
    directory(scratch, model__onnx="new", vocab__txt="a")
    placing.place(scratch / "model.onnx", tmp_path / "deep/er/model.onnx", overwrite=False)
    assert contents(tmp_path / "deep/er") == {"model.onnx": "new", "vocab.txt": "a"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_companion_is_replaced_only_where_asked_for(tmp_path, scratch, overwrite):
    directory(scratch, model__onnx="new", vocab__txt="a")
    directory(tmp_path / "out", vocab__txt="b")
    path = tmp_path / "out/model.onnx"
    if overwrite:
        placing.place(scratch / path.name, path, overwrite=True)
        assert contents(path.parent) == {"model.onnx": "new", "vocab.txt": "a"}
        return
    with pytest.raises(ValueError, match=r"no other vocab.txt beside .*replace it \(overwrite\)"):
        placing.place(scratch / path.name, path, overwrite=False)
    assert contents(path.parent) == {"vocab.txt": "b"}


def test_a_folder_of_an_earlier_export_is_replaced(tmp_path, scratch):
    written = directory(scratch / "hf", config__json="new")
    path = directory(tmp_path / "hf", config__json="old", vocab__txt="old", model_card__md="old")
    placing.place(written, path, overwrite=True)
    assert contents(path) == {"config.json": "new"}


def test_a_folder_with_anything_else_stays(tmp_path, scratch):
    written = directory(scratch / "hf", config__json="new")
    path = directory(tmp_path / "hf", config__json="old", thesis__tex="years")
    with pytest.raises(ValueError, match=r"also holds 'thesis.tex'; choose another path"):
        placing.place(written, path, overwrite=True)
    assert contents(path) == {"config.json": "old", "thesis.tex": "years"}


def test_a_file_does_not_replace_a_folder_nor_a_folder_a_file(tmp_path, scratch):
    directory(scratch, file="new")
    folder = directory(tmp_path / "folder", mine="mine")
    with pytest.raises(ValueError, match="path of a file, received the folder"):
        placing.place(scratch / "file", folder, overwrite=True)
    (scratch / "file").unlink()
    written = directory(scratch / "hf", config__json="new")
    with pytest.raises(ValueError, match="which is none"):
        placing.place(written, folder / "mine", overwrite=True)
    assert contents(folder) == {"mine": "mine"}


def test_what_cannot_be_moved_leaves_everything_as_it_was(tmp_path, scratch, monkeypatch):
    directory(scratch, model__onnx="new", vocab__txt="new", tokenizer_config__json="new")
    path = directory(tmp_path / "out", model__onnx="old", vocab__txt="old") / "model.onnx"
    replace = os.replace

    def fails_at_last(source, target):
        if os.fspath(source) == os.fspath(scratch / "model.onnx"):
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_at_last)
    with pytest.raises(OSError, match="disk full"):
        placing.place(scratch / "model.onnx", path, overwrite=True)
    assert contents(path.parent) == {"model.onnx": "old", "vocab.txt": "old"}


def test_cards_of_two_files_in_one_folder_have_two_names(tmp_path):
    assert placing.card_beside(tmp_path / "model.onnx", "model.onnx") == "model_card.md"
    assert placing.card_beside(tmp_path / "a.onnx", "model.onnx") == "a.onnx.model_card.md"
