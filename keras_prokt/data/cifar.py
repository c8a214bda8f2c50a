"""CIFAR-100: read once through TensorFlow Datasets, then from compact arrays on disk."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_prokt.data.cache import cache_folder, new_folder
from keras_prokt.data.tfds_files import read_split, tfds_directory

MEAN = (0.5071, 0.4867, 0.4408)
"""Mean of the training images by channel, in [0, 1]; the CRD recipe."""

STANDARD_DEVIATION = (0.2675, 0.2565, 0.2761)

PADDING = 4
"""Black border around the image from which training crops are taken."""

VALIDATION_EXAMPLES = 5_000
SPLIT_SEED = 0
"""Seed of the choice of validation examples; fixed, so that all runs choose on the same ones."""

SPLITS = {"train": 50_000, "test": 10_000}


class Images(NamedTuple):
    """Images `(n, 32, 32, 3)`, uint8, memory-mapped, and labels `(n,)`, int32."""

    images: np.ndarray
    labels: np.ndarray


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
    # Data from elsewhere is other data.
    digest = hashlib.sha256(os.path.realpath(source).encode()).hexdigest()[:8]
    folder = cache_folder(cache) / "data" / f"cifar100-{digest}-{split}"
    if not folder.is_dir():
        _write_arrays(split, source, folder)
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    return Images(images, labels)


def split_validation(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation examples among the official training set.

    Args:
        count: Examples of the official training set.

    Returns:
        `(train, validation)`, both ascending; the validation examples are `VALIDATION_EXAMPLES`
        drawn at random with a fixed seed.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    validation = np.sort(order[:VALIDATION_EXAMPLES])
    return np.sort(order[VALIDATION_EXAMPLES:]), validation


def normalize(images: np.ndarray) -> np.ndarray:
    """uint8 images to float32 with mean 0 and standard deviation 1 by channel."""
    scale = 1.0 / (255.0 * np.asarray(STANDARD_DEVIATION, "float32"))
    shift = np.asarray(MEAN, "float32") / np.asarray(STANDARD_DEVIATION, "float32")
    return images.astype("float32") * scale.astype("float32") - shift


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
    batch, height, width, channels = images.shape
    padded = np.zeros((batch, height + 2 * PADDING, width + 2 * PADDING, channels), images.dtype)
    padded[:, PADDING:-PADDING, PADDING:-PADDING] = images
    tops, lefts = generator.integers(0, 2 * PADDING + 1, (2, batch))
    flips = generator.random(batch) < 0.5
    rows = tops[:, None] + np.arange(height)
    columns = lefts[:, None] + np.arange(width)
    columns = np.where(flips[:, None], columns[:, ::-1], columns)
    crops = padded[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return normalize(crops)


def _write_arrays(split: str, source: str, folder: Path) -> None:
    images, labels = _read_tfds(split, source)
    with new_folder(folder) as writing:
        np.save(writing / "images.npy", images)
        np.save(writing / "labels.npy", labels)


def _read_tfds(split: str, source: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = read_split("cifar100", split, data_dir=source)
    images, labels = arrays["image"], arrays["label"].astype("int32")
    if len(labels) != SPLITS[split]:
        raise ValueError(
            f"Expected {SPLITS[split]:,} {split} images of CIFAR-100 in {source!r}, received "
            f"{len(labels):,}; the files are not whole."
        )
    return images, labels
