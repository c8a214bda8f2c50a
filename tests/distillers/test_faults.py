"""Training that goes to pieces stops, and the message names the model that did it."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from marks import thorough

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    OnOptimizer,
    ProKTDistiller,
    StudentOnly,
    TrainingFault,
    models,
)
from keras_prokt.data.digits import load_digits
from keras_prokt.distillers import faults

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = RNG.integers(0, 3, 64)
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}
Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def network(units=8, stateful=False):
    stack = [keras.Input((4,)), layers.Dense(units, activation="relu")]
    stack += [layers.Dense(units, activation="relu")]
    if stateful:
        stack += [layers.Dropout(0.1, seed=1)]
    return keras.Sequential([*stack, layers.Dense(3)])


def overflowing(model):
    """Weights that are finite, and outputs that are not."""
    model.set_weights([np.full_like(w, 3e38) for w in model.get_weights()])
    return model


# Outputs that are not finite.


@pytest.mark.parametrize("stateful", [False, True], ids=["one forward", "two forwards"])
@pytest.mark.parametrize("regime", [ProKTDistiller, MutualDistiller])
def test_a_student_that_diverges_is_named_though_the_teacher_reads_it_first(regime, stateful):
    distiller = regime(network(), network(stateful=stateful))
    distiller.compile(SGD(1e12), teacher_optimizer=SGD(0.01))
    with pytest.raises(TrainingFault, match="Step [2-9]: The student's outputs became NaN or inf"):
        distiller.fit(X, Y, **FIT)


def test_logits_that_are_too_far_apart_are_the_students_fault():
    student = network()
    distiller = ProKTDistiller(network(), student)
    distiller.compile(SGD(0.01))
    distiller.fit(X, Y, **FIT)
    *weights, bias = student.get_weights()
    student.set_weights([*weights, np.array([3e38, -3e38, 0], "float32")])
    assert np.isfinite(student.predict(X, verbose=0)).all()
    with pytest.raises(TrainingFault, match="Step 9: The student's outputs"):
        distiller.fit(X, Y, **FIT)


def test_outputs_that_only_the_teacher_reads_are_the_students_fault():
    normalization = layers.BatchNormalization()
    student = keras.Sequential([keras.Input((4,)), normalization, layers.Dense(3)])
    distiller = ProKTDistiller(network(), student)
    distiller.compile(SGD(0.01))
    distiller.fit(X, Y, **FIT)
    # Seen in inference mode alone, which the student does not learn in.
    normalization.moving_mean.assign([np.inf] * 4)
    with pytest.raises(TrainingFault, match="Step 9: The student's outputs"):
        distiller.fit(X, Y, **FIT)


def test_a_teacher_that_diverges_is_named():
    distiller = ProKTDistiller(network(), network(4))
    distiller.compile(SGD(0.01), teacher_optimizer=SGD(1e30))
    with pytest.raises(TrainingFault, match="The teacher's loss or outputs became NaN or infinite"):
        distiller.fit(X, Y, epochs=3, **FIT)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has one step an execution on PyTorch")
def test_of_several_steps_at_once_the_first_one_with_a_fault_counts():
    # The teacher goes in the first step; in the second the student's own weights are NaN as well.
    distiller = ProKTDistiller(network(), network(4))
    distiller.compile(SGD(0.01), teacher_optimizer=SGD(1e38), steps_per_execution=4)
    with pytest.raises(TrainingFault, match="The teacher's loss or outputs became NaN or infinite"):
        distiller.fit(X, Y, **FIT)
    assert np.isnan(distiller.student.get_weights()[0]).all()


def test_a_fixed_teacher_whose_outputs_are_not_finite():
    distiller = FrozenTeacherDistiller(overflowing(network()), network())
    distiller.compile("adam")
    message = "Step 1: Expected finite outputs from the fixed teacher, .*; check its weights"
    with pytest.raises(TrainingFault, match=message):
        distiller.fit(X, Y, **FIT)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_outputs_that_are_not_finite_before_the_first_update(role):
    pair = {"teacher": network(), "student": network()}
    overflowing(pair[role])
    distiller = ProKTDistiller(**pair)
    distiller.compile("adam")
    message = f"Step 1: Expected finite outputs from the {role} before its first update"
    with pytest.raises(TrainingFault, match=message):
        distiller.fit(X, Y, **FIT)


class HidesNaN(layers.Layer):
    """A ReLU that is 0 for NaN, as TensorFlow's is on some processors."""

    def call(self, inputs):
        return keras.ops.where(inputs > 0, inputs, 0.0)


