"""Private names of Keras and the others stand in few files: here is what an upgrade may break."""

import ast
from pathlib import Path

import pytest

import keras_prokt

pytestmark = pytest.mark.slow

PACKAGE = Path(keras_prokt.__file__).parent
OTHERS = {"keras", "keras_hub", "tensorflow", "jax", "torch"}
# What Python itself gives names of this form, and `_ModelView` of callbacks/on_optimizer.py.
PUBLIC = {"_replace", "_exit", "_which"}
PRIVATE_NAMES = {
    "backends/jax.py": {"jax._src"},
    "backends/tensorflow.py": {"tensorflow.python.framework"},
    "backends/tensorflow_kernels/bert.py": {
        *("_self_attention_layer", "_self_attention_dropout", "_self_attention_layer_norm"),
        *("_feedforward_intermediate_dense", "_feedforward_output_dense"),
        *("_feedforward_dropout", "_feedforward_layer_norm", "_dropout_layer", "_output_dense"),
    },
    # `Callback.model` of Keras copies the whole state on JAX each time it is read.
    "callbacks/objective_schedule.py": {"_model"},
    "callbacks/on_optimizer.py": {"_model"},
    "callbacks/resumable_backup.py": {"_model", "_initial_epoch"},
    "callbacks/teacher_route.py": {"_model"},
    "distillers/joint_optimizer.py": {"_variables", "_iterations"},
    "distillers/keras_trainer.py": {
        *("_assert_compile_called", "_compile_metrics", "_loss_tracker", "_trainable_variables"),
        *("_flat_metrics", "_flat_weighted_metrics"),
    },
    "keras_internals.py": {"_flatten_layers", "_inbound_nodes", "_keras_history"},
    "models/bert.py": {
        "_feedforward_intermediate_dense",
        "keras_hub.src.utils.preset_utils",
        "keras_hub.src.utils.transformers.safetensor_utils",
    },
    "models/bert_presets.py": {"keras_hub.src.utils.preset_utils"},
    "models/wordpiece.py": {"_check_vocabulary", "keras_hub.src.utils.tensor_utils"},
    "runs/training.py": {"_model"},
    "optimizers/coupled_sgd.py": {"_get_variable_index"},
    "optimizers/fused_adam.py": {"_get_variable_index", "_momentums", "_velocities"},
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def own_names(trees):
    """Private names that modules define: functions, fields, and attributes that objects assign."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if ast.unparse(node.value) == "self":
                    yield node.attr
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (t.id for t in targets if isinstance(t, ast.Name))


def private_names(tree, own):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module:
            first, *rest = node.module.split(".")
            if first in OTHERS and ({"src", "python"} & set(rest) or any(map(is_private, rest))):
                yield node.module


def test_each_file_that_uses_private_names_of_others_is_known():
    trees = {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text())
        for path in PACKAGE.rglob("*.py")
    }
    found = {}
    for name, tree in trees.items():
        # A class may inherit from one in the same folder, and that of a run from a callback.
        folders = {Path(name).parent, *([Path("callbacks")] if name == "runs/training.py" else [])}
        beside = [other for file, other in trees.items() if Path(file).parent in folders]
        found[name] = set(private_names(tree, {*own_names(beside), *PUBLIC}))
    assert {name: names for name, names in found.items() if names} == PRIVATE_NAMES
