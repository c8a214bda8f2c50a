"""What is printed after each epoch: which model it is of, and how long it will take."""

import io
from types import SimpleNamespace

import pytest

from keras_prokt.runs.progress import Bar, Countdown, Progress
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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar_below_the_lines_which_is_gone_at_the_end(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress("of a test", stream=shown) as progress:
        progress.set_model(SimpleNamespace(output_kind=SimpleNamespace(main_metric="accuracy")))
        progress.set_params({"epochs": 2, "steps": 4})
        progress.on_train_begin()
        for epoch in range(2):
            progress.on_epoch_begin(epoch)
            progress.on_train_batch_end(3)
            progress.on_epoch_end(epoch, {"loss": 0.5})
        raise KeyboardInterrupt
    text = shown.getvalue()
    assert "of a test epoch 1/2 " in text and "4/4" in text and "s left" in text
    assert "of a test epoch 2/2  loss 0.5000  0 s left\n" in text
    assert "\x1b[?25l" in text  # the cursor is hidden,
    assert text.rindex("\x1b[?25h") > text.rindex("4/4")  # and there again after all


def test_a_log_has_lines_alone():
    shown = io.StringIO()
    with Bar(shown) as bar:
        bar.show("of a test", 3, 4)
        bar.write("[bold] stays as it is")
    assert shown.getvalue() == "[bold] stays as it is\n"


def test_a_pass_over_rows_says_now_and_then_how_long_it_takes(monkeypatch):
    now = 0.0
    monkeypatch.setattr("keras_prokt.runs.progress.time.monotonic", lambda: now)
    shown = io.StringIO()
    with Countdown("record a.onnx", 2000, shown) as countdown:
        for seconds, done in ((5.0, 500), (11.0, 1000), (12.0, 1100)):
            now = seconds
            countdown.reached(done)
        now = 30.0
        countdown.reached(1500, here=750)  # the others were there before
    assert shown.getvalue() == (
        "record a.onnx 1,000/2,000  11 s left\nrecord a.onnx 1,500/2,000  20 s left\n"
    )
