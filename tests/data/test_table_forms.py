"""Tables as spreadsheets write them, labels that are numbers or nearly alike, whole rows."""

import gzip
import importlib.util
import json
import re

import pytest

from keras_prokt.data.class_names import AbsentClasses, DoubtfulClasses, SimilarClasses
from keras_prokt.data.columns import own_columns, texts_of
from keras_prokt.data.table import load_texts, parse_text_columns, read_records, read_table

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


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=;\n", '"sep=;"\n'])
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
    message = (
        rf"received '{labels[first]}' at .*, line {first + 2}; for regression say output values"
    )
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
        ("très café", "latin-1", r"the byte 0xe8 at .*, line 2, perhaps of WINDOWS-1252 .'très'"),
        ("“fine”", "cp1252", r"the byte 0x93 at .*, line 2, perhaps of WINDOWS-1252"),
        (
            "映画はよい",
            "shift-jis",
            r"the byte 0x89 at .*, line 2, perhaps of SHIFT-JIS .'映画はよ",
        ),
        ("электричество", "cp1251", r"the byte 0xfd at .* of WINDOWS-1251 .'электричество'"),
        ("хороший", "koi8-r", r"the byte 0xc8 at .*, line 2, perhaps of KOI8-R .'хороший'"),
        ("καλή ταινία", "cp1253", r"the byte 0xea at .*, line 2, perhaps of WINDOWS-1253 .'καλή'"),
        ("فيلم جيد", "cp1256", r"the byte 0xdd at .*, line 2, perhaps of WINDOWS-1256 .'فيلم'"),
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
        ("t.ndjson", "name it .jsonl, which it is"),
        ("t.tab", "name it .tsv, which it is"),
        ("t.pq", "name it .parquet, which it is"),
        ("t.pkl", "since a pickle may run programs"),
        ("t", "name it .csv or .tsv, by what separates its fields"),
    ],
)
def test_files_that_are_no_table_are_refused_with_how_to_make_one_of_them(name, advice, tmp_path):
    with pytest.raises(ValueError, match=advice):
        read_table(write(tmp_path, "", name), **COLUMNS)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(b"body,stars\nx,1\n", mtime=0),
            "received data packed by gzip in .*; unpack it",
        ),
        (
            b"PK\x03\x04\x14\0",
            r"received a spreadsheet \(.xlsx\) or another zip file in .*; save it",
        ),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0",
            r"received a spreadsheet \(.xls\) in .*; save it as",
        ),
        (b"%PDF-1.7\n\xe2", "received a PDF in"),
        (b"\n<!DOCTYPE html>\n<html>", "received a web page in .*; download the file itself"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "received a pointer of Git LFS in .*pull",
        ),
        (b"SQLite format 3\0\x10", "received a database of SQLite in"),
    ],
)
def test_what_a_file_is_shows_in_its_first_bytes(content, message, name, tmp_path):
    if name == "t.parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow to read Parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"Expected a .{name[2:]} file, {message}") as refused:
        read_table(tmp_path / name, **COLUMNS)
    assert "\n" not in str(refused.value)


def test_parquet_under_another_name_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"PAR1\x15\x04")
    with pytest.raises(ValueError, match="received a Parquet file in .*; name it .parquet"):
        read_table(tmp_path / "t.csv", **COLUMNS)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1,0", "2,0", "2"], ["1", "2", "2"]),
        (["-1,00", "1"], ["-1", "1"]),
        (["1,000", "2,000"], ["1,000", "2,000"]),  # thousands, perhaps
        (["0,5", "half"], ["0,5", "half"]),
        (["0,2", "1,0"], None),
        (["1,0", "2", "3,25"], None),
        (["0,125", "0,250"], None),
    ],
)
def test_a_comma_may_be_the_point_of_a_number(labels, classes, tmp_path):
    path = write(tmp_path, f"body;stars\n{rows_with(labels, ';')}")
    if classes is not None:
        assert read_table(path, **COLUMNS).labels == classes
        return
    first = next(one for one in labels if not one.endswith(",0") and "," in one)
    with pytest.raises(
        ValueError, match=f"received '{first}' at .*; for regression say output values"
    ):
        read_table(path, **COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        '"body", "stars"\n"a film, good", "1"\n',
        'body, stars\n"a film, good", 1\n',
        "id; body; stars\n1; a film, good; 1\n",
    ],
)
def test_a_space_may_follow_each_separator(content, tmp_path):
    table = read_table(write(tmp_path, content), **COLUMNS)
    assert table.texts == (["a film, good"],) and table.labels == ["1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Survey,,\n,,\nbody,stars,id\na,1,2\n", "received Survey, , ; they are in line 3: remove"),
        ("# 2024\nbody;stars\na;1\n", "received # 2024; they are in line 2: remove the lines"),
        ("a film,good\nx,bad\n", "or put the names of the columns into the first line"),
        (
            "body,stars\na,1\nbody,stars\nb,0\n",
            "the header again at .*, line 3, .*; remove the line",
        ),
    ],
)
def test_the_header_is_the_first_line_and_no_other(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, content), **COLUMNS)


