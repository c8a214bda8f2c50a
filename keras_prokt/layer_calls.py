"""What happens around the calls of a model's layers: they are recorded, or computed once."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras

Around = Callable[..., Any]
"""`(operation, call, *args, **kwargs)`: carries out the call of an operation, or does without."""


class _Context(NamedTuple):
    """One context around calls."""

    operations: frozenset[int]
    around: Around
    is_recording: bool


class _Once:
    """Calls whose outputs are kept.

    Args:
        operations: Layers and operations.
        inputs: Tensors that are the same in each forward.
    """

    def __init__(self, operations: Iterable[keras.Operation], inputs: Any):
        self.operations = frozenset(map(id, operations))
        self._lasting = list(keras.tree.flatten(inputs))
        self._results: list[tuple[Any, list[Any], Any]] = []

    def __call__(self, owner: Any, arguments: Any, compute: Callable[[], Any]) -> Any:
        flat = keras.tree.flatten(arguments)
        if not all(_is_constant(value) or self._lasts(value) for value in flat):
            return compute()
        for known_owner, known, outputs in self._results:
            if known_owner is owner and _are_the_same(known, flat):
                return outputs
        outputs = compute()
        self._results.append((owner, flat, outputs))
        self._lasting += keras.tree.flatten(outputs)
        return outputs

    def _lasts(self, value: Any) -> bool:
        return any(value is known for known in self._lasting)


class _Contexts(threading.local):
    """Those of the forward that this thread is running (`tf.distribute` runs one a replica)."""

    def __init__(self) -> None:
        self.active: list[_Context] = []
        self.once: list[_Once] = []


_CONTEXTS = _Contexts()
_INSTALLED: dict[int, int] = {}
_LOCK = threading.Lock()


@contextlib.contextmanager
def around_calls(
    operations: Iterable[keras.Operation], around: Around, is_recording: bool = True
) -> Iterator[None]:
    """Has a function carry out the calls of some layers or operations.

    Of several contexts around one layer the innermost is asked first.

    Args:
        operations: The layers and operations.
        around: Called in place of each, as `around(operation, call, *args, **kwargs)`.
        is_recording: Whether each of the calls has to be seen (`is_recorded`).

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt.layer_calls import around_calls
    >>> layer = keras.layers.Activation("relu")
    >>> def twice(operation, call, *args, **kwargs):
    ...     return 2 * call(*args, **kwargs)
    >>> with around_calls([layer], twice):
    ...     print(float(layer(np.ones((1, 1), "float32"))[0, 0]))
    2.0
    """
    operations = list(operations)
    context = _Context(frozenset(map(id, operations)), around, is_recording)
    with _LOCK:
        for operation in operations:
            _install(operation)
    _CONTEXTS.active.append(context)
    try:
        yield
    finally:
        _CONTEXTS.active.remove(context)
        with _LOCK:
            for operation in operations:
                _remove(operation)


def is_recorded(operation: keras.Operation) -> bool:
    """Whether a context has to see each call of a layer, so that none may be computed elsewhere."""
    return any(c.is_recording and id(operation) in c.operations for c in _CONTEXTS.active)


@contextlib.contextmanager
def computing_once(operations: Iterable[keras.Operation], inputs: Any) -> Iterator[None]:
    """Has layers compute once what they are asked for again, of the same inputs of a model.

    The same are not equal values, but the very same tensors: those inputs, and what the layers made
    of them. So it is certain that the outputs are those that they would compute, and nothing is
    kept that will not be read.

    Args:
        operations: Layers and operations whose outputs depend on their inputs alone, and neither on
            the mode nor on anything that changes while the context lasts.
        inputs: The model's inputs.
    """
    operations = list(operations)
    once = _Once(operations, inputs)
    _CONTEXTS.once.append(once)
    try:
        with around_calls(operations, _call_once, is_recording=False):
            yield
    finally:
        _CONTEXTS.once.remove(once)


def is_computed_once(operation: keras.Operation) -> bool:
    """Whether a layer or operation is one of `computing_once`."""
    return any(id(operation) in once.operations for once in _CONTEXTS.once)


def compute_once(owner: Any, arguments: Any, compute: Callable[[], Any]) -> Any:
    """What a function computes, or has computed in this `computing_once`.

    Args:
        owner: What computes.
        arguments: All that it computes from, a nested structure.
        compute: The function, without arguments.
    """
    return _CONTEXTS.once[-1](owner, arguments, compute) if _CONTEXTS.once else compute()


def _call_once(operation: keras.Operation, call: Any, *args: Any, **kwargs: Any) -> Any:
    read = {name: value for name, value in kwargs.items() if name != "training"}
    return compute_once(operation, (args, read), lambda: call(*args, **kwargs))


def _are_the_same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a is b or (_is_constant(a) and type(a) is type(b) and a == b)
        for a, b in zip(one, other, strict=True)
    )


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _install(operation: keras.Operation) -> None:
    _INSTALLED[id(operation)] = _INSTALLED.get(id(operation), 0) + 1
    if _INSTALLED[id(operation)] > 1:
        return
    call = operation.call

    def carried_out(*args: Any, **kwargs: Any) -> Any:
        run = call
        for context in _CONTEXTS.active:
            if id(operation) in context.operations:
                run = functools.partial(context.around, operation, run)
        return run(*args, **kwargs)

    # Past Keras's tracking, which would take it for a part of the layer's state.
    object.__setattr__(operation, "call", carried_out)


def _remove(operation: keras.Operation) -> None:
    _INSTALLED[id(operation)] -= 1
    if not _INSTALLED[id(operation)]:
        del _INSTALLED[id(operation)]
        object.__delattr__(operation, "call")
