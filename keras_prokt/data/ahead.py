"""What another thread makes ahead of whoever wants it; imports no Keras."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

BATCHES = 4
"""Batches that are made ahead at most."""


def made_ahead(
    stream: Callable[[], Iterator[Any]], most: int = BATCHES
) -> Callable[[], Iterator[Any]]:
    """The same stream, whose next entries a thread makes while the last ones are used.

    The thread ends with the stream, or when whoever reads it closes it.

    Args:
        stream: Returns an iterator.
        most: Entries that may wait.

    Example:

    >>> from keras_prokt.data.ahead import made_ahead
    >>> list(made_ahead(lambda: iter("abc"))())
    ['a', 'b', 'c']
    """

    def stream_ahead() -> Iterator[Any]:
        waiting: queue.Queue[tuple[str, Any]] = queue.Queue(most)
        is_over = threading.Event()

        def put(entry: tuple[str, Any]) -> bool:
            while not is_over.is_set():
                try:
                    waiting.put(entry, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def make() -> None:
            try:
                for value in stream():
                    if not put(("value", value)):
                        return
                put(("end", None))
            except BaseException as error:  # raised again where the entry is wanted
                put(("error", error))

        thread = threading.Thread(target=make, daemon=True, name="keras_prokt-ahead")
        thread.start()
        try:
            while True:
                kind, value = waiting.get()
                if kind == "end":
                    return
                if kind == "error":
                    raise value
                yield value
        finally:
            is_over.set()
            thread.join()

    return stream_ahead