@pytest.mark.parametrize(
    ("content", "what", "program"),
    [
        ('[{"body": "a", "stars": 1}]', "one JSON array", r"'\.\[\]'"),
        ('\n[\n {"body": "a"}\n]', "one JSON array", r"'\.\[\]'"),
        ('{\n "body": "a",\n "stars": 1\n}\n', "objects over several lines", r"\."),
    ],
)
def test_json_that_is_not_a_line_an_object_has_the_command_that_makes_it(
    content, what, program, tmp_path
):
    with pytest.raises(ValueError, match=f"received {what} in .*`jq -c {program} .*t.lines.jsonl`"):
        read_table(write(tmp_path, content, "t.jsonl"), **COLUMNS)


@pytest.mark.parametrize(
    ("labels", "category", "message"),
    [
        (["café", "cafe\u0301", "x"], SimilarClasses, r"received 'cafe.u0301' and 'café' among"),
        (["neg", "ne\u200bg", "x"], SimilarClasses, r"received 'neg' and 'ne.u200bg' among"),
        (["1", "01", "2"], SimilarClasses, "received '01' and '1' among the 3 classes"),
        (["very good", "very  good", "x"], SimilarClasses, "received 'very  good' and 'very good'"),
        (["good", "bad", "NA"], DoubtfulClasses, "received 'NA' among .*, as if a value were miss"),
        (["a", "b", "a;b"], DoubtfulClasses, "received 'a;b', which joins others"),
        (["0", "1", "-1"], DoubtfulClasses, "received '-1' beside 0, 1, as if it stood for no"),
    ],
)
def test_classes_that_may_be_none_are_warned_of(labels, category, message, tmp_path):
    path = write(tmp_path, f"body,stars\n{rows_with(labels * 3)}")
    with pytest.warns(category, match=message):
        assert len(load_texts(str(path), **COLUMNS).class_names) == 3


def test_labels_that_hardly_repeat_are_no_classes(tmp_path):
    path = write(tmp_path, f"body,stars\n{rows_with(range(20))}")
    with pytest.raises(
        ValueError, match="20 different labels in 20 rows of .*, such as '0'; choose"
    ):
        load_texts(str(path), validation=str(path), **COLUMNS)


def test_a_part_without_a_class_is_warned_of(tmp_path):
    train = write(tmp_path, f"body,stars\n{rows_with(['a', 'b', 'c'] * 3)}")
    held_out = write(tmp_path, "body,stars\nnew,a\n", "v.csv")
    with pytest.warns(
        AbsentClasses, match="all 3 classes in the validation .* of 2 classes: b, c;"
    ):
        load_texts(str(train), validation=str(held_out), **COLUMNS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder', a folder; name a file in it"),
        ("reviews", "reviews', nothing of that name; check the path, or write tfds:NAME"),
        ("https://example.org/reviews.txt", "an address; download the file, and name it"),
    ],
)
def test_what_is_no_file_is_refused_as_that(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=f"a suffix among .*, received .*{message}"):
        read_table(name, **COLUMNS)


def test_two_columns_that_are_the_whole_header_are_two(tmp_path):
    path = str(write(tmp_path, "first,second\na,b\n"))
    assert parse_text_columns("first,second", path) == ("first", "second")
    assert read_table(path, text_columns=["first", "second"], label_column=None).texts == (
        ["a"],
        ["b"],
    )
