"""Tables of texts and labels: what is read, what is refused, and where the message points."""

import csv
import importlib.util
import json
import struct
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from keras_prokt.data.prepared import check_prepared
from keras_prokt.data.table import (
    DuplicateTexts,
    UnusedSplits,
    check_set,
    load_texts,
    parse_text_columns,
    read_table,
    split_table,
)
from keras_prokt.settings import SettingError

COLUMNS = {"text_columns": ["body"], "label_column": "stars"}
LABELS = ("bad", "good", "mixed")
ROWS = 20_000


def text_of(row):
    return f'{row}: she said "fine", twice,\nin 2 lines 🙂' if row % 3 == 0 else f"{row}: plain é"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """20,000 rows with all that CSV allows, with a line break and an empty row here and there."""
    path = tmp_path_factory.mktemp("table") / "large.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "body", "stars"])
        for row in range(ROWS):
            writer.writerow([row, text_of(row), LABELS[row % 7 % 3]])
            if row % 1000 == 0:
                file.write("\r\n,,\r\n")
    return path


def write(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def written_parquet(folder, records):
    """The path of a Parquet file, or none where there is no pyarrow to write it."""
    if importlib.util.find_spec("pyarrow") is None:
        return []
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(records), folder / "t.parquet")
    return [folder / "t.parquet"]


def read(path, **columns):
    return read_table(path, **{**COLUMNS, **columns})


def load(path, **more):
    return load_texts(str(path), **{**COLUMNS, **more})


def rows(*labels, start=0):
    return "body,stars\n" + "".join(f"t{start + i},{label}\n" for i, label in enumerate(labels))


def test_a_large_table_with_all_that_csv_allows(large):
    table = read(large)
    assert len(table) == ROWS
    assert table.texts == ([text_of(row) for row in range(ROWS)],)
    assert table.labels == [LABELS[row % 7 % 3] for row in range(ROWS)]
    lines = large.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    for row in (0, 1, 2, 3, 1000, 1001, ROWS - 1):
        assert f"{row}: " in lines[table.numbers[row] - 1]


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_a_text_may_be_longer_than_the_limit_of_the_module_csv(tmp_path, name):
    usual = csv.field_size_limit()
    text = (usual + 1) * "x"
    separator = "\t" if name.endswith(".tsv") else ","
    content = f"body{separator}stars\n{text}{separator}1\n"
    assert read(write(tmp_path, content, name)).texts == ([text],)
    assert csv.field_size_limit() == usual
    for row, message in (("b", "received 1 at"), (f"b{separator}", "received an empty one at")):
        with pytest.raises(ValueError, match=f"{message} .*, line 3;"):
            read(write(tmp_path, content + row + "\n", name))
        assert csv.field_size_limit() == usual


@pytest.mark.slow
def test_the_split_is_stratified_and_always_the_same(large):
    one, other = load(large), load(large)
    assert one.class_names == list(LABELS)
    assert one.parts == other.parts
    sizes = {name: len(part) for name, part in one.parts.items()}
    assert sum(sizes.values()) == ROWS
    total = Counter(read(large).labels)
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        counts = Counter(one.parts[name].labels)
        assert all(abs(counts[label] - share * total[label]) <= 1 for label in LABELS)
    texts = [text for part in one.parts.values() for text in part.texts[0]]
    assert len(set(texts)) == ROWS
    assert one.labels("test")[:5] == [LABELS.index(n) for n in one.parts["test"].labels[:5]]


def test_the_rows_that_are_held_out_are_these(tmp_path):
    path = write(tmp_path, rows(*["a", "b"] * 10))
    parts = load(path).parts
    assert [parts[name].numbers for name in ("validation", "test")] == [[8, 13], [7, 16]]


