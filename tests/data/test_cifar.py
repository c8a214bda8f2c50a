"""CIFAR-100: the arrays on disk, the split, augmentation and normalisation."""

import numpy as np
import pytest
from marks import DATA

from keras_prokt.data import cifar

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3)).astype("uint8")


@pytest.mark.real_data("cifar100")
def test_arrays_are_written_once_and_mapped(tmp_path):
    first = cifar.load_cifar100("test", cache=tmp_path)
    assert first.images.shape == (10_000, 32, 32, 3)
    assert first.images.dtype == "uint8" and isinstance(first.images, np.memmap)
    np.testing.assert_array_equal(np.bincount(first.labels), [100] * 100)
    assert len(first.class_names) == 100
    assert first.class_names[:2] == ["apple", "aquarium_fish"]
    [folder] = (tmp_path / "data").iterdir()
    written = (folder / "images.npy").stat().st_mtime_ns
    again = cifar.load_cifar100("test", cache=tmp_path)
    assert (folder / "images.npy").stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.images[:10], again.images[:10])
    assert again.class_names == first.class_names

    import tensorflow_datasets as tfds

    stored = tfds.as_numpy(tfds.load("cifar100", split="test[:20]", data_dir=DATA, batch_size=-1))
    np.testing.assert_array_equal(stored["image"], first.images[:20])
    np.testing.assert_array_equal(stored["label"], first.labels[:20])


def test_missing_data_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="prepared TFDS data of cifar100 in"):
        cifar.load_cifar100("test", data_dir=str(tmp_path), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ValueError, match="a split among train, test"):
        cifar.load_cifar100("tset")


@pytest.fixture
def whole(monkeypatch):
    """A test split of 50 images, in place of the one that TFDS would read."""
    whole = cifar.Images(IMAGES, np.arange(50, dtype="int32"), [str(n) for n in range(100)])
    monkeypatch.setattr(cifar, "_read_tfds", lambda split, source: whole)
    return whole


@pytest.mark.parametrize("damaged", ["images.npy", "labels.npy", "class_names.json"])
def test_damaged_arrays_are_written_again(damaged, tmp_path, whole):
    cifar.load_cifar100("test", cache=tmp_path)
    [path] = tmp_path.glob(f"data/*/{damaged}")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-4] ^= 1
    for broken in (bytes(flipped), content[:-60], b"", None):
        path.unlink() if broken is None else path.write_bytes(broken)
        again = cifar.load_cifar100("test", cache=tmp_path)
        np.testing.assert_array_equal(again.images, IMAGES)
        np.testing.assert_array_equal(again.labels, whole.labels)
        assert again.class_names == whole.class_names
        assert path.read_bytes() == content


def test_where_arrays_cannot_be_kept_they_are_read_each_time(tmp_path, whole):
    (tmp_path / "data").write_text("a file where the folder would be")
    images = cifar.load_cifar100("test", cache=tmp_path)
    np.testing.assert_array_equal(images.images, IMAGES)
    np.testing.assert_array_equal(images.labels, whole.labels)


def test_data_is_missing_only_where_no_whole_arrays_are_kept(tmp_path, whole):
    nowhere = str(tmp_path / "nowhere")

    def check():
        cifar.check_cifar100(data_dir=nowhere, cache=tmp_path)

    message = "data of cifar100 in '.*nowhere', received no such directory; point data_dir"
    with pytest.raises(ValueError, match=message):
        check()
    for split in cifar.SPLITS:
        cifar.load_cifar100(split, data_dir=nowhere, cache=tmp_path)
    check()
    for path in tmp_path.glob("data/*-train/labels.npy"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        check()


def test_validation_examples_are_fixed_and_apart():
    train, validation = cifar.split_validation(50_000)
    assert (len(train), len(validation)) == (45_000, 5_000)
    assert len(np.union1d(train, validation)) == 50_000
    np.testing.assert_array_equal(validation, cifar.split_validation(50_000)[1])


def test_normalisation_equals_its_definition():
    expected = (IMAGES / 255.0 - np.array(cifar.MEAN)) / np.array(cifar.STANDARD_DEVIATION)
    received = cifar.FRONT_END.normalize(IMAGES)
    assert received.dtype == "float32"
    np.testing.assert_allclose(received, expected, atol=1e-5)
    # Where TensorFlow takes an array over without copying it.
    assert (
        received.ctypes.data % 64 == 0 and received.flags.c_contiguous and received.flags.writeable
    )


@pytest.mark.slow
def test_every_augmented_image_is_a_crop_of_its_own():
    augmented = cifar.augment(IMAGES, np.random.default_rng(1))
    padded = np.pad(IMAGES, ((0, 0), (4, 4), (4, 4), (0, 0)))
    found = []
    for number, image in enumerate(augmented):
        matches = []
        for top in range(9):
            for left in range(9):
                crop = cifar.FRONT_END.normalize(padded[number, top : top + 32, left : left + 32])
                for flip, candidate in ((False, crop), (True, crop[:, ::-1])):
                    if np.allclose(candidate, image):
                        matches.append((top, left, flip))
        assert len(matches) == 1
        found += matches
    assert len(set(found)) > 30  # an offset for each example, not for the batch
    assert 10 < sum(flip for _, _, flip in found) < 40
    tops = {top for top, _, _ in found}
    assert min(tops) == 0 and max(tops) == 8


def test_augmentation_is_a_function_of_the_generator():
    one, same, other = (cifar.augment(IMAGES, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_images_on_the_device_of_jax_are_those_of_the_host():
    jax = pytest.importorskip("jax")
    augmentation = cifar.Augmentation()
    drawn = augmentation.draw(len(IMAGES), np.random.default_rng(1))
    np.testing.assert_array_equal(
        augmentation.apply(IMAGES, drawn, np), cifar.augment(IMAGES, np.random.default_rng(1))
    )
    for numbers in (drawn, ()):
        host = augmentation.apply(IMAGES, numbers, np)
        device = jax.jit(lambda *a: augmentation.apply(*a, jax.numpy))(IMAGES, numbers)
        assert device.dtype == host.dtype == "float32"
        np.testing.assert_allclose(device, host, atol=1e-6)
