import warnings

import keras
import pytest

from keras_prokt import (
    FrozenTeacherDistiller,
    backends,
    export,
    front_ends,
    losses,
    models,
    outputs,
)
from keras_prokt.app import get_app
from keras_prokt.methods import parse_method
from keras_prokt.names import (
    OneLineWarning,
    is_showable,
    known_spelling,
    showable,
    unknown_name,
    warnings_in_one_line,
)
from keras_prokt.results import statistics
from keras_prokt.runs import RunSpec
from keras_prokt.runs.protocol import get_protocol


def distiller(**settings):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    return FrozenTeacherDistiller(network, keras.models.clone_model(network), **settings)


LOOKUPS = {
    "an app": get_app,
    "a method": parse_method,
    "a method of a run": lambda name: RunSpec.resolve("digits", name),
    "recipe": lambda name: RunSpec.resolve("digits", "prokt", recipe=name),
    "a protocol": get_protocol,
    "a model": models.get,
    "a kind of output": outputs.get,
    "a kind of output of a distiller": lambda name: distiller(output=name),
    "an output of the teacher": lambda name: distiller(teacher_divergence_output=name),
    "a layer of the teacher": lambda name: distiller(teacher_taps={"stages": [name]}),
    "an objective": losses.objective_class,
    "a kind of front end": front_ends.get,
    "a form of export": export.get,
    "a backend": backends.get,
    "a metric": lambda name: statistics.bootstrap_interval([0], [[0]], metric=name),
}


@pytest.mark.parametrize("received", [["prokt"], 3, {"prokt": 1}, b"prokt", float("nan")])
@pytest.mark.parametrize("what", LOOKUPS)
def test_a_name_that_is_no_string_is_refused_with_the_known_names(what, received):
    with pytest.raises(ValueError) as refused:
        LOOKUPS[what](received)
    message = str(refused.value)
    assert "\n" not in message and " among " in message
    assert f"received {received!r}; " in message


@pytest.mark.parametrize("lookup", [get_app, parse_method, models.get, outputs.get, backends.get])
def test_none_is_no_name_either(lookup):
    with pytest.raises(ValueError, match=r" among .*; received None; "):
        lookup(None)


@pytest.mark.parametrize(("received", "near"), [("KD", "kd"), ("prockt", "prokt"), ("zz", None)])
def test_the_nearest_name_is_asked_for_in_any_capitals(received, near):
    message = unknown_name("a method", received, ["kd", "prokt", "at"])
    assert message.endswith(f"did you mean {near!r}?" if near else "use one of those.")


def test_a_message_lists_some_of_many_names_in_one_line():
    message = unknown_name("a column", "z", [f"c{n}" for n in range(5000)] + ["a\nb", "x" * 9000])
    assert "a b, c0, c1, " in message and " and 4,942 more; received 'z'; use" in message
    assert len(message) < 1000 and "\n" not in message
    assert "…" in unknown_name("a column", "z", ["x" * 9000])


def test_what_is_no_string_has_no_other_spelling():
    assert known_spelling(None, ["vgg8"]) is None
    assert known_spelling("VGG_8", ["vgg8"]) == "vgg8"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("λ 0.3\n\tein Wort", "λ 0.3\n\tein Wort"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\x7f", "a\\x0db\\x7f"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\ud800", "\\xd800"),
    ],
)
def test_terminals_obey_no_text(text, shown):
    assert showable(text) == shown and is_showable(shown)
    assert is_showable(text) == (text == shown)


def test_a_warning_of_data_is_a_line_and_others_are_shown_as_ever():
    lines = []
    with warnings.catch_warnings(record=True) as others, warnings_in_one_line(lines.append):
        warnings.simplefilter("always")
        warnings.warn("Expected one.", OneLineWarning, stacklevel=1)
        warnings.warn("Expected \x1b another.", UserWarning, stacklevel=1)
    assert lines == ["warning: Expected one."]
    assert [str(one.message) for one in others] == [r"Expected \x1b another."]
