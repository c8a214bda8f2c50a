"""A teacher and a student as one Keras model: what is built, called, exported and saved."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_prokt import outputs
from keras_prokt.arguments import check_function, check_text
from keras_prokt.distillers import building, data_checks, model_checks
from keras_prokt.distillers.batch import BatchReader
from keras_prokt.distillers.fault_flags import with_missing
from keras_prokt.distillers.forward import Forward
from keras_prokt.distillers.heads import Heads, Shape
from keras_prokt.distillers.keras_trainer import KerasTrainer
from keras_prokt.distillers.lora import UnmergedAdapters
from keras_prokt.distillers.own_variables import load_variables, save_variables
from keras_prokt.models.symbolic_inputs import symbolic_inputs, with_inputs
from keras_prokt.outputs import Output
from keras_prokt.typing import Tensor


class ModelPair(KerasTrainer):
    """Two models of which the student answers, and which are saved together.

    `call`, and with it `predict` and `export`, are the student's; a file holds both models.

    Args: as in `Distiller`.

    Raises:
        ValueError: On models that cannot be distilled into each other.
    """

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        *,
        output: str | None = None,
        teacher_taps: Mapping[str, Any] | None = None,
        student_taps: Mapping[str, Any] | None = None,
        teacher_divergence_output: str | None = None,
        student_divergence_output: str | None = None,
        teacher_inputs: Callable[[Any], Any] | None = None,
        student_inputs: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ):
        if name is not None:
            check_text("name", name)
        super().__init__(name=name)
        for label, function in (
            ("teacher_inputs", teacher_inputs),
            ("student_inputs", student_inputs),
        ):
            if function is not None:
                check_function(label, function, "it makes the model's inputs of a batch's x")
        self.output_kind: Output | None = None if output is None else outputs.get(output)
        self._given_output = output
        self._output_shape: Shape | None = None
        heads = {
            "teacher": Heads("teacher", teacher_divergence_output),
            "student": Heads("student", student_divergence_output),
        }
        model_checks.check_pair(teacher, student, self.output_kind, heads)
        self.teacher = teacher
        self.student = student
        given_taps = {"teacher": teacher_taps, "student": student_taps}
        self.forwards = {
            role: Forward(role, model, heads[role], given_taps[role], self.output_kind)
            for role, model in (("teacher", teacher), ("student", student))
            if model is not None
        }
        self.reader = BatchReader(teacher=teacher_inputs, student=student_inputs)
        self.unmerged_adapters = UnmergedAdapters(lambda: self._models().values())

    def _models(self) -> dict[str, keras.Model]:
        """The models that there are, by role."""
        return {role: forward.given for role, forward in self.forwards.items()}

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """The student's outputs as its model gives them, shape `(batch, width)`, float32.

        NaN for examples whose inputs are not finite.
        """
        own = self.reader.own_inputs("student", inputs)
        predicted = self.student(own, training=training)
        outputs = self.forwards["student"].heads.split(self.student, predicted)[0]
        return with_missing(outputs, own)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The student's outputs, as `keras.Model.predict`; builds what is not built.

        Raises:
            ValueError: If the models cannot be built from the data, or it does not fit the student,
                or numbers are not finite: in arrays before anything is computed, in streams by the
                outputs.
        """
        arguments = inspect.signature(super().predict).bind(x, *args, **kwargs).arguments
        data_checks.check_counts(arguments)
        data_checks.check_is_data(x)
        data_checks.check_finite("inputs", x)
        if not self.built:
            inputs, x = data_checks.first_inputs(x)
            self._build_for(inputs)
        data_checks.check_inputs(x, {"student": self.student}, self.reader)
        predicted = super().predict(x, *args, **kwargs)
        data_checks.check_predicted(predicted)
        return predicted

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
            format: A form of `keras_prokt.export.FORMATS`, such as `onnx`, or Keras's word for it.
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

    def check_inputs(self, x: Any) -> None:
        """Refuses a batch of another shape than the models read, before any training.

        Args:
            x: Inputs as in `fit`, arrays.

        Raises:
            ValueError: With both shapes.
        """
        data_checks.check_inputs(x, self._models(), self.reader)

    # Building.

    def _build_if_known(self) -> None:
        """Finishes building if the models say all that is needed."""
        shapes = building.known_shapes(self.forwards, self.output_kind)
        if shapes is not None:
            inputs = {role: symbolic_inputs(model) for role, model in self._models().items()}
            self._finish_building(shapes, inputs)

    def build(self, input_shape: Any) -> None:
        """Refuses to build what only data can: Keras calls it where a model is called unbuilt.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"Expected a {type(self).__name__} whose models know their inputs, received a call "
            "before they are built; use fit, evaluate or predict first, which build them, or give "
            "functional models."
        )

    def _build_for(self, batch: Any) -> None:
        """Builds the models.

        Args:
            batch: Symbolic inputs of a batch.

        Raises:
            ValueError: If one cannot be built, or they cannot be distilled into each other.
        """
        self.reader.batch_form = batch
        inputs = {role: self.reader.inputs(role, batch) for role in self._models()}
        shapes = building.build_models(self.forwards, inputs, self.output_kind)
        self._finish_building(shapes, inputs)

    def _finish_building(self, shapes: dict[str, Shape], inputs: dict[str, Any]) -> None:
        """Takes note of the models' outputs; a subclass makes what depends on them.

        Args:
            shapes: Of the outputs, by role.
            inputs: Symbolic ones of each model, by role.
        """
        if self.teacher is not None:
            model_checks.check_output_shapes(**shapes)
        self._output_shape = shapes["student"]
        self.output_kind = building.kind_of_output(
            self.forwards, self._output_shape, self.output_kind
        )
        self.reader.know_forms(inputs)

    def get_build_config(self) -> dict[str, Any] | None:
        """What a batch is like, from which models are built that do not know it themselves."""
        if self.reader.batch_form is None:
            return None
        return building.form_to_config(self.reader.batch_form)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds what needs a batch to be built; the models' weights come after."""
        if "inputs" not in config:  # of an earlier version
            return
        form = building.form_from_config(config)
        if self.built:
            self.reader.batch_form = form
        else:
            self._build_for(form)

    # Saving.

    def own_state(self) -> list[keras.Variable]:
        """Variables that `save` stores beside those of the models: all layers' random seeds.

        Keras files do not hold the state of seed generators; without it, training with dropout
        would go on with other random numbers than an uninterrupted run.
        """
        kept_by_keras = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in kept_by_keras]

    def save_own_variables(self, store: Any) -> None:
        save_variables(store, self.own_state())

    def load_own_variables(self, store: Any) -> None:
        advice = "the file was written by another kind of distiller or with other layers"
        load_variables(store, self.own_state(), type(self).__name__, advice)
