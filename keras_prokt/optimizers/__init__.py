"""Optimizers that the paper's recipes need and Keras does not have."""

from keras_prokt.optimizers.coupled_sgd import CoupledSGD

__all__ = ["CoupledSGD"]
