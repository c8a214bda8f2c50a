"""A `.keras` file, which need not be of a run, in another form of export."""

from pathlib import Path
from typing import Any

from keras_prokt.export import DEFAULT, get
from keras_prokt.export.described import described
from keras_prokt.export.student import (
    Exported,
    check_installed,
    check_quantization,
    export_compared,
)
from keras_prokt.models.loading import load_student
from keras_prokt.settings import SettingError, argument


def export_file_compared(
    file: str | Path,
    format: str = DEFAULT,
    *,
    path: str | Path | None = None,
    quantize: str | None = None,
    **settings: Any,
) -> Exported:
    """Writes the model of a `.keras` file in a form of `keras_prokt.export.FORMATS`, beside it.

    What the file says of itself goes along: how raw input is read, the names of the classes. It is
    compared with the model on random inputs, as a file brings no data.

    Args:
        file: The file, as of `student.keras` of a run.
        format: The form, as in `keras_prokt.export.export_student`, as the others.
        path: Where to; by default beside the file, by its name.
        quantize: "float16". For int8, export the run, which has training data for the ranges.
        **settings: As in `export_student`.

    Raises:
        ValueError: If there is no such file or it is no model, or `export_student` refuses it.
    """
    check_quantization(format, quantize)
    if quantize is not None and quantize != "float16":
        raise SettingError(
            f"Expected no {argument('quantize')} {quantize} with a file alone, received "
            f"{str(file)!r}; its ranges come from training data: name the run, or call "
            "export_student(..., calibration=...)."
        )
    check_installed(format)
    file = Path(file).expanduser()
    if not file.is_file():
        raise ValueError(
            f"Expected a model file (.keras), received {str(file)!r} where there is none; check "
            "the path."
        )
    about, card = described(file), get(format)
    known = {"front_end": about.front_end, "class_names": list(about.class_names) or None}
    if path is None:
        suffix = Path(card.file or "").suffix
        kind = "" if quantize is None else f"_{quantize}"
        name = f"{file.stem}{kind}{suffix}" if suffix else f"{file.stem}_{card.place}"
        path = file.with_name(name)
    return export_compared(
        load_student(file),
        path,
        format,
        output=about.output,
        quantize=quantize,
        **{name: known[name] for name in card.holds},
        **settings,
    )
