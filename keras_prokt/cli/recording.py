"""The command `record`; imports no Keras itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keras_prokt.app import get_app
from keras_prokt.cli.backend import use_backend_of
from keras_prokt.cli.problems import UsageProblem, echo, problems_in_one_line
from keras_prokt.cli.shared import NewPath, import_option, spec_of_options
from keras_prokt.options import GroupedCommand, with_settings
from keras_prokt.runs.asked_teacher import AskedTeacher, asked_teachers, check_free
from keras_prokt.runs.spec import RunSpec
from keras_prokt.settings import DataSettings, settings_of

_OWN = ("app", "batch_size", "backend", "seed")
_SETTINGS = (*_OWN, *(n for n in settings_of(DataSettings) if n not in ("prepared", "label_noise")))


@click.command(cls=GroupedCommand)
@with_settings(only=_SETTINGS)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    required=True,
    metavar="TEACHER",
    help="A run folder; .keras, .h5 or .onnx; the directory of a SavedModel or of a fine-tuned "
    "BERT; module:function of Keras, or module:function@FILE.safetensors of PyTorch. Of several "
    "the mean probability is stored.",
)
@click.option(
    "--tokenizer",
    help="On texts, the preset or directory of a BERT whose word pieces the teacher reads, if it "
    "brings none.",
)
@click.option(
    "--class-order",
    metavar="A,B,...",
    help="The classes in the order of the outputs of a teacher that does not name them. [default: "
    "the task's order]",
)
@click.option("--out", type=NewPath(), required=True, metavar="FILE.npz", help="The file.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@import_option
def record(
    teachers: tuple[str, ...],
    tokenizer: str | None,
    class_order: str | None,
    out: str,
    overwrite: bool,
    **given: Any,
) -> None:
    """Store the outputs of a trained teacher on the training data, for `run --teacher-outputs`.

    The teacher may be of any framework that is installed here; runs then need neither.

    \b
      keras-prokt record --app digits --teacher teacher.keras --out outputs.npz
      keras-prokt run --app digits --method kd --teacher-outputs outputs.npz
    """
    with problems_in_one_line():
        check_free(Path(out), overwrite)
        spec = spec_of_options({**given, "method": "student", "teacher": tokenizer})
        if tokenizer is not None and not get_app(spec.app).reads_text:
            raise UsageProblem(
                f"Expected no --tokenizer with app {spec.app!r}, received {tokenizer!r}; its "
                "models read no texts."
            )
        _check_word_pieces(spec, asked_teachers(spec, teachers), tokenizer)
        use_backend_of(spec)
        from keras_prokt.runs.recording import record as carry_out

        order = None if class_order is None else [c.strip() for c in class_order.split(",")]
        recorded = carry_out(spec, teachers, out, class_order=order, overwrite=overwrite)
    for name, value in recorded.accuracy.items():
        echo(f"{name}: {value:.4f} on the training labels")
    echo(f"{out}: logits of {len(recorded.logits):,} rows")


def _check_word_pieces(spec: RunSpec, asked: Sequence[AskedTeacher], tokenizer: str | None) -> None:
    """Refuses a teacher of texts of which nobody says what word pieces it reads."""
    if tokenizer is not None or not get_app(spec.app).reads_text:
        return
    for teacher in asked:
        if teacher.spec is spec:  # it brings none of its own
            raise UsageProblem(
                f"Expected --tokenizer with {teacher.name!r}, which brings no word pieces, "
                "received none; name the preset or directory of the BERT that it was made from."
            )
