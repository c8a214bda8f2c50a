"""What threads make ahead: all of it, in order, and no thread is left."""

import itertools
import threading
import time
from functools import partial

import pytest

from keras_prokt.data.ahead import READY, made_ahead


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("keras_prokt-ahead")]


def test_results_come_in_order_however_long_each_takes():
    def slowest_first(number):
        time.sleep(0.02 * (number % 3 == 0))
        return number

    assert list(made_ahead(partial(slowest_first, n) for n in range(12))) == list(range(12))
    assert not threads()


def test_a_stream_that_is_left_early_leaves_no_thread():
    made = []
    stream = made_ahead(partial(made.append, number) for number in itertools.count())
    assert [next(stream) for _ in range(3)] == [None] * 3
    assert threads()
    stream.close()
    assert not threads() and len(made) <= 3 + READY


def test_an_error_comes_where_its_result_would():
    def fail():
        raise OSError("gone")

    stream = made_ahead([int, fail, int])
    assert next(stream) == 0
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert not threads()
