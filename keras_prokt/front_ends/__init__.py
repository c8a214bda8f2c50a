"""How raw input becomes what a model reads: one file a kind."""

from keras_prokt.front_ends.text import TextFrontEnd

__all__ = ["TextFrontEnd"]
