"""Values (regression): every weight equals a hand-written distillation of Gaussians."""

import keras
import numpy as np
import pytest
from digits_by_output import app_of, digits_and_thirds, registered
from keras import layers
from marks import crossed
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, mean_squared_error

from keras_prokt import (
    FrozenTeacherDistiller,
    MutualDistiller,
    ProKTDistiller,
    StudentCheckpoint,
    StudentOnly,
    TrainingFault,
    export_saved_model,
    outputs,
    uniform_start,
)
from keras_prokt.losses import LabelLossOnLogits, SmoothedCrossEntropy
from keras_prokt.losses.contrastive import ContrastiveRepresentation
from keras_prokt.outputs import Values
from keras_prokt.results.evaluation import chance

BATCH, RATE, MOMENTUM = 32, 0.05, 0.9


def diabetes(width=1):
    """Ten measurements, and how far a disease has gone a year later; thrice other values."""
    x, y = load_diabetes(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")[:384]
    y = ((y - y.mean()) / y.std()).astype("float32")[:384]
    return (x, y) if width == 1 else (x, np.stack([y, x[:, 2] * x[:, 3], y**2], axis=-1))


def dense(units, width=1):
    return keras.Sequential(
        [keras.Input((10,), name="body"), layers.Dense(units, "relu"), layers.Dense(width)]
    )


def compiled(distiller, **settings):
    rates = {"optimizer": keras.optimizers.SGD(RATE, momentum=MOMENTUM)}
    if distiller.trains_teacher:
        rates["teacher_optimizer"] = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    distiller.compile(**rates, **settings)
    return distiller


def prokt(width=1, **settings):
    return ProKTDistiller(dense(24, width), dense(6, width), output="values", **settings)


METHODS = {
    "prokt": (ProKTDistiller, {"proximal_weight": 0.3}),
    "prokt with labels": (ProKTDistiller, {"proximal_weight": 0.6, "label_weight": 0.5}),
    "kd": (FrozenTeacherDistiller, {"label_weight": 0.5}),
    "dml": (MutualDistiller, {"label_weight": 1.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "width", "weighted"), crossed(METHODS, (1, 3), (False, True)))
def test_every_weight_equals_a_hand_written_distillation(method, width, weighted):
    torch = pytest.importorskip("torch", reason="the independent implementation is in PyTorch")
    import algorithm_oracle

    x, y = diabetes(width)
    weights = np.random.default_rng(0).uniform(0, 2, len(x)).astype("float32")
    teacher, student = dense(24, width), dense(6, width)
    networks = [
        algorithm_oracle.Network(model, algorithm_oracle.dense) for model in (teacher, student)
    ]
    regime, settings = METHODS[method]
    distiller = compiled(regime(teacher, student, output="values", **settings))
    arguments = {"sample_weight": weights} if weighted else {}
    distiller.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, **arguments)

    def half_squares(target, outputs, temperature=1.0):
        return (target - outputs).pow(2).sum(-1) / (2 * width)

    tensors = [torch.tensor(array) for array in (x, y.reshape(len(x), width))]
    tensors += [torch.tensor(weights) if weighted else torch.ones(len(x))]
    tensors += [torch.ones(len(x))] * 2
    batches = map(algorithm_oracle.Rows, *(tensor.split(BATCH) for tensor in tensors))
    algorithm_oracle.train(
        method.split()[0],
        *networks,
        batches,
        half_squares,
        half_squares,
        RATE,
        MOMENTUM,
        **settings,
    )
    for model, network in zip((teacher, student), networks, strict=True):
        for ours, theirs in zip(model.get_weights(), network.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_labels_in_any_form_are_the_same():
    x, y = diabetes()
    results = []
    whole = np.round(10 * y)
    for labels in (whole, whole[:, None], whole.astype("int64"), whole.astype("float64")):
        keras.utils.set_random_seed(0)
        distiller = compiled(prokt())
        distiller.fit(x, labels, batch_size=BATCH, shuffle=False, verbose=0)
        results.append(distiller.student.get_weights())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_logs_evaluation_and_callbacks_know_the_metrics_of_values(tmp_path):
    x, y = diabetes(3)
    distiller = compiled(prokt(3), metrics=[keras.metrics.MeanSquaredError(name="keras_error")])
    checkpoint = StudentCheckpoint(tmp_path / "best.keras")
    stopping = keras.callbacks.EarlyStopping("val_student_mean_squared_error", patience=9)
    history = distiller.fit(
        x, y, epochs=3, validation_data=(x, y), callbacks=[checkpoint, stopping], verbose=0
    ).history
    names = ["mean_squared_error", "mean_absolute_error"]
    assert {f"{p}{r}_{n}" for p in ("", "val_") for r in ("student", "teacher") for n in names} <= (
        set(history)
    )
    assert (checkpoint.monitor, checkpoint.mode) == ("val_student_mean_squared_error", "min")
    assert stopping.best == pytest.approx(min(history["val_student_mean_squared_error"]))
    predicted = distiller.predict(x, verbose=0)
    error = mean_squared_error(y, predicted)
    expected = {
        "loss": error / 2,
        "student_mean_squared_error": error,
        "student_mean_absolute_error": mean_absolute_error(y, predicted),
        "keras_error": error,
    }
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_student_alone_learns_values():
    x, y = diabetes()
    model = compiled(StudentOnly(dense(16), output="values"))
    model.fit(x, y, epochs=5, verbose=0)
    error = model.evaluate(x, y, verbose=0, return_dict=True)["student_mean_squared_error"]
    assert error < 0.7 * chance(y, 1, "mean_squared_error", "values")


def test_the_best_constant_is_the_mean():
    _, y = diabetes(3)
    assert chance(y, 3, "mean_squared_error", "values") == pytest.approx(y.var(0).mean(), rel=1e-5)


@pytest.mark.slow
def test_saved_and_loaded_with_everything(tmp_path):
    x, y = diabetes()
    distiller = compiled(prokt())
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.output_kind.id == "values"
    for model in (distiller, loaded):
        model.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_neutral_start_is_the_mean_of_the_labels():
    x, y = diabetes(3)
    y = y + np.array([10.0, 0, -7], "float32")
    teacher, student = (uniform_start(dense(8, 3), y.mean(axis=0)) for _ in range(2))
    np.testing.assert_allclose(student.predict(x[:1], verbose=0), [y.mean(axis=0)], rtol=1e-6)
    distiller = compiled(ProKTDistiller(teacher, student, output="values"))
    first = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert first["loss"] == pytest.approx(y.var(0).mean() / 2, rel=1e-5)


# What means nothing.


def test_the_kind_has_to_be_named():
    assert [outputs.infer(width).id for width in (1, 2)] == ["labels", "classes"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (diabetes()[1], r"of shape \(batch, 3\) that are numbers, received shape \(384,\)"),
        (np.zeros((384, 2)), r"of shape \(batch, 3\).* received shape \(384, 2\)"),
        (np.full((384, 3), "2"), "received strings; convert them"),
        (np.full((384, 3), np.inf), "Expected finite labels, received NaN or infinity"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    distiller = compiled(prokt(3))
    with pytest.raises(ValueError, match=message) as refused:
        distiller.fit(diabetes()[0], labels, verbose=0)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_labels_of_a_stream_are_looked_at_inside_the_step():
    x, y = diabetes()
    bad = y.copy()
    bad[100] = np.nan

    def batches():
        for start in range(0, len(x), BATCH):
            yield x[start : start + BATCH], bad[start : start + BATCH]

    with pytest.raises(TrainingFault, match="Step 4: Expected finite labels, received NaN"):
        compiled(prokt()).fit(batches(), verbose=0)


@pytest.mark.parametrize("made_first", [True, False])
def test_a_temperature_is_refused(made_first):
    student = dense(6) if made_first else keras.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match=r"temperature 1 for outputs of the kind 'values'.*4\.0"):
        distiller = FrozenTeacherDistiller(dense(24), student, output="values", temperature=4.0)
        compiled(distiller).fit(*diabetes(), verbose=0)


def test_class_weights_names_and_objectives_of_classes_mean_nothing(tmp_path):
    x, y = diabetes()
    with pytest.raises(ValueError, match="no class_weight for outputs of the kind 'values'"):
        compiled(prokt()).fit(x, y, class_weight={0: 1.0, 1: 2.0}, verbose=0)
    with pytest.raises(ValueError, match="no class_names for outputs of the kind 'values'"):
        export_saved_model(dense(4), tmp_path, output="values", class_names=["a"])
    with pytest.raises(ValueError, match="received 'crd', which is defined for classes alone"):
        prokt(objectives=ContrastiveRepresentation(num_negatives=8, dimensions=4))
    with pytest.raises(ValueError, match="no label smoothing for outputs of the kind 'values'"):
        Values().smoothed_loss(0.1)


@pytest.mark.slow
def test_a_model_may_end_in_a_sigmoid():
    model = keras.Sequential([keras.Input((10,)), layers.Dense(1, activation="sigmoid")])
    x, y = diabetes()
    compiled(ProKTDistiller(dense(8), model, output="values")).fit(x, y, verbose=0)


# Losses.

LABELS = np.array([[1.0, 0.5], [-2.0, 3.0]], "float32")
MEANS = np.array([[2.0, 1.0], [0.5, 3.5]], "float32")
ERRORS = LABELS - MEANS


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (None, np.mean(ERRORS**2) / 2),
        ("mse", np.mean(ERRORS**2)),
        (keras.losses.MeanAbsoluteError, np.mean(abs(ERRORS))),
        (keras.losses.Huber(), np.mean([0.5, 0.125, 2.0, 0.125])),
        (keras.losses.log_cosh, np.mean(np.log(np.cosh(ERRORS)))),
        ("mape", 100 * np.mean(abs(ERRORS / LABELS))),
    ],
)
def test_losses_of_values_get_them(loss, expected):
    tensors = map(keras.ops.convert_to_tensor, (LABELS, MEANS))
    assert float(LabelLossOnLogits(loss, Values())(*tensors)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        *("sparse_categorical_crossentropy", "binary_crossentropy", "kl_divergence", "poisson"),
        SmoothedCrossEntropy(0.1),
    ],
)
def test_losses_of_other_kinds_are_refused(loss):
    with pytest.raises(ValueError, match="'values'.*; leave out loss= for half the mean squared"):
        LabelLossOnLogits(loss, Values())


