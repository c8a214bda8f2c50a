"""What a distiller refuses, and that it says what to do."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import (
    FrozenTeacherDistiller,
    ObjectiveSchedule,
    ProKTDistiller,
    ResumableBackup,
    TrainingFault,
)
from keras_prokt.distillers import Distiller
from keras_prokt.losses import SoftTargets

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.integers(0, 3, 32)
INFINITE = float("inf")


def network(units=8, classes=3, activation=None):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(units, activation="relu"),
            layers.Dense(classes, activation=activation),
        ]
    )


def compiled(**kwargs):
    distiller = ProKTDistiller(network(), network(4), **kwargs)
    distiller.compile("adam")
    return distiller


def test_the_base_of_all_regimes_trains_nothing():
    distiller = Distiller(network(), network(4))
    distiller.compile("adam")
    with pytest.raises(NotImplementedError, match="received Distiller; use ProKTDistiller, Froz"):
        distiller.fit(X, Y, verbose=0)


def test_output_widths_that_differ():
    with pytest.raises(ValueError, match=r"width 4 \(teacher\) and 3 \(student\)"):
        ProKTDistiller(network(classes=4), network())


def test_teacher_that_is_the_student():
    model = network()
    with pytest.raises(ValueError, match="Expected two models"):
        ProKTDistiller(model, model)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_module_of_pytorch_is_refused_in_one_line(role):
    torch = pytest.importorskip("torch", reason="a module of PyTorch")
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    models = {"teacher": network(), "student": network()}
    with pytest.raises(
        ValueError, match="received the PyTorch module.*TorchModuleWrapper.*stored outputs teach"
    ) as error:
        FrozenTeacherDistiller(**{**models, role: module})
    assert "\n" not in str(error.value)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="computed by PyTorch alone")
def test_a_wrapped_module_of_pytorch_is_a_fixed_teacher():
    import torch

    module = torch.nn.Linear(4, 3)
    wrapped = layers.TorchModuleWrapper(module, output_shape=(None, 3))
    distiller = FrozenTeacherDistiller(
        keras.Sequential([keras.Input((4,)), wrapped]), keras.Sequential([layers.Dense(3)])
    )
    distiller.compile("sgd")
    before = [p.detach().clone() for p in module.parameters()]
    distiller.fit(X, Y, verbose=0)
    assert all(map(torch.equal, before, module.parameters()))
    expected = module(torch.tensor(X)).argmax(-1).numpy() == Y
    logs = distiller.fit(X, Y, verbose=0, batch_size=32).history
    np.testing.assert_allclose(logs["teacher_accuracy"], expected.mean(), atol=1e-6)


def test_shared_layers():
    body = layers.Dense(5, name="body")
    inputs = keras.Input((4,))
    teacher = keras.Model(inputs, layers.Dense(3)(body(inputs)))
    student = keras.Model(inputs, layers.Dense(3)(body(inputs)))
    with pytest.raises(ValueError, match=r"without common layers, received both with \['body'\]"):
        ProKTDistiller(teacher, student)


class Subclassed(keras.Model):
    def __init__(self, classes=3, activation=None):
        super().__init__()
        self.dense = layers.Dense(classes)
        self.activation_function = keras.activations.get(activation)

    def call(self, inputs):
        return self.activation_function(self.dense(inputs))


class Shy(Subclassed):
    """A model that shows nothing of its layers: it computes with what is no Keras tensor alone."""

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise NotImplementedError
        return super().call(inputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 3)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it traces them")
def test_probabilities_of_models_that_show_nothing_are_seen_in_the_first_step():
    student = Shy(activation="softmax")
    student(X)
    distiller = ProKTDistiller(network(), student)
    distiller.compile("sgd")
    with pytest.raises(TrainingFault, match="Step 1: Expected logits from the student.*as_logits"):
        distiller.fit(X, Y, verbose=0)


@pytest.mark.slow
def test_subclassed_models_are_built_from_the_data():
    distiller = ProKTDistiller(Subclassed(), Subclassed())
    distiller.compile("adam")
    distiller.fit(X, Y, epochs=2, verbose=0)
    assert distiller.output_width == 3
    assert int(distiller.optimizer.iterations) == 2


def test_widths_of_subclassed_models_are_checked_before_the_first_step():
    distiller = ProKTDistiller(Subclassed(4), Subclassed(3))
    distiller.compile("adam")
    with pytest.raises(ValueError, match="same number of classes"):
        distiller.fit(X, Y, verbose=0)


def test_models_that_cannot_be_built_from_the_data():
    distiller = ProKTDistiller(Subclassed(), keras.Sequential([layers.Conv2D(4, 3)]))
    distiller.compile("adam")
    with pytest.raises(ValueError, match="student that can be built from the data"):
        distiller.fit(X, Y, verbose=0)


def test_one_output():
    with pytest.raises(ValueError, match="at least 2 classes"):
        ProKTDistiller(network(classes=1), network(classes=1), output="classes")


@pytest.mark.parametrize("weight", [-0.1, 1.0, 1.5, float("nan"), 0.99999999999])
def test_lambda_out_of_range(weight):
    with pytest.raises(ValueError, match=r"proximal_weight \(λ\) in \[0, 1\)"):
        ProKTDistiller(network(), network(), proximal_weight=weight)
    with pytest.raises(ValueError, match=r"proximal_weight \(λ\) in \[0, 1\)"):
        ProKTDistiller(network(), network()).set_proximal_weight(weight)


def test_a_lambda_that_float32_takes_for_one_says_so():
    with pytest.raises(ValueError, match="received 0.99999999999, which is 1 in float32; the labe"):
        ProKTDistiller(network(), network(), proximal_weight=0.99999999999)
    ProKTDistiller(network(), network(), proximal_weight=0.9999999)


def test_lambda_and_epsilon():
    with pytest.raises(ValueError, match="either proximal_weight"):
        ProKTDistiller(network(), network(), proximal_weight=0.3, proximal_bound=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"proximal_bound": 0.0}, "ε"),
        ({"proximal_bound": INFINITE}, "ε.* finite in float32, received inf"),
        ({"proximal_bound": float("nan")}, "ε.* received nan"),
        ({"proximal_bound": 0.1, "dual_step_size": 0.0}, "ρ"),
        ({"proximal_bound": 0.1, "dual_step_size": INFINITE}, "ρ.* received inf"),
        ({"proximal_bound": 0.1, "dual_step_size": float("nan")}, "ρ.* received nan"),
        ({"proximal_bound": 0.1, "dual_initial": -1.0}, "β₀"),
        ({"proximal_bound": 0.1, "dual_initial": 1e39}, "β₀.* finite in float32, received 1e"),
        ({"proximal_bound": 0.1, "dual_initial": float("nan")}, "β₀.* received nan"),
        ({"dual_step_size": 0.01}, "no dual_step_size without proximal_bound, received 0.01; giv"),
        ({"dual_initial": 1.0}, "no dual_initial without proximal_bound, received 1.0; give"),
        ({"proximal_weight": 0.3, "dual_initial": 0.0}, "no dual_initial without proximal_bound"),
        ({"temperature": 0.0}, "temperature from 0.01 to 10000, received 0.0; 1 leaves"),
        ({"temperature": 1e-30}, "temperature from 0.01"),
        ({"temperature": 1e30}, "temperature from 0.01"),
        ({"temperature": INFINITE}, "temperature from 0.01"),
        ({"temperature": float("nan")}, "temperature from 0.01"),
        ({"objectives": SoftTargets(temperature=1e-30)}, "temperature from 0.01"),
        ({"objectives": []}, r"received objectives=\[\] and no weight of the labels, which trains"),
        ({"objectives": [], "label_weight": 0.0}, "which trains nothing"),
        ({"student_loss_weight": 1.1}, "student_loss_weight in"),
        ({"target_mode": "eval"}, "target_mode in"),
        ({"objectives": [SoftTargets()], "temperature": 2.0}, "either temperature or objectives"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ProKTDistiller(network(), network(), **settings)


def test_labels_alone_train_and_cannot_be_switched_off():
    for settings in ({"label_weight": 0.5}, {"student_loss_weight": 1.0}):
        distiller = FrozenTeacherDistiller(network(), network(), objectives=[], **settings)
        with pytest.raises(ValueError, match="which trains nothing; give an objective"):
            distiller.set_label_weight(0.0)
    with pytest.raises(ValueError, match="which trains nothing"):
        FrozenTeacherDistiller(network(), network(), objectives=[])


@pytest.mark.parametrize("bad", [-1, 3, 99])
def test_labels_out_of_range_in_arrays_before_any_step(bad):
    distiller = compiled()
    labels = Y.copy()
    labels[5] = bad
    with pytest.raises(ValueError, match=rf"labels in \[0, 3\), received {bad} in example 5"):
        distiller.fit(X, labels, verbose=0)
    with pytest.raises(ValueError, match="validation labels"):
        distiller.fit(X, Y, validation_data=(X, labels), verbose=0)
    assert int(distiller.optimizer.iterations) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_inputs_that_are_not_finite_in_arrays(bad):
    inputs = X.copy()
    inputs[7, 1] = bad
    with pytest.raises(ValueError, match="finite inputs, received NaN or infinity.* example 7"):
        compiled().fit(inputs, Y, verbose=0)


def batches_with(labels=Y, inputs=X):
    for start in range(0, 32, 8):
        yield inputs[start : start + 8], labels[start : start + 8]


@pytest.mark.slow
def test_labels_out_of_range_in_a_generator():
    labels = Y.copy()
    labels[17] = 3  # third batch
    with pytest.raises(TrainingFault, match=r"Step 3: Expected integer labels in \[0, 3\)"):
        compiled().fit(batches_with(labels=labels), verbose=0)


@pytest.mark.slow
def test_inputs_that_are_not_finite_in_a_generator():
    inputs = X.copy()
    inputs[9] = np.nan
    with pytest.raises(TrainingFault, match="Step 2: Expected finite inputs"):
        compiled().fit(batches_with(inputs=inputs), verbose=0)


@pytest.mark.slow
def test_a_fault_stops_before_other_callbacks_see_the_step():
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    labels = Y.copy()
    labels[0] = 7
    with pytest.raises(TrainingFault):
        compiled().fit(batches_with(labels=labels), callbacks=[watch], verbose=0)
    assert seen == []


@pytest.mark.parametrize("shape", [(32, 5), (32,), (32, 2, 2), (32, 4, 2, 1)])
def test_inputs_of_another_shape(shape):
    x = np.zeros(shape, "float32")
    message = rf"inputs of the teacher of shape \(None, 4\), received {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        compiled().fit(x, Y, verbose=0)
    with pytest.raises(ValueError, match=message.replace("inputs", "validation inputs", 1)):
        compiled().fit(X, Y, validation_data=(x, Y), verbose=0)
    with pytest.raises(ValueError, match=message.replace("teacher", "student")):
        compiled().evaluate(x, Y, verbose=0)


@pytest.mark.slow
def test_inputs_of_models_that_read_different_ones():
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    teacher = keras.Model({"a": a, "b": b}, layers.Dense(3)(layers.concatenate([a, b])))
    distiller = ProKTDistiller(teacher, network())
    distiller.compile("adam")
    pair = {"a": X, "b": X[:, :2]}
    distiller.fit({"teacher": pair, "student": X}, Y, verbose=0)
    distiller.evaluate(X, Y, verbose=0)  # of the student alone
    with pytest.raises(
        ValueError, match=r"inputs of the teacher of shape \(None, 2\), .* \(32, 4\)"
    ):
        distiller.fit({"teacher": {**pair, "b": X}, "student": X}, Y, verbose=0)


@pytest.mark.slow
def test_a_last_dimension_of_one_is_left_to_keras():
    compiled().fit(X[..., None], Y, verbose=0)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes of tf.data")
def test_tf_data_that_is_not_batched():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y))
    with pytest.raises(ValueError, match=r"received \(4,\); reshape or batch the data"):
        compiled().fit(data, verbose=0)
    compiled().fit(data.batch(8), verbose=0)


def test_labels_are_required():
    with pytest.raises(ValueError, match="received inputs alone"):
        compiled().fit(X, verbose=0)


def test_labels_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"one-hot labels of shape \(batch, 3\)"):
        compiled().fit(X, np.zeros((32, 5), "float32"), verbose=0)


def test_a_teacher_that_is_frozen():
    teacher = network()
    teacher.trainable = False
    with pytest.raises(ValueError, match="FrozenTeacherDistiller"):
        ProKTDistiller(teacher, network())
    FrozenTeacherDistiller(teacher, network())


def test_one_optimizer_for_both():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="Expected two optimizers"):
        ProKTDistiller(network(), network()).compile(optimizer, teacher_optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["optimizer", "teacher_optimizer"])
def test_an_optimizer_of_another_model(which):
    used = keras.optimizers.Adam()
    used.build(network().trainable_variables)
    distiller = ProKTDistiller(network(), network(4))
    with pytest.raises(ValueError, match="own, received 'adam.*built for another model") as error:
        distiller.compile(**{"optimizer": "sgd", "teacher_optimizer": "sgd", which: used})
    assert "\n" not in str(error.value)
    fixed = FrozenTeacherDistiller(network(), network(4))
    with pytest.raises(ValueError, match="built for another model"):
        fixed.compile(used)
    own = keras.optimizers.Adam()
    fixed.compile(own)
    fixed.fit(X, Y, verbose=0)
    fixed.compile(own)  # goes on with its state
    fixed.fit(X, Y, verbose=0)


@pytest.mark.slow
def test_the_only_output_may_stand_in_a_dict():
    inputs = keras.Input((4,))
    student = keras.Model(inputs, {"logits": layers.Dense(3)(inputs)})
    plain = keras.Model(inputs, student(inputs)["logits"])
    for model in (student, plain):
        model.set_weights([np.ones((4, 3)), np.zeros(3)])
        distiller = ProKTDistiller(keras.models.clone_model(plain), model)
        distiller.teacher.set_weights([np.eye(4, 3), np.zeros(3)])
        distiller.compile("sgd")
        distiller.fit(X, Y, shuffle=False, verbose=0)
        logits = distiller.predict(X, verbose=0)
        if model is student:
            expected = logits
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_different_gradient_accumulation():
    with pytest.raises(ValueError, match="same gradient_accumulation_steps"):
        ProKTDistiller(network(), network()).compile(
            keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
            teacher_optimizer=keras.optimizers.SGD(0.1),
        )


# Settings that train nothing.


def pair():
    return network(), network(4)


@pytest.mark.parametrize("weight", [1e-50, 1e300])
def test_weights_that_float32_does_not_have(weight):
    rounded = r"received 1e[-+]\d+, which is (0|inf) in float32; .*"
    with pytest.raises(ValueError, match=f"weight of at least 0 for objective 'kd', {rounded}"):
        SoftTargets(weight=weight)
    with pytest.raises(ValueError, match=f"label_weight .* of at least 0, {rounded}"):
        FrozenTeacherDistiller(*pair(), label_weight=weight)
    with pytest.raises(ValueError, match="weight of at least 0 at every epoch"):
        ObjectiveSchedule("kd", {0: weight})


@pytest.mark.parametrize("regime", [FrozenTeacherDistiller, ProKTDistiller])
def test_a_loss_without_any_weight_is_refused_unless_a_schedule_gives_one(regime):
    distiller = regime(*pair(), objectives=SoftTargets(weight=0.0))
    distiller.compile("adam")
    before = distiller.get_weights()
    message = "Expected a weight above 0 of kd or labels in the student's loss, received 0 of each"
    for callbacks in ([], [keras.callbacks.TerminateOnNaN()], keras.callbacks.CallbackList([])):
        with pytest.raises(ValueError, match=message):
            distiller.fit(X, Y, verbose=0, callbacks=callbacks)
    for one, other in zip(before, distiller.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    distiller.student_loss.check_trains([ObjectiveSchedule("kd", {0: 0.0, 5: 1.0})])
    distiller.objectives[0].set_weight(1.0)
    distiller.student_loss.check_trains(None)


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf")])
def test_learning_rates_that_make_models_worse(rate):
    distiller = ProKTDistiller(*pair())
    bad = keras.optimizers.Adam(rate)
    for name, optimizers in (
        ("optimizer", {"optimizer": bad}),
        ("teacher_optimizer", {"optimizer": "adam", "teacher_optimizer": bad}),
    ):
        message = f"Expected {name} with a learning rate of at least 0, received {rate:g};"
        with pytest.raises(ValueError, match=message):
            distiller.compile(**optimizers)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(32), "sample_weight above 0 of one example at least, received 0 of each"),
        (np.linspace(1, -1, 32), "sample_weight of at least 0, received .*, first in example 16"),
    ],
    ids=["zeros", "negative"],
)
def test_sample_weights_that_train_nothing_or_the_opposite(weights, message):
    distiller = compiled()
    with pytest.raises(ValueError, match=f"Expected {message}"):
        distiller.fit(X, Y, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match=f"Expected validation {message}"):
        distiller.fit(X, Y, validation_data=(X, Y, weights), verbose=0)
    with pytest.raises(ValueError, match=f"Expected {message}"):
        distiller.evaluate(X, Y, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match="class_weight above 0 of one class at least"):
        distiller.fit(X, Y, class_weight={0: 0.0, 1: 0.0}, verbose=0)


def test_a_backup_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="Expected directory to be a folder or a new path"):
        compiled().fit(X, Y, verbose=0, callbacks=[ResumableBackup(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == "mine"
