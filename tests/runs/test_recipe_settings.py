"""Settings with which recipes are tried: targets, head start, schedules, wrong labels, held out."""

import keras
import numpy as np
import pytest
from pieces import stopped_run
from small_glue import write_glue

from keras_prokt import load_student
from keras_prokt.app import TaskRequest, get_app
from keras_prokt.callbacks.training_dynamics import read_history
from keras_prokt.data.digits import load_digits
from keras_prokt.distillers import StudentOnly
from keras_prokt.runs import RunSpec, resume, run
from keras_prokt.runs.cost import cost_of
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.task import prepare
from keras_prokt.runs.training import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="whole runs are tested on the default backend",
    ),
]
SMALL = {"limit": 192, "epochs": 3, "batch_size": 32}


def spec_of(method="prokt", **settings):
    return RunSpec.resolve("digits", method, **{**SMALL, **settings})


def planned(spec):
    return plan_of(Run(spec, RunFolder("unused")))


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def weights_of(folder):
    return load_student(folder / "student.keras").get_weights()


@pytest.mark.parametrize("method", ["prokt", "kd", "rco", "ta", "dml"])
def test_the_mode_of_the_targets_reaches_the_distiller(method):
    assert planned(spec_of(method)).distiller.target_mode == "inference"
    assert planned(spec_of(method, target_mode="training")).distiller.target_mode == "training"
    with pytest.raises(ValueError, match="Expected target_mode among inference, training"):
        spec_of(method, target_mode="both")


