"""CIFAR-100: read once through TensorFlow Datasets, then from compact arrays on disk."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_prokt.data.augmentation import CropAndFlip
from keras_prokt.data.prepared import check_prepared
from keras_prokt.data.tfds_files import prepared_builder, read_split, tfds_directory
from keras_prokt.files import cache_folder, is_kept, new_kept_folder
from keras_prokt.front_ends import ImageFrontEnd

MEAN = (0.5071, 0.4867, 0.4408)
"""Mean of the training images by channel, in [0, 1]; the CRD recipe."""

STANDARD_DEVIATION = (0.2675, 0.2565, 0.2761)

FRONT_END = ImageFrontEnd((32, 32), mean=MEAN, standard_deviation=STANDARD_DEVIATION)
"""How uint8 images are normalised for training, and pictures for what is served."""

PADDING = 4
"""Black border around the image from which training crops are taken."""

VALIDATION_EXAMPLES = 5_000
SPLIT_SEED = 0
"""Seed of the choice of validation examples; fixed, so that all runs choose on the same ones."""

SPLITS = {"train": 50_000, "test": 10_000}


class Images(NamedTuple):
    """One split."""

    images: np.ndarray
    """Shape `(n, 32, 32, 3)`, uint8, memory-mapped where they could be kept."""
    labels: np.ndarray
    """Shape `(n,)`, int32."""
    class_names: list[str]
    """The 100 names, in the order of the labels."""


def load_cifar100(split: str, *, data_dir: str | None = None, cache: Path | None = None) -> Images:
    """One split of CIFAR-100.

    The first time it is read through TFDS and written as `.npy` files, 3,072 bytes an image; from
    then on it is memory-mapped, and TensorFlow is not needed.

    Args:
        split: "train" or "test".
        data_dir: Directory that holds `cifar100/` as TFDS writes it. `None`: the environment
            variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        cache: Where the arrays are kept; `None`: `$KERAS_PROKT_CACHE` or `~/.cache/keras_prokt`.

    Raises:
        ValueError: If the split is unknown, or the data is missing or not whole.

    Example:

    ```python
    train = load_cifar100("train", data_dir="/data/tfds")
    train.images.shape, train.labels[:3]
    ```
    """
    if split not in SPLITS:
        raise ValueError(f"Expected a split among {', '.join(SPLITS)}, received {split!r}.")
    source = tfds_directory(data_dir)
    folder, key = _kept(split, source, cache)
    # Another process may take it away between the two.
    with contextlib.suppress(OSError):
        if is_kept(folder, key):
            return _read_arrays(folder)
    images = _read_tfds(split, source)
    # A full or read-only disk costs the next run a minute, and this one memory.
    with contextlib.suppress(OSError):
        with new_kept_folder(folder, key) as writing:
            _write_arrays(writing, images)
        return _read_arrays(folder)
    return images


def check_cifar100(*, data_dir: str | None = None, cache: Path | None = None) -> None:
    """Refuses a directory without CIFAR-100, unless its arrays are kept already.

    Looks at names of folders alone where the data is there, and imports no TensorFlow.

    Args: as `load_cifar100`.

    Raises:
        ValueError: If the data is missing.
    """
    source = tfds_directory(data_dir)
    try:
        check_prepared("cifar100", data_dir=source)
    except ValueError:
        if not all(is_kept(*_kept(split, source, cache)) for split in SPLITS):
            raise


def _kept(split: str, source: str, cache: Path | None) -> tuple[Path, dict[str, str]]:
    """Where the arrays of a split are kept, and what they follow from."""
    # Data from elsewhere is other data.
    path = os.path.realpath(source)
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    # With class names since format 2.
    folder = cache_folder(cache) / "data" / f"cifar100-2-{digest}-{split}"
    return folder, {"data": "cifar100", "split": split, "source": path}


def split_validation(count: int, seed: int = SPLIT_SEED) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation examples among the official training set.

    Args:
        count: Examples of the official training set.
        seed: Seed of the choice.

    Returns:
        `(train, validation)`, both ascending; the validation examples are `VALIDATION_EXAMPLES`
        drawn at random.
    """
    order = np.random.default_rng(seed).permutation(count)
    validation = np.sort(order[:VALIDATION_EXAMPLES])
    return np.sort(order[VALIDATION_EXAMPLES:]), validation


def augment(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random crop of each image after padding by zeros, half of them mirrored; then normalised.

    Crop and flip are drawn for each image by itself. The border is zero before normalising, so it
    is black and not grey.

    Args:
        images: Shape `(batch, height, width, channels)`, uint8.
        generator: Source of the random numbers.

    Returns:
        The same shape, float32.
    """
    augmentation = Augmentation()
    return augmentation.apply(images, augmentation.draw(len(images), generator), np)


class Augmentation(CropAndFlip):
    """`augment` as a `Transform` of batches."""

    def __init__(self) -> None:
        super().__init__(FRONT_END, padding=PADDING)


def _write_arrays(folder: Path, images: Images) -> None:
    np.save(folder / "images.npy", images.images, allow_pickle=False)
    np.save(folder / "labels.npy", images.labels, allow_pickle=False)
    names = json.dumps(images.class_names)
    (folder / "class_names.json").write_text(names, encoding="utf-8")


def _read_arrays(folder: Path) -> Images:
    return Images(
        np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False),
        np.load(folder / "labels.npy", allow_pickle=False),
        json.loads((folder / "class_names.json").read_text(encoding="utf-8")),
    )


def _read_tfds(split: str, source: str) -> Images:
    arrays = read_split("cifar100", split, data_dir=source)
    images, labels = arrays["image"], arrays["label"].astype("int32")
    if len(labels) != SPLITS[split]:
        raise ValueError(
            f"Expected {SPLITS[split]:,} {split} images of CIFAR-100 in {source!r}, received "
            f"{len(labels):,}; the files are not whole."
        )
    names = prepared_builder("cifar100", data_dir=source).info.features["label"].names
    return Images(images, labels, names)
