"""Directories that transformers has written, of a BERT or DistilBERT with its head."""

from keras_prokt.models.fine_tuned_bert import fine_tuned_classifier
from keras_prokt.recorders.base import Asked, OpenTeacher
from keras_prokt.recorders.keras_model import open_model


def open_directory(name: str, asked: Asked) -> OpenTeacher:
    """The classifier of a directory, its classes in the order of the task's."""
    return open_model(fine_tuned_classifier(name, list(asked.class_names)), name)
