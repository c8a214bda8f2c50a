"""Many steps at once on JAX, as `base.py` names them until it asks `keras_prokt.backends`."""

from keras_prokt.backends.jax_steps import is_worthwhile, keeping_state, many_steps_at_once

__all__ = ["is_worthwhile", "keeping_state", "many_steps_at_once"]
