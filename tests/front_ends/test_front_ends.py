"""What holds for every front end, and the table of them."""

import json

import keras
import pytest

from keras_prokt import front_ends
from keras_prokt.front_ends import FRONT_ENDS, ImageFrontEnd, TextFrontEnd, WordFrontEnd, from_json

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film"]
INSTANCES = {
    "images": ImageFrontEnd((4, 6), mean=[0.5], standard_deviation=[0.25]),
    "text": TextFrontEnd(PIECES, lowercase=False, max_length=9, pair=True),
    "words": WordFrontEnd(PIECES, strip_accents=False, max_length=9),
}
INPUTS = {
    "images": {"image": keras.Input((4, 6, 1), name="image")},
    "text": {"token_ids": keras.Input((None,), dtype="int32", name="token_ids")},
    "words": {"token_ids": keras.Input((None,), dtype="int32", name="token_ids")},
}


@pytest.fixture(params=FRONT_ENDS)
def kind(request):
    return request.param


def test_each_knows_its_kind_and_says_what_it_is(kind):
    assert front_ends.get(kind).kind == kind
    assert front_ends.get(kind).__doc__
    assert type(INSTANCES[kind]) is FRONT_ENDS[kind]


def test_each_is_read_again_from_json(kind):
    front_end = INSTANCES[kind]
    config = json.loads(json.dumps(front_end.to_json()))
    assert config["kind"] == kind
    assert from_json(config) == front_end
    hash(from_json(config))


def test_each_serves_one_default_signature(kind):
    pytest.importorskip("tensorflow")
    front_end, inputs = INSTANCES[kind], INPUTS[kind]
    front_end.check_inputs(inputs)
    names = [*front_end.signatures(inputs), front_end.model_signature]
    assert names.count("serving_default") == 1 and len(set(names)) == len(names) > 1


def test_each_refuses_models_that_read_something_else(kind):
    other = {"other": keras.Input((2, 2), name="other")}
    with pytest.raises(ValueError, match="Expected a .* received .*'other'.*; ") as error:
        INSTANCES[kind].check_inputs(other)
    assert "\n" not in str(error.value)


def test_without_a_kind_it_is_of_texts():
    config = INSTANCES["text"].to_json()
    del config["kind"]  # as before version 0.2.0
    assert from_json(config) == INSTANCES["text"]


def test_unknown_kinds_and_settings_are_refused():
    with pytest.raises(
        ValueError, match="among images, text, words; received 'image'; did you mean"
    ):
        front_ends.get("image")
    config = INSTANCES["images"].to_json()
    with pytest.raises(ValueError, match="a front end for images, received .*'crop'"):
        from_json({**config, "crop": True})
    del config["mean"]
    with pytest.raises(ValueError, match="a front end for images, received .*'mean'"):
        from_json(config)
