"""Where a trained teacher can come from: one file an answer, `RECORDERS` lists them.

Its outputs are recorded once, and teach without it. Imports no Keras until one is opened.
"""

from pathlib import Path

from keras_prokt.bert_heads import trained_files
from keras_prokt.recorders.base import Asked, OpenTeacher, Recorder

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")
"""Endings of files that run code when they are read."""


def _is_function(name: str) -> bool:
    module, colon, function = name.partition(":")
    is_name = bool(colon) and function.isidentifier() and module not in ("keras", "hub")
    return is_name and all(part.isidentifier() for part in module.split("."))


RECORDERS: dict[str, Recorder] = {
    "keras": Recorder(
        "a Keras model (.keras, .h5)",
        "keras_model:open_file",
        lambda name: Path(name).suffix.lower() in (".keras", ".h5", ".hdf5"),
    ),
    "onnx": Recorder(
        "an ONNX model (.onnx)",
        "onnx_model:open_onnx",
        lambda name: Path(name).suffix.lower() == ".onnx",
        package="onnxruntime",
        extra="onnx",
    ),
    "torch": Recorder(
        "a PyTorch module with its weights (module:function@FILE.safetensors)",
        "torch_module:open_module",
        lambda name: "@" in name and _is_function(name.partition("@")[0]),
        package="torch",
        extra="torch",
    ),
    "saved_model": Recorder(
        "the directory of a SavedModel",
        "saved_model:open_saved_model",
        lambda name: Path(name, "saved_model.pb").is_file(),
        package="tensorflow",
    ),
    "fine_tuned": Recorder(
        "the directory of a BERT or DistilBERT that transformers has fine-tuned",
        "fine_tuned:open_directory",
        lambda name: bool(trained_files(name)),
        knows_classes=True,
    ),
    "function": Recorder(
        "a function that makes a trained Keras model (module:function)",
        "keras_model:open_function",
        _is_function,
    ),
}
"""Kinds of teachers by name; the first that reads what a user names."""


def recorder_of(name: str) -> Recorder:
    """The row that reads a teacher.

    Args:
        name: A file, a directory, or `module:function`.

    Raises:
        ValueError: If none does, what reads it is not installed, or it is a pickle.

    Example:

    >>> from keras_prokt.recorders import recorder_of
    >>> recorder_of("teacher.keras").title
    'a Keras model (.keras, .h5)'
    """
    weights = name.rpartition("@")[2]
    if Path(weights).suffix.lower() in PICKLES:
        raise ValueError(
            f"Expected weights in safetensors, received the pickle {weights!r}, which would run "
            "code; write them with safetensors.torch.save_file(module.state_dict(), FILE) and give "
            "module:function@FILE."
        )
    for recorder in RECORDERS.values():
        if recorder.reads(name):
            recorder.check_installed(name)
            return recorder
    kinds = "; ".join(recorder.title for recorder in RECORDERS.values())
    raise ValueError(f"Expected a teacher that is {kinds}; received {name!r}; check the path.")


__all__ = ["RECORDERS", "Asked", "OpenTeacher", "Recorder", "recorder_of"]
