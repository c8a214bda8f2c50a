"""Low-rank adapters in a teacher: Keras's files merge them, a distiller's keep them trainable."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import FrozenTeacherDistiller, ProKTDistiller
from keras_prokt.models.bert import ExactGeluBertBackbone
from keras_prokt.models.trained_part import train_last_blocks, train_lora, transformer_blocks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 5)).astype("float32")
Y = RNG.integers(0, 3, 32)
SIZES = {"vocabulary_size": 40, "num_layers": 3, "num_heads": 2, "hidden_dim": 8}
SIZES |= {"intermediate_dim": 16, "max_sequence_length": 12}


def network(units):
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(units, "relu", name="hidden"), layers.Dense(3)]
    )


def with_adapters():
    teacher = network(8)
    teacher.get_layer("hidden").enable_lora(2)
    return teacher


def distiller_of(seed=1, kind=ProKTDistiller):
    keras.utils.set_random_seed(seed)
    distiller = kind(with_adapters(), network(4))
    optimizers = {"teacher_optimizer": "adam"} if kind is ProKTDistiller else {}
    distiller.compile("adam", **optimizers)
    return distiller


def fit(distiller):
    distiller.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)


def assert_equal(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_kernel_stays_and_its_adapters_train():
    distiller = distiller_of()
    hidden = distiller.teacher.get_layer("hidden")
    kernel, a, b = (keras.ops.copy(v) for v in (hidden._kernel, hidden.lora_kernel_a, hidden.bias))
    fit(distiller)
    np.testing.assert_array_equal(hidden._kernel, kernel)
    assert not np.array_equal(hidden.lora_kernel_a, a) and not np.array_equal(hidden.bias, b)
    assert np.any(np.asarray(hidden.lora_kernel_b) != 0)


@pytest.mark.slow
@pytest.mark.parametrize("saves", ["whole", "weights"])
def test_a_distiller_goes_on_from_its_file_bit_for_bit(saves, tmp_path):
    distiller = distiller_of()
    fit(distiller)
    if saves == "whole":
        distiller.save(tmp_path / "d.keras")
        other = keras.saving.load_model(tmp_path / "d.keras")
    else:
        distiller.save_weights(tmp_path / "d.weights.h5")
        other = distiller_of(seed=2)
        other.load_weights(tmp_path / "d.weights.h5")
    assert_equal(distiller, other)
    if saves == "whole":  # weights alone have no state of the optimizers
        fit(distiller)
        fit(other)
        assert_equal(distiller, other)


@pytest.mark.slow
def test_a_file_of_a_distiller_without_adapters_is_refused(tmp_path):
    keras.utils.set_random_seed(1)
    distiller = ProKTDistiller(network(8), network(4))
    distiller.compile("adam", teacher_optimizer="adam")
    distiller.save_weights(tmp_path / "d.weights.h5")
    with pytest.raises(ValueError, match="Expected 3 variables of low-rank adapters, received 0"):
        distiller_of().load_weights(tmp_path / "d.weights.h5")


@pytest.mark.slow
def test_a_fixed_teacher_has_them_too(tmp_path):
    distiller = distiller_of(kind=FrozenTeacherDistiller)
    distiller.teacher.get_layer("hidden").lora_kernel_b.assign(np.ones((2, 8)))
    fit(distiller)
    distiller.save_weights(tmp_path / "d.weights.h5")
    other = distiller_of(seed=2, kind=FrozenTeacherDistiller)
    other.load_weights(tmp_path / "d.weights.h5")
    assert_equal(distiller, other)


def bert(dropout=0.1):
    backbone = ExactGeluBertBackbone(**SIZES, dropout=dropout)
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    logits = layers.Dense(3, name="logits")(backbone(inputs)["pooled_output"])
    return keras.Model(inputs, logits, name="bert")


def test_adapters_of_a_transformer():
    teacher = train_lora(bert(), 2)
    names = {v.path.split("/", 1)[-1] for v in teacher.trainable_variables}
    assert {"kernel", "bias"} < names  # of the classifier
    adapters = [v for v in teacher.trainable_variables if "lora" in v.name]
    assert len(adapters) == 3 * 2 * 2 and {v.shape[-1] for v in adapters} == {2, 4}
    assert not teacher.get_layer(teacher.layers[3].name).token_embedding.trainable


def test_the_last_blocks_of_a_transformer():
    teacher = bert()
    blocks = transformer_blocks(teacher)
    assert [block.name for block in blocks] == [f"transformer_layer_{i}" for i in range(3)]
    assert train_last_blocks(teacher, 1) is teacher
    assert [block.trainable for block in blocks] == [False, False, True]
    trained = {v.path.split("/")[0] for v in teacher.trainable_variables}
    assert trained == {"transformer_layer_2", "pooled_dense", "logits"}
    rates = {block.name: block._feedforward_dropout.rate for block in blocks}
    assert list(rates.values()) == [0.0, 0.0, 0.1]
    trained = {v.path.split("/")[0] for v in train_last_blocks(bert(), 0).trainable_variables}
    assert trained == {"pooled_dense", "logits"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: train_last_blocks(bert(), 3), "Expected fewer than the 3 blocks of 'bert'.*, rec"),
        (
            lambda: train_last_blocks(bert(), -1),
            "Expected count to be a whole number of at least 0",
        ),
        (lambda: train_last_blocks(network(4), 1), "Expected a transformer .*MultiHeadAttention"),
        (
            lambda: train_lora(bert(), 0),
            "Expected rank to be a whole number of at least 1, received 0",
        ),
        (lambda: train_lora(network(4), 2), "Expected a model with a keras-hub backbone"),
    ],
)
def test_what_cannot_be_trained_in_part_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change()
