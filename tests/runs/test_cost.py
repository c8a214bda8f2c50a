"""The estimate: right numbers of operations, a line a phase, and nothing left behind."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt.runs.cost import estimate, estimate_table, forward_flops
from keras_prokt.runs.spec import RunSpec

BACKEND = keras.backend.backend()


def test_operations_of_a_convolution_and_a_matrix_product():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.Flatten(),
            layers.Dense(10, use_bias=False),
        ]
    )
    expected = 2 * (8 * 8 * 4 * 3 * 3 * 3 + 256 * 10)
    flops = forward_flops(model, np.zeros((1, 8, 8, 3), "float32"))
    # XLA leaves out the products with the border.
    assert flops == expected if BACKEND != "jax" else 0.8 * expected < flops <= 1.1 * expected


@pytest.mark.skipif(BACKEND != "jax", reason="JAX counts on the CPU alone")
def test_operations_are_counted_for_the_cpu_where_an_accelerator_counts_none(monkeypatch):
    import jax

    model = keras.Sequential([keras.Input((8,)), layers.Dense(10, use_bias=False)])
    example = np.zeros((1, 8), "float32")
    counted = forward_flops(model, example)
    devices = []

    def cost_analysis(lowered, its_own=jax.stages.Lowered.cost_analysis):
        devices.append(jax.config.jax_default_device)
        return its_own(lowered)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", cost_analysis)
    assert forward_flops(model, example) == counted == 2 * 8 * 10
    assert [device.platform for device in devices] == ["cpu"]
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda lowered: None)
    assert forward_flops(model, example) is None


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="runs are tested on the default backend")
@pytest.mark.parametrize(
    ("method", "phases"),
    [
        ("prokt", {"prokt": 40 * 4}),
        (
            "ta",
            {
                "teacher, if it is not there yet": 40 * 4,
                "assistant cnn-medium, if it is not there yet": 40 * 4,
                "ta": 40 * 4,
            },
        ),
        ("rco", {"teacher, if it is not there yet": 40 * 4, "rco": 40 * 4}),
    ],
)
def test_a_line_for_everything_that_is_trained(method, phases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = estimate(RunSpec.resolve("digits", method, limit=256))
    assert {name: phase["steps"] for name, phase in result["phases"].items()} == phases
    assert result["seconds"] == pytest.approx(
        sum(p["seconds_per_step"] * p["steps"] for p in result["phases"].values())
    )
    assert result["models"]["student"]["parameters"] == 850
    assert result["models"]["teacher"]["flops"] > result["models"]["student"]["flops"] > 0
    table = estimate_table(result)
    assert "in all" in table and "peak memory" in table
    assert list(tmp_path.iterdir()) == []
