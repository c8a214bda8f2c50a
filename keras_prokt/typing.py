"""Types that many modules name. This module imports no Keras."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of whichever backend computes, or what it converts: a NumPy array, a Keras variable."""
