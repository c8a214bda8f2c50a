"""Results made ahead of whoever wants them, by threads; imports no Keras."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

THREADS = 2
"""Calls that run at the same time: while one waits for images to be decoded, another mirrors and
normalises. The decoding itself has a thread a core."""

READY = 4
"""Results that may wait, or be on their way."""


def made_ahead(calls: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    """The results of some calls, in their order, of which threads make the next ones meanwhile.

    The threads end with the last result, or when whoever reads them closes the iterator.

    Args:
        calls: Functions without arguments, of which none depends on another.

    Example:

    >>> from functools import partial
    >>> from keras_prokt.data.ahead import made_ahead
    >>> list(made_ahead(partial(pow, 2, number) for number in range(4)))
    [1, 2, 4, 8]
    """
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(THREADS, "keras_prokt-ahead") as pool:
        try:
            for call in calls:
                waiting.append(pool.submit(call))
                if len(waiting) >= READY:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