def hiding_network():
    return keras.Sequential([keras.Input((4,)), layers.Dense(8), HidesNaN(), layers.Dense(3)])


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("regime", [ProKTDistiller, FrozenTeacherDistiller])
def test_weights_that_are_not_finite_to_begin_with(regime, role):
    pair = {"teacher": hiding_network(), "student": hiding_network()}
    kernel = pair[role].weights[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    distiller = regime(**pair)
    distiller.compile("adam")
    message = f"Expected finite weights of the {role} to begin with, received .* in '.*kernel'"
    with pytest.raises(ValueError, match=message):
        distiller.fit(X, Y, **FIT)
    assert distiller.optimizer.iterations == 0


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_weights_that_are_not_finite_where_no_output_shows_it(role, tmp_path):
    pair = {"teacher": hiding_network(), "student": hiding_network()}
    kernel = pair[role].weights[0]
    distiller = ProKTDistiller(**pair)
    distiller.compile("adam")
    message = f"Epoch 1: Expected finite weights of the {role}, received NaN .* in '.*kernel'"
    callbacks = [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: kernel.assign(np.full(kernel.shape, np.nan))
        ),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "saved.keras")),
    ]
    with pytest.raises(TrainingFault, match=message):
        distiller.fit(X, Y, **FIT, callbacks=callbacks)
    assert not list(tmp_path.iterdir())


def test_what_is_not_trained_may_be_infinite():
    student = hiding_network()
    student.layers[0].trainable = False
    student.layers[0].bias.assign(np.full(8, -np.inf))
    distiller = FrozenTeacherDistiller(network(), student)
    distiller.compile("adam")
    distiller.fit(X, Y, **FIT)


# Losses that are finite and absurd.


DIGITS = load_digits()
REGIMES = {
    "prokt": lambda t, s: ProKTDistiller(t, s),
    "prokt, bound": lambda t, s: ProKTDistiller(t, s, proximal_bound=0.1),
    "prokt, λ = 0": lambda t, s: ProKTDistiller(t, s, proximal_weight=0.0),
    "kd": FrozenTeacherDistiller,
    "student": lambda t, s: StudentOnly(s),
}


def fit_digits(regime, optimizer, teacher_optimizer=None, **settings):
    pair = [models.get(f"cnn-{size}")(10, (8, 8, 1)) for size in ("large", "small")]
    distiller = REGIMES[regime](*pair)
    joint = {"teacher_optimizer": teacher_optimizer} if distiller.trains_teacher else {}
    distiller.compile(optimizer, **joint)
    train = DIGITS["train"]
    distiller.fit(train.images, train.labels, batch_size=64, verbose=0, **settings)
    return distiller


@pytest.mark.parametrize("regime", REGIMES)
def test_a_student_that_explodes_is_seen_when_the_epoch_ends(regime):
    saved = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: saved.append(epoch))
    message = r"Epoch 1: training of the student has exploded, .* about 10\^.* was 2\.\d+ in the f"
    with pytest.raises(TrainingFault, match=message):
        fit_digits(regime, Adam(1e6), Adam(1e-3), callbacks=[watch], epochs=2)
    assert saved == []


def test_a_teacher_that_explodes_is_named():
    distiller = ProKTDistiller(network(), network())
    distiller.compile(Adam(1e-3), teacher_optimizer=Adam(1e4))
    with pytest.raises(TrainingFault, match="Epoch 1: training of the teacher has exploded"):
        distiller.fit(X, Y, **FIT)


@pytest.mark.parametrize("regime", ["prokt", "kd", "student"])
@pytest.mark.parametrize(("kind", "rate"), [(Adam, 1e-2), *thorough((Adam, 1e-3), (SGD, 0.1))])
def test_usual_training_is_left_alone(regime, kind, rate):
    distiller = fit_digits(regime, kind(rate), kind(rate), validation_split=0.1)
    assert not ops.convert_to_numpy(distiller.faults.wrongness).any()


def test_a_teacher_that_stays_as_it_is_may_be_as_wrong_as_it_likes():
    teacher = network()
    *weights, bias = teacher.get_weights()
    teacher.set_weights([*weights, np.array([0, 0, 1e6], "float32")])
    distiller = FrozenTeacherDistiller(teacher, network())
    distiller.compile("adam")
    distiller.fit(X, np.zeros_like(Y), epochs=2, **FIT)


def test_inputs_that_nobody_scaled_are_no_explosion():
    distiller = StudentOnly(network())
    distiller.compile(Adam(1e-3))
    inputs = 1e6 * X
    first = distiller.evaluate(inputs, Y, verbose=0, return_dict=True)["loss"]
    assert first > faults.EXPLODED_NATS
    distiller.fit(inputs, Y, epochs=2, **FIT)


def test_one_bad_step_of_an_epoch_is_no_explosion():
    inputs = X.copy()
    inputs[16:24] *= 1e30  # the third of eight batches
    distiller = StudentOnly(network())
    distiller.compile(SGD(1e-30))
    history = distiller.fit(inputs, Y, **FIT).history
    assert history["loss"][0] > faults.EXPLODED_NATS


