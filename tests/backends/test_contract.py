"""What every backend promises, and what one that promises little gets."""

import functools
import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_prokt
from keras_prokt import ProKTDistiller, backends
from keras_prokt.backends.base import KERNELS, Backend
from keras_prokt.data.batches import Batches
from keras_prokt.models.batch_normalization import FusedBatchNormalization
from keras_prokt.models.channel_groups import GroupedConvolution
from keras_prokt.optimizers import CoupledSGD, FusedAdam


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_rows_stand_for_files(name):
    pytest.importorskip(name)
    backend = backends.get(name)
    assert isinstance(backend, Backend) and backend.name == name
    assert set(backend.kernels) <= set(KERNELS)
    for path in backend.kernels.values():
        module, _, function = path.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_kernels_are_what_the_package_asks_for():
    sources = Path(keras_prokt.__file__).parent.rglob("*.py")
    text = "\n".join(path.read_text() for path in sources if path.parent.name != "backends")
    asked = set(re.findall(r'(?:by_kernel|kernel)\(\s*"(\w+)"', text))
    assert asked == set(KERNELS)


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match="tensorflow, jax, torch; received 'theano'; choose"):
        backends.get("theano")


def test_the_current_one_is_that_of_keras():
    assert backends.current().name == keras.backend.backend()


def test_gradients_are_taken_later_and_zero_where_a_loss_does_not_reach():
    weight, count, scale, unused = (keras.Variable(value) for value in (3.0, 0.0, 2.0, 1.0))

    def forward():
        count.assign_add(1.0)
        return weight * weight

    trained = [weight, unused]
    recording = backends.current().record(forward, trained, [*trained, count, scale])
    assert float(ops.convert_to_numpy(count)) == 1
    assert float(ops.convert_to_numpy(recording.outputs)) == 9
    scale.assign(5.0)
    said, gradients = recording.gradients(lambda square: (square * scale, "said"), [scale])
    assert said == "said"
    assert [float(gradient) for gradient in gradients] == [30.0, 0.0, 9.0]


def test_assignments_are_forgotten():
    variable, other = keras.Variable(1.0), keras.Variable(4.0)
    with backends.current().forgetting_assignments([variable, other]):
        variable.assign(variable + other)
        assert float(ops.convert_to_numpy(variable.value)) == 5
    assert float(ops.convert_to_numpy(variable)) == 1


def test_a_function_is_traced_once():
    shapes = []

    def function(x):
        shapes.append(tuple(x.shape))
        return ops.sum(x)

    backends.current().trace(function, ops.zeros((2, 3)))
    assert shapes == [(2, 3)]


def test_a_quick_function_answers_batches_of_all_shapes():
    quick = backends.current().quick(lambda x: {"sum": ops.sum(x["values"], axis=-1)})
    for shape in ((2, 3), (4, 3), (1, 5)):
        answer = ops.convert_to_numpy(quick({"values": ops.ones(shape)})["sum"])
        np.testing.assert_array_equal(answer, np.full(shape[0], shape[1], "float32"))


def test_what_compiles_everything_has_every_shape():
    batches = Batches(np.zeros((11, 2)), np.arange(11), batch_size=4)
    data = batches.for_evaluation()
    few = backends.current().enough_to_compile(data, len(batches))
    sizes = [len(labels) for _, labels in few]
    assert set(sizes) == {4, 3}
    assert len(sizes) == (2 if backends.current().builds_tensorflow_graphs else 3)


class RecordsAlone(Backend):
    """TensorFlow as its author would begin: nothing but what has no default."""

    name = "tensorflow"

    def __init__(self, record):
        self.record = record


def network(width):
    """Has the layers for pictures that have kernels."""
    return keras.Sequential(
        [
            keras.Input((4, 4, 4)),
            GroupedConvolution(width, 1, groups=2, use_bias=False),
            FusedBatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it stands for a new backend")
def test_all_but_recording_is_optional(monkeypatch):
    generator = np.random.default_rng(0)
    images, labels = generator.normal(size=(20, 4, 4, 4)).astype("float32"), np.arange(20) % 3
    results = []
    whole = backends.get("tensorflow")
    for backend in (whole, RecordsAlone(whole.record)):
        monkeypatch.setattr(backends, "get", functools.partial(lambda one, name: one, backend))
        keras.utils.set_random_seed(1)
        distiller = ProKTDistiller(network(8), network(4))
        distiller.compile(
            CoupledSGD(0.1, l2=1e-3), teacher_optimizer=FusedAdam(0.01, global_clipnorm=1.0)
        )
        batches = Batches(images, labels, batch_size=8, shuffle=True)
        distiller.fit(batches.for_training(), steps_per_epoch=3, epochs=2, verbose=0)
        logits = distiller.predict(batches.for_evaluation(), verbose=0)
        results.append([logits, *distiller.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