def test_tsv_jsonl_and_parquet_give_the_same(tmp_path):
    records = [{"body": 'a "b"\tc\nd', "stars": 3}, {"body": "🙂 \u2028 é", "stars": 11}]
    with (tmp_path / "t.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([["stars", "body"], *([r["stars"], r["body"]] for r in records)])
    lines = [json.dumps(records[0]), "", "{}", json.dumps(records[1], ensure_ascii=False)]
    write(tmp_path, "\r\n".join(lines), "t.JSONL")
    names = ["t.tsv", "t.JSONL"]
    tables = [read(tmp_path / name) for name in names]
    assert [table.numbers for table in tables] == [[2, 4], [1, 4]]
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "t.parquet")
    tables.append(read(tmp_path / "t.parquet"))
    for table in tables:
        assert table.texts == ([r["body"] for r in records],)
        assert table.labels == ["3", "11"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # As GLUE's files: quotes are read as characters, where they would be refused ...
        ('"Hello" there\ta\nbye\tb\n', ['"Hello" there', "bye"]),
        ('"Hello there\ta\nbye\tb\n', ['"Hello there', "bye"]),
        # ... or join rows or columns.
        ('"Hello\ta\nthere"\tb\n', ['"Hello', 'there"']),
        ('bye\t"a\n5"\tb\n', ["bye", '5"']),
        # As pandas writes it: what holds a quote, a tab or a line break is quoted.
        ('"""Hello"" there"\ta\nbye\tb\n', ['"Hello" there', "bye"]),
        ('"Hello\tthere"\ta\nbye\tb\n', ["Hello\tthere", "bye"]),
        ('"Hello\nthere"\ta\n"by\r\ne"\tb\n', ["Hello\nthere", "by\r\ne"]),
        # In the middle of a field quotes are characters anyway.
        ('5" wide\ta\n6" wide\tb\n', ['5" wide', '6" wide']),
    ],
)
def test_quotes_of_a_tsv_are_around_fields_or_in_texts(tmp_path, content, expected):
    table = read(write(tmp_path, "body\tstars\n" + content, "t.tsv"))
    assert table.texts == (expected,)


def test_a_quoted_header_says_that_the_fields_of_a_tsv_are_quoted(tmp_path):
    path = write(tmp_path, '"body"\t"stars"\n"a\tb\nc"\t"1"\n', "t.tsv")
    assert read(path).texts == (["a\tb\nc"],)
    path = write(tmp_path, '"body"\t"stars"\n"a" b\t"1"\n', "t.tsv")
    with pytest.raises(ValueError, match="line 2; close its double quotes, and .* twice.$"):
        read(path)


def test_a_tsv_that_cannot_be_read_either_way_is_named_with_both_lines(tmp_path):
    path = write(tmp_path, 'body\tstars\n"a" b\t1\nc\n', "t.tsv")
    with pytest.raises(ValueError, match="line 2; close .* give line 3 the 2 fields .* not 1.$"):
        read(path)


@pytest.mark.parametrize(
    ("labels", "fields", "expected"),
    [
        ([True, False, True], ["True", "False", "True"], ["False", "True"]),
        ([1.0, 0.0, 10.0], ["1.0", "0.0", "10.00"], ["0", "1", "10"]),
        ([1, -2, 3], ["1", "-2.0", " 3.0 "], ["-2", "1", "3"]),
        (["1.5", "v2.0", "2"], ["1.5", "v2.0", "2.0"], ["1.5", "2", "v2.0"]),
    ],
)
def test_labels_of_every_kind_give_the_same_classes(tmp_path, labels, fields, expected):
    labels, fields = 3 * labels, 3 * fields
    records = [{"body": f"t{i}", "stars": label} for i, label in enumerate(labels)]
    paths = [write(tmp_path, rows(*fields))]
    paths += [write(tmp_path, rows(*fields).replace(",", "\t"), "t.tsv")]
    paths += [write(tmp_path, "\n".join(map(json.dumps, records)), "t.jsonl")]
    paths += written_parquet(tmp_path, records)
    for path in paths:
        assert load(path).class_names == expected
        assert read(path).labels == read(paths[0]).labels


def test_only_rows_of_parquet_that_are_wholly_empty_are_skipped(tmp_path):
    records = [{"id": 1, "body": "a"}, {"id": None, "body": None}, {"id": 3, "body": "c"}]
    [path] = written_parquet(tmp_path, records)
    table = read_table(path, text_columns=["body"], label_column=None)
    assert (table.texts, table.labels, table.numbers) == ((["a", "c"],), [], [1, 3])
    assert len(table) == 2
    [path] = written_parquet(tmp_path, [*records, {"id": 4, "body": None}])
    with pytest.raises(ValueError, match="empty one at .*row 4"):
        read_table(path, text_columns=["body"], label_column=None)