def test_epochs_of_few_steps_are_judged_together():
    distiller = StudentOnly(network())
    distiller.compile(Adam(1e6))
    with pytest.raises(TrainingFault, match="Epoch 4: training of the student has exploded"):
        distiller.fit(X[:16], Y[:16], epochs=8, **FIT)


def test_a_training_of_few_steps_is_judged_at_its_end():
    distiller = StudentOnly(network())
    distiller.compile(Adam(1e6))
    with pytest.raises(TrainingFault, match="Epoch 3: training of the student has exploded"):
        distiller.fit(X[:16], Y[:16], epochs=3, **FIT)


def test_what_is_matched_may_weigh_as_much_as_it_likes():
    from keras_prokt.losses import SoftTargets

    distiller = FrozenTeacherDistiller(network(), network(), objectives=SoftTargets(weight=1e6))
    distiller.compile("adam")
    history = distiller.fit(X, Y, epochs=2, **FIT).history
    assert max(history["loss"]) > faults.EXPLODED_NATS


# Settings that train nothing.


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_rate_of_0_is_refused_unless_something_may_set_it(role):
    distiller = ProKTDistiller(network(), network(4))
    other = {"student": "teacher", "teacher": "student"}[role]
    rates = {role: 0.0, other: 0.1}
    distiller.compile(SGD(rates["student"]), teacher_optimizer=SGD(rates["teacher"]))
    before = distiller.get_weights()
    watch = [keras.callbacks.TerminateOnNaN()]
    message = f"Expected a learning rate above 0 of the {role}'s optimizer, received 0, which"
    with pytest.raises(ValueError, match=message):
        distiller.fit(X, Y, callbacks=watch, **FIT)
    for one, same in zip(before, distiller.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    schedule = OnOptimizer(role, keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * epoch))
    distiller.fit(X, Y, epochs=2, callbacks=[schedule], **FIT)


def test_a_schedule_that_begins_with_0_is_left_alone():
    warm_up = keras.optimizers.schedules.PolynomialDecay(0.0, 10, end_learning_rate=0.1)
    distiller = StudentOnly(network())
    distiller.compile(SGD(warm_up))
    distiller.fit(X, Y, **FIT)


def test_a_first_epoch_after_the_last_one_is_refused():
    distiller = StudentOnly(network())
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="initial_epoch of at most epochs, 2, received 5.*: 7 for"):
        distiller.fit(X, Y, epochs=2, initial_epoch=5, **FIT)
    # What is trained already and asked for again has nothing to do, as in Keras.
    assert distiller.fit(X, Y, epochs=2, initial_epoch=2, **FIT).history == {}


# Weights of examples in streams.


class Weighted(keras.utils.PyDataset):
    """Batches with weights."""

    def __init__(self, *weights):
        super().__init__()
        self.weights = weights

    def __len__(self):
        return len(self.weights)

    def __getitem__(self, index):
        return X[:8], Y[:8], np.full(8, self.weights[index], "float32")


def test_weights_of_a_stream():
    distiller = ProKTDistiller(network(), network(4))
    distiller.compile(SGD(0.01))
    counts, nothing = Weighted(1.0, 0.0), Weighted(0.0, 0.0)
    distiller.fit(counts, validation_data=counts, epochs=2, verbose=0)
    with pytest.raises(TrainingFault, match="Expected training data with sample_weight above 0"):
        distiller.fit(nothing, validation_data=counts, verbose=0)
    with pytest.raises(TrainingFault, match="Expected evaluation data with sample_weight above 0"):
        distiller.fit(counts, validation_data=nothing, verbose=0)
    with pytest.raises(TrainingFault, match="Expected evaluation data with sample_weight above 0"):
        distiller.evaluate(nothing, verbose=0)
    distiller.evaluate(counts, verbose=0)
    message = "Step 10: Expected sample_weight of at least 0, received a negative one"
    with pytest.raises(TrainingFault, match=message):
        distiller.fit(Weighted(1.0, -1.0), verbose=0)


# What is predicted.


def test_predictions_of_what_is_not_finite_are_refused():
    distiller = ProKTDistiller(network(), network(4))
    distiller.compile(SGD(0.01))
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(
        ValueError, match="finite inputs, received NaN or infinity, first in ex.* 3"
    ):
        distiller.predict(x, verbose=0)

    class Stream(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return (x[index::2],)

    message = "Expected finite outputs of the student, received NaN, first of example 33"
    for student in (network(4), hiding_network()):
        for bad in (np.nan, np.inf):
            x[3, 1] = bad
            distiller = ProKTDistiller(network(), student)
            distiller.compile(SGD(0.01))
            with pytest.raises(ValueError, match=message):
                distiller.predict(Stream(), verbose=0)
            assert np.isfinite(distiller.predict(X, verbose=0)).all()
