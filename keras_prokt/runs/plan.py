"""What a run trains, with everything that has to be trained before."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_prokt import losses
from keras_prokt.callbacks import ObjectiveSchedule, ProximalSchedule, TeacherRoute
from keras_prokt.callbacks.best_model_checkpoint import Best
from keras_prokt.distillers import Distiller, FrozenTeacherDistiller
from keras_prokt.files import new_kept_folder
from keras_prokt.losses import Objective
from keras_prokt.methods import OBJECTIVES, REGIMES
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.runs.optimizers import optimizer_recipe
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import check_labels
from keras_prokt.runs.teachers import (
    alone,
    digest_of_weights,
    kept_folder,
    reads_kept,
    ready_route,
    ready_teacher,
    teacher_key,
    trainer_of_teacher,
)
from keras_prokt.runs.training import Run
from keras_prokt.settings import SettingError, argument, ends_of


@dataclass
class Plan:
    """Everything that a run trains, compiled.

    Attributes:
        run: The run.
        distiller: What trains the student.
        first_stage: What is trained before it on the same student, or `None`.
        teachers: The models that teach, by the name under which they are reported.
        assistant: The plan of the run that trains the student's own teacher, or `None`.
        key: What the run's student follows from, of an assistant's; otherwise `None`.
        head_start: What trains the teacher alone before the student begins, or `None`.
        best_fixed: The teacher that was trained before, after its best epoch on validation; `None`
            where it is not known, and until `train_before`.
    """

    run: Run
    distiller: Distiller
    first_stage: Distiller | None = None
    teachers: dict[str, keras.Model] = field(default_factory=dict)
    assistant: "Plan | None" = None
    key: dict[str, Any] | None = None
    head_start: Distiller | None = None
    best_fixed: Best | None = None

    def train_before(self) -> list[keras.callbacks.Callback]:
        """Trains what has to be there before the student, or reads what is kept of it.

        Returns:
            Callbacks that the distillation needs.
        """
        run = self.run
        if not run.method.trains_teacher_before or run.spec.teacher_is_stored:
            return []
        if run.spec.anchors is not None:
            route, self.best_fixed = ready_route(run)
            return [TeacherRoute(route)]
        self.best_fixed = ready_teacher(run)
        if self.assistant is not None:
            self._ready_assistant()
        return []

    def _ready_assistant(self) -> None:
        """Trains the student's own teacher under teacher assistants, or reads its kept weights."""
        plan = self.assistant
        if plan.assistant is not None:
            plan._ready_assistant()
        folder = kept_folder(plan.run, plan.key)
        with alone(plan.run, folder):
            if reads_kept(plan.run.student, folder, plan.key, "model.keras"):
                return
            name = plan.run.spec.student
            plan.run.fit(
                plan.distiller, plan.run.spec.epochs, f"assistant {name}", name=f"assistant-{name}"
            )
            with new_kept_folder(folder, plan.key) as writing:
                plan.run.student.save(writing / "model.keras")


def plan_of(run: Run) -> Plan:
    """Makes the models of a run, each once, and what trains them.

    Nothing is trained. What would otherwise only be seen after a teacher has been trained for
    hours is refused here.

    Raises:
        ValueError: If the models do not fit each other or the data, or cannot be saved.
    """
    spec, method = run.spec, run.method
    _check_trained(run)
    assistant = None if run.assistant is None else plan_of(run.assistant)
    student = run.student
    teachers = _teachers(run)
    keras.utils.set_random_seed(spec.seed)  # the adapters start the same after any teacher
    names = {**dict.fromkeys(method.objectives), **dict.fromkeys(method.matched)}
    objectives = {name: _objective(name, run) for name in names}
    regime = REGIMES[method.regime]
    module, name = regime.home.split(":")
    make = getattr(importlib.import_module(f"keras_prokt.distillers.{module}"), name)
    # The last one that was trained teaches: the assistant, where there is one.
    own = list(teachers.values())[-1] if teachers else None
    if regime.trains_teacher is None:
        distiller: Distiller = make(student, output=run.output.id, ignore_class=run.ignore_class)
    else:
        # Those that a distiller passes on are arguments of all distillers.
        known = {**inspect.signature(Distiller).parameters, **inspect.signature(make).parameters}
        values = {name: getattr(spec, name) for name in regime.settings if name in known}
        arguments = {name: value for name, value in values.items() if value is not None}
        if "proximal_weight" in arguments:
            arguments["proximal_weight"], _ = ends_of(arguments["proximal_weight"])
        distiller = make(
            own,
            student,
            objectives=[objectives[name] for name in method.matched],
            label_weight=ends_of(spec.label_weight)[0],
            output=run.output.id,
            ignore_class=run.ignore_class,
            **arguments,
        )
    _compile(run, distiller, spec.epochs)
    head_start = None
    if spec.teacher_head_start is not None:
        head_start = trainer_of_teacher(run, run.teacher, "head_start")
        steps = spec.teacher_head_start * len(run.labelled)
        head_start.compile(
            optimizer=optimizer_recipe(spec.optimizers["teacher"]).build(steps),
            loss=run.label_loss,
            steps_per_execution=spec.steps_per_execution,
        )
    first_stage = None
    first = [o for name in method.objectives if (o := objectives[name].first_stage()) is not None]
    if first:
        stage_teacher = own if run.assistant is not None else run.fixed_teacher
        first_stage = FrozenTeacherDistiller(
            stage_teacher,
            student,
            objectives=first,
            output=run.output.id,
            ignore_class=run.ignore_class,
            name="first_stage",
        )
        _compile(run, first_stage, spec.first_stage_epochs)
    key = _assistant_key(run) if run.is_of_assistant else None
    example = run.task.train.batch(np.arange(1))
    distiller.check_inputs(example[0])
    for model in (*teachers.values(), student):
        _check_can_be_saved(model)
    if distiller.output_width is not None:  # otherwise the first step checks them
        check_labels(run.task, distiller.output_width)
    return Plan(run, distiller, first_stage, teachers, assistant, key, head_start)


