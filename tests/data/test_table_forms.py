"""Tables as spreadsheets write them, labels that are numbers or nearly alike, whole rows."""

import importlib.util
import json
import re

import pytest

from keras_prokt.data.columns import own_columns, texts_of
from keras_prokt.data.table import SimilarClasses, load_texts, read_records, read_table

COLUMNS = {"text_columns": ["body"], "label_column": "stars"}


def write(folder, content, name="table.csv"):
    (folder / name).write_bytes(content.encode())
    return folder / name


def rows_with(labels, separator=","):
    return "".join(f"text {row}{separator}{label}\n" for row, label in enumerate(labels))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_what_separates_fields_is_seen_in_the_header(separator, tmp_path):
    header = separator.join(["id", '"body"', "stars"])
    line = separator.join(["1", f'"one, two; three{separator}four"', "good"])
    table = read_table(write(tmp_path, f"{header}\n{line}\n"), **COLUMNS)
    assert table.texts == ([f"one, two; three{separator}four"],)
    assert (table.labels, table.numbers) == (["good"], [2])


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=;\n"])
def test_a_first_line_names_what_separates_fields(first, tmp_path):
    table = read_table(write(tmp_path, f"{first}body;stars\na, b;1\n\nc;2\n"), **COLUMNS)
    assert table.texts == (["a, b", "c"],) and table.labels == ["1", "2"]
    assert table.numbers == [3, 5]  # as an editor counts them
    with pytest.raises(ValueError, match="received 3 at .*, line 4; put fields"):
        read_table(write(tmp_path, f"{first}body;stars\na;1\nb;c;2\n"), **COLUMNS)


def test_a_comma_is_preferred_and_an_unknown_column_is_named_as_before(tmp_path):
    table = read_table(write(tmp_path, "body,stars,a;b\nx;y,1,2\n"), **COLUMNS)
    assert table.texts == (["x;y"],)
    with pytest.raises(
        ValueError, match=r"a column at .*, line 1 among stars, text; received 'body'"
    ):
        read_table(write(tmp_path, "text,stars\nx,1\n"), **COLUMNS)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("labels", [["1", "0.2", "3.0"], ["-1.5", "2"], ["1", "2e-1"], [".5", "1"]])
def test_numbers_that_are_not_whole_are_no_classes(labels, name, tmp_path):
    separator = "\t" if name.endswith("tsv") else ","
    content = f"body{separator}stars\n{rows_with(labels, separator)}"
    first = next(row for row, label in enumerate(labels) if label not in ("1", "2", "3.0"))
    message = rf"received '{labels[first]}' at .*, line {first + 2}; that looks like regression"
    with pytest.raises(ValueError, match=message) as refused:
        read_table(write(tmp_path, content, name), **COLUMNS)
    assert "\n" not in str(refused.value)


def test_numbers_among_words_and_numbers_as_strings_are_classes(tmp_path):
    table = read_table(write(tmp_path, f"body,stars\n{rows_with(['1.5', 'v2'])}"), **COLUMNS)
    assert table.labels == ["1.5", "v2"]
    lines = "".join(json.dumps({"body": "a", "stars": s}) + "\n" for s in ("1.5", "2.5"))
    assert read_table(write(tmp_path, lines, "t.jsonl"), **COLUMNS).labels == ["1.5", "2.5"]
    whole = read_table(write(tmp_path, f"body,stars\n{rows_with(['1.0', '2'])}"), **COLUMNS)
    assert whole.labels == ["1", "2"]


def test_classes_that_differ_in_capitals_alone_are_warned_of(tmp_path):
    labels = ["pos", "Pos", "neg", "NEG", "other"] * 3
    path = write(tmp_path, f"body,stars\n{rows_with(labels)}")
    expected = r"received 'NEG' and 'neg', 'Pos' and 'pos' among the 5 classes NEG, Pos, neg, other"
    with pytest.warns(SimilarClasses, match=expected):
        data = load_texts(str(path), **COLUMNS)
    assert len(data.class_names) == 5
    path = write(tmp_path, f"body,stars\n{rows_with(['pos', 'neg', 'position'] * 3)}")
    load_texts(str(path), **COLUMNS)  # a warning would be an error


CONTENT = [{"id": 1, "body": "a", "score": 0.5}, {"id": 2, "body": "b, c", "score": None}]