@pytest.mark.thorough
@pytest.mark.whole_run
def test_lambda_and_gamma_go_from_one_number_to_another(tmp_path, cache):
    changing = {"proximal_weight": "0.6..0", "label_weight": "0..1"}
    spec = spec_of(**changing)
    assert RunSpec.from_json(spec.to_json()) == spec
    record = run(spec, tmp_path / "whole", export=False, cache=cache)
    values = [float(row["proximal_weight"]) for row in read_history(tmp_path / "whole/history.csv")]
    assert values == pytest.approx([0.6, 0.3, 0.0])
    stopped_run(spec, tmp_path / "pieces", [2, 9], cache=cache, export=False)
    resumed = resume(tmp_path / "pieces", cache=cache)
    assert (
        resumed["results"]["models"]["student"]["test"]["accuracy"]
        == (record["results"]["models"]["student"]["test"]["accuracy"])
    )
    for one, other in zip(*(weights_of(tmp_path / n) for n in ("whole", "pieces")), strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong in ("0.6..", "0.6..1", "..", "a..0", "0..0.1..0"):
        with pytest.raises(ValueError, match=r"Expected .*proximal_weight.* received"):
            spec_of(proximal_weight=wrong)


@pytest.mark.whole_run
def test_a_head_start_trains_the_teacher_alone_and_counts(tmp_path, cache):
    spec = spec_of(teacher_head_start=2)
    plan = planned(spec)
    student = [weight.copy() for weight in plan.run.student.get_weights()]
    plan.run.folder = RunFolder(tmp_path / "by_hand")
    plan.run.fit(plan.head_start, 2, "head start", name="head_start")
    # By hand: the same network on the labels, the same data in the same order.
    teacher = planned(spec).run.teacher
    alone = StudentOnly(teacher, student_inputs=lambda x: x["teacher"])
    train = prepare(spec).train
    steps = 2 * len(train)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    alone.compile(optimizer=keras.optimizers.Adam(rate))
    for epoch in range(2):
        for x, y in train.epoch(epoch):
            alone.train_on_batch(x, y)
    for one, other in zip(plan.run.teacher.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    for one, other in zip(plan.run.student.get_weights(), student, strict=True):
        np.testing.assert_array_equal(one, other)
    more = cost_of(plan)["forwards"]["teacher"] - cost_of(planned(spec_of()))["forwards"]["teacher"]
    assert more == 3 * 2 * 192
    record = run(spec, tmp_path / "whole", export=False, cache=cache)
    # In the head start, and after it.
    stopped_run(spec, tmp_path / "pieces", [2, 17], cache=cache, export=False)
    resumed = resume(tmp_path / "pieces", cache=cache)
    for one, other in zip(*(weights_of(tmp_path / n) for n in ("whole", "pieces")), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed["cost"] == record["cost"]


@pytest.mark.thorough
@pytest.mark.whole_run
def test_the_best_epoch_of_the_teacher_teaches_where_that_is_asked_for(tmp_path, cache):
    settings = {"teacher_epochs": 4, "epochs": 4, "teacher_learning_rate": 0.05}
    # As many anchors as epochs: the teacher after each of them.
    run(spec_of("rco", anchors=4, **settings), tmp_path / "rco", export=False, cache=cache)
    [folder] = cache.glob("teachers/*/anchor-4.keras")
    anchors = [load_student(folder.parent / f"anchor-{number}.keras") for number in (1, 2, 3, 4)]
    split = load_digits()["validation"]
    accuracies = [
        np.mean(model.predict(split.images, verbose=0).argmax(-1) == split.labels)
        for model in anchors
    ]
    best = int(np.argmax(accuracies))
    record = run(
        spec_of("kd", teacher_keep="best", **settings), tmp_path / "kd", export=False, cache=cache
    )
    teacher = record["results"]["models"]["teacher"]["validation"]["accuracy"]
    assert teacher == pytest.approx(accuracies[best])
    kept = [path for path in cache.glob("teachers/*/model.keras")]
    assert len(kept) == 2  # the last one of rco's training is another kept teacher
    same = [
        all(
            np.array_equal(*pair)
            for pair in zip(
                load_student(path).get_weights(), anchors[best].get_weights(), strict=True
            )
        )
        for path in kept
    ]
    assert any(same)
    for method, more in (("rco", {}), ("kd", {"teacher_init": "x.keras"})):
        with pytest.raises(ValueError, match="Expected teacher_keep last with|Expected no teacher"):
            spec_of(method, teacher_keep="best", **more)


def test_wrong_labels_are_those_of_training_and_validation_and_never_of_test():
    clean, noisy = (prepare(spec_of(limit=None, **s)) for s in ({}, {"label_noise": 0.3}))
    assert np.mean(clean.train.labels != noisy.train.labels) == pytest.approx(0.3, abs=1e-3)
    assert np.mean(clean.validation.labels != noisy.validation.labels) == pytest.approx(
        0.3, abs=3e-3
    )
    np.testing.assert_array_equal(clean.test.labels, noisy.test.labels)
    right = noisy.more_validation["validation, right labels"]
    np.testing.assert_array_equal(clean.validation.labels, right.labels)
    again = prepare(spec_of("kd", limit=None, label_noise=0.3))
    np.testing.assert_array_equal(again.train.labels, noisy.train.labels)
    other = prepare(spec_of(limit=None, label_noise=0.3, seed=1))
    assert np.any(other.train.labels != noisy.train.labels)


def texts_of(batches):
    return sorted(tuple(row.tolist()) for row in batches.inputs["teacher"]["token_ids"])


def test_rows_held_out_choose_and_public_validation_is_test(bert, tmp_path):
    write_glue(str(tmp_path), ["sst2"])
    app = get_app("glue-sst2")

    def prepared(**changes):
        values = {"teacher": bert, "student": "bilstm", "batch_size": 4, "seed": 0}
        return app.prepare(TaskRequest(**values, data_dir=str(tmp_path), **changes))

    usual, held = prepared(), prepared(hold_out=5)
    assert usual.test is None and not usual.validates_on_training_set
    assert texts_of(held.test) == texts_of(usual.validation)
    assert (held.train.num_examples, held.validation.num_examples) == (7, 5)
    assert sorted(texts_of(held.train) + texts_of(held.validation)) == texts_of(usual.train)
    assert held.validates_on_training_set
    whole, some = (batches.train.inputs["teacher"]["token_ids"] for batches in (usual, held))
    assert held.train.origin.count == 12
    for position, row in zip(held.train.origin.positions, some, strict=True):
        np.testing.assert_array_equal(whole[position], row)
    others = [texts_of(prepared(hold_out=5, split_seed=seed).validation) for seed in (0, 1, 2)]
    assert others[0] == texts_of(held.validation) and len(set(map(str, others))) > 1
    with pytest.raises(ValueError, match="Expected hold_out below the 12 rows"):
        prepared(hold_out=12)
    with pytest.raises(ValueError, match="Expected no split_seed without hold_out"):
        prepared(split_seed=1)
    with pytest.raises(ValueError, match="Expected no hold_out with app 'digits'"):
        spec_of(hold_out=5)
