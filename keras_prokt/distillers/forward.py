"""One pass of a model: its logits, and what objectives read besides."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_prokt.distillers import features
from keras_prokt.distillers.heads import Heads
from keras_prokt.models.as_logits import as_logits, removed_activation
from keras_prokt.models.endings import ending_of, shows_its_end
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor


class Outputs(NamedTuple):
    """What one forward gave."""

    logits: Tensor
    """Shape `(batch, width)`, float32."""
    regularization: Tensor
    """Sum of the model's own losses (regularisers, `add_loss`), float32 scalar."""
    parts: dict[str, Any]
    """What the objectives read besides: part -> tensor or list of tensors, float32. `logits` is
    the second output of a model that has one for the divergences."""

    @property
    def matched_logits(self) -> Tensor:
        """What divergences read."""
        return self.parts.get("logits", self.logits)


class Forward:
    """How one of the models is run.

    Args:
        role: "teacher" or "student".
        given: The model as the user gave it.
        heads: Which of its outputs are read.
        given_taps: Where the parts are that the objectives read, as far as the user said it.
        kind: What its outputs mean, or `None` if they are to tell.

    Attributes:
        model: The model of logits: `given` itself, or that without its last activation.
        shows_its_end: Whether it is known that these are logits.

    Raises:
        ValueError: On taps that the model does not have, or an activation that cannot be converted.
    """

    def __init__(
        self,
        role: str,
        given: keras.Model,
        heads: Heads,
        given_taps: Mapping[str, Any] | None,
        kind: Output | None = None,
    ):
        self.role = role
        self.given = given
        self.heads = heads
        self._probabilities = (kind or Output).activations
        self.model = given
        self.shows_its_end = False
        self.take_off_activation()
        self.given_taps = features.check_taps(
            {} if given_taps is None else given_taps, self.model, role
        )
        self.taps: features.Taps = {}

    def take_off_activation(self, inputs: Any = None) -> None:
        """Sets `model`, as far as it can be seen how the given one ends.

        Args:
            inputs: Symbolic inputs of a model that had to be built from the data.
        """
        if not self.given.built or self.is_converted:
            return
        ending = ending_of(self.given, inputs)
        if ending and ending.activation in self._probabilities:
            self.model = as_logits(self.given, ending.activation)
        self.shows_its_end = self.is_converted or shows_its_end(self.given, inputs)

    @property
    def is_converted(self) -> bool:
        """Whether the given model has probabilities as outputs."""
        return self.model is not self.given

    @property
    def removed_activation(self) -> str | None:
        """The activation that made probabilities of its logits, if that is known."""
        return removed_activation(self.model)

    def find_taps(self, inputs: Any, parts: Sequence[str], named: features.Taps) -> dict[str, Any]:
        """Finds the parts that objectives read; returns their shapes.

        Args:
            inputs: Symbolic inputs of the model.
            parts: Names of the parts, among `keras_prokt.losses.PARTS`.
            named: Taps that the objectives name themselves.

        Raises:
            ValueError: If the model does not have one of them.
        """
        self.taps = {}
        if not parts and not named:
            return {}
        calls = features.observe(self.model, inputs)
        found = features.find_taps(calls, parts, self.given_taps, self.role, self.model)
        self.taps = {**found, **named}
        return features.shapes_of(features.read_parts(calls, self.taps, self.model))

    def logits_and_parts(
        self, inputs: Any, training: bool, with_parts: bool = True
    ) -> tuple[Tensor, dict[str, Any]]:
        """One pass, without the model's own losses; see `Outputs`."""
        model = self.model
        if not (self.taps and with_parts):
            return self.heads.split(self.given, model(inputs, training=training))
        with features.recording_calls(features.tapped_layers(model, self.taps)) as calls:
            logits, second = self.heads.split(self.given, model(inputs, training=training))
        return logits, {**features.read_parts(calls, self.taps, model), **second}

    def __call__(self, inputs: Any, training: bool, with_parts: bool = True) -> Outputs:
        """One pass.

        Args:
            inputs: The model's inputs.
            training: Its mode.
            with_parts: Whether what the objectives read is wanted too.
        """
        logits, parts = self.logits_and_parts(inputs, training, with_parts)
        regularization = ops.zeros((), dtype="float32")
        for loss in self.model.losses:
            regularization = regularization + ops.sum(ops.cast(loss, "float32"))
        return Outputs(logits, regularization, parts)
