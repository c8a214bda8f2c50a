"""TensorFlow: steps are graphs, some parts of which have kernels of their own."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from keras_prokt.backends.base import Backend, LossFunction, Recording, Variables
from keras_prokt.backends.tensorflow_graph import multiply_adds
from keras_prokt.typing import Tensor

_KERNELS = "keras_prokt.backends.tensorflow_kernels"


class TensorFlowBackend(Backend):
    """TensorFlow, under `tf.distribute` too."""

    name = "tensorflow"
    builds_tensorflow_graphs = True
    kernels = {
        "adam_update": f"{_KERNELS}.optimizers:adam_update",
        "batch_normalization": f"{_KERNELS}.batch_normalization:batch_normalization",
        "bert_pooled_output": f"{_KERNELS}.bert:bert_pooled_output",
        "bidirectional_lstm": f"{_KERNELS}.bilstm:bidirectional_lstm",
        "clip_by_global_norm": f"{_KERNELS}.optimizers:clip_by_global_norm",
        "grouped_pointwise_convolution": f"{_KERNELS}.channel_groups:grouped_pointwise_convolution",
        "momentum_update": f"{_KERNELS}.optimizers:momentum_update",
    }

    @functools.cached_property
    def compiles_every_shape(self) -> bool:
        # By XLA, which is off on CPUs.
        return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())

    def last_operation(self, function: Callable[..., Any], *args: Any, **named: Any) -> str | None:
        def spec(value: Any) -> Any:
            is_tensor = isinstance(value, keras.KerasTensor)
            return tf.TensorSpec(value.shape, value.dtype) if is_tensor else value

        args, named = keras.tree.map_structure(spec, (args, named))
        traced = tf.function(function, autograph=False).get_concrete_function(*args, **named)
        operation = traced.graph.outputs[0].op
        while operation.type in ("Identity", "Cast"):
            operation = operation.inputs[0].op
        return operation.type.lower()

    def record(self, forward: Any, variables: Variables, all_variables: Variables) -> Recording:
        return _TensorFlowRecording(forward, variables)

    def after(self, done: Sequence[Tensor], inputs: Any) -> Any:
        with tf.control_dependencies(list(done)):
            return tf.nest.map_structure(tf.identity, inputs)

    def number_of_replicas(self) -> int:
        return tf.distribute.get_strategy().num_replicas_in_sync

    def mean_over_replicas(self, value: Tensor) -> Tensor:
        if self.number_of_replicas() == 1:
            return value
        mean = tf.distribute.ReduceOp.MEAN
        # Not the context's all_reduce: TensorFlow numbers such operations anew in each strategy and
        # refuses a number that an earlier one of the process has had for another shape.
        return tf.distribute.get_replica_context().merge_call(
            lambda strategy, value: strategy.reduce(mean, value, axis=None), args=(value,)
        )

    def data_set(
        self,
        stream: Callable[[], Iterator[Any]],
        signature: Callable[[], Any],
        length: int | None = None,
    ) -> tf.data.Dataset:
        specs = keras.tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), signature())
        dataset = tf.data.Dataset.from_generator(stream, output_signature=specs)
        if length is not None:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(length))
        # Nothing here is tuned, and the thread that tunes may hold the end of data for a second.
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.prefetch(2).with_options(options)

    def enough_to_compile(self, data: tf.data.Dataset, length: int) -> tf.data.Dataset:
        # Compiled for one shape, and once more for all others: the last batch is smaller.
        return data.take(1).concatenate(data.skip(length - 1))

    def quick(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return tf.function(function, autograph=False, reduce_retracing=True)

    def count_operations(self, model: keras.Model, inputs: Any) -> int | None:
        values = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        forward = tf.function(lambda: model(values, training=False), autograph=False)
        graph = forward.get_concrete_function().graph
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        logger = logging.getLogger("tensorflow")
        level = logger.level
        logger.setLevel(logging.ERROR)  # it calls a deprecated function of its own
        try:
            profile = tf.compat.v1.profiler.profile(graph, options=options)
        finally:
            logger.setLevel(level)
        return int(profile.total_float_ops) or None

    def count_multiply_adds(self, model: keras.Model, inputs: Any) -> int | None:
        return multiply_adds(model, inputs)

    def accelerators(self) -> list[str]:
        found = []
        for device in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(device)
            found.append(
                f"{device.name.removeprefix('/physical_device:').lower()} "
                f"{details.get('device_name', 'unknown')}"
            )
        return found

    def make_deterministic(self) -> None:
        super().make_deterministic()
        tf.config.experimental.enable_op_determinism()

    def is_deterministic(self) -> bool:
        return tensorflow_config.is_op_determinism_enabled()


class _TensorFlowRecording(Recording):
    def __init__(self, forward: Callable[[], Any], variables: Variables):
        self._tape = tf.GradientTape()
        self._variables = list(variables)
        with self._tape:
            self.outputs = forward()

    def gradients(
        self, loss_function: LossFunction, variables: Variables = ()
    ) -> tuple[Any, list[Tensor]]:
        variables = self._variables + list(variables)
        with self._tape:  # a tape goes on recording when it is entered again
            loss, auxiliary = loss_function(self.outputs)
        # Where a loss does not reach (the head, if only features are matched) JAX gives zeros too.
        zero = tf.UnconnectedGradients.ZERO
        return auxiliary, self._tape.gradient(loss, [v.value for v in variables], None, zero)


BACKEND = TensorFlowBackend()
