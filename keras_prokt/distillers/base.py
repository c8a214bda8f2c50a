"""What all regimes share: how two models are trained, and what is checked and reported."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
from keras import ops

from keras_prokt import backends
from keras_prokt.arguments import check_choice, check_flag, checked_integer
from keras_prokt.backends.base import Recording
from keras_prokt.data.parts import TARGET, beside_inputs
from keras_prokt.distillers import building, data_checks, model_checks, targets, unlabelled
from keras_prokt.distillers.batch import Batch, padding_mask
from keras_prokt.distillers.fault_flags import NotedFaults, flags_of_step, poisoned
from keras_prokt.distillers.faults import FaultWatch, raise_fault, watched
from keras_prokt.distillers.forward import Outputs
from keras_prokt.distillers.heads import Shape
from keras_prokt.distillers.joint_optimizer import apply_gradients, scaled_optimizer
from keras_prokt.distillers.label_checks import LabelChecks
from keras_prokt.distillers.learning_rates import check_rates
from keras_prokt.distillers.pair import ModelPair
from keras_prokt.distillers.step import Step
from keras_prokt.distillers.student_loss import Objectives, StudentLoss
from keras_prokt.distillers.tracking import Tracker
from keras_prokt.losses import LabelLossOnLogits
from keras_prokt.outputs.label_loss import LabelLoss, mean_count
from keras_prokt.typing import Tensor

TARGET_MODES = ("inference", "training")


class Distiller(ModelPair):
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
        super().__init__(
            teacher,
            student,
            output=output,
            teacher_taps=teacher_taps,
            student_taps=student_taps,
            teacher_divergence_output=teacher_divergence_output,
            student_divergence_output=student_divergence_output,
            teacher_inputs=teacher_inputs,
            student_inputs=student_inputs,
            name=name,
        )
        check_choice("target_mode", target_mode, TARGET_MODES)
        self.target_mode = target_mode
        self.ignore_class = unlabelled.checked_ignore_class(ignore_class)
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
        self.faults = NotedFaults()
        self._build_if_known()

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
        model_checks.check_optimizer("optimizer", optimizer)
        student_optimizer = keras.optimizers.get(optimizer)
        self._compile_with(
            scaled_optimizer(student_optimizer, self.student),
            {
                "optimizer": student_optimizer,
                "loss": loss,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": run_eagerly,
                "steps_per_execution": steps_per_execution,
                "jit_compile": jit_compile,
            },
        )

    def _compile_with(
        self, optimizer: keras.optimizers.Optimizer, arguments: dict[str, Any]
    ) -> None:
        """Compiles.

        Args:
            optimizer: That of all that is trained.
            arguments: Those of `compile`, with which a loaded distiller is compiled anew.
        """
        checked_integer("steps_per_execution", arguments["steps_per_execution"])
        if arguments["run_eagerly"] is not None:
            check_flag("run_eagerly", arguments["run_eagerly"])
        if arguments["jit_compile"] not in (None, "auto"):
            check_flag("jit_compile", arguments["jit_compile"])
        self._compile_arguments = arguments
        self._make_label_loss()
        own = ("optimizer", "teacher_optimizer", "loss")
        of_keras = {name: value for name, value in arguments.items() if name not in own}
        super().compile(optimizer=optimizer, auto_scale_loss=False, **of_keras)
        self._build_optimizer()

    def _make_label_loss(self) -> None:
        """Makes the loss on the labels, as soon as its kind of output is known."""
        if self.output_kind is None:
            return
        self.label_loss = LabelLossOnLogits(
            self._compile_arguments["loss"], self.output_kind, self.ignore_class
        )
        self.label_checks = LabelChecks(self.label_loss, self.output_width)
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
            ValueError: Before the first step, if the data does not fit the models or the loss, or
                weights are not finite.
            TrainingFault: After the step in which labels, inputs or losses went bad, and after
                an epoch without a batch or whose losses are finite and absurd
                (`keras_prokt.distillers.faults`).
        """
        self.check_compiled("fit")
        arguments = inspect.signature(super().fit).bind(x, y, *args, **kwargs).arguments
        data_checks.check_counts(arguments)
        data_checks.check_is_data(x, y, arguments.get("sample_weight"))
        self.student_loss.check_trains(arguments.get("callbacks"))
        check_rates(self.optimizers_by_role, arguments.get("callbacks"))
        arguments["x"] = self._prepare(x, y, arguments.get("sample_weight"))
        model_checks.check_weights(self._models())
        untrained = self.untrained_without_labels(beside_inputs(x, TARGET) is not None)
        split, verbose = arguments.get("validation_split", 0.0), arguments.get("verbose", "auto")
        self.label_checks.check_training(y, untrained, split, verbose)
        if (data := arguments.get("validation_data")) is not None:
            arguments["validation_data"] = data_checks.checked_validation(
                data, self._models(), self.reader, self.label_checks
            )
        if data_checks.has_own_order(arguments["x"]):
            arguments.setdefault("shuffle", False)  # Keras warns of its own default otherwise
        watch = FaultWatch()
        arguments["callbacks"] = watched(arguments.get("callbacks"), watch, self)
        if arguments.get("class_weight") is not None:
            self.label_checks.check_class_weight(y)
            data_checks.check_class_weight(arguments["class_weight"], max(2, self.output_width))
        self.faults.forget()
        try:
            return super().fit(**arguments)
        except UnboundLocalError:
            # Keras's trainer on JAX reads the logs of the last batch, though there was none.
            watch.raise_if_empty()
            raise

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One step on one batch, as `keras.Model.train_on_batch`."""
        self.check_compiled("train_on_batch")
        self._prepare(x, y)
        self.faults.forget()
        logs = super().train_on_batch(x, y, *args, **kwargs)
        raise_fault(self)
        return logs

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch, as `keras.Model.test_on_batch`."""
        self.check_compiled("test_on_batch")
        self._prepare(x, y, evaluates=True)
        return super().test_on_batch(x, y, *args, **kwargs)

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
        data_checks.check_counts(arguments)
        data_checks.check_is_data(x, y, weight)
        arguments["x"] = self._prepare(x, y, weight, evaluates=True)
        self.label_checks.check_held_out(y, "evaluation ")
        arguments["callbacks"] = watched(arguments.get("callbacks"), FaultWatch(), self)
        self.faults.forget()
        return super().evaluate(**arguments, **further)

    def build_metrics_for(self, data: Any) -> None:
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        # An unknown number of positions may be any.
        shape = [1 if length is None else length for length in self._output_shape]
        outputs = self._for_metrics(ops.zeros((1, *shape)))
        self.build_compiled_metrics(lambda: self.label_checks.in_step(y).labels, outputs)

    def train_on_data(self, data: Any) -> dict[str, Any]:
        kind = self.output_kind
        batch, flags = self._read(data)
        self.faults.note_weights(batch.sample_weight, evaluates=False)
        self._check_has_target(batch.target is not None)
        step = self.update_models(batch)
        is_first = ops.cast(ops.equal(self.optimizer.iterations, 1), "float32")
        flags |= flags_of_step(step, kind, self.forwards, is_first, self.trains_teacher)
        if batch.target is not None:
            flags["target_probabilities"] = is_first * kind.are_probabilities(batch.target)
        self.faults.note(flags)
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
        self.faults.note_wrongness(nats)
        if self.ignore_class is not None:
            # Stored outputs may stand for labels.
            untrained = self.untrained_without_labels(batch.target is not None)
            is_taught = untrained is None or mean_count(batch.labelled) > 0
            self.faults.note_teaching(is_taught)
        self.track_loss(poisoned(step.loss, flags), batch.size)
        self.track_step(batch, step)
        return self.get_metrics_result()

    def update_models(self, batch: Batch) -> Step:
        """One step of training on one batch: who trains when."""
        raise NotImplementedError(
            f"Expected a regime that defines update_models, received {type(self).__name__}; use "
            "ProKTDistiller, FrozenTeacherDistiller, MutualDistiller or StudentOnly."
        )

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

    @property
    def optimizers_by_role(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizer of each model that is trained."""
        return {"student": self.student_optimizer}

    def loss_scale(self, optimizer: keras.optimizers.Optimizer) -> Tensor:
        """Factor of a loss before differentiation: mixed precision, number of replicas."""
        scale = optimizer.scale_loss(ops.ones((), dtype="float32"))
        return scale / backends.current().number_of_replicas()

    def evaluate_on_data(self, data: Any) -> dict[str, Any]:
        batch, flags = self._read(data, with_teacher=self.validates)
        self.faults.note_weights(batch.sample_weight, evaluates=True)
        self.faults.note(flags)
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
        self.tracker.track_objectives(batch, matched)
        return self.tracker.pair_metrics | self.tracker.objective_metrics

    def track_step(self, batch: Batch, step: Step) -> None:
        """Updates the metrics of training."""
        self._track_student(batch, step.student_logits)
        if step.teacher_logits is not None:
            self.tracker.track_objectives(batch, step.matched)
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
        batch, flags = self.reader.read(data, self.label_checks.in_step, with_teacher)
        mask = padding_mask(batch.student_inputs)
        weight, real = self.output_kind.weights(batch.labels, batch.sample_weight, mask)
        if real is None and self.output_kind.example_axes > 1:
            model_checks.check_padding_is_known(self._models().values())
        return batch.weighed(weight, real), flags

    # Building and checks.

    def _finish_building(self, shapes: dict[str, Shape], inputs: dict[str, Any]) -> None:
        building.check_trainable(self.teacher if self.trains_teacher else None, self.student)
        super()._finish_building(shapes, inputs)
        if self.ignore_class is not None:
            self.output_kind.check_ignore_class(self.ignore_class)
        self.tracker = Tracker(
            self.output_kind,
            self.output_width,
            self.student_loss,
            has_teacher=self.teacher is not None or self.needs_targets,
        )
        self.tracked_metrics = self.tracker.metrics
        if self.compiled:
            self._make_label_loss()
        building.build_objectives(
            self.student_loss, self.forwards, inputs, shapes["student"], self.output_kind
        )
        self.built = True
        if self.compiled:
            self.check_optimizer(self.optimizer)
        self._build_optimizer()

    def _prepare(
        self, x: Any, y: Any = None, sample_weight: Any = None, evaluates: bool = False
    ) -> Any:
        """Builds what is not built and checks the data; returns what to go on with.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            sample_weight: As in `fit`.
            evaluates: Whether only the student reads it.
        """
        data_checks.check_readable(x)
        if not self.built:
            inputs, x = data_checks.first_inputs(x)
            self._build_for(inputs)
        elif self.reader.batch_form is None:
            self.reader.batch_form = data_checks.visible_form(x)
        models = {"student": self.student} if evaluates else self._models()
        data_checks.check_inputs(x, models, self.reader)
        visible = data_checks.visible_inputs(x)
        if visible is not None and not evaluates:
            self._check_has_target(beside_inputs(visible, TARGET) is not None)
            targets.check_target(visible, self.output_kind, self.output_width, models)
        return data_checks.check_data(x, y, sample_weight, self.label_checks)

    def _check_has_target(self, has_target: bool) -> None:
        targets.check_has_target(
            has_target,
            takes=self.takes_targets,
            needs=self.needs_targets,
            regime=type(self).__name__,
        )

    # Saving.

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
        """What `ModelPair` stores, and the weight γ of the labels."""
        return [*super().own_state(), self.label_weight]

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        # A distiller made with γ = 0 has to take up the label loss.
        self.set_label_weight(float(ops.convert_to_numpy(self.label_weight)))
