"""What all regimes share: two models in one, their step, checks and state."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt import outputs as output_kinds
from keras_prokt.backends.base import Recording
from keras_prokt.data.parts import TARGET, beside_inputs
from keras_prokt.distillers import data_checks, model_checks, targets, unlabelled
from keras_prokt.distillers.batch import Batch, BatchReader, CheckedLabels, padding_mask
from keras_prokt.distillers.fault_flags import (
    FAULTS,
    add_wrongness,
    first_flags,
    flags_of_step,
    no_wrongness,
    poisoned,
)
from keras_prokt.distillers.faults import FaultWatch, raise_fault, watched
from keras_prokt.distillers.forward import Forward, Outputs
from keras_prokt.distillers.heads import Heads, Shape
from keras_prokt.distillers.joint_optimizer import apply_gradients, scaled_optimizer
from keras_prokt.distillers.keras_trainer import KerasTrainer
from keras_prokt.distillers.lora import UnmergedAdapters
from keras_prokt.distillers.own_variables import load_variables, save_variables
from keras_prokt.distillers.step import Step
from keras_prokt.distillers.student_loss import Objectives, StudentLoss
from keras_prokt.distillers.tracking import Tracker
from keras_prokt.losses import LabelLossOnLogits
from keras_prokt.models.symbolic_inputs import symbolic_inputs, with_inputs
from keras_prokt.outputs import Output
from keras_prokt.outputs.label_loss import LabelLoss, mean_count
from keras_prokt.typing import Tensor

TARGET_MODES = ("inference", "training")


class Distiller(KerasTrainer):
    """Base of the regimes: who trains when. Use one of the subclasses.

    A distiller is a `keras.Model` for which `call`, `predict`, `evaluate` and `export` are the
    student's alone, while `save`, `save_weights` and `load_model` hold everything: both models,
    the optimizer state, random seeds and the distiller's own variables.

    A subclass implements `update_models` and says in `forwards_per_example` what that costs; it
    extends `track_step` if it reports more.

    Args:
        teacher: Model that gives the targets, or `None`: the regime has none, or the batches have
            its stored outputs.
        student: Model to train. Both have outputs of the same width: logits, or probabilities of
            which the logits are taken (`keras_prokt.as_logits`: the same weights). `predict` and
            `export` give what the student's own model does.
        output: What the logits mean, a key of `keras_prokt.outputs.OUTPUTS`: "classes", one class
            an example, "labels", independent yes-or-no labels, one or several an example,
            "positions", one class at each token or pixel, or "values", numbers (regression). By
            default "classes" from two logits on, "labels" of one, or of sigmoids, and "positions"
            of outputs `(batch, *positions, classes)`.
        ignore_class: Label of rows without one, such as -1, as in Keras's
            `SparseCategoricalCrossentropy`. They take part in all divergences and in no loss on the
            labels, whose mean is that of the batch's labelled rows, 0 if there are none; metrics
            count labelled rows. With `output="labels"` all entries of such a row are it. By default
            every row has a label.
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
        student_inputs: The same for the student; `predict` and `evaluate` take such an `x`, or the
            student's own inputs, of a structure or shape that batches do not have.
            Without functions, a batch whose `x` is a dict with the keys `"teacher"` and `"student"`
            is taken apart by name, and any other `x` goes to both. Besides, such a batch may have
            `"index"`, the positions of the examples in the training data, for objectives with a
            memory, and `"target"`, stored logits of a teacher.
        name: Name of the distiller.

    Raises:
        ValueError: On models that cannot be distilled into each other (different widths,
            shared layers, one object twice, a softmax over another axis than the last one), on
            settings out of range, and where neither objectives nor labels train anything.
    """

    trains_teacher = False
    """Whether `fit` changes the teacher."""

    takes_targets = False
    """Whether batches may have stored outputs of a teacher, the part `target`."""

    needs_targets = False
    """Whether stored outputs are all that teaches."""

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        *,
        output: str | None = None,
        ignore_class: int | None = None,
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
        self.ignore_class = unlabelled.checked_ignore_class(ignore_class)
        self._output_shape: Shape | None = None
        heads = {
            "teacher": Heads("teacher", teacher_divergence_output),
            "student": Heads("student", student_divergence_output),
        }
        model_checks.check_pair(teacher, student, self.output_kind, heads)
        if target_mode not in TARGET_MODES:
            raise ValueError(f"Expected target_mode in {TARGET_MODES}, received {target_mode!r}.")
        self.teacher = teacher
        self.student = student
        self.student_loss = StudentLoss(
            objectives,
            temperature,
            student_loss_weight,
            label_weight,
            needs_labels=student_divergence_output is not None,
        )
        if teacher is None:
            targets.check_without_teacher(
                self.student_loss,
                target_mode,
                teacher_taps=teacher_taps,
                teacher_divergence_output=teacher_divergence_output,
                teacher_inputs=teacher_inputs,
            )
        self.objectives = self.student_loss.objectives
        self.label_weight = self.student_loss.label_weight
        self.target_mode = target_mode
        given_taps = {"teacher": teacher_taps, "student": student_taps}
        self.forwards = {
            role: Forward(role, model, heads[role], given_taps[role], self.output_kind)
            for role, model in (("teacher", teacher), ("student", student))
            if model is not None
        }
        self.reader = BatchReader(teacher=teacher_inputs, student=student_inputs)
        self.unmerged_adapters = UnmergedAdapters(lambda: self._models().values())
        self.faults = keras.Variable(
            [0.0] * len(FAULTS), trainable=False, name="faults", aggregation="sum"
        )
        self.wrongness = keras.Variable(
            no_wrongness(), trainable=False, name="wrongness", aggregation="mean"
        )
        if self.ignore_class is not None:
            self.has_labels = keras.Variable(
                0.0, trainable=False, name="has_labels", aggregation="mean"
            )
        self._note_built()

    # What Keras asks of a model: the student answers.

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """The student's outputs as its model gives them, shape `(batch, width)`, float32."""
        predicted = self.student(self.reader.own_inputs("student", inputs), training=training)
        return self.forwards["student"].heads.split(self.student, predicted)[0]

    def export(
        self,
        filepath: Any,
        format: str = "saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Writes the student alone, by default as a SavedModel.

        Args:
            filepath: Where to.
            format: A form of `keras_prokt.export.FORMATS`; `saved_model` or `keras`.
            verbose: Whether to print what was written, as in `keras.Model.export`; by default not.
            input_signature: Shapes and dtypes of the student's inputs, as in `keras.Model.export`;
                by default those that it knows, or that `fit` saw.
            **kwargs: As in `keras_prokt.export.export_student`.

        Returns:
            The path of what was written.
        """
        from keras_prokt.export import export_student

        kind = {} if self.output_kind is None else {"output": self.output_kind.id}
        student = self.student
        inputs = self.reader.own_forms.get("student")
        if symbolic_inputs(student) is None and input_signature is None and inputs is not None:
            student = with_inputs(student, inputs)
        student = self.forwards["student"].heads.without_second(student)
        settings = {"verbose": verbose, "input_signature": input_signature, **kind, **kwargs}
        return export_student(student, filepath, format, **settings)

    @property
    def output_width(self) -> int | None:
        """Width of both models' outputs: the number of classes or labels; `None` before models
        that do not know it are built."""
        return None if self._output_shape is None else self._output_shape[-1]

    @property
    def num_classes(self) -> int | None:
        """Same as `output_width`."""
        return self.output_width

    @property
    def forwards_per_example(self) -> dict[str, int]:
        """What a step of training costs: role -> forwards for each example of a batch.

        A backward counts as two forwards. Known when the models are built; it changes where the
        step is compiled anew, as when λ leaves 0.
        """
        raise NotImplementedError

    def untrained_without_labels(self, has_target: bool) -> str | None:
        """Role of a model that learns nothing if no row has a label; `None` if all do.

        Args:
            has_target: Whether batches have stored outputs of a teacher.
        """
        return None if self.student_loss.trains_without_labels else "student"

    @property
    def _student_step_forwards(self) -> int:
        # Where no term of the loss reads the student's gradient, it has no backward.
        return 3 if self.student_loss.trains_student else 1

    @property
    def trained_by_student(self) -> list[keras.Variable]:
        """What the student's optimizer updates: the student and the objectives' adapters.

        The adapters alone, where no term of the loss reads the student.
        """
        student = self.student.trainable_variables if self.student_loss.trains_student else []
        return [*student, *self.student_loss.adapters]

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that `fit` changes by gradients: not those of a fixed teacher."""
        teacher_variables = self.teacher.trainable_variables if self.trains_teacher else []
        return [*teacher_variables, *self.trained_by_student]

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
        # The step compiled for γ = 0 lacks the label loss; this is the only retrace.
        if self.student_loss.set_label_weight(value) and self.train_function is not None:
            self.make_train_function(force=True)

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
            metrics: Metrics of the student's logits against the labels; of the probabilities with
                `output="labels"`, and where these are what the student's model gives.
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
        self.label_loss = LabelLossOnLogits(
            self._compile_arguments["loss"], self.output_kind, self.ignore_class
        )
        if not self.label_loss.says_what_it_reads:
            for role in ("student", *(["teacher"] if self.trains_teacher else [])):
                model_checks.check_ends_in_logits(role, self.forwards[role])
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
        self.check_compiled("fit")
        arguments = inspect.signature(super().fit).bind(x, y, *args, **kwargs).arguments
        arguments["x"] = self._prepare(x, y, arguments.get("sample_weight"))
        if self.ignore_class is not None and y is not None:
            labelled = self._labelled_rows(y)
            untrained = self.untrained_without_labels(beside_inputs(x, TARGET) is not None)
            split = arguments.get("validation_split", 0.0)
            unlabelled.check_some_labelled(labelled, self.ignore_class, untrained, split)
            unlabelled.say_counts(labelled, arguments.get("verbose", "auto"))
        if arguments.get("validation_data") is not None:
            arguments["validation_data"] = self._checked_validation(arguments["validation_data"])
        if data_checks.has_own_order(arguments["x"]):
            arguments.setdefault("shuffle", False)  # Keras warns of its own default otherwise
        watch = FaultWatch()
        arguments["callbacks"] = watched(arguments.get("callbacks"), watch, self)
        if arguments.get("class_weight") is not None:
            self._check_class_weight(y)
        self._forget_faults()
        try:
            return super().fit(**arguments)
        except UnboundLocalError:
            # Keras's trainer on JAX reads the logs of the last batch, though there was none.
            watch.raise_if_empty()
            raise

    def _labelled_rows(self, y: Any) -> Any:
        return unlabelled.labelled_rows(y, self.output_kind, self.output_width, self.ignore_class)

    def _check_class_weight(self, y: Any) -> None:
        kind, width = self.output_kind, self.output_width
        if self.ignore_class is not None:
            unlabelled.check_class_weight(y, self.ignore_class)
            y = unlabelled.filled(y, kind, width, self.ignore_class)
        kind.check_class_weight(y, width)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One step on one batch, as `keras.Model.train_on_batch`."""
        self.check_compiled("train_on_batch")
        self._prepare(x, y)
        self._forget_faults()
        logs = super().train_on_batch(x, y, *args, **kwargs)
        raise_fault(self)
        return logs

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch, as `keras.Model.test_on_batch`."""
        self.check_compiled("test_on_batch")
        self._prepare(x, y, roles=("student",))
        return super().test_on_batch(x, y, *args, **kwargs)

    def _forget_faults(self) -> None:
        self.faults.assign(ops.zeros((len(FAULTS),)))
        self.wrongness.assign(no_wrongness())
        if self.ignore_class is not None:
            self.has_labels.assign(0.0)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student, as `keras.Model.evaluate`; changes nothing.

        `loss` is the student's loss on the labels. During `fit`, validation reports both models.

        Raises:
            ValueError: Before the first batch, if the data does not fit the student or the loss.
            TrainingFault: If there was no batch, or one with bad labels or inputs.
        """
        self.check_compiled("evaluate")
        self.validates = self.is_validation(kwargs)
        if self.validates:
            return super().evaluate(x, y, *args, **kwargs)
        arguments = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs).arguments
        further = arguments.pop("kwargs", {})
        weight = arguments.get("sample_weight")
        arguments["x"] = self._prepare(x, y, weight, roles=("student",))
        if self.ignore_class is not None and y is not None:
            unlabelled.check_held_out(self._labelled_rows(y), self.ignore_class, "evaluation ")
        arguments["callbacks"] = watched(arguments.get("callbacks"), FaultWatch(), self)
        self._forget_faults()
        return super().evaluate(**arguments, **further)

    def build_metrics_for(self, data: Any) -> None:
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        # An unknown number of positions may be any.
        shape = [1 if length is None else length for length in self._output_shape]
        outputs = self._for_metrics(ops.zeros((1, *shape)))
        self.build_compiled_metrics(lambda: self._checked_labels(y).labels, outputs)

    def train_on_data(self, data: Any) -> dict[str, Any]:
        kind = self.output_kind
        batch, flags = self._read(data)
        self._check_has_target(batch.target is not None)
        step = self.update_models(batch)
        is_first = ops.cast(ops.equal(self.optimizer.iterations, 1), "float32")
        flags |= flags_of_step(step, kind, self.forwards, is_first, self.trains_teacher)
        if batch.target is not None:
            flags["target_probabilities"] = is_first * kind.are_probabilities(batch.target)
        self.faults.assign(first_flags(self.faults.value, flags))
        trained = {
            "teacher": step.teacher_logits if self.trains_teacher else None,
            "student": step.student_logits if self.student_loss.trains_student else None,
        }
        nats = {
            role: batch.mean_of_labelled(
                kind.negative_log_likelihood(batch.labels, ops.stop_gradient(logits))
            )
            for role, logits in trained.items()
            if logits is not None
        }
        self.wrongness.assign(add_wrongness(self.wrongness.value, nats))
        if self.ignore_class is not None:
            # Stored outputs may stand for labels.
            untrained = self.untrained_without_labels(batch.target is not None)
            is_taught = untrained is None or mean_count(batch.labelled) > 0
            is_taught = ops.cast(is_taught, "float32")
            self.has_labels.assign(ops.maximum(self.has_labels.value, is_taught))
        self.track_loss(poisoned(step.loss, flags), batch.size)
        self.track_step(batch, step)
        return self.get_metrics_result()

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
            matched = self.student_loss.terms(batch, outputs, target, training=True)
            loss = self.student_loss.total(batch, outputs, matched, self.label_loss)
            return loss * scale, (loss, matched)

        (loss, matched), gradients = recording.gradients(loss_function, self.student_loss.adapters)
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

    def evaluate_on_data(self, data: Any) -> dict[str, Any]:
        batch, flags = self._read(data, with_teacher=self.validates)
        self.faults.assign(first_flags(self.faults.value, flags))
        student = self.forwards["student"](batch.student_inputs, False, with_parts=self.validates)
        loss = self.label_loss(batch.labels, student.logits, batch.sample_weight, batch.labelled)
        loss = loss + student.regularization
        size = batch.size if batch.labelled is None else mean_count(batch.labelled)
        self.track_loss(poisoned(loss, flags), size)
        self._track_student(batch, student.logits)
        reported = set(self.tracker.student_metrics)
        teacher = self.outputs_of_teacher(batch) if self.validates else None
        if teacher is not None:
            reported |= self.track_teacher_evaluation(batch, teacher, student)
        return self.logs_of(reported)

    def outputs_of_teacher(self, batch: Batch) -> Outputs | None:
        """What teaches, in inference mode; `None` where nothing does."""
        if self.teacher is None:
            return None
        return self.forwards["teacher"](batch.teacher_inputs, False)

    def track_teacher_evaluation(self, batch: Batch, teacher: Outputs, student: Outputs) -> set:
        """Updates the metrics of validation that need both models; returns them."""
        self.tracker.track_pair(batch, teacher.logits, self.gap(batch, student, teacher))
        if any("index" in objective.reads for objective in self.objectives):
            # What is remembered of the training data says nothing about others.
            return self.tracker.pair_metrics
        matched = self.student_loss.terms(batch, student, teacher, training=False)
        self._track_objectives(batch, matched)
        return self.tracker.pair_metrics | self.tracker.objective_metrics

    def track_step(self, batch: Batch, step: Step) -> None:
        """Updates the metrics of training."""
        self._track_student(batch, step.student_logits)
        if step.teacher_logits is not None:
            self._track_objectives(batch, step.matched)
            self.tracker.track_pair(batch, step.teacher_logits, step.gap)

    def _track_student(self, batch: Batch, logits: Tensor) -> None:
        self.tracker.track_student(batch, logits)
        predicted = self._for_metrics(logits)
        self.track_compiled_metrics(batch.labels, predicted, batch.sample_weight, batch.labelled)

    def _for_metrics(self, logits: Tensor) -> Tensor:
        """What metrics given to `compile` read: outputs as the student's own model has them."""
        kind = self.output_kind
        is_converted = self.forwards["student"].is_converted
        return kind.means(logits) if is_converted else kind.for_metrics(logits)

    def _track_objectives(self, batch: Batch, matched: list[Tensor]) -> None:
        self.tracker.track_objectives(batch, self.student_loss.weighted_sum(matched), matched)

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
        forward = self.forwards[self._role(model)]
        training = model is self.teacher or self.student_loss.trains_student
        return backends.current().record(
            lambda: forward(inputs, training, with_parts),
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
        forward = self.forwards[self._role(model)]
        training = self.target_mode == "training"
        backend = backends.current()
        with backend.without_gradient(), backend.forgetting_assignments(self.variables):
            logits, parts = forward.logits_and_parts(inputs, training, with_parts)
        constants = keras.tree.map_structure(ops.stop_gradient, (logits, parts))
        return Outputs(constants[0], ops.zeros((), dtype="float32"), constants[1])

    def _role(self, model: keras.Model) -> str:
        return "teacher" if model is self.teacher else "student"

    def divergence(self, target: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Mean KL divergence of outputs from their target over a batch, a scalar, in nats."""
        divergence = self.output_kind.divergence(target, logits)
        return batch.mean(divergence)

    def gap(self, batch: Batch, student: Outputs, teacher: Outputs) -> Tensor:
        """KL(q ‖ p)."""
        return self.divergence(student.matched_logits, teacher.matched_logits, batch)

    def _read(self, data: Any, with_teacher: bool = True) -> tuple[Batch, dict[str, Tensor]]:
        with_teacher = with_teacher and self.teacher is not None
        batch, flags = self.reader.read(data, self._checked_labels, with_teacher)
        mask = padding_mask(batch.student_inputs)
        weight, real = self.output_kind.weights(batch.labels, batch.sample_weight, mask)
        if real is None and self.output_kind.example_axes > 1:
            model_checks.check_padding_is_known(self._models().values())
        return batch.weighed(weight, real), flags

    def _checked_labels(self, y: Any) -> CheckedLabels:
        kind, width = self.output_kind, self.output_width
        kind.check_form(y, width)
        y = ops.convert_to_tensor(y)
        self.label_loss.check_form(y, width)
        labelled = None
        if self.ignore_class is not None:
            y, labelled = kind.fill_unlabelled(y, width, self.ignore_class)
            labelled = ops.cast(labelled, "float32")
        labels, flags = kind.checked(y, width)
        return CheckedLabels(labels, labelled, flags)

    # Building and checks.

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
        elif self.reader.batch_form is None:
            self.reader.batch_form = data_checks.visible_form(x)
        self._check_shapes(x, roles)
        visible = data_checks.visible_inputs(x)
        if "teacher" in roles and visible is not None:
            self._check_has_target(beside_inputs(visible, TARGET) is not None)
            roles = self._models()
            targets.check_target(visible, self.output_kind, self.output_width, roles)
        return data_checks.check_data(x, y, sample_weight, self.output_width, self.label_loss)

    def _check_shapes(
        self, x: Any, roles: Sequence[str] = ("teacher", "student"), which: str = ""
    ) -> None:
        x = data_checks.visible_inputs(x)
        models = {role: model for role, model in self._models().items() if role in roles}
        for role, model in models.items():
            # The step shows what a user's function makes of the inputs.
            if (
                x is not None
                and self.reader.functions[role] is None
                and getattr(model, "inputs", None)
            ):
                expected = symbolic_inputs(model)
                model_checks.check_input_shapes(role, expected, self.reader.inputs(role, x), which)

    def _check_has_target(self, has_target: bool) -> None:
        targets.check_has_target(
            has_target,
            takes=self.takes_targets,
            needs=self.needs_targets,
            regime=type(self).__name__,
        )

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
        visible = data_checks.visible_inputs(x)
        roles = self._models()
        targets.check_target(visible, self.output_kind, self.output_width, roles, which)
        loss = self.label_loss
        x = data_checks.check_data(x, y, sample_weight, self.output_width, loss, which)
        if self.ignore_class is not None and y is not None:
            unlabelled.check_held_out(self._labelled_rows(y), self.ignore_class, which)
        return data if is_arrays else x

    def _build_from(self, inputs: Any) -> None:
        self.reader.batch_form = inputs
        found: dict[str, Shape] = {}
        by_role = {role: self.reader.inputs(role, inputs) for role in self._models()}
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
            found[role] = self.forwards[role].heads.check(model, predicted, self.output_kind)
            # Inside a subclassed model it can only be seen now that it is built.
            self.forwards[role].take_off_activation(received)
        self._finish_building(found, by_role)

    def _note_built(self) -> None:
        """Marks the distiller as built if the models say all that is needed."""
        shapes = {
            role: self.forwards[role].heads.known_shape(model, self.output_kind)
            for role, model in self._models().items()
            if model.built
        }
        if len(shapes) == len(self._models()) and None not in shapes.values():
            inputs = {role: symbolic_inputs(model) for role, model in self._models().items()}
            self._finish_building(shapes, inputs)

    def _finish_building(self, shapes: dict[str, Shape], inputs: dict[str, Any]) -> None:
        if self.teacher is not None:
            model_checks.check_output_shapes(**shapes)
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
        self._output_shape = shapes["student"]
        endings = {role: forward.removed_activation for role, forward in self.forwards.items()}
        kind = (
            self.output_kind
            or output_kinds.told_by(endings)
            or output_kinds.infer(*self._output_shape)
        )
        # Sigmoids at each position are no labels of an example.
        kind.check_model_outputs("student", keras.KerasTensor((None, *self._output_shape)))
        self.output_kind = kind.for_outputs(self._output_shape)
        self.tracker = Tracker(
            self.output_kind,
            self.output_width,
            self.objectives,
            has_teacher=self.teacher is not None or self.needs_targets,
        )
        self.tracked_metrics = self.tracker.metrics
        if self.ignore_class is not None:
            self.output_kind.check_ignore_class(self.ignore_class)
        if self.compiled:
            self._make_label_loss()
        self.reader.know_forms(inputs)
        self._build_objectives(inputs)
        self.built = True
        if self.compiled:
            self.check_optimizer(self.optimizer)
        self._build_optimizer()

    def _build_objectives(self, inputs: dict[str, Any]) -> None:
        """Finds the parts that the objectives read, and makes the objectives' adapters."""
        for objective in self.objectives:
            objective.set_output(self.output_kind)
        parts = self.student_loss.parts()
        shapes = {"teacher": {"logits": (None, *self._output_shape)}}  # where they are stored
        for role, forward in self.forwards.items():
            found = forward.find_taps(inputs[role], parts, self.student_loss.named_taps(role))
            shapes[role] = {"logits": (None, *self._output_shape), **found}
        self.student_loss.build(shapes)

    def _models(self) -> dict[str, keras.Model]:
        return {role: forward.given for role, forward in self.forwards.items()}

    # Serialization.

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        forwards = self.forwards.items()
        return {
            "name": self.name,
            "teacher": None,
            **{role: serialize(model) for role, model in self._models().items()},
            "objectives": [serialize(objective) for objective in self.objectives],
            **self.student_loss.weight_config(),
            **{f"{role}_taps": forward.given_taps for role, forward in forwards},
            "output": self._given_output,
            "ignore_class": self.ignore_class,
            **{f"{role}_divergence_output": forward.heads.second for role, forward in forwards},
            "target_mode": self.target_mode,
            **{f"{role}_inputs": serialize(f) for role, f in self.reader.functions.items()},
        }

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
        save_variables(store, self.own_state())

    def load_own_variables(self, store: Any) -> None:
        advice = "the file was written by another kind of distiller or with other layers"
        load_variables(store, self.own_state(), type(self).__name__, advice)
        # A distiller made with γ = 0 has to take up the label loss.
        self.set_label_weight(float(ops.convert_to_numpy(self.label_weight)))

    def get_build_config(self) -> dict[str, Any] | None:
        """What a batch is like, from which models are built that do not know it themselves."""
        if self.reader.batch_form is None:
            return None
        # Not the tensors themselves: Keras would look for the layer that each comes from.
        specs = keras.tree.map_structure(
            lambda tensor: keras.InputSpec(tensor.dtype, tuple(tensor.shape)),
            self.reader.batch_form,
        )
        return {"inputs": keras.saving.serialize_keras_object(specs)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds what needs a batch to be built; the models' weights come after."""
        if "inputs" not in config:  # of an earlier version
            return
        specs = keras.saving.deserialize_keras_object(config["inputs"])
        form = keras.tree.map_structure(
            lambda spec: keras.KerasTensor(tuple(spec.shape), dtype=spec.dtype), specs
        )
        if self.built:
            self.reader.batch_form = form
        else:
            self._build_from(form)
