"""What another thread makes ahead: all of it, in order, and no thread is left."""

import itertools
import threading

import pytest

from keras_prokt.data.ahead import made_ahead


def threads():
    return [t for t in threading.enumerate() if t.name == "keras_prokt-ahead"]


def test_a_stream_that_is_left_early_leaves_no_thread():
    made = []

    def endless():
        for number in itertools.count():
            made.append(number)
            yield number

    stream = made_ahead(endless, most=2)()
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert len(threads()) == 1
    stream.close()
    assert not threads() and len(made) <= 3 + 2 + 2


def test_an_error_comes_where_its_entry_would():
    def failing():
        yield 1
        raise OSError("gone")

    stream = made_ahead(failing)()
    assert next(stream) == 1
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert not threads()
