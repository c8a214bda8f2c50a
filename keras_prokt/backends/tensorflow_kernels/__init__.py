"""Kernels of TensorFlow for parts of models and optimizers, which `backends.tensorflow` names."""
