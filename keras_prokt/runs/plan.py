"""What a run trains, with everything that has to be trained before."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras

from keras_prokt import distillers, losses
from keras_prokt.app import App, Task
from keras_prokt.callbacks import TeacherRoute
from keras_prokt.distillers import Distiller, FrozenTeacherDistiller
from keras_prokt.files import is_kept, new_kept_folder
from keras_prokt.losses import Objective
from keras_prokt.methods import REGIMES, parse_method
from keras_prokt.models.loading import load_student
from keras_prokt.models.uniform_start import uniform_start
from keras_prokt.results.metrics import get as get_metrics
from keras_prokt.runs import training
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.progress import Progress
from keras_prokt.runs.spec import RunSpec
from keras_prokt.runs.task import prepare, seeded
from keras_prokt.runs.teachers import (
    digest_of_weights,
    kept_folder,
    teacher_key,
    trained_route,
    trained_teacher,
    untrained_or_given_teacher,
)
from keras_prokt.runs.training import Work


@dataclass
class Plan:
    """Everything that a run trains, compiled.

    Attributes:
        distiller: What trains the student.
        first_stage: What is trained before it on the same student, or `None`.
        callbacks: Callbacks that the method needs.
        teachers: The models that taught, by the name under which they are reported.
    """

    distiller: Distiller
    first_stage: Distiller | None = None
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    teachers: dict[str, keras.Model] = field(default_factory=dict)


def build(app: App, task: Task, spec: RunSpec, work: Work, *, untrained: bool = False) -> Plan:
    """What a run trains; trains what has to be there before: fixed teachers and assistants.

    Args:
        app: The app.
        task: Its data and models.
        spec: The run.
        work: Where the run works.
        untrained: Whether to leave those teachers untrained, to look at the plan only.
    """
    method = parse_method(spec.method)
    regime = getattr(distillers, REGIMES[method.regime].distiller)
    if untrained:
        before = _untrained_before(app, task, spec)
    else:
        before = _trained_before(app, task, spec, work)
    teachers = dict(before.models)
    if regime.trains_teacher:
        teachers = {"teacher": untrained_or_given_teacher(task, spec)}
    student = uniform_start(seeded(task.build_student, spec.seed))
    keras.utils.set_random_seed(spec.seed)  # the adapters start the same after any teacher
    names = {**dict.fromkeys(method.objectives), **dict.fromkeys(method.matched)}
    objectives = {name: _objective(name, spec, task) for name in names}
    steps = spec.epochs * len(task.train)
    if not teachers:
        distiller: Distiller = regime(student)
    else:
        settings = {
            name: value
            for name in ("proximal_weight", "proximal_bound")
            if (value := getattr(spec, name)) is not None
        }
        distiller = regime(
            # The last one that was trained teaches: the assistant, where there is one.
            list(teachers.values())[-1],
            student,
            objectives=[objectives[name] for name in method.matched],
            label_weight=spec.label_weight,
            **settings,
        )
    _compile(distiller, app, task, spec, steps)
    first_stage = None
    first = [o for name in method.objectives if (o := objectives[name].first_stage()) is not None]
    if first:
        first_stage = FrozenTeacherDistiller(
            list(before.models.values())[-1], student, objectives=first, name="first_stage"
        )
        _compile(first_stage, app, task, spec, spec.first_stage_epochs * len(task.train))
    return Plan(distiller, first_stage, before.callbacks, teachers)


def check_before_training(app: App, task: Task, spec: RunSpec) -> Plan:
    """Refuses what would only be seen after a teacher has been trained for hours.

    Returns:
        The plan of the run; teachers that are trained before are not trained in it.
    """
    if spec.assistants is not None:
        assistant = spec.of_assistant()
        check_before_training(app, prepare(app, assistant), assistant)
    work = Work(RunFolder("unused"), Path("unused"))
    plan = build(app, task, spec, work, untrained=True)
    example = task.train.batch(task.train.batch_indices(0)[0][:1])
    plan.distiller.check_inputs(example[0])
    for model in (*plan.teachers.values(), plan.distiller.student):
        _check_can_be_saved(model)
    return plan


def _check_can_be_saved(model: keras.Model) -> None:
    try:
        model.to_json()
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"Expected a model that Keras can save, received {model.name!r} of class "
            f"{type(model).__name__}; build it from layers (functional), or give the class a "
            "get_config and register it."
        ) from error


@dataclass
class _Before:
    """What was trained before the distillation: the models, and what uses their checkpoints."""

    models: dict[str, keras.Model] = field(default_factory=dict)
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)


def _trained_before(app: App, task: Task, spec: RunSpec, work: Work) -> _Before:
    if spec.teacher_epochs is None:
        return _Before()
    if spec.anchors is not None:
        route = trained_route(app, task, spec, work)
        return _Before({"teacher": load_student(route[-1])}, [TeacherRoute(route)])
    models = {"teacher": trained_teacher(app, task, spec, work)}
    if spec.assistants is not None:
        models[f"assistant {spec.assistants[-1]}"] = trained_assistant(app, task, spec, work)
    return _Before(models)


def _untrained_before(app: App, task: Task, spec: RunSpec) -> _Before:
    """Models of the same architectures in place of those that would be trained."""
    if spec.teacher_epochs is None:
        return _Before()
    models = {"teacher": untrained_or_given_teacher(task, spec)}
    if spec.assistants is not None:
        assistant = spec.assistants[-1]
        models[f"assistant {assistant}"] = prepare(app, spec.of_assistant()).build_student()
    return _Before(models)


def trained_assistant(app: App, task: Task, spec: RunSpec, work: Work) -> keras.Model:
    """The student's teacher under teacher assistants, itself distilled; cached by its spec."""
    assistant = spec.of_assistant()
    own_task = prepare(app, assistant)
    recipe = app.recipe.student_optimizer(assistant.student)
    key = {
        "spec": assistant.to_json(),
        "optimizer": asdict(recipe),
        "teacher": teacher_key(app, task, spec),
        "data": own_task.train.digest("student"),
        "weights": digest_of_weights(seeded(own_task.build_student, spec.seed)),
    }
    folder = kept_folder(work, assistant, key)
    if not is_kept(folder, key):
        plan = build(app, own_task, assistant, work)
        name = f"assistant-{assistant.student}"
        callbacks = [work.backup(name), Progress(f"assistant {assistant.student}")]
        training.fit(plan.distiller, own_task, assistant.epochs, callbacks)
        with new_kept_folder(folder, key) as writing:
            plan.distiller.student.save(writing / "model.keras")
    return load_student(folder / "model.keras")


def _objective(name: str, spec: RunSpec, task: Task) -> Objective:
    [objective] = losses.get(name)
    if name in (spec.weights or {}):
        objective.set_weight(spec.weights[name])
    if spec.temperature is not None and isinstance(objective, losses.SoftTargets):
        objective = losses.SoftTargets(spec.temperature, weight=spec.weights[name])
    objective.adapt(task.train.labels)
    return objective


def _compile(distiller: Distiller, app: App, task: Task, spec: RunSpec, steps: int) -> None:
    recipe = app.recipe
    student = recipe.student_optimizer(spec.student).build(steps, spec.student_learning_rate)
    optimizers = {"optimizer": student}
    if distiller.trains_teacher:
        optimizers["teacher_optimizer"] = recipe.teacher.build(steps, spec.teacher_learning_rate)
    distiller.compile(
        **optimizers,
        metrics=get_metrics(task.metrics),
        steps_per_execution=spec.steps_per_execution,
    )
