"""Images as people have them: what is decoded, what is refused and how it is named."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_prokt.data.class_names import AbsentClasses, SimilarClasses
from keras_prokt.data.image_files import BrokenImage, decode_image, size_of_image
from keras_prokt.data.image_rows import Source, files_in, read_images
from keras_prokt.data.image_table import list_images, state_of
from keras_prokt.data.images import (
    BrokenImages,
    DuplicateImages,
    load_images,
    mean_and_deviation,
)
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.settings import SettingError

SIZE = (6, 8)
RANDOM = np.random.default_rng(0)


def encoded(image, form="PNG", **settings):
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def picture(color=None, size=(8, 6)):
    if color is not None:
        return Image.new("RGB", size, color)
    return Image.fromarray(RANDOM.integers(0, 256, (*size[::-1], 3), dtype="uint8"))


def turned(degrees):
    """A photo that a camera held sideways, with what its EXIF says of that."""
    exif = Image.Exif()
    exif[0x0112] = {90: 6, 180: 3}[degrees]
    left_is_red = Image.fromarray(
        np.concatenate([np.full((6, 4, 3), (255, 0, 0)), np.zeros((6, 4, 3))], 1).astype("uint8")
    )
    return encoded(left_is_red, exif=exif)


GREY = np.array([[0, 128], [200, 255]], "uint8")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.fromarray(GREY)), GREY),
        (encoded(Image.fromarray(GREY).convert("LA")), GREY),
        (encoded(Image.fromarray(GREY.astype("uint16") * 256 + 7)), GREY),
        (encoded(Image.fromarray(GREY.astype("uint16") * 256), "TIFF"), GREY),
        (encoded(Image.fromarray(GREY).convert("RGBA")), GREY),
        (encoded(Image.fromarray(GREY).convert("P")), GREY),
        (encoded(Image.fromarray(GREY > 100), "PNG"), 255 * (GREY > 100)),
        (encoded(Image.fromarray(GREY), "BMP"), GREY),
        (encoded(Image.fromarray(GREY), "WEBP", lossless=True), GREY),
    ],
)
def test_all_modes_are_eight_bits_of_three_colours(content, expected):
    np.testing.assert_array_equal(decode_image(content), np.stack([expected] * 3, -1))


def test_what_becomes_of_colours_animations_and_photos():
    red = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert abs(decode_image(red)[0, 0].astype(int) - (255, 0, 0)).max() < 5
    gif = encoded(picture("blue"), "GIF", save_all=True, append_images=[picture("red")])
    assert decode_image(gif)[0, 0].tolist() == [0, 0, 255]
    for alpha, seen in ((0, [255] * 3), (255, [9, 8, 7]), (51, [206, 206, 205])):
        half = decode_image(encoded(Image.new("RGBA", (4, 4), (9, 8, 7, alpha))))
        assert np.abs(half[0, 0].astype("int") - seen).max() <= 1  # as on white paper
    upright = decode_image(turned(90))
    assert upright.shape == (8, 6, 3)
    assert upright[0, 0].tolist() == [255, 0, 0] and upright[-1, 0].tolist() == [0, 0, 0]
    assert decode_image(turned(180))[0, -1].tolist() == [255, 0, 0]
    assert decode_image(turned(90), SIZE).shape == (*SIZE, 3)


@pytest.mark.parametrize(("degrees", "size"), [(90, (8, 6)), (180, (6, 8))])
def test_the_size_is_that_of_the_photo_as_it_is_turned(tmp_path, degrees, size):
    (tmp_path / "photo.png").write_bytes(turned(degrees))
    assert size_of_image((tmp_path / "photo.png").read_bytes()) == size


GOOD = encoded(picture(size=(30, 20)))
BROKEN = {
    "empty.png": (b"", "empty"),
    "half.png": (GOOD[: len(GOOD) // 2], "truncated"),
    "text.png": (b"no image at all", "no image"),
    "page.jpg": (b"<!DOCTYPE html><html>403</html>", "no image but a web page"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
    "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which is not read: convert it"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG, which is not read"),
    "bytes.png": (GOOD[:60] + bytes(80) + GOOD[140:], "damaged: "),
    "half.jpg": (encoded(picture(size=(64, 64)), "JPEG")[:600], "truncated"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "no image"),
    "depths.tif": (encoded(Image.fromarray(np.zeros((4, 4), "float32")), "TIFF"), "floating"),
    "deep.tif": (encoded(Image.fromarray(np.full((4, 4), 200, "int32")), "TIFF"), "32-bit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_has_a_reason(name):
    content, reason = BROKEN[name]
    with pytest.raises(BrokenImage, match=reason) as error:
        decode_image(content, SIZE)
    assert "\n" not in str(error.value)


def test_a_resized_image_is_that_of_the_served_graph():
    tf = pytest.importorskip("tensorflow", reason="serves in TensorFlow")
    image = picture(size=(50, 40))
    served = tf.image.resize(np.asarray(image), SIZE, antialias=True).numpy()
    assert np.abs(decode_image(encoded(image), SIZE) - served).max() <= 1


def write(folder, files):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def classes(count=5, names=("cat", "dog")):
    """A folder with so many different images a class."""
    return {f"{name}/{i}.png": encoded(picture()) for name in names for i in range(count)}


@pytest.fixture
def load(tmp_path):
    return lambda path=tmp_path / "set", **settings: load_images(
        path, size=SIZE, cache=tmp_path / "cache", **settings
    )


def test_a_folder_of_classes_is_divided(tmp_path, load):
    names = ("10", "9", "ein Ähre 🌾")
    files = {f"{name}/a b/{i}.PNG": encoded(picture()) for name in names for i in range(20)}
    folder = write(tmp_path / "set", {**files, "9/.DS_Store": b"", "9/Thumbs.db": b"", "x.md": b""})
    data = load()
    assert data.class_names == ["10", "9", "ein Ähre 🌾"] and data.validates_on_training_set
    assert {name: len(part.rows) for name, part in data.parts.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }
    everything = np.sort(np.concatenate([part.positions for part in data.parts.values()]))
    np.testing.assert_array_equal(everything, np.arange(60))
    part = data.parts["validation"]
    for row in range(6):
        content = (folder / part.rows.name_of(row)).read_bytes()
        np.testing.assert_array_equal(part.rows[np.array([row])][0], decode_image(content, SIZE))
        assert part.rows.name_of(row).startswith(data.class_names[part.labels[row]])
    again = load(cache_images="never")
    assert again.parts["test"].rows.reads_slowly and not data.parts["test"].rows.reads_slowly
    for name, part in data.parts.items():
        other = again.parts[name]
        np.testing.assert_array_equal(np.asarray(other.rows), np.asarray(part.rows))
        assert other.rows.digest() == part.rows.digest()
    assert load(tmp_path / "set").parts["train"].rows.digest() == data.parts["train"].rows.digest()


def test_a_table_is_the_folder_that_it_lists(tmp_path, load):
    files = classes()
    write(tmp_path / "set" / "train", files)
    write(tmp_path / "set" / "val", classes(2))
    for part in ("train", "val"):
        paths = sorted(path for path in (tmp_path / "set" / part).glob("*/*"))
        rows = [f'"{path.relative_to(tmp_path)}",{path.parent.name}\n' for path in paths]
        (tmp_path / f"{part}.csv").write_text("file,animal\n" + "".join(rows))
    of_folder = load()
    columns = {"image_column": "file", "label_column": "animal"}
    of_table = load(tmp_path / "train.csv", validation=tmp_path / "val.csv", **columns)
    assert set(of_folder.parts) == set(of_table.parts) == {"train", "validation"}
    assert not of_folder.validates_on_training_set
    for name, part in of_folder.parts.items():
        assert of_table.parts[name].rows.digest() == part.rows.digest()
        np.testing.assert_array_equal(of_table.parts[name].labels, part.labels)
    # Not by their names: the same images elsewhere are those that are kept.
    assert len(list((tmp_path / "cache" / "data").iterdir())) == 2


def test_broken_images_are_counted_and_named_or_left_out(tmp_path, load):
    files = classes(20) | {f"dog/{name}": content for name, (content, _) in BROKEN.items()}
    write(tmp_path / "set", files)
    message = r"received 12 of 52 that cannot: 'dog/bytes.png' \(damaged.*\), .* and 9 more; repair"
    with pytest.raises(SettingError, match=message):
        load()
    with pytest.warns(BrokenImages, match="received 12 of 52 .*; they are left out"):
        data = load(broken_images="skip")
    with pytest.warns(BrokenImages):
        streamed = load(broken_images="skip", cache_images="never")
    assert sum(len(part.rows) for part in data.parts.values()) == 40
    train = data.parts["train"]
    assert train.count == 52 and train.rows.name_of(0) == sorted(files)[train.positions[0]]
    np.testing.assert_array_equal(np.asarray(train.rows), np.asarray(streamed.parts["train"].rows))
    with pytest.raises(SettingError, match="received 12 of 52"):
        load()
    (tmp_path / "set.csv").write_text("path,label\nset/cat/0.png,cat\nset/none.png,dog\n")
    columns = {"image_column": "path", "label_column": "label"}
    with pytest.raises(SettingError, match="'set/none.png' .no such file"):
        load(tmp_path / "set.csv", **columns)


def test_a_table_may_have_several_labels(tmp_path, load):
    write(tmp_path / "set", files := classes(10))
    rows = [
        f"set/{path},{row % 2},{['no', 'False', '1.0'][row % 3]}" for row, path in enumerate(files)
    ]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["file,day,wet", *rows]).replace("no", "0"))
    columns = {"image_column": "file", "label_column": "day, wet"}
    data = load(table, **columns)
    assert data.output == "labels" and data.class_names == ["day", "wet"]
    assert {name: len(part.rows) for name, part in data.parts.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    for part in data.parts.values():
        expected = [[row % 2, int(row % 3 == 2)] for row in part.positions]
        np.testing.assert_array_equal(part.labels, expected)
    with pytest.raises(SettingError, match="0 or 1 in column 'wet', .* received 'no' at .*line 2"):
        table.write_text("\n".join(["file,day,wet", *rows]))
        load(table, **columns)
    with pytest.raises(SettingError, match="among day, file, wet; received 'dry'"):
        load(table, image_column="file", label_column="day,dry")
    with pytest.raises(SettingError, match="Expected different columns in image_column and"):
        load(table, image_column="file", label_column="file,wet")
    table.write_text("file,day,wet\nset/cat/0.png,1,0\nset/cat/1.png,1,1\n")
    with pytest.raises(SettingError, match="with and without the label 'day' .* received 1 for"):
        load(table, **columns)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda path: f"https://example.org/{path}", "nothing is downloaded: fetch the images"),
        (lambda path: path.replace("/", "\\"), r"write / in place of "),
        (lambda path: f" {path} ", "remove the spaces around it"),
        (lambda path: path.removesuffix(".png"), "write it with its suffix, .png"),
        (lambda path: f"elsewhere/{path}", "correct the paths, or put the table where they begin"),
    ],
)
def test_what_is_wrong_with_all_paths_is_said_at_once(tmp_path, load, change, advice):
    write(tmp_path / "set", files := classes(2))
    write_table(tmp_path / "t.csv", [(change(f"set/{path}"), path[:3]) for path in files])
    with pytest.raises(SettingError, match=f"in column 'path', .*t.csv, line 2, .*; {advice}"):
        load(tmp_path / "t.csv", image_column="path", label_column="label")


def test_a_reason_that_is_kept_is_that_of_no_other_file(tmp_path, load):
    write(tmp_path / "set", {**classes(), "cat/none.png": b""})
    with pytest.raises(SettingError, match="'cat/none.png' .empty."):
        load()
    (tmp_path / "set" / "cat" / "none.png").unlink()
    (tmp_path / "set" / "cat" / "none.png").symlink_to("nowhere")
    with pytest.raises(SettingError, match="'cat/none.png' .no such file"):
        load()


@pytest.mark.parametrize("inside", ["", "train"])
def test_a_folder_around_the_classes_is_named(tmp_path, load, inside):
    write(tmp_path / "set" / "flowers" / inside, classes(1))
    (tmp_path / "set" / "flowers" / "test").mkdir()
    with pytest.raises(SettingError, match="'flowers' alone, .*, name it: dataset .*set/flowers.$"):
        load()


@pytest.mark.parametrize(
    ("name", "advice"),
    [("set.zip", "unpack it, and name its folder"), ("1.png", "name the folder")],
)
def test_an_archive_or_a_picture_is_no_data_set(tmp_path, load, name, advice):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(SettingError, match=f"received .*{name}'; {advice}"):
        load(tmp_path / name)


EMBEDDED = {"image_column": "image", "label_column": "label"}


def write_parquet(path, records, **settings):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(records), path, **settings)


@pytest.mark.parametrize("is_record", [True, False])
@pytest.mark.parametrize("cache_images", ["auto", "never"])
def test_images_inside_a_table_are_those_of_the_folder(tmp_path, load, is_record, cache_images):
    folder = write(tmp_path / "set", classes(10))
    rows = [
        {
            "image": {"bytes": content, "path": path.name} if is_record else content,
            "label": path.parent.name,
        }
        for path in sorted(folder.glob("*/*"))
        for content in [path.read_bytes()]
    ]
    rows.insert(7, {"image": None, "label": None})  # a wholly empty row is passed over
    write_parquet(tmp_path / "t.parquet", rows, row_group_size=3)
    expected = load()
    data = load(tmp_path / "t.parquet", cache_images=cache_images, **EMBEDDED)
    assert data.class_names == expected.class_names
    for name, part in expected.parts.items():
        assert data.parts[name].rows.digest() == part.rows.digest()
        np.testing.assert_array_equal(np.asarray(data.parts[name].rows), np.asarray(part.rows))
        np.testing.assert_array_equal(data.parts[name].labels, part.labels)
        np.testing.assert_array_equal(data.parts[name].positions, part.positions)
    assert data.parts["train"].rows.name_of(0).startswith("t.parquet, row ")


def test_images_inside_a_table_are_read_again_where_it_has_changed(tmp_path, load):
    states = []
    for seed in (0, 1):
        random = np.random.default_rng(seed)
        pixels = random.integers(0, 256, (8, 6, 8, 3), dtype="uint8")
        contents = [encoded(Image.fromarray(one)) for one in pixels]
        rows = [{"image": one, "label": row % 2} for row, one in enumerate(contents)]
        write_parquet(tmp_path / "t.parquet", rows, compression="none")
        os.utime(tmp_path / "t.parquet", (0, 0))  # as of an archive without times
        data = load(tmp_path / "t.parquet", **EMBEDDED)
        part = data.parts["train"]
        np.testing.assert_array_equal(np.asarray(part.rows), pixels[part.positions])
        os.utime(tmp_path / "t.parquet", (seed, seed))
        states.append(state_of(list_images(tmp_path / "t.parquet", **EMBEDDED)))
    assert states[0] != states[1]


def test_images_inside_a_table_may_have_several_labels(tmp_path, load):
    rows = [
        {"image": {"bytes": encoded(picture()), "path": None}, "odd": row % 2, "rare": row % 3 == 0}
        for row in range(12)
    ]
    write_parquet(tmp_path / "t.parquet", rows)
    data = load(tmp_path / "t.parquet", image_column="image", label_column="odd,rare")
    assert data.output == "labels" and data.class_names == ["odd", "rare"]
    for part in data.parts.values():
        expected = [[row % 2, int(row % 3 == 0)] for row in part.positions]
        np.testing.assert_array_equal(part.labels, expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"bytes": None, "path": "a.png"}, "1 of 7 that cannot: 't.parquet, row 7' .empty."),
        (None, "1 of 7 that cannot: 't.parquet, row 7' .empty."),
        ({"bytes": GOOD[:200], "path": None}, "'t.parquet, row 7' .truncated."),
    ],
)
def test_a_broken_image_inside_a_table_is_named_by_its_row(tmp_path, load, image, message):
    rows = [
        {"image": {"bytes": encoded(picture()), "path": None}, "label": row % 2} for row in range(6)
    ]
    write_parquet(tmp_path / "t.parquet", [*rows, {"image": image, "label": 0}])
    with pytest.raises(SettingError, match=message) as error:
        load(tmp_path / "t.parquet", **EMBEDDED)
    assert "\n" not in str(error.value)


def test_images_that_are_no_bytes_are_shown_in_short(tmp_path, load):
    rows = [{"image": [7] * 5000, "label": 0}] * 2
    write_parquet(tmp_path / "t.parquet", rows)
    with pytest.raises(SettingError, match="Expected a text in column 'image', received") as error:
        load(tmp_path / "t.parquet", **EMBEDDED)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("names", [("cat", "Cat"), ("cat", "cat\u200b")])
def test_classes_that_look_alike_are_warned_of(tmp_path, load, names):
    write(tmp_path / "set", classes(3, names))
    with pytest.warns(SimilarClasses, match="received 'Cat' and 'cat'|'cat' and 'cat.u200b'"):
        load()


def test_a_part_without_a_class_is_warned_of(tmp_path, load):
    write(tmp_path / "set" / "train", classes())
    write(tmp_path / "set" / "valid", classes(1, ["cat"]))
    with pytest.warns(AbsentClasses, match="in the validation part, received none of 1 class: dog"):
        load()


def write_table(path, rows):
    """Paths and labels in the format of a suffix."""
    records = [{"path": image, "label": label} for image, label in rows]
    if path.suffix == ".csv":
        path.write_text("\n".join(["path,label", *[",".join(row) for row in rows]]))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, records)))
    else:
        write_parquet(path, records)


@pytest.mark.parametrize("form", ["", ".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_file_is_named_in_one_line_in_every_form(tmp_path, load, form, name):
    content, reason = BROKEN[name]
    folder = write(tmp_path / "set", {**classes(3), f"dog/{name}": content})
    columns = {}
    if form:
        paths = sorted(folder.glob("*/*"))
        write_table(tmp_path / f"t{form}", [(str(p), p.parent.name) for p in paths])
        columns = {"image_column": "path", "label_column": "label"}
    with pytest.raises(
        SettingError, match=f"1 of 7 that cannot: .*dog/{name}. .*{reason}"
    ) as error:
        load(tmp_path / f"t{form}" if form else folder, **columns)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a.png", ""), "received an empty one at .*, line 1; fill it in or remove the row"),
        ((7, "cat"), "received 7 .* choose another column with image_column"),
        (("a\0.png", "cat"), "received 'a.x00.png' at .*; remove the NUL"),
        (None, "Expected rows, received none"),
    ],
)
def test_a_table_of_images_is_refused_in_its_own_words(tmp_path, load, row, message):
    records = [] if row is None else [{"path": row[0], "label": row[1]}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, records)))
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "t.jsonl", image_column="path", label_column="label")
    assert "unlabelled_rows" not in str(error.value) and "text_columns" not in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "other", "message"),
    [
        ("set", "t.csv", "a folder of classes for test, as dataset is one, received the table"),
        ("t.csv", "set", "a table for test, as dataset is one, received the folder of classes"),
    ],
)
def test_held_out_images_are_of_the_kind_of_the_others(tmp_path, load, dataset, other, message):
    write(tmp_path / "set", classes(1))
    write_table(tmp_path / "t.csv", [("set/cat/0.png", "cat")])
    with pytest.raises(SettingError, match=message):
        load(tmp_path / dataset, test=tmp_path / other)


def test_a_name_that_is_no_utf_8_is_refused(tmp_path, load):
    write(tmp_path / "set", classes())
    try:
        (tmp_path / "set" / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(GOOD)
    except (OSError, UnicodeError):
        pytest.skip("the file system has no such names")
    with pytest.raises(SettingError, match="names of files in UTF-8, received 'caf.udce9.png' in"):
        load()


def test_a_part_without_readable_images_is_refused(tmp_path, load):
    write(tmp_path / "set" / "train", classes())
    write(tmp_path / "set" / "val", {"cat/0.png": b"", "dog/0.png": b""})
    message = "2 of 12 that cannot: .*; repair some, since none is left in the validation part"
    with pytest.raises(SettingError, match=message):
        load(broken_images="skip")


def test_a_label_that_training_has_no_more_after_the_division_is_refused(tmp_path, load):
    folder = write(tmp_path / "set", classes(10))
    paths = sorted(str(path) for path in folder.glob("*/*"))

    def with_rare(row_of_rare):
        rows = [f"{path},{row % 2},{int(row == row_of_rare)}" for row, path in enumerate(paths)]
        (tmp_path / "t.csv").write_text("\n".join(["path,odd,rare", *rows]))
        return load(tmp_path / "t.csv", image_column="path", label_column="odd,rare").parts

    held_out = set(range(20)) - set(with_rare(0)["train"].positions.tolist())
    with pytest.raises(SettingError, match="with and without the label 'rare' .* received 0 for"):
        with_rare(min(held_out))


def test_the_state_of_images_has_the_names_of_their_labels(tmp_path, load):
    write(tmp_path / "set", classes(1))
    (tmp_path / "t.csv").write_text("path,a,b\nset/cat/0.png,1,1\nset/dog/0.png,0,0\n")
    states = {
        state_of(list_images(tmp_path / "t.csv", image_column="path", label_column=columns))
        for columns in ("a,b", "b,a")
    }
    assert len(states) == 2


def test_the_same_image_in_two_parts_is_warned_of(tmp_path, load):
    files = classes()
    write(tmp_path / "set" / "train", files)
    write(tmp_path / "set" / "test", {"dog/again.png": files["dog/0.png"], **classes(3, ["cat"])})
    with pytest.warns(DuplicateImages, match="the test part .* received 1 again, .* 'dog/again"):
        load()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "a folder for each class in .*, received none; put"),
        (classes(names=["cat"]), "at least two classes in .*, received 'cat' alone"),
        ({**classes(), "loose.jpg": GOOD}, "received 'loose.jpg' beside them"),
        ({**classes(), "bird/.hidden": b""}, "received none in .*bird'; add some"),
        ({f"val/{name}": GOOD for name in classes()}, "and test in .*, received val; rename"),
        (
            {f"{part}/{n}": GOOD for n in classes() for part in ("Training", "Testing")},
            "train, val or validation, and test in .*, received Testing, Training; rename them",
        ),
        ({f"train/{name}": GOOD for name in classes()} | {"x/1.png": GOOD}, "received train, x;"),
        (
            {
                f"{part}/{name}": GOOD
                for name in classes(1)
                for part in ("train", "val", "validation")
            },
            "received train, val, validation",
        ),
        (
            {f"train/{name}": GOOD for name in classes()} | {"test/doog/1.png": GOOD},
            "a class that training has for 'doog/1.png' .* did you mean 'dog'",
        ),
        (classes(2), "at least 3 rows of each class"),
    ],
)
def test_folders_with_a_fault_are_refused_in_one_line(tmp_path, load, files, message):
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", files)
    with pytest.raises(SettingError, match=message) as error:
        load()
    assert "\n" not in str(error.value)


def test_links_stay_in_the_folder(tmp_path, load):
    write(tmp_path / "set", classes())
    write(tmp_path, {"elsewhere/1.png": encoded(picture())})
    os.symlink("../dog/0.png", tmp_path / "set" / "cat" / "linked.png")
    os.symlink("..", tmp_path / "set" / "cat" / "around")  # that never ends
    with pytest.warns(DuplicateImages):
        load()
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "cat" / "out")
    with pytest.raises(SettingError, match="links that stay in .*cat/out', which leads to"):
        load()


def test_settings_that_do_not_go_together_are_refused(tmp_path, load):
    write(tmp_path / "set" / "train", classes())
    write(tmp_path / "set" / "test", classes())
    with pytest.raises(SettingError, match="no label_column with a folder of images"):
        load(label_column="label")
    with pytest.raises(SettingError, match="no test for a folder that has 'test'"):
        load(test=tmp_path / "set")
    with pytest.raises(SettingError, match="for dataset, received .*none' where there is nothing"):
        load(tmp_path / "none")
    (tmp_path / "t.csv").write_text("path,label\na.png,1\n")
    with pytest.raises(SettingError, match="received no label_column; name"):
        load(tmp_path / "t.csv", image_column="path")


@pytest.mark.parametrize("cache_images", ["auto", "never"])
def test_images_are_decoded_once(tmp_path, monkeypatch, cache_images):
    write(tmp_path / "set", files := {**classes(3), "dog/half.png": GOOD[:99]})
    source = files_in(tmp_path / "set", list(files))
    first = read_images(source, SIZE, cache_images=cache_images, cache=tmp_path / "cache")
    pixels = np.asarray(first.rows)
    monkeypatch.setattr("keras_prokt.data.image_rows._decode_all", None)
    again = read_images(source, SIZE, cache_images=cache_images, cache=tmp_path / "cache")
    assert again.broken == first.broken == {6: "truncated"}
    np.testing.assert_array_equal(np.asarray(again.rows), pixels)


def test_a_full_disk_is_named_or_streamed_past(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("keras_prokt.data.image_rows.shutil.disk_usage", lambda _: usage)
    source = Source(["a", "b"], lambda number: GOOD)
    with pytest.raises(SettingError, match="GB of free disk for cache_images always"):
        read_images(source, SIZE, cache_images="always", cache=tmp_path)
    assert read_images(source, SIZE, cache=tmp_path).rows.reads_slowly
    monkeypatch.undo()
    (tmp_path / "file").touch()  # where no folder can be made
    assert read_images(source, SIZE, cache=tmp_path / "file").rows.reads_slowly
    with pytest.raises(OSError, match="file"):
        read_images(source, SIZE, cache_images="always", cache=tmp_path / "file")


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), b""])
@pytest.mark.parametrize("cache_images", ["auto", "never"])
def test_an_image_that_could_be_read_at_first_is_named_and_not_kept_as_broken(
    tmp_path, cache_images, fault
):
    contents = [GOOD, GOOD]

    def read(number):
        if isinstance(contents[number], OSError):
            raise contents[number]
        return contents[number]

    source = Source(["a.png", "b.png"], read)
    rows = read_images(source, SIZE, cache_images="never", cache=tmp_path / "other").rows
    contents[1] = fault
    with pytest.raises(
        ValueError, match="'b.png' as it was .*(input/output error|empty).; restore"
    ):
        rows[np.arange(2)]
    if fault == b"":
        return
    reads = iter([GOOD, GOOD, GOOD, fault])  # that fails after the digests alone

    def fail_late(number):
        if isinstance(content := next(reads), OSError):
            raise content
        return content

    late = Source(source.names, fail_late)
    with pytest.raises(ValueError, match="'b.png' as it was when it was first read"):
        read_images(late, SIZE, cache_images=cache_images, cache=tmp_path)
    contents[1] = GOOD
    assert not read_images(source, SIZE, cache_images=cache_images, cache=tmp_path).broken


@pytest.mark.parametrize("image_size", [(20, 50), (50, 20), (7, 9)])
def test_the_middle_is_that_of_the_served_graph(image_size):
    tf = pytest.importorskip("tensorflow", reason="serves in TensorFlow")
    image = picture(size=image_size[::-1])
    front_end = ImageFrontEnd(SIZE, mean=[0], standard_deviation=[1], crop_to_aspect_ratio=True)
    served = front_end._resized(tf.constant(np.asarray(image))[tf.newaxis])[0].numpy()
    decoded = decode_image(encoded(image), SIZE, crop_to_aspect_ratio=True)
    assert np.abs(decoded - served).max() <= 1
    cropped, whole = (
        read_images(Source(["a"], lambda _: encoded(image)), SIZE, crop_to_aspect_ratio=crop)
        for crop in (True, False)
    )
    np.testing.assert_array_equal(np.asarray(cropped.rows)[0], decoded)
    assert (np.asarray(whole.rows)[0] != decoded).any()


def test_the_mean_and_deviation_are_those_of_numpy(tmp_path):
    write(tmp_path / "set", files := classes(3))
    rows = read_images(files_in(tmp_path / "set", list(files)), SIZE, cache=tmp_path).rows
    mean, deviation = mean_and_deviation(rows)
    values = np.asarray(rows) / 255
    np.testing.assert_allclose(mean, values.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(deviation, values.std((0, 1, 2)), atol=1e-4)
    black = read_images(Source(["a"], lambda _: encoded(picture("black"))), SIZE, cache=tmp_path)
    assert mean_and_deviation(black.rows) == ([0.0] * 3, [1.0] * 3)


def test_a_pipe_among_the_images_is_a_broken_one(tmp_path):
    """Nobody writes into it: who opened it would wait."""
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    source = files_in(tmp_path, ["a.png", "b.png"])
    found = read_images(source, SIZE, cache_images="never", cache=tmp_path / "cache")
    assert len(found.rows) == 1
    [reason] = dict(found.broken).values()
    assert "a device or a pipe" in reason
