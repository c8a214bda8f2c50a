"""App `cifar100`: the networks, pairs and recipe behind Tables 1 and 3 of the paper."""

from typing import Any

from keras_prokt.app import App, OptimizerRecipe, Recipe, Task, TaskRequest
from keras_prokt.data.prepared_folder import PreparedFolder
from keras_prokt.names import unknown_name

NETWORKS = {
    "vgg8": "5 convolutions; 3.97 M parameters",
    "vgg13": "10 convolutions; 9.46 M",
    "resnet8x4": "basic blocks 1-1-1, widths 64/128/256; 1.23 M",
    "resnet32x4": "basic blocks 5-5-5; 7.43 M",
    "resnet50": "bottlenecks 3-4-6-3; 23.7 M",
    "wrn-16-2": "wide residual network; 0.70 M",
    "wrn-40-2": "wide residual network; 2.26 M",
    "mobilenet-v2": "width 0.5; 0.81 M",
    "shufflenet-v1": "groups 3; 0.95 M",
    "shufflenet-v2": "width 1; 1.36 M",
}

PAIRS = {
    "vgg13-mobilenetv2": ("vgg13", "mobilenet-v2"),
    "resnet50-mobilenetv2": ("resnet50", "mobilenet-v2"),
    "resnet50-vgg8": ("resnet50", "vgg8"),
    "resnet32x4-shufflenetv1": ("resnet32x4", "shufflenet-v1"),
    "resnet32x4-shufflenetv2": ("resnet32x4", "shufflenet-v2"),
    "wrn-40-2-shufflenetv1": ("wrn-40-2", "shufflenet-v1"),
    # Not in the paper: small enough to be quick.
    "wrn-16-2-mobilenetv2": ("wrn-16-2", "mobilenet-v2"),
}
"""The six columns of Table 1, and a quick pair."""


def check(request: TaskRequest) -> None:
    """Refuses unknown networks, and a directory without the data."""
    for role, name in (("a teacher", request.teacher), ("a student", request.student)):
        if name not in NETWORKS and ":" not in name:
            also = ", keras:NAME of keras.applications, hub:PRESET of keras-hub, or module:function"
            raise ValueError(unknown_name(role, name, NETWORKS, also))
    if request.prepared is not None:
        PreparedFolder(request.prepared).check(request, "cifar100")
        return
    from keras_prokt.data.cifar import check_cifar100

    check_cifar100(data_dir=request.data_dir)


def prepare(request: TaskRequest) -> Task:
    """Maps the images into memory and readies the two networks."""
    check(request)
    from keras_prokt import models
    from keras_prokt.data import cifar

    if request.prepared is None:
        data = _load(request)
    else:
        folder = PreparedFolder(request.prepared)
        data = folder.task_data(request, transform=cifar.Augmentation())
    return Task(
        **data,
        build_teacher=lambda: models.get(request.teacher)(100, (32, 32, 3)),
        build_student=lambda: models.get(request.student)(100, (32, 32, 3)),
        front_end=cifar.FRONT_END,
        teacher_front_end=cifar.FRONT_END,
    )


def _load(request: TaskRequest) -> dict[str, Any]:
    """The fields of the task that are data."""
    import numpy as np

    from keras_prokt.data import cifar
    from keras_prokt.data.batches import Batches, Origin

    official, test = (
        cifar.load_cifar100(split, data_dir=request.data_dir) for split in ("train", "test")
    )
    seed = cifar.SPLIT_SEED if request.split_seed is None else request.split_seed
    train, validation = cifar.split_validation(len(official.labels), seed)
    if request.full_train:
        train = np.arange(len(official.labels))
    if request.limit is not None:
        order = np.random.default_rng([request.seed, 1]).permutation(len(train))
        train = train[np.sort(order[: request.limit])]

    def batches(source: cifar.Images, keep: np.ndarray | None, *, shuffle: bool) -> Batches:
        # All of them stay in the file that they are mapped from.
        count = len(source.labels)
        is_all = keep is None or len(keep) == count
        return Batches(
            source.images if is_all else source.images[keep],
            source.labels if is_all else source.labels[keep],
            batch_size=request.batch_size,
            seed=request.seed,
            shuffle=shuffle,
            transform=cifar.Augmentation(),
            on_device=True,
            origin=Origin(np.arange(count) if is_all else keep, count),
        )

    return {
        "train": batches(official, train, shuffle=True),
        "validation": batches(official, validation, shuffle=False),
        "test": batches(test, None, shuffle=False),
        "class_names": official.class_names,
        "validates_on_training_set": True,
    }


def _sgd(learning_rate):
    """Tian et al. 2020: coupled weight decay, ×0.1 at epochs 150, 180 and 210 of 240."""
    options = {"momentum": 0.9, "l2": 5e-4}
    return OptimizerRecipe("coupled_sgd", learning_rate, "steps", options)


APP = App(
    name="cifar100",
    summary="CIFAR-100 with the paper's networks and recipe; needs the data in TFDS format",
    teachers=NETWORKS,
    students=NETWORKS,
    default_teacher="wrn-40-2",
    default_student="shufflenet-v1",
    recipe=Recipe(
        epochs=240,
        batch_size=64,
        teacher=_sgd(0.05),
        student=_sgd(0.05),
        students={"mobilenet-v2": _sgd(0.01), "shufflenet-*": _sgd(0.01)},
        teacher_epochs=240,
        temperature=4.0,
        soft_target_weights=(0.1, 0.9),
        first_stage_epochs=30,
        trained_teacher_learning_rate=1e-3,
    ),
    prepare=prepare,
    check=check,
    pairs=PAIRS,
    assistants=("wrn-16-2",),
    can_train_on_validation=True,
    divides_data=True,
    can_prepare=True,
)
