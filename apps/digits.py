"""App `digits`: handwritten digits, offline, in about a minute."""

from typing import Any

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.named_code import is_function
from keras_prokt.names import unknown_name
from keras_prokt.settings import SettingError, argument

NETWORKS = {
    "cnn-large": "2 stages of 2 convolutions, 32 and 64 channels, batch normalisation",
    "cnn-medium": "2 convolutions, 16 and 32 channels, batch normalisation",
    "cnn-small": "2 convolutions, 6 and 12 channels",
    "transformer-large": "4 transformer layers that read the image row by row",
    "transformer-small": "2 transformer layers",
}


def check(request: TaskRequest) -> None:
    """Refuses unknown networks, and a directory of data."""
    for role, name in (("a teacher", request.teacher), ("a student", request.student)):
        if name not in NETWORKS and not is_function(name):
            raise ValueError(unknown_name(role, name, NETWORKS, ", or module:function of your own"))
    if request.prepared is not None:
        PreparedFolder(request.prepared).check(request, "digits")
    if request.data_dir is not None:
        raise SettingError(
            f"Expected no {argument('data_dir')} for app 'digits', received {request.data_dir!r}; "
            "the digits come with scikit-learn."
        )


def prepare(request: TaskRequest) -> Task:
    """Loads the digits from scikit-learn and readies the two networks."""
    check(request)
    from keras_prokt import models

    if request.prepared is None:
        data = _load(request)
    else:
        data = PreparedFolder(request.prepared).task_data(request)
    return Task(
        **data,
        build_teacher=lambda: models.get(request.teacher)(10, (8, 8, 1)),
        build_student=lambda: models.get(request.student)(10, (8, 8, 1)),
    )


def _load(request: TaskRequest) -> dict[str, Any]:
    """The fields of the task that are data."""
    from keras_prokt.data.batches import Batches, Origin
    from keras_prokt.data.digits import load_digits

    splits = load_digits(request.split_seed)
    count = sum(len(split.labels) for split in splits.values())
    batches = {
        name: Batches(
            {"teacher": split.images, "student": split.images},
            split.labels,
            batch_size=request.batch_size,
            seed=request.seed,
            shuffle=name == "train",
            origin=Origin(split.positions, count),
        )
        for name, split in splits.items()
    }
    if request.limit is not None:
        batches["train"] = batches["train"].limited(request.limit)
    names = [str(digit) for digit in range(10)]
    return {**batches, "class_names": names, "validates_on_training_set": True}


APP = App(
    name="digits",
    summary="1,797 real handwritten digits, 8x8; offline, about a minute on two cores",
    teachers=NETWORKS,
    students=NETWORKS,
    default_teacher="cnn-large",
    default_student="cnn-small",
    recipe=Recipe(
        epochs=40,
        batch_size=64,
        teacher=OptimizerRecipe("adam", 2e-3, "cosine"),
        student=OptimizerRecipe("adam", 1e-2, "cosine"),
        teacher_epochs=40,
        students={"transformer-*": OptimizerRecipe("adam", 2e-3, "cosine")},
        first_stage_epochs=5,
        # Chosen on validation (seed 0), in steps of about ten from the usual ones: those, made for
        # CIFAR-100, leave a student of 850 parameters nothing for the labels.
        weights={
            "at": 1.0,
            "cc": 0.0002,
            "crd": 0.001,
            "fitnet": 1.0,
            "ft": 20.0,
            "nst": 5.0,
            "pkd": 0.3,
            "pkt": 3000.0,
            "sp": 30.0,
        },
    ),
    assistants=("cnn-medium",),
    transformers=("transformer-large", "transformer-small"),
    divides_data=True,
    can_prepare=True,
    prepare=prepare,
    check=check,
)
