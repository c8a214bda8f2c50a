"""In what form the student leaves: one file a form, `FORMATS` lists them.

This package imports no Keras until something is exported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_prokt.export.base import QUANTIZATIONS, Description, Format, FormatCard
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd
from keras_prokt.names import is_known, known_spelling, unknown_name

if TYPE_CHECKING:
    from keras_prokt.export.saved_model import export_saved_model
    from keras_prokt.export.student import export_student

FORMATS: dict[str, FormatCard] = {
    "saved_model": FormatCard(
        "saved_model:SavedModel",
        "SavedModel",
        "saved_model",
        aliases=("tf_saved_model",),
        holds=("front_end", "class_names"),
        packages=("tensorflow",),
        backend="tensorflow",
        has_versions=True,
    ),
    "onnx": FormatCard(
        "onnx:Onnx",
        "ONNX file",
        "onnx",
        holds=("front_end", "class_names"),
        packages=("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
        extra="onnx",
        backend="tensorflow",
        file="model.onnx",
        quantizes=QUANTIZATIONS,
        is_compared=True,
    ),
    "litert": FormatCard(
        "litert:LiteRT",
        "LiteRT file",
        "litert",
        aliases=("tflite",),
        holds=("front_end", "class_names"),
        packages=("tensorflow", "ai_edge_litert"),
        extra="litert",
        backend="tensorflow",
        file="model.tflite",
        quantizes=QUANTIZATIONS,
        is_compared=True,
    ),
    "huggingface": FormatCard(
        "hugging_face:HuggingFace",
        "Hugging Face directory",
        "huggingface",
        aliases=("hf", "transformers"),
        holds=("front_end", "class_names"),
        packages=("transformers", "torch", "safetensors"),
        extra="transformers",
        is_compared=True,
    ),
    "keras": FormatCard("keras_file:KerasFile", "Keras file", "keras", file="model.keras"),
}
"""Forms of export by the name that users type."""

DEFAULT = "saved_model"
"""What a distiller exports where no form is named, and what a run writes at its end."""


def get(name: str) -> FormatCard:
    """The row of a form, by its name or an alias; case, hyphens and underscores do not matter.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.

    Example:

    >>> from keras_prokt import export
    >>> export.get("tf_saved_model").title
    'SavedModel'
    """
    rows = {alias: card for key, card in FORMATS.items() for alias in (key, *card.aliases)}
    known = known_spelling(name, rows)
    if not is_known(known, rows):
        raise ValueError(unknown_name("a form of export", name, rows))
    return rows[known]


_HOME = {"export_saved_model": "saved_model", "export_student": "student"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'keras_prokt.export' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_prokt.export.{_HOME[name]}"), name)


__all__ = [
    "DEFAULT",
    "FORMATS",
    "QUANTIZATIONS",
    "Description",
    "Format",
    "FormatCard",
    "ImageFrontEnd",
    "TextFrontEnd",
    "export_saved_model",
    "export_student",
    "get",
]
