"""Files of words and tags: what is read, how it is divided, and one line on each fault."""

import json
import re

import pytest

from keras_prokt.data.tagged_sentences import LoneWords, OddTags, load_tagged, read_tagged

CONLL = """-DOCSTART- -X- O

Ada NNP I-PER
Byron NNP I-PER
slept VBD O

Oslo\tNNP\tI-LOC
"""


def written(folder, text, name="train.conll"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def sentences(count, tag="B-PER"):
    return "\n".join(f"word{number} {tag}\nthen O\n" for number in range(count))


@pytest.mark.parametrize("suffix", ["conll", "txt", "bio", "CONLL"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_columns_of_spaces_or_tabs_and_documents(tmp_path, suffix, ends):
    path = tmp_path / f"train.{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + CONLL.replace("\n", ends).encode())
    found = read_tagged(path)
    assert found.words == [["Ada", "Byron", "slept"], ["Oslo"]]
    assert found.tags == [["I-PER", "I-PER", "O"], ["I-LOC"]]
    assert found.numbers == [3, 7]
    assert found.place(0, 2) == f"{path}, line 5"
    assert found.columns[0][1] == ["Byron", "NNP", "I-PER"]


def test_json_lines_with_columns_of_any_name(tmp_path):
    records = [{"tokens": ["Ada", "slept"], "ner": ["B-PER", "O"]}, {"tokens": [], "ner": []}]
    path = written(tmp_path, "\n".join(map(json.dumps, records)), "train.jsonl")
    found = read_tagged(path, word_column="tokens", tag_column="ner")
    assert (found.words, found.tags) == ([["Ada", "slept"]], [["B-PER", "O"]])
    assert found.place(0, 1) == f"{path}, line 1"
    assert read_tagged(path, word_column="tokens", has_tags=False).words == found.words


def test_words_without_tags_are_read_where_none_are_wanted(tmp_path):
    found = read_tagged(written(tmp_path, "Ada\nslept\n\nOslo\n"), has_tags=False)
    assert found.words == [["Ada", "slept"], ["Oslo"]]


def test_spaces_around_tags_mean_nothing(tmp_path):
    text = json.dumps({"words": ["Ada", "slept"], "tags": ["B-PER ", " O"]})
    assert read_tagged(written(tmp_path, text, "train.jsonl")).tags == [["B-PER", "O"]]


def test_words_are_no_tags(tmp_path):
    path = written(tmp_path, json.dumps({"words": ["Ada"], "tags": ["O"]}), "train.jsonl")
    with pytest.raises(ValueError, match="different columns .* received 'words' for both; name"):
        read_tagged(path, tag_column="words")


def test_a_line_between_all_words_is_warned_of(tmp_path):
    path = written(tmp_path, sentences(20).replace("\n", "\n\n"))
    with pytest.warns(LoneWords, match="Expected sentences, received 40 of one word each in .*con"):
        load_tagged(path)


def test_all_schemes_are_learnt_as_iob2(tmp_path):
    train = written(tmp_path, CONLL)
    held_out = written(tmp_path, "Ada B-PER\nOslo B-LOC\n", "dev.conll")
    data = load_tagged(train, validation=held_out)
    assert data.scheme == "IOB1"
    assert data.class_names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert data.parts["train"].tags == [["B-PER", "I-PER", "O"], ["B-LOC"]]
    assert data.labels("train") == [[3, 4, 0], [1]]
    assert set(data.parts) == {"train", "validation"}


def test_plain_tags_keep_their_names(tmp_path):
    path = written(tmp_path, "a DET\ncat NOUN\n\n" * 30)
    data = load_tagged(path)
    assert (data.scheme, data.class_names) == ("plain", ["DET", "NOUN"])


def test_a_tenth_of_the_sentences_each_is_held_out(tmp_path):
    path = written(tmp_path, sentences(50))
    data = load_tagged(path)
    assert {name: len(part) for name, part in data.parts.items()} == {
        "train": 40,
        "validation": 5,
        "test": 5,
    }
    words = [words[0] for part in data.parts.values() for words in part.words]
    assert sorted(words) == sorted(f"word{number}" for number in range(50))
    assert [f"word{i}" for i in data.positions] == [w[0] for w in data.parts["train"].words]
    assert data.count == 50
    assert load_tagged(path).parts["test"].words == data.parts["test"].words
    test = load_tagged(path, test=written(tmp_path, sentences(3), "test.conll")).parts
    assert {name: len(part) for name, part in test.items()} == {
        "train": 45,
        "validation": 5,
        "test": 3,
    }


FAULTS = {
    "one column": ("a O\nb\n", "a word and its tag, received 'b' alone at .*, line 2; separate"),
    "no tag": ("a\tO\nb\t\n", "received an empty tag at .*, line 2; fill it in"),
    "no word": ("\tO\n", "received an empty word at .*, line 1; fill it in"),
    "columns": ("a X O\nb O\n", "Expected 3 columns .* received 2 at .*, line 2; write as many"),
    "empty": ("\n-DOCSTART- O\n\n", "Expected words with tags, received none in .*; add"),
    "one tag": ("a O\n\nb O\n\nc O\n", "at least two tags, received 'O' at each word"),
    "few": ("a B-X\n\nb O\n", "at least 3 sentences to divide .* received 2 in .*; add some"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_file_name_the_line(tmp_path, fault):
    text, message = FAULTS[fault]
    refuses(written(tmp_path, text), message)


RECORDS = {
    "counts": ({"words": ["a", "b"], "tags": ["O"]}, r"as many tags as words \(2\), received 1"),
    "no list": ({"words": "a b", "tags": ["O"]}, "a list of strings in column 'words', .* str"),
    "numbers": ({"words": ["a"], "tags": [0]}, "strings .* in column 'tags', received 0"),
    "column": ({"words": ["a"], "tag": ["O"]}, "a column at .* 'tags'"),
    "line break": ({"words": ["a\nb"], "tags": ["O"]}, r"received 'a\\nb'"),
}


@pytest.mark.parametrize("fault", RECORDS)
def test_faults_of_a_record_name_the_line(tmp_path, fault):
    record, message = RECORDS[fault]
    good = {"words": ["a"], "tags": ["O"]}
    text = f"{json.dumps(good)}\n{json.dumps(record)}\n"
    error = refuses(written(tmp_path, text, "train.jsonl"), message)
    assert "train.jsonl, line 2" in error


def test_tags_that_training_lacks_are_refused(tmp_path):
    train = written(tmp_path, CONLL)
    for text, message in {
        "a O\nb B-ORG\n": "tags that training has (O, B-LOC, ",
        "a O\nb NOUN\n": "tags of entities as in training, received 'NOUN'",
    }.items():
        other = written(tmp_path, text, "dev.conll")
        error = refuses(train, re.escape(message), validation=other)
        assert error.count("dev.conll, line 2;") == 1


def test_other_files_and_columns_are_refused(tmp_path):
    refuses(str(tmp_path / "a.csv"), "a suffix among .conll, .txt, .bio, .jsonl, received")
    refuses(str(tmp_path / "a.conll"), "received .* where there is none; check the path")
    refuses(written(tmp_path, CONLL), "no text_columns with .*; leave it out", word_column="x")


def refuses(path, message, **settings):
    with pytest.raises(ValueError, match=message) as error:
        load_tagged(path, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_tag_that_keeps_the_others_from_being_read_as_entities_is_named(tmp_path):
    path = written(tmp_path, sentences(30) + "\nAda b-PER\nslept O\n")
    with pytest.warns(OddTags, match="received 'b-PER' at .*train.conll, line 91; each tag now"):
        assert load_tagged(path).scheme == "plain"
    # Warnings are errors: none where they are no entities at all.
    assert load_tagged(written(tmp_path, sentences(30, "NOUN"))).scheme == "plain"
