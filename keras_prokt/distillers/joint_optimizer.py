"""One optimizer object that holds the teacher's and the student's optimizers."""

from collections.abc import Callable, Sequence, ValuesView
from typing import Any

import keras

from keras_prokt import backends
from keras_prokt.distillers.learning_rates import rate_of


class JointOptimizer(keras.optimizers.Optimizer):
    """The two optimizers of joint training behind the interface that Keras looks at.

    Keras trainers, `BackupAndRestore`, sharding and learning-rate callbacks know one
    `model.optimizer`. This one owns only a step counter; the state and the update rules are
    those of the two inner optimizers, each with its own clipping, accumulation, moving average
    and loss scale.

    Setting `learning_rate` sets the student's and multiplies the teacher's by the same factor,
    so that Keras's callbacks act on both; `keras_prokt.callbacks.OnOptimizer` acts on one.

    Args:
        teacher: Optimizer of the teacher.
        student: Optimizer of the student (and of adapters of objectives).
        teacher_variables: Returns the teacher's trainable variables; called at `build`, since
            models may be built after `compile`.
        student_variables: Returns those that the student's optimizer updates.

    Raises:
        ValueError: If both are one object, or their gradient accumulation differs.
    """

    def __init__(
        self,
        teacher: keras.optimizers.Optimizer,
        student: keras.optimizers.Optimizer,
        teacher_variables: Callable[[], Sequence[keras.Variable]],
        student_variables: Callable[[], Sequence[keras.Variable]],
    ):
        if teacher is student:
            raise ValueError(
                "Expected two optimizers, received one object for teacher and student; "
                "make a second one: their state cannot be shared."
            )
        super().__init__(learning_rate=0.0, name="joint_optimizer")
        steps = [_inner(o).gradient_accumulation_steps or 1 for o in (teacher, student)]
        if steps[0] != steps[1]:
            raise ValueError(
                "Expected the same gradient_accumulation_steps for both optimizers, received "
                f"{steps[0]} for the teacher and {steps[1]} for the student; the student's target "
                "is the teacher after its update, so both must update in the same step."
            )
        self.teacher = teacher
        self.student = student
        self._ratio: float | None = None  # the teacher's learning rate over the student's
        self._teacher_variables = teacher_variables
        self._student_variables = student_variables

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds both optimizers; Keras passes the variables of both models in one list."""
        if not self.built:
            self.teacher.build(list(self._teacher_variables()))
            self.student.build(list(self._student_variables()))
            self.built = True

    @property
    def variables(self) -> list[keras.Variable]:
        return [*self._variables, *self.student.variables, *self.teacher.variables]

    @property
    def learning_rate(self) -> Any:
        """The student's learning rate."""
        return self.student.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        before = rate_of(self.student)
        if before > 0:
            self._ratio = rate_of(self.teacher) / before
        self.student.learning_rate = learning_rate
        # A warm-up may begin at 0, of which there is no factor to the next one.
        if self._ratio is not None:
            self.teacher.learning_rate = self._ratio * rate_of(self.student)

    @property
    def optimizers(self) -> ValuesView[keras.optimizers.Optimizer]:
        """Both, without their loss scaling: where `keras.callbacks.SwapEMAWeights` finds averages.

        A view and not a list, which Keras would save besides `teacher` and `student`.
        """
        return {"teacher": _inner(self.teacher), "student": _inner(self.student)}.values()

    def count_step(self) -> None:
        """Adds one to `iterations`, the number of joint steps."""
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Puts the moving averages into the models where an optimizer keeps them."""
        self.teacher.finalize_variable_values(list(self._teacher_variables()))
        self.student.finalize_variable_values(list(self._student_variables()))

    def save_own_variables(self, store: Any) -> None:
        # The inner optimizers are saved as children; the default would store them twice.
        for index, variable in enumerate(self._variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside a loss-scaling wrapper."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
) -> None:
    """Applies one optimizer's update, on any backend."""
    backends.current().apply_gradients(optimizer, gradients, variables)


def scaled_optimizer(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> keras.optimizers.Optimizer:
    """The optimizer, with dynamic loss scaling if the model computes in float16."""
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if model.dtype_policy.name == "mixed_float16" and not is_scaled:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