def _check_trained(run: Run) -> None:
    if run.spec.teacher_epochs == 0 and not run.has_trained_teacher:
        raise SettingError(
            f"Expected {argument('teacher_epochs')} of at least 1 for a teacher that is not "
            f"trained yet, received 0; give a trained one: {argument('teacher_init')}, or on text "
            "the directory of a fine-tuned BERT."
        )


def _assistant_key(run: Run) -> dict[str, Any]:
    """What an assistant follows from; asked for before anything is trained."""
    return {
        "spec": run.spec.to_json(),
        "teacher": teacher_key(run),
        "data": run.task.train.digest("student"),
        "weights": digest_of_weights(run.student),
    }


def schedules_of(spec: RunSpec) -> list[keras.callbacks.Callback]:
    """What changes λ and γ over the epochs, where the run says so."""
    schedules: list[keras.callbacks.Callback] = []
    if isinstance(spec.proximal_weight, str):
        schedules.append(ProximalSchedule(_straight(spec.proximal_weight, spec.epochs)))
    if isinstance(spec.label_weight, str):
        schedules.append(ObjectiveSchedule("labels", _straight(spec.label_weight, spec.epochs)))
    return schedules


def _straight(value: str, epochs: int) -> Callable[[int], float]:
    """In equal steps from the value of the first epoch to that of the last."""
    first, last = ends_of(value)
    return lambda epoch: first + (last - first) * epoch / max(1, epochs - 1)


def _teachers(run: Run) -> dict[str, keras.Model]:
    if REGIMES[run.method.regime].trains_teacher is None or run.spec.teacher_is_stored:
        return {}
    teachers = {"teacher": run.teacher}
    if run.assistant is not None:
        teachers[f"assistant {run.assistant.spec.student}"] = run.assistant.student
    return teachers


def _check_can_be_saved(model: keras.Model) -> None:
    try:
        model.to_json()
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"Expected a model that Keras can save, received {model.name!r} of class "
            f"{type(model).__name__}; build it from layers (functional), or give the class a "
            "get_config and register it."
        ) from error


def _objective(name: str, run: Run) -> Objective:
    spec = run.spec
    settings = dict((spec.objective_settings or {}).get(name, {}))
    if spec.temperature is not None and name == "kd":
        settings["temperature"] = spec.temperature
    weight = (spec.weights or {}).get(name, OBJECTIVES[name].weight)
    objective = losses.objective_class(name)(weight=weight, **settings)
    objective.set_output(run.output)
    objective.adapt(run.task.train.labels)
    return objective


def _compile(run: Run, distiller: Distiller, epochs: int) -> None:
    steps = epochs * len(run.task.train)
    optimizers = {"optimizer": optimizer_recipe(run.spec.optimizers["student"]).build(steps)}
    if distiller.trains_teacher:
        teacher_recipe = optimizer_recipe(run.spec.optimizers["teacher"])
        optimizers["teacher_optimizer"] = teacher_recipe.build(steps)
    distiller.compile(
        **optimizers,
        loss=run.label_loss,
        metrics=get_metrics(run.task.metrics, run.output),
        steps_per_execution=run.spec.steps_per_execution,
    )
