"""ProKT: the teacher takes one step on the labels, near the student; the student follows it."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_prokt.arguments import checked_number, shown
from keras_prokt.distillers.batch import Batch
from keras_prokt.distillers.joint import JointDistiller
from keras_prokt.distillers.step import Step
from keras_prokt.distillers.student_loss import Objectives
from keras_prokt.typing import Tensor

LARGEST = float(np.finfo("float32").max)


@keras.saving.register_keras_serializable(package="keras_prokt")
class ProKTDistiller(JointDistiller):
    """Trains a teacher and a student together (Algorithm 1 of the ProKT paper).

    On every batch, with teacher distribution `p` and student distribution `q`:

    1. `θ_t ← θ_t − η_t ∇[(1 − λ) · CE(y, p) + λ · KL(q ‖ p)]` (Eq. 7), `q` held constant;
    2. `θ_s ← θ_s − η_s ∇ KL(p⁺ ‖ q)` (Eq. 5), where `p⁺` is the teacher *after* its step.

    In the bounded form (Eq. 6) the teacher minimises CE subject to `KL(q ‖ p) ≤ ε`, by dual
    ascent: its loss is `CE + β (KL − ε)`, and then `β ← max(0, β + ρ (KL − ε))`.

    Where batches have a part `target`, stored logits of another teacher's distribution `r`, it
    stands where the labels stand: `KL(r ‖ p)`, the cross entropy up to the entropy of `r`, in
    place of CE, whatever `loss` is. The labels then are for metrics, and for their weight in the
    student's loss.

    One step costs 4 teacher and 3 student forwards (a backward counted as two) where the
    student computes the same in training and inference mode, or `target_mode="training"`;
    otherwise 4 and 4 (`forwards_per_example`). At λ = 0 the student's extra forward is never run.

    Args:
        teacher: Model trained on the labels. Outputs logits.
        student: Model trained towards the teacher. Outputs logits of the same width.
        proximal_weight: λ in [0, 1): how much the teacher is held near the student. 0.3 by
            default; the paper's Figure 3 goes from 0 to 0.8. `keras-prokt search` chooses it.
        proximal_bound: ε > 0 in nats: the bounded form instead of a fixed λ.
        output: What the logits mean: "classes", one class an example, or "labels", independent
            yes-or-no labels, for which CE is the mean binary cross entropy and KL that of Bernoulli
            distributions; see `Distiller`.
        ignore_class: Label of rows without one, such as -1, which train by the divergences alone;
            see `Distiller`.
        dual_step_size: ρ > 0 of the bounded form, 1e-3 by default; only with `proximal_bound`.
        dual_initial: β₀ >= 0 of the bounded form, 1 by default; only with `proximal_bound`.
        temperature: `T` of the student's soft targets, from 0.01 to 1e4, whose loss is multiplied
            by T². The teacher's proximal term is always at T = 1.
        student_loss_weight: Weight 1 − α of the labels in the student's loss (Eq. 1); the
            paper uses 0.
        label_weight: Weight γ of the labels in the form `γ · CE + Σ βᵢ · objectiveᵢ`.
        objectives: What the student matches; soft targets by default.
        teacher_taps: Where the teacher's parts are that the objectives read; see `Distiller`.
        student_taps: The same for the student.
        teacher_divergence_output: A second output of the teacher that only the divergences read;
            see `Distiller`.
        student_divergence_output: The same of the student.
        target_mode: "inference" (the authors' choice) or "training": the mode of the forwards
            that only make targets. They never change moving statistics or random seeds.
        teacher_inputs: Function of the batch's `x` that gives the teacher's inputs.
        student_inputs: The same for the student; see `Distiller`.
        name: Name of the distiller.

    Raises:
        ValueError: If λ is outside [0, 1), both λ and ε are given, ρ or β₀ without ε, a value is
            not finite, or the models do not fit.

    Example:

    >>> import keras, numpy as np
    >>> from keras_prokt import ProKTDistiller
    >>> def network(units):
    ...     return keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
    ...     )
    >>> distiller = ProKTDistiller(network(32), network(4), proximal_weight=0.3)
    >>> distiller.compile(optimizer="adam", teacher_optimizer="adam")
    >>> x, y = np.random.rand(64, 4).astype("float32"), np.random.randint(0, 3, 64)
    >>> history = distiller.fit(x, y, epochs=2, verbose=0)
    >>> distiller.predict(x, verbose=0).shape
    (64, 3)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        proximal_weight: float | None = None,
        proximal_bound: float | None = None,
        *,
        output: str | None = None,
        ignore_class: int | None = None,
        dual_step_size: float | None = None,
        dual_initial: float | None = None,
        temperature: float | None = None,
        student_loss_weight: float = 0.0,
        label_weight: float | None = None,
        objectives: Objectives = None,
        teacher_taps: Mapping[str, Any] | None = None,
        student_taps: Mapping[str, Any] | None = None,
        teacher_divergence_output: str | None = None,
        student_divergence_output: str | None = None,
        target_mode: str = "inference",
        teacher_inputs: Callable[[Any], Any] | None = None,
        student_inputs: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ):
        super().__init__(
            teacher,
            student,
            output=output,
            ignore_class=ignore_class,
            temperature=temperature,
            student_loss_weight=student_loss_weight,
            label_weight=label_weight,
            objectives=objectives,
            teacher_taps=teacher_taps,
            student_taps=student_taps,
            teacher_divergence_output=teacher_divergence_output,
            student_divergence_output=student_divergence_output,
            target_mode=target_mode,
            teacher_inputs=teacher_inputs,
            student_inputs=student_inputs,
            name=name,
        )
        if proximal_weight is not None and proximal_bound is not None:
            raise ValueError(
                "Expected either proximal_weight (λ) or proximal_bound (ε), received "
                f"λ = {proximal_weight!r} and ε = {proximal_bound!r}; the bounded form finds the "
                "weight itself."
            )
        self.proximal_bound = proximal_bound
        self.dual_step_size = dual_step_size
        self.dual_initial = dual_initial
        self.proximal_weight: keras.Variable | None = None
        self.dual_variable: keras.Variable | None = None
        if proximal_bound is None:
            dual = {"dual_step_size": dual_step_size, "dual_initial": dual_initial}
            for label, value in dual.items():
                if value is not None:
                    raise ValueError(
                        f"Expected no {label} without proximal_bound, received {shown(value)}; "
                        "give proximal_bound (ε) for the bounded form, or leave it out: a fixed "
                        "proximal_weight (λ) has no dual ascent."
                    )
            weight = _checked_weight(0.3 if proximal_weight is None else proximal_weight)
            self.proximal_weight = keras.Variable(
                weight, trainable=False, dtype="float32", name="proximal_weight"
            )
            self.strength_tracker = keras.metrics.Mean(name="proximal_weight")
            self._is_proximal = weight > 0
        else:
            bound = checked_number("proximal_bound (ε)", proximal_bound, is_bounded=True)
            step_size = checked_number(
                "dual_step_size (ρ)",
                1e-3 if dual_step_size is None else dual_step_size,
                is_bounded=True,
            )
            initial = checked_number(
                "dual_initial (β₀)", 1 if dual_initial is None else dual_initial, is_bounded=True
            )
            for label, value, ok in (
                ("proximal_bound (ε) above 0", bound, bound > 0),
                ("dual_step_size (ρ) above 0", step_size, step_size > 0),
                ("dual_initial (β₀) of at least 0", initial, initial >= 0),
            ):
                if not (ok and value <= LARGEST):
                    raise ValueError(
                        f"Expected {label} and finite in float32, received {value!r}; the "
                        "authors have ε = 1, ρ = 0.001 and β₀ = 1."
                    )
            self.proximal_bound = bound
            self.dual_step_size, self.dual_initial = step_size, initial
            self.dual_variable = keras.Variable(
                self.dual_initial,
                trainable=False,
                dtype="float32",
                name="dual_variable",
                aggregation="mean",
            )
            self.strength_tracker = keras.metrics.Mean(name="dual_variable")
            self._is_proximal = True

    takes_targets = True

    def set_proximal_weight(self, value: float) -> None:
        """Sets λ for the steps to come.

        Args:
            value: λ in [0, 1).

        Raises:
            ValueError: If λ is out of range, or the bounded form is used.
        """
        if self.proximal_weight is None:
            raise ValueError(
                "Expected a distiller with proximal_weight, received the bounded form, which "
                "adapts its own weight (dual_variable); construct it without proximal_bound."
            )
        value = _checked_weight(value)
        self.proximal_weight.assign(value)
        if value > 0 and not self._is_proximal:
            # The step compiled for λ = 0 lacks the proximal term; this is the only retrace.
            self._is_proximal = True
            if self.train_function is not None:
                self.make_train_function(force=True)

    def combine(self, label_loss: Tensor, gap: Tensor) -> Tensor:
        if self.dual_variable is not None:
            return label_loss + self.dual_variable.value * (gap - self.proximal_bound)
        weight = self.proximal_weight.value
        return (1 - weight) * label_loss + weight * gap

    def after_teacher_update(self, gap: Tensor | None) -> None:
        if self.dual_variable is not None:
            excess = ops.stop_gradient(gap) - self.proximal_bound
            beta = self.dual_variable + self.dual_step_size * excess
            self.dual_variable.assign(ops.maximum(beta, 0.0))

    def track_step(self, batch: Batch, step: Step) -> None:
        super().track_step(batch, step)
        strength = self.proximal_weight if self.dual_variable is None else self.dual_variable
        self.strength_tracker.update_state(strength.value)

    def own_state(self) -> list[keras.Variable]:
        strength = self.proximal_weight if self.dual_variable is None else self.dual_variable
        return [*super().own_state(), strength]

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        if self.proximal_weight is not None:
            # A distiller made with λ = 0 has to take up the proximal term.
            self.set_proximal_weight(float(ops.convert_to_numpy(self.proximal_weight.value)))

    def get_config(self) -> dict[str, Any]:
        weight = self.proximal_weight
        return {
            **super().get_config(),
            "proximal_weight": None if weight is None else float(ops.convert_to_numpy(weight)),
            "proximal_bound": self.proximal_bound,
            "dual_step_size": self.dual_step_size,
            "dual_initial": self.dual_initial,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        if config.get("proximal_bound") is None:
            # Files of keras_prokt 0.1.0 hold settings of the dual ascent that nothing used.
            config = {**config, "dual_step_size": None, "dual_initial": None}
        return super().from_config(config, custom_objects)


def _checked_weight(value: float) -> float:
    value = checked_number("proximal_weight (λ)", value, is_bounded=True)
    if not 0 <= value < 1:
        raise ValueError(
            f"Expected proximal_weight (λ) in [0, 1), received {value!r}; 0 leaves the teacher "
            "free, values near 1 keep it from learning the labels."
        )
    if np.float32(value) == 1:
        raise ValueError(
            f"Expected proximal_weight (λ) in [0, 1), received {value!r}, which is 1 in float32; "
            "the labels would have no weight at all in the teacher's loss."
        )
    return value