def test_whole_rows_of_each_format(tmp_path):
    text = 'id,body,score,twice,twice\n1,a,0.5,x,y\n\n2,"b, c",,x,y\n'
    expected = [{"id": "1", "body": "a", "score": "0.5"}, {"id": "2", "body": "b, c", "score": ""}]
    for name, separator in (("t.csv", ","), ("s.csv", ";"), ("t.tsv", "\t")):
        content = text if separator == "," else text.replace("b, c", "b@c").replace(",", separator)
        path = write(tmp_path, content.replace("b@c", "b, c"), name)
        assert read_records(path, text_columns=["body"]) == expected
    lines = "\n\n".join([json.dumps({"body": "x", "more": [1]}), *map(json.dumps, CONTENT)])
    found = read_records(write(tmp_path, lines, "t.jsonl"), text_columns=["body"])
    assert found == [{"body": "x", "more": [1]}, *CONTENT]
    if importlib.util.find_spec("pyarrow") is None:
        return
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(CONTENT), tmp_path / "t.parquet")
    assert read_records(tmp_path / "t.parquet", text_columns=["body"]) == CONTENT


def test_rows_as_columns():
    columns = own_columns([{"a": 0.1, "b": [1, "ä"]}, {"c": True, "a": None}], taken={"b"})
    assert columns == [
        ("a", [0.1, None]),
        ("b (given)", [[1, "ä"], None]),
        ("c", [None, True]),
    ]
    texts = [texts_of(values) for _, values in columns]
    assert texts == [["0.1", ""], ['[1, "ä"]', ""], ["", "true"]]


@pytest.mark.parametrize(
    ("text", "encoding", "received"),
    [
        ("très café", "latin-1", r"the byte 0xe8 at .*, line 2, perhaps of WINDOWS-1252"),
        ("“fine”", "cp1252", r"the byte 0x93 at .*, line 2, perhaps of WINDOWS-1252"),
        ("映画はよい", "shift-jis", r"the byte 0x89 at .*, line 2, perhaps of SHIFT-JIS or"),
        ("электричество", "cp1251", r"the byte 0xfd at .*, line 2, perhaps of .*WINDOWS-1251"),
        ("café", "utf-16", r"UTF-16 in"),
        ("cafe", "utf-16-le", r"UTF-16LE in"),
        ("cafe", "utf-16-be", r"UTF-16BE in"),
        ("cafe", "utf-32", r"UTF-32 in"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_other_encodings_are_named_with_the_command_that_mends_them(
    text, encoding, received, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    separator = "\t" if name == "t.tsv" else ","
    content = f"body{separator}stars\n{text}{separator}1\nplain{separator}0\n"
    if name == "t.jsonl":
        rows = [{"body": "plain", "stars": 0}, {"body": text, "stars": 1}]
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    with pytest.raises(ValueError, match=f"Expected text in UTF-8, received {received}") as refused:
        read_table(path, **COLUMNS)
    [command] = re.findall("`(.*)`", str(refused.value))
    guessed = re.search("iconv -f (.*) -t", command)[1]
    if text == "электричество":
        guessed = "WINDOWS-1251"  # what GB18030 can be too; the message names both
    assert f"> {tmp_path}/t.utf-8.{name[2:]}" in command
    (tmp_path / f"t.utf-8.{name[2:]}").write_bytes(
        content.encode(encoding).decode(guessed).encode()
    )
    table = read_table(tmp_path / f"t.utf-8.{name[2:]}", **COLUMNS)
    assert text in table.texts[0]


@pytest.mark.parametrize("header", ["body stars", "body:stars", "body/stars/id"])
def test_what_separates_fields_is_asked_for_if_it_is_none_that_is_known(header, tmp_path):
    content = f"{header}\nx{header[4]}1\n"
    for name in ("t.csv", "t.tsv"):
        path = write(tmp_path, content, name)
        with pytest.raises(ValueError, match=f"received one, '{header}', at .*, line 1; separate"):
            read_table(path, **COLUMNS)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("t.xlsx", 'save it as "CSV UTF-8" in the spreadsheet'),
        ("my t.json", r"jq -c '\.\[\]' '.*my t.json' > '.*my t.jsonl'"),
        ("t.txt", "name it .csv or .tsv"),
        ("t.csv.gz", "unpack it"),
        ("t.hdf5", "convert the file, or write tfds:NAME"),
    ],
)
def test_files_that_are_no_table_are_refused_with_how_to_make_one_of_them(name, advice, tmp_path):
    with pytest.raises(ValueError, match=advice):
        read_table(write(tmp_path, "", name), **COLUMNS)