def test_parquet_that_is_not_utf8_is_named_with_its_row(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow to write Parquet")
    from pyarrow import parquet

    # As strings that nobody has checked: of three, the second begins with a byte of Latin-1.
    offsets, texts = (
        pyarrow.py_buffer(data) for data in (struct.pack("4i", 0, 1, 3, 4), b"a\xe9bc")
    )
    column = pyarrow.StringArray.from_buffers(3, offsets, texts)
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"body": column, "stars": ["1", "2", "3"]}), path)
    with pytest.raises(ValueError, match="the byte 0xe9 at .*t.parquet, row 2; write it again"):
        read(path)


def test_parquet_problems(tmp_path, monkeypatch):
    path = write(tmp_path, "no such thing", "t.parquet")
    if pytest.importorskip("pyarrow", reason="needs pyarrow"):
        with pytest.raises(ValueError, match="Expected a Parquet file"):
            read(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="install it with `pip install pyarrow`"):
        read(path)


def test_pairs(tmp_path):
    path = write(tmp_path, "a,b,y\n1,2,3\n")
    table = read_table(path, text_columns=["b", "a"], label_column="y")
    assert (table.texts, table.labels) == ((["2"], ["1"]), ["3"])


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        (" title, original", '"title, original",stars\na,1\n', ["title, original"]),
        ("title, original", '"title, original",stars\na,1,2\n', ["title, original"]),
        ("title, original", "title,original,stars\na,b,1\n", ["title", "original"]),
        ("title,title", "title,stars\na,1\n", ["title", "title"]),
        ("title", '"title, original",stars\na,1\n', ["title"]),
    ],
)
def test_a_column_may_have_a_comma_in_its_name(tmp_path, text, content, expected):
    assert parse_text_columns(text, str(write(tmp_path, content))) == tuple(expected)
    assert parse_text_columns("a, b", str(tmp_path / "none.csv")) == ("a", "b")
    assert parse_text_columns("a, b", "tfds:glue/mrpc") == ("a", "b")


def test_a_comma_in_a_column_of_every_format(tmp_path):
    record = {"title, original": "a", "stars": 1}
    paths = [write(tmp_path, "title, original\tstars\na\t1\n", "t.tsv")]
    paths += [write(tmp_path, json.dumps(record), "t.jsonl"), *written_parquet(tmp_path, [record])]
    for path in paths:
        assert parse_text_columns("title, original", str(path)) == ("title, original",)
        assert parse_text_columns("title,stars", str(path)) == ("title", "stars")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["10", "9", "b"], ["10", "9", "b"]),
        ([" good ", "bad", "good"], ["bad", "good"]),
    ],
)
def test_class_names_are_sorted(tmp_path, labels, expected):
    assert load(write(tmp_path, rows(*labels * 3))).class_names == expected


