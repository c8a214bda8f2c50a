"""What all regimes share: two models in one, their inputs, metrics, checks and state."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
from keras import ops

from keras_prokt import backends, losses
from keras_prokt import outputs as output_kinds
from keras_prokt.backends.base import Recording
from keras_prokt.distillers import data_checks, features, model_checks
from keras_prokt.distillers.faults import (
    FAULTS,
    FaultWatch,
    add_wrongness,
    any_not_finite,
    no_wrongness,
    raise_fault,
    watched,
)
from keras_prokt.distillers.heads import Heads
from keras_prokt.distillers.joint_optimizer import apply_gradients
from keras_prokt.losses import (
    LabelLossOnLogits,
    Objective,
    SoftTargets,
    weighted_mean,
)
from keras_prokt.outputs import Output
from keras_prokt.outputs.label_loss import LabelLoss

Tensor = Any
TARGET_MODES = ("inference", "training")

TEMPERATURES = (0.01, 1e4)
"""Least and greatest T: below, the target is the largest logit alone and T² times the divergence
trains nothing; above, all differences of logits are lost in float32."""


Objectives = Objective | str | Sequence[Objective | str] | None


class Batch(NamedTuple):
    """One batch, taken apart."""

    teacher_inputs: Any
    student_inputs: Any
    labels: Tensor
    """What `Output.checked` returns: class indices `(batch,)`, or rows `(batch, width)`."""
    sample_weight: Tensor | None
    size: int | Tensor
    index: Tensor | None = None
    """Position of each example in the training data, `(batch,)`, if the batch has it."""


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


class Step(NamedTuple):
    """What one step of training reports."""

    loss: Tensor
    """The student's whole loss, regularisation included."""
    matched: list[Tensor]
    """Value of each objective."""
    student_logits: Tensor
    """Of the training forward."""
    teacher_logits: Tensor | None
    """Of the teacher before its update, or `None` without a teacher."""
    target_logits: Tensor | None
    """What the student was trained towards, or `None` without a teacher."""
    gap: Tensor | None = None
    """KL(q ‖ p), or `None` without a teacher."""
    teacher_loss: Tensor | None = None
    proximal_logits: Tensor | None = None
    """Of the student's forward before the teacher's update, if that was one of its own."""


