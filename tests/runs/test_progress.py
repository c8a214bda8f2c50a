"""What is printed after each epoch: which model it is of, and how long it will take."""

import io
from types import SimpleNamespace

import pytest

from keras_prokt.runs.progress import Progress
from keras_prokt.runs.training import _trained_in


@pytest.mark.parametrize(
    ("training", "label"),
    [("", "student"), ("first_stage", "student"), ("teacher", "teacher"), ("head_start", "teacher")]
    + [("assistant-cnn-medium", "assistant")],
)
def test_a_teacher_that_is_trained_alone_is_called_the_teacher(training, label):
    shown = io.StringIO()
    progress = Progress("of a test", _trained_in(training), shown)
    progress.set_model(SimpleNamespace(output_kind=SimpleNamespace(main_metric="accuracy")))
    progress.set_params({"epochs": 3})
    progress.on_train_begin()
    progress.on_epoch_begin(1)
    progress.on_epoch_end(1, {"loss": 0.5, "val_student_accuracy": 0.25})
    line = shown.getvalue()
    assert line.startswith(f"of a test epoch 2/3  loss 0.5000  {label} 0.2500  ")
