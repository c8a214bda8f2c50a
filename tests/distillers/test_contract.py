"""What holds for the distillers as Keras models, on every backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_prokt import FrozenTeacherDistiller, ProKTDistiller, StudentOnly

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32") + (X[:, 1] > 0)
BACKEND = keras.backend.backend()


# On PyTorch, Keras draws unseeded dropout from PyTorch's global generator, whose state no model
# holds: dropout has a seed here.
def network(units=8, stateful=False, **dense):
    stack = [keras.Input((4,)), layers.Dense(units, activation="relu", **dense)]
    if stateful:
        stack += [layers.BatchNormalization(momentum=0.9), layers.Dropout(0.3, seed=1)]
    return keras.Sequential([*stack, layers.Dense(3)])


def make(regime="prokt", stateful=True, **kwargs):
    keras.utils.set_random_seed(0)
    teacher, student = network(16, stateful), network(6, stateful)
    if regime == "student":
        return StudentOnly(student, **kwargs)
    classes = {"prokt": ProKTDistiller, "kd": FrozenTeacherDistiller}
    return classes[regime](teacher, student, **kwargs)


def compiled(*args, optimizer="adam", **kwargs):
    distiller = make(*args, **kwargs)
    distiller.compile(optimizer)
    return distiller


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_equal(before, after):
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_logs_of_an_epoch():
    distiller = make()
    distiller.compile("adam", metrics=["accuracy"], weighted_metrics=["accuracy"])
    history = distiller.fit(X, Y, validation_data=(X, Y), verbose=0).history
    both = {"loss", "student_loss", "student_accuracy", "teacher_loss", "teacher_accuracy", "gap"}
    metrics = {"accuracy", "weighted_accuracy"}
    expected = both | metrics | {"proximal_weight"} | {f"val_{k}" for k in both | metrics}
    assert set(history) == expected
    assert history["proximal_weight"] == [pytest.approx(0.3)]


@pytest.mark.parametrize("regime", ["prokt", "kd", "student"])
def test_evaluate_is_the_students_alone_and_changes_nothing(regime):
    distiller = compiled(regime)
    distiller.fit(X, Y, verbose=0)
    before = values(distiller.variables + distiller.optimizer.variables)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert_equal(before, values(distiller.variables + distiller.optimizer.variables))
    assert set(logs) == {"loss", "student_accuracy"}
    logits = distiller.student.predict(X, verbose=0)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert logs["student_accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == Y))
    assert logs["loss"] == pytest.approx(float(cross_entropy(Y, logits)), abs=1e-5)
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), logits)


def test_validation_and_evaluation_in_turn_report_their_own():
    distiller = compiled()
    for _ in range(2):
        history = distiller.fit(X, Y, validation_data=(X, Y), verbose=0).history
        assert "val_teacher_accuracy" in history
        assert set(distiller.evaluate(X, Y, verbose=0, return_dict=True)) == {
            "loss",
            "student_accuracy",
        }


def test_a_fixed_teacher_stays_as_it_is():
    distiller = compiled("kd")
    before = values(distiller.teacher.variables)
    distiller.fit(X, Y, verbose=0, validation_data=(X, Y))
    assert_equal(before, values(distiller.teacher.variables))
    assert distiller.teacher.trainable
    owned = sum(int(np.prod(v.shape)) for v in distiller.optimizer.variables)
    student = sum(int(np.prod(v.shape)) for v in distiller.student.trainable_variables)
    assert owned < 2 * student + 10


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_target_forward_changes_no_state(mode):
    distiller = make(target_mode=mode)
    before = values(distiller.variables)
    distiller.target_outputs(distiller.teacher, X)
    distiller.target_outputs(distiller.student, X)
    assert_equal(before, values(distiller.variables))


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_moving_statistics_move_once_a_step(mode):
    distiller = compiled(target_mode=mode, optimizer="sgd")
    normalization = distiller.teacher.layers[1]
    hidden = ops.convert_to_numpy(distiller.teacher.layers[0](X))
    distiller.train_on_batch(X, Y)
    np.testing.assert_allclose(
        ops.convert_to_numpy(normalization.moving_mean), 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6
    )


def test_setting_lambda_does_not_retrace_except_when_it_leaves_zero():
    traces = []

    class Counting(ProKTDistiller):
        def update_models(self, batch):
            traces.append(1)
            return super().update_models(batch)

    distiller = Counting(network(), network(4), proximal_weight=0.3)
    distiller.compile("sgd")
    data = (X[:16], Y[:16])
    distiller.train_on_batch(*data)
    first = len(traces)
    for weight in (0.5, 0.0, 0.2):
        distiller.set_proximal_weight(weight)
        distiller.train_on_batch(*data)
    assert len(traces) == first if BACKEND != "torch" else 4

    free = Counting(network(), network(4), proximal_weight=0.0)
    free.compile("sgd")
    assert "gap" in free.train_on_batch(*data, return_dict=True)
    free.set_proximal_weight(0.9)
    before = values(free.teacher.trainable_variables)
    plain = ProKTDistiller(network(), network(4), proximal_weight=0.9)
    plain.compile("sgd")
    plain.student.set_weights(free.student.get_weights())
    plain.teacher.set_weights(before)
    plain.train_on_batch(*data)
    free.train_on_batch(*data)
    for one, other in zip(free.teacher.get_weights(), plain.teacher.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_save_and_load_hold_everything_and_training_goes_on_exactly(tmp_path):
    distiller = make(proximal_weight=0.3)
    rate = keras.optimizers.schedules.CosineDecay(0.01, 100)
    distiller.compile(keras.optimizers.Adam(rate), teacher_optimizer=keras.optimizers.AdamW(0.01))
    fit = {"batch_size": 16, "shuffle": False, "verbose": 0}
    distiller.fit(X, Y, **fit)
    distiller.set_proximal_weight(0.4)
    distiller.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    assert isinstance(loaded, ProKTDistiller)
    for one in (distiller, loaded):
        one.fit(X, Y, **fit)
    variables = [d.variables + d.optimizer.variables for d in (distiller, loaded)]
    assert_equal(values(variables[0]), values(variables[1]))
    assert float(loaded.proximal_weight) == pytest.approx(0.4)

    distiller.save_weights(tmp_path / "state.weights.h5")
    loaded.fit(X, Y, **fit)
    loaded.load_weights(tmp_path / "state.weights.h5")
    assert_equal(values(variables[0]), values(variables[1]))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (None, None, None)),
        ({"proximal_bound": 0.5}, (0.5, 1e-3, 1.0)),
        ({"proximal_bound": 0.5, "dual_step_size": 0.1, "dual_initial": 0.0}, (0.5, 0.1, 0.0)),
    ],
)
def test_both_forms_are_made_again_from_their_config(settings, expected):
    for distiller in (one := make(**settings), ProKTDistiller.from_config(one.get_config())):
        bounded = (distiller.proximal_bound, distiller.dual_step_size, distiller.dual_initial)
        assert bounded == expected
        assert (distiller.proximal_weight is None) == ("proximal_bound" in settings)


def test_files_of_an_older_version_hold_settings_that_nothing_used():
    config = {**make().get_config(), "dual_step_size": 0.001, "dual_initial": 1.0}
    distiller = ProKTDistiller.from_config(config)
    assert distiller.dual_step_size is None and distiller.dual_variable is None


@pytest.mark.parametrize("regime", ["kd", "student"])
def test_other_regimes_reload(regime, tmp_path):
    distiller = compiled(regime)
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0))
    loaded.fit(X, Y, verbose=0)


def test_the_saved_student_holds_the_student_alone(tmp_path):
    distiller = compiled()
    distiller.fit(X, Y, verbose=0)
    distiller.student.save(tmp_path / "student.keras")
    student = keras.saving.load_model(tmp_path / "student.keras")
    assert student.count_params() == network(6, True).count_params()
    np.testing.assert_array_equal(student.predict(X, verbose=0), distiller.predict(X, verbose=0))


def test_models_with_different_inputs_by_name_and_by_function():
    nested = {"teacher": X, "student": X[:, :2]}
    student = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    named = ProKTDistiller(network(), student)
    named.compile("adam")
    named.fit(nested, Y, verbose=0)
    assert named.predict({"student": X[:, :2]}, verbose=0).shape == (48, 3)

    student = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    by_function = ProKTDistiller(network(), student, student_inputs=lambda x: x[:, :2])
    by_function.compile("adam")
    by_function.fit(X, Y, verbose=0, validation_data=(X, Y))
    assert by_function.predict(X, verbose=0).shape == (48, 3)


def make_py_dataset():
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            part = slice(16 * index, 16 * index + 16)
            return X[part], Y[part]

    return Data()


def make_generator():
    while True:
        for index in range(3):
            part = slice(16 * index, 16 * index + 16)
            yield X[part], Y[part]


@pytest.mark.parametrize("kind", ["arrays", "py_dataset", "generator", "tf.data", "one-hot"])
def test_kinds_of_data_give_the_same_training(kind):
    reference = compiled(stateful=False)
    reference.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    distiller = compiled(stateful=False)
    if kind == "arrays":
        distiller.fit(X, Y[:, None], 16, 1, 0, shuffle=False)
    elif kind == "py_dataset":
        distiller.fit(make_py_dataset(), shuffle=False, verbose=0)
    elif kind == "generator":
        distiller.fit(make_generator(), steps_per_epoch=3, verbose=0)
    elif kind == "one-hot":
        one_hot = np.eye(3, dtype="float32")[Y]
        distiller.fit(X, one_hot, batch_size=16, shuffle=False, verbose=0)
    else:
        tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
        distiller.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), verbose=0)
    for one, other in zip(distiller.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_loss_forms_are_all_taken_on_logits():
    results = []
    for loss in (
        None,
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=False),
        lambda y, z: keras.losses.sparse_categorical_crossentropy(y, z, from_logits=True),
    ):
        distiller = make(stateful=False, student_loss_weight=0.5)
        distiller.compile("sgd", loss=loss)
        distiller.train_on_batch(X, Y)
        results.append(distiller.get_weights())
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)


def test_learning_rate_callbacks_act_on_both():
    distiller = make()
    distiller.compile(keras.optimizers.Adam(0.1), teacher_optimizer=keras.optimizers.Adam(0.01))
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    distiller.fit(X, Y, callbacks=[halve], verbose=0)
    assert float(distiller.optimizer.student.learning_rate) == pytest.approx(0.05)
    assert float(distiller.optimizer.teacher.learning_rate) == pytest.approx(0.005)


def test_a_warm_up_from_a_rate_of_0_acts_on_both():
    distiller = make()
    distiller.compile(keras.optimizers.Adam(0.1), teacher_optimizer=keras.optimizers.Adam(0.01))
    rates = []
    warm_up = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * epoch)
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(
            float(distiller.optimizer.teacher.learning_rate)
        )
    )
    distiller.fit(X, Y, epochs=3, callbacks=[warm_up, note], verbose=0)
    assert rates == pytest.approx([0.0, 0.01, 0.02])


@pytest.mark.parametrize(
    "options",
    [
        {"global_clipnorm": 0.1},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5},
        {"loss_scale_factor": 128.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_optimizer_features_work_for_each_model(options):
    distiller = make()
    distiller.compile(
        keras.optimizers.SGD(0.1, **options), teacher_optimizer=keras.optimizers.SGD(0.1, **options)
    )
    before = values(distiller.trainable_variables)
    history = distiller.fit(X, Y, batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    moved = [
        np.abs(a - b).max()
        for a, b in zip(before, values(distiller.trainable_variables), strict=True)
    ]
    assert min(moved) > 0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_has_float32_losses(policy):
    keras.config.set_dtype_policy(policy)
    try:
        distiller = compiled(optimizer="sgd")
    finally:
        keras.config.set_dtype_policy("float32")
    history = distiller.fit(X, Y, verbose=0, validation_data=(X, Y)).history
    assert np.isfinite(history["loss"]).all()
    is_scaled = isinstance(distiller.optimizer.student, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")
    assert distiller.optimizer.student is not distiller.optimizer.teacher


def test_steps_per_execution_and_initial_epoch():
    if BACKEND == "torch":
        pytest.skip("Keras does not support steps_per_execution on PyTorch")
    results = []
    for steps in (1, 3):
        distiller = make(stateful=False)
        distiller.compile("adam", steps_per_execution=steps)
        distiller.fit(X, Y, batch_size=16, epochs=3, initial_epoch=1, shuffle=False, verbose=0)
        assert int(distiller.optimizer.iterations) == 6
        results.append(distiller.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX has steps in a scan")
def test_many_steps_in_one_dispatch_are_the_steps_one_by_one(monkeypatch):
    from keras_prokt.backends import jax_steps

    sent = []

    def many_steps_at_once(step, count):
        def counted(state, data):
            sent.append(data)  # when it is traced
            return step(state, data)

        return of_package(counted, count)

    of_package = jax_steps.many_steps_at_once
    monkeypatch.setattr(jax_steps, "many_steps_at_once", many_steps_at_once)
    results = []
    for worthwhile in (False, True):
        monkeypatch.setattr(jax_steps, "is_worthwhile", lambda answer=worthwhile: answer)
        distiller = make(stateful=True)
        distiller.compile("adam", metrics=["accuracy"], steps_per_execution=2)
        # Three batches an epoch: two in one dispatch, and one that is left over.
        history = distiller.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
        assert int(distiller.optimizer.iterations) == 6
        assert bool(sent) == worthwhile
        results.append((distiller.get_weights(), history))
    for one, other in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert results[0][1].keys() == results[1][1].keys()
    for name, values_of_epochs in results[0][1].items():
        np.testing.assert_allclose(values_of_epochs, results[1][1][name], atol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX has steps in a scan")
def test_batches_of_several_shapes_are_sent_one_by_one():
    from keras_prokt.backends.jax_steps import many_steps_at_once

    train_function = many_steps_at_once(lambda state, x: (x.sum(), (state[0] + x.sum(),)), 3)
    batches = iter([np.ones(n, "float32") for n in (2, 2, 2, 2, 3, 2, 5)])
    state, logs = (np.float32(0),), []
    for _ in range(3):
        last, state = train_function(list(state), batches)
        logs.append(float(last))
    assert logs == [2, 2, 5] and float(state[0]) == 18
    with pytest.raises(StopIteration):
        train_function(list(state), batches)

    # Parts that are not there, such as sample weights.
    train_function = many_steps_at_once(lambda state, data: (data[0].sum(), state), 2)
    last, _ = train_function(list(state), iter([(np.ones(2, "float32"), None)] * 2))
    assert float(last) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_batches_passed_over_change_nothing(count):
    skipping = compiled(stateful=True)
    skipping.skip_batches = count
    skipping.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    rest = compiled(stateful=True)
    start = 16 * count
    rest.fit(X[start:], Y[start:], batch_size=16, shuffle=False, verbose=0)
    assert_equal(values(skipping.variables), values(rest.variables))


def test_student_regularisers_and_sample_weights_count():
    distiller = ProKTDistiller(network(), network(4, kernel_regularizer="l2"))
    distiller.compile("sgd")
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    assert logs["loss"] > logs["student_loss"]
    zero = distiller.train_on_batch(X, Y, sample_weight=np.zeros(48), return_dict=True)
    assert zero["student_loss"] == zero["gap"] == 0
