"""What ties a distiller to Keras's trainer: the only file here that uses Keras's private names."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras

from keras_prokt import backends
from keras_prokt.distillers.monitors import set_modes
from keras_prokt.typing import Tensor

Logs = dict[str, Any]


class KerasTrainer(keras.Model):
    """A model whose steps are functions of a batch that return logs, on every backend.

    A subclass implements `train_on_data` and `evaluate_on_data`.

    Args:
        name: Name of the model.
    """

    def __init__(self, name: str | None = None):
        super().__init__(name=name)
        self.skip_batches = 0
        """Batches that `fit` still has to pass over without training (resuming in an epoch)."""
        self.validates = False
        """Whether the evaluation that goes on is that of `fit`."""
        self._test_functions: dict[bool, Any] = {}

    def train_on_data(self, data: Any) -> Logs:
        """One step of training on what the data gave."""
        raise NotImplementedError

    def evaluate_on_data(self, data: Any) -> Logs:
        """Evaluation of one batch."""
        raise NotImplementedError

    def build_metrics_for(self, data: Any) -> None:
        """Makes what metrics of the user make of the first batch."""
        raise NotImplementedError

    # Keras's private names.

    def check_compiled(self, caller: str) -> None:
        """Raises Keras's error if the model is not compiled."""
        self._assert_compile_called(caller)

    @staticmethod
    def is_validation(arguments: Mapping[str, Any]) -> bool:
        """Whether arguments of `evaluate` are those that Keras passes when `fit` validates."""
        return bool(arguments.get("_use_cached_eval_dataset"))

    def track_loss(self, loss: Tensor, size: Tensor | int) -> None:
        """Counts the loss of a batch as the metric `loss`."""
        self._loss_tracker.update_state(loss, sample_weight=size)

    def track_compiled_metrics(
        self, labels: Tensor, predicted: Tensor, weight: Any, labelled: Tensor | None = None
    ) -> None:
        """Counts a batch in the metrics that `compile` received: what has a label."""
        metrics = self._compile_metrics
        if metrics is None:
            return
        if labelled is None:
            metrics.update_state(labels, predicted, sample_weight=weight)
            return
        if not metrics.built:
            metrics.build(labels, predicted)
        weight = labelled if weight is None else labelled * weight
        for group, weight_of_group in (
            (metrics._flat_metrics, labelled),
            (metrics._flat_weighted_metrics, weight),
        ):
            for metric in filter(None, group):
                metric.update_state(labels, predicted, sample_weight=weight_of_group)

    def build_compiled_metrics(self, labels: Callable[[], Tensor], predicted: Tensor) -> None:
        """Makes the variables of the metrics that `compile` received, before any step.

        TensorFlow makes them in the first step, which may be passed over; what a checkpoint holds
        of them has to find its place before.
        """
        if self._compile_metrics is not None and not self._compile_metrics.built:
            self._compile_metrics.build(labels(), predicted)

    def logs_of(self, metrics: Iterable[keras.metrics.Metric]) -> Logs:
        """The loss, the compiled metrics and these, in the order of all metrics."""
        reported = {self._loss_tracker, self._compile_metrics, *metrics}
        logs: Logs = {}
        for metric in self.metrics:
            if metric in reported:
                result = metric.result()
                logs.update(result if isinstance(result, dict) else {metric.name: result})
        return logs

    # What Keras calls.

    def compile(self, **arguments: Any) -> None:
        self.check_optimizer(arguments["optimizer"])
        self._test_functions.clear()
        super().compile(**arguments)

    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Refuses an optimizer that was built for other variables; its state is of those."""
        variables = {id(variable) for variable in self.variables}
        for part in getattr(optimizer, "optimizers", [optimizer]):
            inner = getattr(part, "inner_optimizer", part)
            built_for = inner._trainable_variables if inner.built else []
            if self.built and not all(id(variable) in variables for variable in built_for):
                raise ValueError(
                    f"Expected an optimizer of this distiller's own, received {inner.name!r} that "
                    f"was built for another model (it has {built_for[0].path!r}); make a new one, "
                    "such as type(optimizer).from_config(optimizer.get_config())."
                )

    @functools.wraps(keras.Model.fit)
    def fit(self, *arguments: Any, **named: Any) -> Any:
        callbacks = named.get("callbacks") or []
        set_modes(getattr(callbacks, "callbacks", callbacks), self)  # Keras's list, or a plain one
        return super().fit(*arguments, **named)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        with self._state_put_back():
            return super().evaluate(*arguments, **named)

    @functools.wraps(keras.Model.predict)
    def predict(self, *arguments: Any, **named: Any) -> Any:
        with self._state_put_back():
            return super().predict(*arguments, **named)

    @contextlib.contextmanager
    def _state_put_back(self) -> Iterator[None]:
        """Puts the state back where a callback raises, which Keras does in `fit` alone."""
        try:
            yield
        except BaseException:
            backends.current().put_state_back(self)
            raise

    def train_step(self, *arguments: Any) -> Any:
        """One step; the signature is that of the backend's trainer."""
        return backends.current().run_step(self, self.train_on_data, *arguments)

    def test_step(self, *arguments: Any) -> Any:
        """Evaluation of one batch; the signature is that of the backend's trainer."""
        return backends.current().run_step(self, self.evaluate_on_data, *arguments)

    def make_train_function(self, force: bool = False) -> Any:
        if force or self.train_function is None:
            self._renew("train_step")
            super().make_train_function(force=True)
            backend = backends.current()
            train_function = backend.train_function(self, self.train_function)
            self.train_function = backend.keeping_state(self, self._passing_over(train_function))
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        validates = self.validates
        if force or self._test_functions.get(validates) is None:
            self._renew("test_step")
            super().make_test_function(force=True)
            backend = backends.current()
            test_function = backend.test_function(self, self.test_function)
            self.test_function = backend.keeping_state(self, test_function)
            self._test_functions[validates] = self.test_function
        self.test_function = self._test_functions[validates]
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        if force or self.predict_function is None:
            super().make_predict_function(force=True)
            backend = backends.current()
            predict_function = backend.predict_function(self, self.predict_function)
            self.predict_function = backend.keeping_state(self, predict_function)
        return self.predict_function

    def _renew(self, step: str) -> None:
        # JAX remembers what it compiled by the function's identity, and all bound methods of one
        # name are the same to it: what a step does would stay what it was at the first trace.
        self.__dict__[step] = functools.partial(getattr(type(self), step), self)

    def _passing_over(self, train_function: Callable[..., Any]) -> Callable[..., Any]:
        """A train function that passes over the first `skip_batches` batches."""

        def step(*arguments: Any) -> Any:
            if self.skip_batches <= 0:
                return train_function(*arguments)
            for _ in range(self.steps_per_execution):
                data = next(iter(arguments[-1]))
            self.build_metrics_for(data)
            self.skip_batches -= self.steps_per_execution
            return backends.current().run_step(
                self, lambda data: self.get_metrics_result(), *arguments[:-1], data
            )

        return step