HEAD = 'body,stars\n"two\nlines",1\n\n'
TRAIN = rows(*["a", "b"] * 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bdy,stars\na,1\n", r"line 1 among bdy, stars; received 'body'; did you mean 'bdy'\?"),
        ("body,body,stars\na,b,1\n", "one column 'body', received 2 at .*, line 1"),
        (HEAD + " ,2\n", r"a text in column 'body', received an empty one at .*, line 5;"),
        (HEAD + "b,\n", r"a label in column 'stars', received an empty one at .*, line 5;"),
        (HEAD + "b,2,3\n", "2 fields as in the header, received 3 at .*, line 5;"),
        (HEAD + "b\n", "2 fields as in the header, received 1 at .*, line 5;"),
        (HEAD + 'b,"2\n\n\n', "cannot be read .* at .*, line 5; close its double quotes"),
        (HEAD + '"b" c,2\n', "cannot be read .* at .*, line 5;"),
        (
            HEAD.encode() + "b\nné,2".encode("latin-1"),
            "the byte 0xe9 at .*, line 6, perhaps of WINDOWS-1252 .*; save it",
        ),
        (b"\xef\xbb\xbf" + HEAD.encode() + b"\xe9", "the byte 0xe9 at .*, line 5"),
        (TRAIN.encode("utf-16"), "received UTF-16 in .*; save it"),
        ("", "a header .* received nothing"),
        ("body,stars\n\n,\n", "Expected rows, received none in .*table.csv"),
        (rows("a", "a", "a"), "at least two classes in column 'stars', received 'a' in each of"),
        (rows(*"aaabbcaab"), "at least 3 rows of each class .* received 1 of 'c', .*, line 7;"),
    ],
)
def test_what_is_wrong_with_a_csv_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        load(write(tmp_path, content))
    assert "\n" not in str(error.value).replace("\\n", "")
    assert str(error.value).startswith("Expected ") and ";" in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"body": "b"}', "column at .*, line 3 among body; received 'stars'"),
        ('{"body": 5, "stars": 1}', r"received 5 \(int\) at .*, line 3; write it as a string"),
        ('{"body": null, "stars": 1}', "received an empty one at .*, line 3"),
        ('{"body": "b", "stars": 1.5}', r"a string .* 1.5 \(float\) at .*, line 3; .* regression"),
        ('{"body": "b", "stars": NaN}', "received an empty one at .*, line 3"),
        ('{"body": "b", "stars": [1]}', r"received \[1\] \(list\) at .*, line 3; write it as one"),
        ('{"body": "\\ud83d", "stars": 1}', "half of a surrogate pair .* at .*, line 3"),
        ('{"body": ', "JSON object a line, received one that cannot be read .*, line 3"),
        (
            '{"body": "a", "stars": 1, "body": "b"}',
            "cannot be read .the key 'body' twice. at .*, line 3; correct",
        ),
        ("[1]", "JSON object a line, received list at .*, line 3"),
        (
            f'{{"body": "b", "stars": {4301 * "1"}}}',
            r"object a line, .* be read \(Exceeds .* digits.*\) at .*, line 3; correct the line",
        ),
    ],
)
def test_what_is_wrong_with_a_jsonl_is_named_with_its_line(tmp_path, line, message):
    path = write(tmp_path, f'{{"body": "a", "stars": 1}}\n\n{line}\n', "t.jsonl")
    with pytest.raises(ValueError, match=message):
        read(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"a suffix among .csv, .tsv, .jsonl, .parquet, received"):
        read(tmp_path / "table.xlsx")
    (tmp_path / "folder.csv").mkdir()
    for name, is_there in (("none.csv", " where there is none"), ("folder.csv", ", a folder")):
        with pytest.raises(ValueError, match=f"{name}'{is_there}; check the path"):
            read(tmp_path / name)


def test_given_parts(tmp_path):
    train = write(tmp_path, TRAIN)
    validation = write(tmp_path, rows("b", "a", start=50), "validation.csv")
    test = write(tmp_path, rows("a", "b", "a", start=60), "test.csv")
    sizes = {
        ("validation",): {"train": 6, "validation": 2},
        ("test",): {"train": 4, "validation": 2, "test": 3},
        ("validation", "test"): {"train": 6, "validation": 2, "test": 3},
    }
    for given, expected in sizes.items():
        files = {"validation": str(validation), "test": str(test)}
        data = load(train, **{name: files[name] for name in given})
        assert {name: len(part) for name, part in data.parts.items()} == expected
    with pytest.raises(ValueError, match="no test with a set of TensorFlow Datasets"):
        load("tfds:glue/cola", test=str(test))


def test_messages_name_arguments_which_a_command_line_may_call_otherwise(tmp_path):
    path = write(tmp_path, rows("a", "a", "a"))
    with pytest.raises(SettingError, match="choose another column with label_column.$") as error:
        load(path)
    assert error.value.shown_as({"label_column": "--label"}).endswith("column with --label.")
    path = write(tmp_path, rows(*"aaabbcaab"))
    with pytest.raises(SettingError, match="or give a file as validation.$"):
        load(path)
    path = write(tmp_path, '{"body": 5, "stars": 1}', "t.jsonl")
    with pytest.raises(SettingError, match="choose another column with text_columns.$"):
        read(path)


def test_labels_that_training_lacks_are_refused(tmp_path):
    other = write(tmp_path, "body,stars\nx,a\ny,B\n", "other.csv")
    for part in ("validation", "test"):
        with pytest.raises(ValueError, match="other.csv, line 3 that training has, among a, b"):
            load(write(tmp_path, TRAIN), **{part: str(other)})


