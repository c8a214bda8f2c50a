"""The student alone, in the form that servers load."""

from keras_prokt.export.saved_model import export_saved_model
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd

__all__ = ["ImageFrontEnd", "TextFrontEnd", "export_saved_model"]
