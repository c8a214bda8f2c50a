"""Optimizers that the paper's recipes need and Keras does not have, or not as fast."""

from keras_prokt.optimizers.coupled_sgd import CoupledSGD
from keras_prokt.optimizers.fused_adam import FusedAdam

__all__ = ["CoupledSGD", "FusedAdam"]