def test_texts_in_two_parts_are_a_warning(tmp_path):
    other = write(tmp_path, "body,stars\nnew,a\nt2,b\nt3,b\n", "other.csv")
    with pytest.warns(DuplicateTexts, match="received 2 texts again, .*other.csv, line 3;"):
        load(write(tmp_path, TRAIN), validation=str(other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(
            write(tmp_path, TRAIN),
            validation=str(write(tmp_path, rows("a", "b", start=50), "v.csv")),
        )


def test_every_part_has_every_class(tmp_path):
    parts = split_table(read(write(tmp_path, TRAIN)), ["validation", "test"])
    assert [sorted(set(part.labels)) for part in parts.values()] == [["a", "b"]] * 3
    assert sorted(n for part in parts.values() for n in part.numbers) == list(range(2, 8))


@pytest.fixture
def tfds_directory(tmp_path):
    """CoLA in miniature, written by TFDS with its own schema; the labels of the test are hidden."""
    tfds = pytest.importorskip("tensorflow_datasets")

    def rows_of(split, count):
        for idx in range(count):
            label = -1 if split == "test" else idx % 2
            yield idx, {"sentence": f"{split} {idx} é", "label": label, "idx": idx}

    def splits(builder, manager):
        counts = {"train": 8, "validation": 4, "test": 2}
        return {split: rows_of(split, count) for split, count in counts.items()}

    builder = tfds.builder("glue/cola", data_dir=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(builder), "_split_generators", splits)
        builder.download_and_prepare()
    return str(tmp_path)


@pytest.mark.slow
def test_a_set_of_tensorflow_datasets(tfds_directory):
    columns = {"text_columns": ["sentence"], "label_column": "label", "data_dir": tfds_directory}
    data = load_texts("tfds:glue/cola", **columns)
    assert data.class_names == ["unacceptable", "acceptable"]
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 8, "validation": 4}
    numbers = [int(text.split()[1]) for text in data.parts["train"].texts[0]]
    assert sorted(numbers) == list(range(8))
    assert data.labels("train") == [number % 2 for number in numbers]
    with pytest.raises(ValueError, match="did you mean 'sentence'"):
        load_texts("tfds:glue/cola", **{**columns, "text_columns": ["sentense"]})
    with pytest.raises(ValueError, match=r"received \d \(int\) at tfds:glue/cola train, row 1"):
        load_texts("tfds:glue/cola", **{**columns, "text_columns": ["idx"]})
    with pytest.raises(ValueError, match="no glue/colla there"):
        load_texts("tfds:glue/colla", **columns)
    for version in ("2.0.0", "2.*.*"):
        of_version = load_texts(f"tfds:glue/cola:{version}", **columns)
        assert of_version.class_names == data.class_names
        assert of_version.parts["train"].texts == data.parts["train"].texts


@pytest.mark.slow
def test_the_first_of_several_validation_splits_is_used(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    from small_glue import split_names, write_glue

    hidden = {"test_matched", "test_mismatched"}

    def rows_of(task, split):
        for idx in range(6 if split == "train" else 3):
            texts = {"premise": f"{split} {idx}", "hypothesis": "h"}
            yield idx, {**texts, "label": -1 if split in hidden else idx % 3, "idx": idx}

    def loaded():
        return load(
            "tfds:glue/mnli",
            text_columns=["premise", "hypothesis"],
            label_column="label",
            data_dir=str(tmp_path / str(len(hidden))),
        )

    write_glue(tmp_path / "2", ["mnli"], rows=rows_of)
    message = (
        "^Expected one validation split in tfds:glue/mnli, received validation_matched, "
        "validation_mismatched; the first is used, without validation_mismatched.$"
    )
    with pytest.warns(UnusedSplits, match=message) as warned:
        data = loaded()
    assert len(warned) == 1
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 6, "validation": 3}
    assert all(text.startswith("validation_matched ") for text in data.parts["validation"].texts[0])

    hidden.clear()
    order = split_names("mnli")[::-1]
    write_glue(tmp_path / "0", ["mnli"], rows=rows_of, splits=lambda task: order)
    with pytest.warns(UnusedSplits) as warned:
        data = loaded()
    assert [str(warning.message).rpartition("without ")[2] for warning in warned] == [
        "validation_matched.",
        "test_matched.",
    ]
    assert data.parts["test"].source == "tfds:glue/mnli test_mismatched"


def test_sets_that_are_not_wholly_prepared(tfds_directory):
    near = r" there \(nearest prepared: glue/cola:2.0.0\); point data_dir .*`.$"
    for name in ("glue/mrpc", "glue/mine", "half/incomplete.ABC_1.0.0"):
        Path(tfds_directory, name).mkdir(parents=True)
    for name in ("glue/cola", "glue/cola:2.0.0", "glue/cola:2.*.*"):
        check_prepared(name, data_dir=tfds_directory)
        check_set(f"tfds:{name}", data_dir=tfds_directory)
    check_prepared("glue/cola", data_dir="gs://nobody/looks/there")
    missing = ["glue/colla", "glue/cola:1.0.0", "glue/cola:7.0.0", "glue/mrpc", "glue/mine", "half"]
    for name in missing:
        message = f"data of {name} in .*, received no {name}{near}"
        with pytest.raises(SettingError, match=message):
            load(f"tfds:{name}", data_dir=tfds_directory)
        with pytest.raises(SettingError, match=message):
            check_set(f"tfds:{name}", data_dir=tfds_directory)
    with pytest.raises(SettingError, match="received no such directory; point data_dir or TFDS_"):
        check_prepared("glue/cola", data_dir=str(Path(tfds_directory, "none")))
    with pytest.raises(SettingError, match="no validation with a set of TensorFlow Datasets"):
        check_set("tfds:glue/cola", validation="x.csv", data_dir=tfds_directory)
    broken = Path(tfds_directory, "glue", "cola", "2.0.0", "features.json")
    broken.write_text("{")
    with pytest.raises(ValueError, match="Expected readable TFDS data .* JSONDecodeError: "):
        load("tfds:glue/cola:2.0.0", data_dir=tfds_directory)


@pytest.mark.parametrize(
    ("dtype", "labels", "expected"),
    [
        ("bool", [True, False] * 3, ["False", "True"]),
        ("float32", [1.0, 0.0] * 3, ["0", "1"]),
        ("float32", [1.0, 0.5], r"received 0.5 \(float\) at tfds:own train, row .; .* regression"),
    ],
)
def test_labels_of_tensorflow_datasets_without_names(tmp_path, dtype, labels, expected):
    tfds = pytest.importorskip("tensorflow_datasets")
    import tensorflow as tf

    columns = {"body": [f"t{i}" for i in range(len(labels))], "stars": labels}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="own",
        version="1.0.0",
        data_dir=tmp_path,
        split_datasets={"train": tf.data.Dataset.from_tensor_slices(columns)},
        features=tfds.features.FeaturesDict(
            {"body": tfds.features.Text(), "stars": getattr(tf, dtype)}
        ),
    )
    if isinstance(expected, list):
        assert load("tfds:own", data_dir=str(tmp_path)).class_names == expected
    else:
        with pytest.raises(ValueError, match=expected):
            load("tfds:own", data_dir=str(tmp_path))


@pytest.mark.process
def test_the_reader_imports_no_numpy_and_no_keras():
    code = "import sys, keras_prokt.data.table, keras_prokt_apps.text\n"
    code += "assert not {'numpy', 'keras', 'tensorflow', 'pyarrow'} & set(sys.modules)"
    folder = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)


@pytest.mark.parametrize("is_divided", [True, False])
def test_positions_are_those_of_the_data_as_it_was_given(is_divided, tmp_path):
    for name, first in (("all", 0), ("held_out", 100), ("more", 200)):
        rows = (f"text {number},{number % 2}\n" for number in range(first, first + 30))
        (tmp_path / f"{name}.csv").write_text("body,stars\n" + "".join(rows))
    data = load_texts(
        str(tmp_path / "all.csv"),
        **COLUMNS,
        validation=None if is_divided else str(tmp_path / "held_out.csv"),
        unlabelled=str(tmp_path / "more.csv"),
    )
    given = [f"text {number}" for number in (*range(30), *range(200, 230))]
    assert data.count == len(given)
    assert [given[position] for position in data.positions] == data.parts["train"].texts[0]
    assert len(data.positions) == (52 if is_divided else 60)
