"""Exports a saved student: `KERAS_BACKEND=tensorflow python -m keras_prokt.export --help`.

Where a form of export is written by another backend, `export_student` runs this.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import keras

from keras_prokt import front_ends
from keras_prokt.export import DEFAULT, FORMATS
from keras_prokt.export.process import read_batches
from keras_prokt.export.student import export_compared
from keras_prokt.files import read_record


def main() -> None:
    """Prints what was written, or one line on stderr that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m keras_prokt.export")
    parser.add_argument("student", help="the student as a .keras file")
    parser.add_argument("path", help="where to; of a SavedModel, where the versions go")
    parser.add_argument("--format", default=DEFAULT, help=f"{', '.join(FORMATS)}, or an alias")
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers custom layers of the student; may be repeated",
    )
    parser.add_argument(
        "--front-end",
        metavar="FILE",
        help="adds signatures of raw input: front_end.json of a run",
    )
    parser.add_argument("--class-names", metavar="FILE", help="adds class_name: a JSON list")
    parser.add_argument("--output", metavar="KIND", help="what the logits mean: classes, labels")
    parser.add_argument("--quantize", metavar="DTYPE", help="float16 or int8")
    parser.add_argument("--calibration", metavar="FILE", help="batches of training data: .npz")
    parser.add_argument("--length", type=int, help="of texts, for forms without open lengths")
    parser.add_argument("--no-compare", action="store_true", help="does not open what is written")
    given = parser.parse_args()
    try:
        for module in given.modules:
            importlib.import_module(module)
        front_end = None
        if given.front_end:
            front_end = front_ends.from_json(read_record(Path(given.front_end)))
        class_names = None
        if given.class_names:
            class_names = json.loads(Path(given.class_names).read_text(encoding="utf-8"))
        student = keras.saving.load_model(given.student, compile=False, safe_mode=True)
        calibration: list[Any] = []
        if given.calibration:
            calibration = read_batches(Path(given.calibration), student)
        path = export_compared(
            student,
            given.path,
            given.format,
            front_end=front_end,
            class_names=class_names,
            output=given.output,
            quantize=given.quantize,
            calibration=calibration,
            length=given.length,
            compares=not given.no_compare,
        ).path
        print(path)
    # Keras reports layers that it cannot rebuild as TypeError, in many lines.
    except (ImportError, OSError, TypeError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())[:500]}")


if __name__ == "__main__":
    main()
