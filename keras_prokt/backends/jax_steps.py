"""Many steps at once on JAX, and what is left of the state where one of them raises."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras


def many_steps_at_once(
    step: Callable[[Any, Any], tuple[Any, Any]], count: int
) -> Callable[[list[Any], Iterator[Any]], tuple[Any, Any]]:
    """A train function that sends `count` steps to the device in one dispatch.

    `jax.lax.scan` runs over the batches, so the step is compiled once and not `count` times. Fewer
    batches than `count`, as at the end of an epoch, and batches of different shapes, as those of
    texts, are sent one by one.

    Args:
        step: `(state, data)` -> `(logs, state)`, to be compiled.
        count: Steps at once.

    Returns:
        `(state, iterator)` -> `(logs of the last step, state)`; ends with the iterator. The list
        `state` always holds what the last step has left.

    Example:

    ```python
    train_function = many_steps_at_once(distiller.train_step, 8)
    logs, state = train_function(list(state), iter(batches))
    ```
    """
    import jax

    def run(state: Any, batches: list[Any]) -> tuple[Any, Any]:
        def body(state: Any, data: Any) -> tuple[Any, Any]:
            logs, state = step(state, data)
            return state, logs

        stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)
        state, logs = jax.lax.scan(body, state, stacked)
        return jax.tree.map(lambda values: values[-1], logs), state

    at_once = jax.jit(run, donate_argnums=0)
    alone = jax.jit(step, donate_argnums=0)

    def train_function(state: list[Any], iterator: Iterator[Any]) -> tuple[Any, Any]:
        batches = [next(iterator), *itertools.islice(iterator, count - 1)]
        if len(batches) == count and len({_shapes(data) for data in batches}) == 1:
            return at_once(tuple(state), batches)
        for data in batches:
            logs, state[:] = alone(tuple(state), data)
        return logs, tuple(state)

    return train_function


def one_by_one(
    function: Callable[[Any, Iterator[Any]], tuple[Any, Any]], count: int, *, concatenates: bool
) -> Callable[[list[Any], Iterator[Any]], tuple[Any, Any]]:
    """What Keras made for `count` steps, called for each of them.

    Args:
        function: `(state, iterator)` -> `(outputs, state)`, of up to `count` batches.
        count: Steps at once.
        concatenates: Whether the outputs are those of all steps, and not of the last one.

    Returns:
        The same, of a list `state` that always holds what the last step has left.
    """
    import jax

    def steps(state: list[Any], iterator: Iterator[Any]) -> tuple[Any, Any]:
        found = []
        for data in itertools.chain([next(iterator)], itertools.islice(iterator, count - 1)):
            outputs, state[:] = function(tuple(state), iter([data]))
            found.append(outputs)
        if concatenates and len(found) > 1:
            outputs = jax.tree.map(lambda *parts: jax.numpy.concatenate(parts), *found)
        return outputs, tuple(state)

    return steps


def keeping_state(
    function: Callable[[list[Any], Iterator[Any]], Any],
    groups: Callable[[int], list[list[keras.Variable]]],
) -> Callable[[Any, Iterator[Any]], Any]:
    """A train, test or predict function that loses no state where it ends with an error.

    Keras takes the values out of the variables before it asks for a batch. If there is none, or the
    batch does not fit, they are nowhere but in the function's argument, and a model with variables
    without values cannot be used again.

    Args:
        function: `(state, iterator)` -> `(logs, state)`; what the list `state` holds when it
            raises is put back.
        groups: Number of groups in the state -> their variables.
    """

    def step(state: Any, iterator: Iterator[Any]) -> Any:
        kept = list(state)
        try:
            return function(kept, iterator)
        except BaseException:  # also where the user stops a step that is being compiled
            for variables, values in zip(groups(len(kept)), kept, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    if not value.is_deleted():  # a step that failed while it ran has taken it
                        variable.assign(value)
            raise

    return step


def is_worthwhile() -> bool:
    """Whether JAX computes on an accelerator.

    On the CPU XLA leaves its fast convolutions out of loops: four of 64 channels took 80 times as
    long in a scan as one by one.
    """
    import jax

    return jax.default_backend() != "cpu"


def _shapes(data: Any) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(None if leaf is None else leaf.shape for leaf in keras.tree.flatten(data))
