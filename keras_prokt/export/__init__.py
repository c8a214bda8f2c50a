"""The student alone, in the form that servers load."""

from keras_prokt.export.saved_model import TextFrontEnd, export_saved_model

__all__ = ["TextFrontEnd", "export_saved_model"]