class Distiller(keras.Model):
    """Base of the regimes: who trains when. Use one of the subclasses.

    A distiller is a `keras.Model` for which `call`, `predict`, `evaluate` and `export` are the
    student's alone, while `save`, `save_weights` and `load_model` hold everything: both models,
    the optimizer state, random seeds and the distiller's own variables.

    A subclass implements `update_models` and says in `forwards_per_example` what that costs; it
    extends `track_step` if it reports more.

    Args:
        teacher: Model that gives the targets, or `None`.
        student: Model to train. Both output logits of the same width.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`: "classes", one class
            an example, or "labels", independent yes-or-no labels, one or several an example. By
            default "classes" from two logits on, and "labels" of one.
        temperature: `T` of the default objective, soft targets, from 0.01 to 1e4. `None` for 1.
        student_loss_weight: Weight `w` of the labels in the student's loss, in [0, 1]:
            `w · CE + (1 − w) · Σ objectives`; the paper's 1 − α.
        label_weight: Weight `γ >= 0` of the labels in the form `γ · CE + Σ βᵢ · objectiveᵢ`,
            instead of `student_loss_weight`; the βᵢ are the objectives' own weights.
        objectives: What the student matches: objectives, their names (`"crd+kd"`, with the
            default weights), or a list of these; soft targets by default.
        teacher_taps: Where the teacher's parts that the objectives read are: part -> layer name,
            or list of layer names, such as `{"stages": ["block1_out", "block2_out"]}`; a name
            with `:input` is what the layer reads. By default they are found
            (`keras_prokt.distillers.features.find_taps`).
        student_taps: The same for the student.
        teacher_divergence_output: Name of a second output of the teacher that only divergences
            read, as of DeiT's two heads: a key of its outputs if they are a dict, else the name of
            the layer. The labels train the other one, which `predict` and `export` give.
        student_divergence_output: The same of the student.
        target_mode: Mode of the forwards that only make a target, "inference" or "training".
            Neither changes moving statistics or random seeds.
        teacher_inputs: Function of the batch's `x` that gives the teacher's inputs.
        student_inputs: The same for the student. Without functions, a batch whose `x` is a dict
            with the keys `"teacher"` and `"student"` (and `"index"`, the positions of the examples
            in the training data, for objectives with a memory) is taken apart by name, and any
            other `x` goes to both.
        name: Name of the distiller.

    Raises:
        ValueError: On models that cannot be distilled into each other (different widths,
            shared layers, one object twice, probabilities as outputs), on settings out of
            range, and where neither objectives nor labels train anything.
    """

    trains_teacher = False
    """Whether `fit` changes the teacher."""

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        *,
        output: str | None = None,
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
        super().__init__(name=name)
        self.output_kind: Output | None = None if output is None else output_kinds.get(output)
        self._given_output = output
        self._heads = {
            "teacher": Heads("teacher", teacher_divergence_output),
            "student": Heads("student", student_divergence_output),
        }
        model_checks.check_pair(teacher, student, self.output_kind, self._heads)
        if not 0 <= student_loss_weight <= 1:
            raise ValueError(
                "Expected student_loss_weight in [0, 1], received "
                f"{student_loss_weight!r}; 0 trains on the targets alone, 1 on the labels alone."
            )
        if label_weight is not None and student_loss_weight:
            raise ValueError(
                "Expected either student_loss_weight or label_weight, received both; the first "
                "weighs labels and objectives by w and 1 - w, the second the labels alone."
            )
        if target_mode not in TARGET_MODES:
            raise ValueError(f"Expected target_mode in {TARGET_MODES}, received {target_mode!r}.")
        if objectives is not None and temperature is not None:
            raise ValueError(
                "Expected either temperature or objectives, received both; give the temperature "
                "to the objective: objectives=SoftTargets(temperature=...)."
            )
        if temperature is not None:
            _check_temperature(temperature)
        if objectives is None:
            objectives = [SoftTargets(temperature=1.0 if temperature is None else temperature)]
        self.teacher = teacher
        self.student = student
        self.objectives = losses.get(objectives)
        for objective in self.objectives:
            if isinstance(objective, SoftTargets):
                _check_temperature(objective.temperature)
        names = [objective.name for objective in self.objectives]
        if len(set(names)) != len(names):
            raise ValueError(
                f"Expected objectives of different names, received {names}; give one a name="
            )
        self.student_loss_weight = float(student_loss_weight)
        self._is_weighted_by_halves = label_weight is None
        gamma = self._checked_label_weight(
            student_loss_weight if label_weight is None else label_weight
        )
        self.label_weight = keras.Variable(
            gamma, trainable=False, dtype="float32", name="label_weight"
        )
        self._reads_labels = gamma > 0
        self.target_mode = target_mode
        self._given_taps = {
            "teacher": features.check_taps(teacher_taps or {}, teacher, "teacher"),
            "student": features.check_taps(student_taps or {}, student, "student"),
        }
        self._taps: dict[str, features.Taps] | None = None
        self._teacher_inputs = teacher_inputs
        self._student_inputs = student_inputs

        self.skip_batches = 0
        """Batches that `fit` still has to pass over without training (resuming in an epoch)."""
        self.faults = keras.Variable(
            [0.0] * len(FAULTS), trainable=False, name="faults", aggregation="sum"
        )
        self.wrongness = keras.Variable(
            no_wrongness(), trainable=False, name="wrongness", aggregation="mean"
        )
        self._evaluates_jointly = False
        self._evaluated_jointly = None
        self._test_functions: dict[bool, Any] = {}
        self._note_built()

    # What Keras asks of a model: the student answers.

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """The student's logits, shape `(batch, width)`."""
        predicted = self.student(self._inputs_of("student", inputs), training=training)
        return self._heads["student"].split(self.student, predicted)[0]

    def export(self, filepath: Any, **kwargs: Any) -> Any:
        """Writes the student alone as a SavedModel: `keras_prokt.export.export_saved_model`."""
        from keras_prokt.export import export_saved_model

        kind = {} if self.output_kind is None else {"output": self.output_kind.id}
        student = self._heads["student"].without_second(self.student)
        return export_saved_model(student, filepath, **{**kind, **kwargs})

    @property
    def output_width(self) -> int:
        """Width of both models' outputs: the number of classes or labels."""
        return self._output_width

    @property
    def num_classes(self) -> int:
        """Same as `output_width`."""
        return self._output_width

    @property
    def forwards_per_example(self) -> dict[str, int]:
        """What a step of training costs: role -> forwards for each example of a batch.

        A backward counts as two forwards. Known when the models are built; it changes where the
        step is compiled anew, as when λ leaves 0.
        """
        raise NotImplementedError

    @property
    def _student_step_forwards(self) -> int:
        # Where no term of the loss reads the student's gradient, it has no backward.
        return 3 if self._trains_student else 1

    @property
    def trained_by_student(self) -> list[keras.Variable]:
        """What the student's optimizer updates: the student and the objectives' adapters.

        The adapters alone, where no term of the loss reads the student.
        """
        student = self.student.trainable_variables if self._trains_student else []
        return [*student, *self._adapters]

    @property
    def _adapters(self) -> list[keras.Variable]:
        return [v for o in self.objectives for v in o.trainable_variables]

    @property
    def _trains_student(self) -> bool:
        return self._reads_labels or any(o.trains_student for o in self.objectives)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that `fit` changes by gradients: not those of a fixed teacher."""
        of_teacher = self.teacher.trainable_variables if self.trains_teacher else []
        return [*of_teacher, *self.trained_by_student]

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All other variables."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """Same as `trainable_variables`."""
        return self.trainable_variables

    def set_label_weight(self, value: float) -> None:
        """Sets the weight γ of the labels in the student's loss for the steps to come.

        Raises:
            ValueError: If it is negative or not finite, or 0 without any objectives.
        """
        value = self._checked_label_weight(value)
        self.label_weight.assign(value)
        if value > 0 and not self._reads_labels:
            # The step compiled for γ = 0 lacks the label loss; this is the only retrace.
            self._reads_labels = True
            if self.train_function is not None:
                self.make_train_function(force=True)

    def _checked_label_weight(self, value: float) -> float:
        value = float(value)
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"Expected a label_weight (γ) of at least 0, received {value!r}; 0 leaves the "
                "labels out of the student's loss."
            )
        if value == 0 and not self.objectives:
            raise ValueError(
                "Expected objectives, or labels in the student's loss, received objectives=[] "
                "and no weight of the labels, which trains nothing; give an objective, a "
                "label_weight or a student_loss_weight."
            )
        if value == 0 and self._heads["student"].second is not None:
            raise ValueError(
                "Expected labels in the loss of a student with a student_divergence_output, "
                "received no weight of them, so that nothing would train its other output; give a "
                "label_weight."
            )
        return value

    # Compilation.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: LabelLoss = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Configures training.

        Args:
            optimizer: The student's optimizer, as in Keras: an object, a name, a config.
            loss: Loss on the labels. `None` is the cross entropy from logits, sparse or not by
                the labels' shape, or the binary cross entropy of `output="labels"`. Keras's losses,
                by name, class, function or object, receive what they were made for: those of
                probabilities softmax(logits) or sigmoid(logits), the cross entropies and hinge
                losses the logits. One of your own receives the logits, or probabilities if its
                `from_logits` is `False` (`keras_prokt.losses.LabelLossOnLogits`).
            metrics: Metrics of the student's logits against the labels; with `output="labels"` of
                sigmoid(logits).
            weighted_metrics: The same, weighted by `sample_weight` or `class_weight`.
            run_eagerly: As in Keras.
            steps_per_execution: Steps that are sent to the device at once, as in Keras; on JAX in
                one dispatch too (`jax.lax.scan`), unless it computes on the CPU.
            jit_compile: As in Keras; `"auto"` is XLA on accelerators and on JAX.
        """
        self._compile_arguments = {
            "optimizer": keras.optimizers.get(optimizer),
            "loss": loss,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        self._compile_with(scaled_optimizer(self._compile_arguments["optimizer"], self.student))

    def _compile_with(self, optimizer: keras.optimizers.Optimizer) -> None:
        arguments = self._compile_arguments
        self._make_label_loss()
        self._test_functions.clear()
        super().compile(
            optimizer=optimizer,
            metrics=arguments["metrics"],
            weighted_metrics=arguments["weighted_metrics"],
            run_eagerly=arguments["run_eagerly"],
            steps_per_execution=arguments["steps_per_execution"],
            jit_compile=arguments["jit_compile"],
            auto_scale_loss=False,
        )
        self._build_optimizer()

    def _make_label_loss(self) -> None:
        """Makes the loss on the labels, as soon as its kind of output is known."""
        if self.output_kind is None:
            return
        self.label_loss = LabelLossOnLogits(self._compile_arguments["loss"], self.output_kind)
        for name in ("metrics", "weighted_metrics"):
            for metric in keras.tree.flatten(self._compile_arguments[name]):
                self.output_kind.check_metric(metric)

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        return {
            key: keras.saving.serialize_keras_object(value)
            for key, value in self._compile_arguments.items()
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _build_optimizer(self) -> None:
        # Before the first trace: TensorFlow cannot create variables inside it.
        if self.built and self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    # Training and evaluation.

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does, with the same arguments.

        Raises:
            ValueError: Before the first step, if the data does not fit the models or the loss.
            TrainingFault: After the step in which labels, inputs or losses went bad, and after
                an epoch without a batch or whose losses are finite and absurd
                (`keras_prokt.distillers.faults`).
        """
        self._assert_compile_called("fit")
        arguments = inspect.signature(super().fit).bind(x, y, *args, **kwargs).arguments
        arguments["x"] = self._prepare(x, y, arguments.get("sample_weight"))
        if arguments.get("validation_data") is not None:
            arguments["validation_data"] = self._checked_validation(arguments["validation_data"])
        if data_checks.has_own_order(arguments["x"]):
            arguments.setdefault("shuffle", False)  # Keras warns of its own default otherwise
        watch = FaultWatch()
        arguments["callbacks"] = watched(arguments.get("callbacks"), watch, self)
        if arguments.get("class_weight") is not None:
            self.output_kind.check_class_weight(y, self.output_width)
        self._forget_faults()
        try:
            return super().fit(**arguments)
        except UnboundLocalError:
            # Keras's trainer on JAX reads the logs of the last batch, though there was none.
            watch.raise_if_empty()
            raise

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One step on one batch, as `keras.Model.train_on_batch`."""
        self._assert_compile_called("train_on_batch")
        self._prepare(x, y)
        self._forget_faults()
        logs = super().train_on_batch(x, y, *args, **kwargs)
        raise_fault(self)
        return logs

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch, as `keras.Model.test_on_batch`."""
        self._assert_compile_called("test_on_batch")
        self._prepare(x, y, roles=("student",))
        return super().test_on_batch(x, y, *args, **kwargs)

    def _forget_faults(self) -> None:
        self.faults.assign(ops.zeros((len(FAULTS),)))
        self.wrongness.assign(no_wrongness())

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student, as `keras.Model.evaluate`; changes nothing.

        `loss` is the student's loss on the labels. During `fit`, validation reports both models.

        Raises:
            ValueError: Before the first batch, if the data does not fit the student or the loss.
            TrainingFault: If there was no batch, or one with bad labels or inputs.
        """
        self._assert_compile_called("evaluate")
        # Keras passes this flag when `fit` validates.
        self._evaluates_jointly = bool(kwargs.get("_use_cached_eval_dataset"))
        if self._evaluates_jointly:
            return super().evaluate(x, y, *args, **kwargs)
        arguments = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs).arguments
        further = arguments.pop("kwargs", {})
        weight = arguments.get("sample_weight")
        arguments["x"] = self._prepare(x, y, weight, roles=("student",))
        arguments["callbacks"] = watched(arguments.get("callbacks"), FaultWatch(), self)
        self._forget_faults()
        return super().evaluate(**arguments, **further)

    def make_train_function(self, force: bool = False) -> Any:
        if force or self.train_function is None:
            self._renew("train_step")
            super().make_train_function(force=True)
            backend = backends.current()
            train_function = backend.train_function(self, self.train_function)
            self.train_function = backend.keeping_state(self, self._passing_over(train_function))
        return self.train_function

    def _renew(self, step: str) -> None:
        # JAX remembers what it compiled by the function's identity, and all bound methods of one
        # name are the same to it: what a step does would stay what it was at the first trace.
        self.__dict__[step] = functools.partial(getattr(type(self), step), self)

    def _passing_over(self, train_function: Callable[..., Any]) -> Callable[..., Any]:
        """A train function that passes over the first `skip_batches` batches."""

        def step(*arguments: Any) -> Any:
            if self.skip_batches <= 0:
                return train_function(*arguments)
            for _ in range(self.steps_per_execution):
                data = next(iter(arguments[-1]))
            self._build_metrics(data)
            self.skip_batches -= self.steps_per_execution
            return backends.current().run_step(
                self, lambda data: self.get_metrics_result(), *arguments[:-1], data
            )

        return step

    def _build_metrics(self, data: Any) -> None:
        # TensorFlow makes the user's metrics in the first step, which may be passed over; what a
        # checkpoint holds of them has to find its place before.
        if self._compile_metrics is not None and not self._compile_metrics.built:
            _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            labels, _ = self._checked_labels(y)
            self._compile_metrics.build(labels, ops.zeros((1, self.output_width)))

    def make_test_function(self, force: bool = False) -> Any:
        jointly = self._evaluates_jointly
        if force or self._test_functions.get(jointly) is None:
            self._renew("test_step")
            super().make_test_function(force=True)
            self.test_function = backends.current().keeping_state(self, self.test_function)
            self._test_functions[jointly] = self.test_function
        self.test_function = self._test_functions[jointly]
        return self.test_function

    def train_step(self, *arguments: Any) -> Any:
        """One step; the signature is that of the backend's trainer."""
        return backends.current().run_step(self, self._train_on_data, *arguments)

    def test_step(self, *arguments: Any) -> Any:
        """Evaluation of one batch; the signature is that of the backend's trainer."""
        return backends.current().run_step(self, self._test_on_data, *arguments)

    def _train_on_data(self, data: Any) -> dict[str, Any]:
        kind = self.output_kind
        batch, flags = self._take_apart(data)
        step = self.update_models(batch)
        flags.update(self._faults_of(step))
        self._note_faults(flags)
        trained = {
            "teacher": step.teacher_logits if self.trains_teacher else None,
            "student": step.student_logits if self._trains_student else None,
        }
        nats = {
            role: ops.mean(kind.negative_log_likelihood(batch.labels, ops.stop_gradient(logits)))
            for role, logits in trained.items()
            if logits is not None
        }
        self.wrongness.assign(add_wrongness(self.wrongness.value, nats))
        self._loss_tracker.update_state(_poisoned(step.loss, flags), sample_weight=batch.size)
        self.track_step(batch, step)
        return self.get_metrics_result()

    def _note_faults(self, flags: Mapping[str, Tensor]) -> None:
        present = ops.stack([flags.get(fault, ops.zeros(())) for fault in FAULTS])
        # The first step with a fault has the cause; with several steps at once, what it damaged
        # has consequences before the host looks.
        is_set = ops.any(self.faults.value > 0)
        self.faults.assign(ops.where(is_set, self.faults.value, present))

    def _faults_of(self, step: Step) -> dict[str, Tensor]:
        """Which faults of the models a step shows."""
        # Later in training a confident batch of one could look like a distribution.
        is_first = ops.cast(ops.equal(self.optimizer.iterations, 1), "float32")
        # The student's outputs are those of its weights before this step, whatever the teacher is.
        of_student = [x for x in (step.proximal_logits, step.student_logits) if x is not None]
        kind = self.output_kind
        is_finite = ops.all(ops.stack([kind.are_finite(ops.stop_gradient(x)) for x in of_student]))
        bad_student = ops.cast(ops.logical_not(is_finite), "float32")
        flags = {
            "student_weights": is_first * bad_student,
            "student_outputs": bad_student,
            "student_loss": any_not_finite(step.loss),
            "teacher_loss": any_not_finite([step.teacher_loss, step.target_logits]),
            "student_probabilities": is_first * kind.are_probabilities(step.student_logits),
        }
        if step.teacher_logits is not None:
            as_given = is_first if self.trains_teacher else 1.0
            flags["teacher_weights"] = as_given * any_not_finite(step.teacher_logits)
            flags["teacher_probabilities"] = is_first * kind.are_probabilities(step.teacher_logits)
        return flags

    def update_models(self, batch: Batch) -> Step:
        """One step of training on one batch: who trains when."""
        raise NotImplementedError

    def update_student(
        self, batch: Batch, recording: Recording, target: Outputs | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The student's update towards given outputs of the teacher.

        Args:
            batch: The batch.
            recording: The student's forward in training mode on this batch.
            target: What the teacher gives, constants, or `None` without a teacher.

        Returns:
            `(loss, matched)`: the student's loss and the value of each objective.
        """
        optimizer = self.student_optimizer
        scale = self.loss_scale(optimizer)

        def loss_function(outputs: Outputs) -> tuple[Tensor, Any]:
            matched = self._objective_terms(batch, outputs, target, training=True)
            loss = self._student_loss(batch, outputs, matched)
            return loss * scale, (loss, matched)

        (loss, matched), gradients = recording.gradients(loss_function, self._adapters)
        variables = self.trained_by_student
        apply_gradients(optimizer, gradients[-len(variables) :], variables)
        return loss, matched

    @property
    def student_optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of the student."""
        return self.optimizer

    def loss_scale(self, optimizer: keras.optimizers.Optimizer) -> Tensor:
        """Factor of a loss before differentiation: mixed precision, number of replicas."""
        scale = optimizer.scale_loss(ops.ones((), dtype="float32"))
        return scale / backends.current().number_of_replicas()

    def _student_loss(self, batch: Batch, outputs: Outputs, matched: list[Tensor]) -> Tensor:
        scale = 1 - self.student_loss_weight if self._is_weighted_by_halves else 1.0
        loss = outputs.regularization + scale * self._weighted_sum(matched)
        if self._reads_labels:
            of_labels = self.label_loss(batch.labels, outputs.logits, batch.sample_weight)
            loss = loss + self.label_weight.value * of_labels
        return loss

    def _weighted_sum(self, matched: list[Tensor]) -> Tensor:
        total = ops.zeros((), dtype="float32")
        for objective, value in zip(self.objectives, matched, strict=True):
            total = total + objective.weight.value * value
        return total

    def _objective_terms(
        self, batch: Batch, student: Outputs, teacher: Outputs | None, training: bool
    ) -> list[Tensor]:
        if not self.objectives:
            return []
        of_batch = {} if batch.index is None else {"index": batch.index}
        parts = [
            {"logits": outputs.logits, **outputs.parts, **of_batch, **_mask_of(inputs)}
            for outputs, inputs in (
                (teacher, batch.teacher_inputs),
                (student, batch.student_inputs),
            )
        ]
        return [
            weighted_mean(objective(*parts, training=training), batch.sample_weight)
            for objective in self.objectives
        ]

    def _test_on_data(self, data: Any) -> dict[str, Any]:
        jointly = self._evaluates_jointly and self.teacher is not None
        batch, flags = self._take_apart(data, with_teacher=jointly)
        self._note_faults(flags)
        student = self._forward(
            self.student, batch.student_inputs, training=False, with_parts=jointly
        )
        loss = self.label_loss(batch.labels, student.logits, batch.sample_weight)
        loss = loss + student.regularization
        self._loss_tracker.update_state(_poisoned(loss, flags), sample_weight=batch.size)
        self._track_student(batch, student.logits)
        reported = {self._loss_tracker, *self.student_metrics, self._compile_metrics}
        if jointly:
            teacher = self._forward(self.teacher, batch.teacher_inputs, training=False)
            reported |= self.track_teacher_evaluation(batch, teacher, student)
        logs: dict[str, Any] = {}
        for metric in self.metrics:
            if metric in reported:
                result = metric.result()
                logs.update(result if isinstance(result, dict) else {metric.name: result})
        return logs

    def track_teacher_evaluation(self, batch: Batch, teacher: Outputs, student: Outputs) -> set:
        """Updates the metrics of validation that need both models; returns them."""
        self._track_pair(batch, teacher.logits, self._gap(batch, student, teacher))
        trackers = {*self.teacher_metrics, self.gap_tracker}
        if any("index" in objective.reads for objective in self.objectives):
            return trackers  # what is remembered of the training data says nothing about others
        matched = self._objective_terms(batch, student, teacher, training=False)
        self._track_objectives(batch, matched)
        several = self.objective_trackers if len(matched) > 1 else []
        return trackers | {self.student_loss_tracker} | set(several)

    def track_step(self, batch: Batch, step: Step) -> None:
        """Updates the metrics of training."""
        self._track_student(batch, step.student_logits)
        if step.teacher_logits is not None:
            self._track_objectives(batch, step.matched)
            self._track_pair(batch, step.teacher_logits, step.gap)

    # Parts of a step.

    def record_forward(self, model: keras.Model, inputs: Any, with_parts: bool = True) -> Recording:
        """A forward whose gradient can be taken later, in training mode.

        A student that no term of the loss trains (a first stage of adapters alone) runs in
        inference mode: its moving statistics stay.

        Args:
            model: The teacher or the student.
            inputs: Its inputs.
            with_parts: Whether what the objectives read is wanted too.
        """
        training = model is self.teacher or self._trains_student
        return backends.current().record(
            lambda: self._forward(model, inputs, training, with_parts),
            model.trainable_variables if training else [],
            self.variables,
        )

    def target_outputs(self, model: keras.Model, inputs: Any, with_parts: bool = True) -> Outputs:
        """Outputs as constant targets; leaves the state of the model as it was.

        Args:
            model: The teacher or the student.
            inputs: Its inputs.
            with_parts: Whether what the objectives read is wanted too.
        """
        training = self.target_mode == "training"
        backend = backends.current()
        with backend.without_gradient(), backend.forgetting_assignments(self.variables):
            logits, parts = self._run(model, inputs, training, with_parts)
        constants = keras.tree.map_structure(ops.stop_gradient, (logits, parts))
        return Outputs(constants[0], ops.zeros((), dtype="float32"), constants[1])

    def divergence(self, target: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Mean KL divergence of outputs from their target over a batch, a scalar, in nats."""
        divergence = self.output_kind.divergence(target, logits)
        return weighted_mean(divergence, batch.sample_weight)

    def _gap(self, batch: Batch, student: Outputs, teacher: Outputs) -> Tensor:
        """KL(q ‖ p)."""
        return self.divergence(student.matched_logits, teacher.matched_logits, batch)

    def _forward(
        self, model: keras.Model, inputs: Any, training: bool, with_parts: bool = True
    ) -> Outputs:
        logits, parts = self._run(model, inputs, training, with_parts)
        regularization = ops.zeros((), dtype="float32")
        for loss in model.losses:
            regularization = regularization + ops.sum(ops.cast(loss, "float32"))
        return Outputs(logits, regularization, parts)

    def _run(
        self, model: keras.Model, inputs: Any, training: bool, with_parts: bool
    ) -> tuple[Tensor, dict[str, Any]]:
        """One pass: the logits, and what the objectives read besides."""
        role = "teacher" if model is self.teacher else "student"
        taps = (self._taps or {}).get(role) if with_parts else None
        if not taps:
            return self._heads[role].split(model, model(inputs, training=training))
        with features.recording_calls(features.tapped_layers(model, taps)) as calls:
            logits, second = self._heads[role].split(model, model(inputs, training=training))
        return logits, {**features.read_parts(calls, taps, model), **second}

    def _take_apart(self, data: Any, with_teacher: bool = True) -> tuple[Batch, dict[str, Tensor]]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None:
            raise ValueError(
                "Expected batches of (inputs, labels) or (inputs, labels, sample_weight), "
                "received inputs alone; add integer or one-hot labels."
            )
        with_teacher = with_teacher and self.teacher is not None
        teacher_inputs = self._inputs_of("teacher", x) if with_teacher else None
        student_inputs = self._inputs_of("student", x)
        labels, flags = self._checked_labels(y)
        flags["inputs"] = any_not_finite([teacher_inputs, student_inputs, sample_weight])
        size = ops.shape(labels)[0]
        index = x["index"] if _is_nested(x) and "index" in x else None
        batch = Batch(teacher_inputs, student_inputs, labels, sample_weight, size, index)
        return batch, flags

    def _checked_labels(self, y: Any) -> tuple[Tensor, dict[str, Tensor]]:
        self.output_kind.check_form(y, self.output_width)
        y = ops.convert_to_tensor(y)
        self.label_loss.check_form(y, self.output_width)
        return self.output_kind.checked(y, self.output_width)

    def _track_student(self, batch: Batch, logits: Tensor) -> None:
        for metric in self.student_metrics:
            metric.update_state(batch.labels, logits)
        if self._compile_metrics is not None:
            predicted = self.output_kind.for_metrics(logits)
            self._compile_metrics.update_state(
                batch.labels, predicted, sample_weight=batch.sample_weight
            )

    def _track_objectives(self, batch: Batch, matched: list[Tensor]) -> None:
        total = self._weighted_sum(matched)
        self.student_loss_tracker.update_state(total, sample_weight=batch.size)
        if len(matched) > 1:
            for tracker, value in zip(self.objective_trackers, matched, strict=True):
                tracker.update_state(value, sample_weight=batch.size)

    def _track_pair(self, batch: Batch, teacher_logits: Tensor, gap: Tensor) -> None:
        for metric in self.teacher_metrics:
            metric.update_state(batch.labels, teacher_logits)
        self.gap_tracker.update_state(gap, sample_weight=batch.size)

    # Inputs, building and checks.

    def _inputs_of(self, role: str, x: Any) -> Any:
        function = self._teacher_inputs if role == "teacher" else self._student_inputs
        if function is not None:
            return function(x)
        if _is_nested(x):
            return x.get(role, x)
        return x

    def _prepare(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        roles: Sequence[str] = ("teacher", "student"),
    ) -> Any:
        """Builds what is not built and checks arrays; returns the data to go on with.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            sample_weight: As in `fit`.
            roles: Which of the models read it.
        """
        data_checks.check_readable(x)
        if not self.built:
            inputs, x = data_checks.first_inputs(x)
            self._build_from(inputs)
        self._check_shapes(x, roles)
        return data_checks.check_data(x, y, sample_weight, self.output_width, self.label_loss)

    def _check_shapes(
        self, x: Any, roles: Sequence[str] = ("teacher", "student"), which: str = ""
    ) -> None:
        x = data_checks.visible_inputs(x)
        models = {role: model for role, model in self._models().items() if role in roles}
        for role, model in models.items():
            function = self._teacher_inputs if role == "teacher" else self._student_inputs
            # What a function of the user's makes of them is seen inside the step.
            if x is not None and function is None and getattr(model, "inputs", None):
                expected = _symbolic_inputs(model)
                model_checks.check_input_shapes(role, expected, self._inputs_of(role, x), which)

    def check_inputs(self, x: Any) -> None:
        """Refuses a batch of another shape than the models read, before any training.

        Args:
            x: Inputs as in `fit`, arrays.

        Raises:
            ValueError: With both shapes.
        """
        self._check_shapes(x)

    def _checked_validation(self, data: Any) -> Any:
        """The `validation_data` of `fit`, checked as the training data is."""
        is_arrays = isinstance(data, list | tuple)
        parts = keras.utils.unpack_x_y_sample_weight(data) if is_arrays else (data, None, None)
        x, y, sample_weight = parts
        which = "validation "
        data_checks.check_readable(x, which)
        self._check_shapes(x, which=which)
        loss = self.label_loss
        x = data_checks.check_data(x, y, sample_weight, self.output_width, loss, which)
        return data if is_arrays else x

    def _build_from(self, inputs: Any) -> None:
        widths = {}
        by_role = {role: self._inputs_of(role, inputs) for role in self._models()}
        for role, model in self._models().items():
            received = by_role[role]
            try:
                predicted = model(received)
            except Exception as error:  # whatever the user's model raises, say where it came from
                shapes = keras.tree.map_structure(lambda t: tuple(t.shape), received)
                raise ValueError(
                    f"Expected a {role} that can be built from the data, received inputs of "
                    f"shape {shapes} and {type(error).__name__}: {str(error).strip()}; build the "
                    f"{role} yourself, or name its part of the batch (teacher_inputs=, "
                    "student_inputs=)."
                ) from error
            widths[role] = self._heads[role].check(model, predicted, self.output_kind)
        self._finish_building(widths, by_role)

    def _note_built(self) -> None:
        """Marks the distiller as built if the models say all that is needed."""
        widths = {
            role: self._heads[role].known_width(model, self.output_kind)
            for role, model in self._models().items()
            if model.built
        }
        if len(widths) == len(self._models()) and None not in widths.values():
            inputs = {role: _symbolic_inputs(model) for role, model in self._models().items()}
            self._finish_building(widths, inputs)

    def _finish_building(self, widths: dict[str, int], inputs: dict[str, Any]) -> None:
        if self.teacher is not None:
            model_checks.check_widths(**widths)
        if self.trains_teacher and not self.teacher.trainable_variables:
            raise ValueError(
                "Expected a teacher with trainable variables, received "
                f"{self.teacher.name!r} with none; set teacher.trainable = True, or use "
                "FrozenTeacherDistiller for a fixed teacher."
            )
        if not self.student.trainable_variables:
            raise ValueError(
                f"Expected a student with trainable variables, received {self.student.name!r} "
                "with none; set student.trainable = True."
            )
        self._output_width = widths["student"]
        self.output_kind = self.output_kind or output_kinds.infer(self._output_width)
        self._make_metrics()
        if self.compiled:
            self._make_label_loss()
        self._build_objectives(inputs)
        self.built = True
        self._build_optimizer()

    def _make_metrics(self) -> None:
        kind, width = self.output_kind, self.output_width
        self.student_metrics = kind.metrics(width, "student_")
        if self.teacher is not None:
            self.student_loss_tracker = keras.metrics.Mean(name="student_loss")
            self.teacher_metrics = kind.metrics(width, "teacher_")
            self.gap_tracker = keras.metrics.Mean(name="gap")
        if len(self.objectives) > 1:
            self.objective_trackers = [keras.metrics.Mean(name=o.name) for o in self.objectives]

    def _build_objectives(self, inputs: dict[str, Any]) -> None:
        """Finds the parts that the objectives read, and makes the objectives' adapters."""
        for objective in self.objectives:
            objective.set_output(self.output_kind)
        wanted = {part for objective in self.objectives for part in objective.reads}
        parts = [part for part in features.MODEL_PARTS if part in wanted]
        self._taps, shapes = {}, {}
        for role, model in self._models().items():
            self._taps[role], shapes[role] = {}, {"logits": (None, self.output_width)}
            own = self._own_taps(role)
            if not parts and not own:
                continue
            calls = features.observe(model, inputs[role])
            taps = features.find_taps(calls, parts, self._given_taps[role], role, model)
            self._taps[role] = {**taps, **own}
            read = features.read_parts(calls, self._taps[role], model)
            shapes[role].update(features.shapes_of(read))
        for objective in self.objectives:
            read = [{p: shapes[r][p] for p in objective.reads if p in shapes[r]} for r in shapes]
            objective.build_for(*read)

    def _own_taps(self, role: str) -> features.Taps:
        """Layers that objectives name themselves."""
        return {p: tap for o in self.objectives for p, tap in o.own_taps(role).items()}

    def _models(self) -> dict[str, keras.Model]:
        models = {"student": self.student}
        return models if self.teacher is None else {"teacher": self.teacher, **models}

    # Serialization.

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            **{role: serialize(model) for role, model in self._models().items()},
            "objectives": [serialize(objective) for objective in self.objectives],
            **self._weight_config(),
            **{f"{role}_taps": taps for role, taps in self._given_taps.items()},
            "output": self._given_output,
            **{f"{role}_divergence_output": h.second for role, h in self._heads.items()},
            "target_mode": self.target_mode,
            "teacher_inputs": serialize(self._teacher_inputs),
            "student_inputs": serialize(self._student_inputs),
        }

    def _weight_config(self) -> dict[str, float]:
        if self._is_weighted_by_halves:
            return {"student_loss_weight": self.student_loss_weight}
        return {"label_weight": float(ops.convert_to_numpy(self.label_weight))}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        keys = ("teacher", "student", "objectives", "teacher_inputs", "student_inputs")
        restored = {k: deserialize(config[k], custom_objects) for k in keys if k in config}
        return cls(**{**config, **restored})

    def own_state(self) -> list[keras.Variable]:
        """Variables that `save` stores for the distiller itself: γ and all layers' random seeds.

        Keras files do not hold the state of seed generators; without it, training with dropout
        would go on with other random numbers than an uninterrupted run.
        """
        kept_by_keras = {id(v) for v in self.weights}
        seeds = [v for v in self.variables if id(v) not in kept_by_keras]
        return [*seeds, self.label_weight]

    def save_own_variables(self, store: Any) -> None:
        for index, variable in enumerate(self.own_state()):
            store[str(index)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        variables = self.own_state()
        if len(store.keys()) != len(variables):
            raise ValueError(
                f"Expected {len(variables)} variables of {type(self).__name__}, received "
                f"{len(store.keys())}; the file was written by another kind of distiller or with "
                "other layers."
            )
        for index, variable in enumerate(variables):
            variable.assign(store[str(index)])
        # A distiller made with γ = 0 has to take up the label loss.
        self.set_label_weight(float(ops.convert_to_numpy(self.label_weight)))

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing: both models arrive built."""


def _check_temperature(value: float) -> None:
    least, greatest = TEMPERATURES
    if not least <= value <= greatest:
        raise ValueError(
            f"Expected a temperature from {least:g} to {greatest:g}, received {value!r}; 1 leaves "
            "the distributions as they are, 4 is usual for images."
        )


def _is_nested(x: Any) -> bool:
    """Whether a batch names its parts for the two models."""
    roles = {"teacher", "student"}
    return isinstance(x, Mapping) and bool(roles & set(x)) and set(x) <= {*roles, "index"}


def _mask_of(inputs: Any) -> dict[str, Tensor]:
    """Where a text batch has real tokens."""
    if isinstance(inputs, Mapping) and "padding_mask" in inputs:
        return {"mask": ops.cast(inputs["padding_mask"], "float32")}
    return {}


def _symbolic_inputs(model: keras.Model) -> Any:
    """The inputs of a functional or sequential model, in the structure that it is called with."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _poisoned(loss: Tensor, flags: Mapping[str, Tensor]) -> Tensor:
    """The loss, or NaN if a fault is flagged: the one value that the host looks at."""
    bad = ops.sum(ops.stack(list(flags.values())))
    return ops.where(bad > 0, ops.full_like(loss, float("nan")), loss)


def scaled_optimizer(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> keras.optimizers.Optimizer:
    """The optimizer, with dynamic loss scaling if the model computes in float16."""
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if model.dtype_policy.name == "mixed_float16" and not is_scaled:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