# What leaves.


@pytest.mark.process  # of TensorFlow, on the other backends
def test_a_served_model_returns_values(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="a SavedModel is read by TensorFlow")
    x, _ = diabetes()
    distiller = prokt(3)
    served = tf.saved_model.load(distiller.export(tmp_path))
    result = served.signatures["serving_default"](body=tf.constant(x))
    assert set(result) == {"values"}
    expected = distiller.predict(x, verbose=0)
    np.testing.assert_allclose(result["values"].numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.whole_run
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="whole runs are tested on the default backend"
)
def test_a_run_of_values_starts_at_their_mean(tmp_path):
    from keras_prokt.data.digits import load_digits
    from keras_prokt.models.loading import load_student
    from keras_prokt.runs import RunSpec, run
    from keras_prokt.runs.folder import RunFolder
    from keras_prokt.runs.training import Run

    with registered(app_of(digits_and_thirds, 2, output="values")):
        spec = RunSpec.resolve("questions", "prokt", epochs=3, limit=320)
        start = Run(spec, RunFolder(tmp_path / "none"), cache=tmp_path)
        labels = start.task.train.labels
        for model in (start.teacher, start.student):
            np.testing.assert_allclose(model.layers[-1].bias, labels.mean(axis=0), rtol=1e-6)
        record = run(spec, tmp_path / "run", cache=tmp_path)
    assert (record["results"]["metric"], record["results"]["mode"]) == ("mean_squared_error", "min")
    test = load_digits()["test"]
    predicted = load_student(tmp_path / "run" / "student.keras").predict(test.images, verbose=0)
    found = record["results"]["models"]["student"]["test"]["mean_squared_error"]
    assert found == pytest.approx(
        mean_squared_error(digits_and_thirds(test.labels), predicted), rel=1e-5
    )
