"""Images changed at random: each by itself, the same ones from the same seed, with their labels."""

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from keras_prokt.data import rand_augment
from keras_prokt.data.augmentation import (
    crop,
    draw_crops,
    draw_mixing,
    image_augmentation,
    mix,
    parse_augmentation,
)
from keras_prokt.data.batches import Batches
from keras_prokt.front_ends import ImageFrontEnd
from keras_prokt.settings import SettingError

FRONT_END = ImageFrontEnd((16, 24), mean=[0.0] * 3, standard_deviation=[1 / 255] * 3)
"""Values stay as they are."""
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 24, 3), dtype="uint8")
LABELS = np.arange(40) % 5
OPERATIONS = list(rand_augment.OPERATIONS)


def batches(text, seed=0, **settings):
    transform = image_augmentation(parse_augmentation(text), FRONT_END, 5)
    return Batches(
        IMAGES, LABELS, batch_size=16, seed=seed, shuffle=True, transform=transform, **settings
    )


def generator(*seed):
    return np.random.default_rng(list(seed))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", lambda p: p),
        ("auto_contrast", ImageOps.autocontrast),
        ("equalize", ImageOps.equalize),
        ("rotate", lambda p: p.rotate(-9)),
        ("solarize", lambda p: ImageOps.solarize(p, 178)),
        ("posterize", lambda p: ImageOps.posterize(p, 7)),
        ("contrast", lambda p: ImageEnhance.Contrast(p).enhance(1.27)),
        ("brightness", lambda p: ImageEnhance.Brightness(p).enhance(1.27)),
        ("translate_x", lambda p: p.transform(p.size, Image.AFFINE, (1, 0, 3.24, 0, 1, 0))),
        ("shear_y", lambda p: p.transform(p.size, Image.AFFINE, (1, 0, 0, 0.09, 1, 0))),
    ],
)
def test_an_operation_is_that_of_pillow_at_its_strength(name, expected):
    operations = np.array([[OPERATIONS.index(name)]])
    received = rand_augment.apply_operations(IMAGES[:1], operations, np.array([[False]]))[0]
    np.testing.assert_array_equal(received, np.asarray(expected(Image.fromarray(IMAGES[0]))))


def test_every_operation_is_drawn_and_goes_both_ways():
    operations, is_reversed = rand_augment.draw_operations(3000, generator(0))
    shares = np.bincount(operations.ravel(), minlength=14) / operations.size
    assert np.abs(shares - 1 / 14).max() < 0.02 and abs(is_reversed.mean() - 0.5) < 0.02
    for name in ("rotate", "color", "shear_x"):
        one = np.array([[OPERATIONS.index(name)]])
        ways = [
            rand_augment.apply_operations(IMAGES[:1], one, np.array([[way]]))
            for way in (True, False)
        ]
        assert (ways[0] != ways[1]).any()


@pytest.mark.parametrize("padding", [0, 2, 16, 30])
def test_a_crop_is_a_part_of_the_padded_image(padding):
    tops, lefts, flips = draw_crops(len(IMAGES), generator(6), padding)
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded, (height, width) = np.pad(IMAGES, border), IMAGES.shape[1:3]
    cropped = crop(IMAGES, tops, lefts, flips, padding)
    for image, top, left, flip, received in zip(padded, tops, lefts, flips, cropped, strict=True):
        expected = image[top : top + height, left : left + width]
        np.testing.assert_array_equal(received, expected[:, ::-1] if flip else expected)


def test_mixup_and_cutmix_are_what_their_papers_say():
    floats = IMAGES.astype("float32")
    mixing = draw_mixing(40, generator(1), ["mixup"], (16, 24))
    partners, weights, _, are_cut = mixing
    assert not are_cut.any() and len(set(weights.tolist())) > 30  # each by itself
    w = weights[:, None, None, None]
    expected = (1 - w) * floats + w * floats[partners]
    np.testing.assert_allclose(mix(floats, mixing), expected, atol=1e-3)

    mixing = draw_mixing(40, generator(2), ["cutmix"], (16, 24))
    partners, weights, boxes, are_cut = mixing
    assert are_cut.all()
    for row, (top, bottom, left, right) in enumerate(boxes):
        expected = floats[row].copy()
        expected[top:bottom, left:right] = floats[partners[row], top:bottom, left:right]
        np.testing.assert_array_equal(mix(floats, mixing)[row], expected)
        assert weights[row] == pytest.approx((bottom - top) * (right - left) / 384)
    both = draw_mixing(1000, generator(3), ["mixup", "cutmix"], (16, 24))[3]
    assert 0.4 < both.mean() < 0.6


def test_labels_are_mixed_as_images_are():
    transform = image_augmentation(["mixup", "cutmix"], FRONT_END, 5)
    drawn = transform.draw(40, generator(4))
    constant = np.zeros((40, 16, 24, 3), "uint8") + (50 * LABELS)[:, None, None, None]
    images = transform.apply(constant.astype("uint8"), drawn, np)
    labels = transform.mixed_labels(LABELS, drawn)
    assert labels.dtype == "float32"
    np.testing.assert_allclose(labels.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(images.mean((1, 2, 3)), labels @ (50 * np.arange(5)), atol=1e-2)


@pytest.mark.parametrize("text", ["crop+flip", "randaugment", "flip+mixup", "crop+cutmix+mixup"])
def test_an_epoch_is_a_function_of_the_seed_and_its_number(text):
    def epoch(number, **settings):
        parts = zip(*batches(text, **settings).epoch(number), strict=True)
        return [np.concatenate(part) for part in parts]

    for one, again in zip(epoch(3), epoch(3), strict=True):
        np.testing.assert_array_equal(one, again)
    assert (epoch(3)[0] != epoch(4)[0]).any() and (epoch(3)[0] != epoch(3, seed=1)[0]).any()
    resumed = iter(batches(text).for_training(first_epoch=3))
    for images, labels in batches(text).epoch(3):
        expected = next(resumed)
        np.testing.assert_allclose(np.asarray(expected[0]), images, rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(expected[1]), labels)
    in_order = next(iter(batches(text).in_order().for_evaluation()))
    np.testing.assert_array_equal(np.asarray(in_order[1]), LABELS[:16])
    np.testing.assert_allclose(np.asarray(in_order[0]), IMAGES[:16], rtol=1e-6)


def test_jax_does_the_same_where_it_computes():
    jax = pytest.importorskip("jax")
    transform = image_augmentation(["crop", "flip", "mixup", "cutmix"], FRONT_END, 5)
    drawn = transform.draw(40, generator(5))
    apply = jax.jit(lambda images, drawn: transform.apply(images, drawn, jax.numpy))
    expected = transform.apply(IMAGES, drawn, np)
    np.testing.assert_allclose(np.asarray(apply(IMAGES, drawn)), expected, atol=1e-3)


def test_names_are_checked_and_labels_need_one_input():
    assert parse_augmentation("none") == ()
    with pytest.raises(SettingError, match="among crop, .*; received 'mix'; did you mean 'mixup'"):
        parse_augmentation("crop+mix")
    with pytest.raises(SettingError, match="Expected each name once"):
        parse_augmentation("crop+crop")
    transform = image_augmentation(["mixup"], FRONT_END, 5)
    inputs = {"teacher": IMAGES, "student": IMAGES.copy()}
    with pytest.raises(ValueError, match="one input array with a transform that mixes labels"):
        Batches(inputs, LABELS, batch_size=4, transform=transform)
    assert keras.tree.flatten(image_augmentation([], FRONT_END, 5).draw(3, generator(0))) == []
