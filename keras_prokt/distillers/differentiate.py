"""Differentiation, as `base.py` and `joint.py` name it until they ask `keras_prokt.backends`."""

from keras_prokt import backends
from keras_prokt.backends.base import Recording

__all__ = ["Recording", "after", "record", "without_gradient"]


def record(*arguments):
    return backends.current().record(*arguments)


def without_gradient():
    return backends.current().without_gradient()


def after(*arguments):
    return backends.current().after(*arguments)
