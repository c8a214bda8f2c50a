"""Pictures: what is served of them is what the student makes of the normalised floats."""

import io
import json
import struct

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_prokt.data import cifar
from keras_prokt.data.image_files import decode_image
from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import ImageFrontEnd, from_json
from keras_prokt.front_ends.images import MOST_PIXELS

pytestmark = pytest.mark.slow

tf = pytest.importorskip("tensorflow")

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
GREY = ImageFrontEnd((4, 6), mean=[0.5], standard_deviation=[0.25])


def front_end(size=(4, 6), **settings):
    return ImageFrontEnd(size, mean=MEAN, standard_deviation=DEVIATION, **settings)


def pictures(count, height=4, width=6, channels=3):
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, height, width, channels)).astype("uint8")


def student(size=(4, 6), channels=3, name="image", dtype="float32"):
    keras.utils.set_random_seed(0)
    image = keras.Input((*size, channels), name=name, dtype=dtype)
    # Positions and channels count, so that wrong ones show.
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))


def encoded(image, kind="PNG"):
    data = io.BytesIO()
    Image.fromarray(image).save(data, kind)
    return data.getvalue()


def served_by(model, folder, of=None, **settings):
    loaded = tf.saved_model.load(
        export_saved_model(model, folder, front_end=of or front_end(**settings))
    )

    def serve(signature, **inputs):
        return loaded.signatures[signature](**inputs)["probabilities"].numpy()

    serve.loaded = loaded  # it must live as long as its signatures
    return serve


def probabilities(model, values):
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(values, training=False)))


def assert_near(received, expected):
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5)


def test_normalisation_equals_its_definition():
    images = pictures(5)
    expected = (images / 255.0 - np.array(MEAN)) / np.array(DEVIATION)
    received = front_end().normalize(images)
    assert received.dtype == "float32"
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_images_files_and_floats_are_served_alike(tmp_path):
    model, images = student(), pictures(7)
    serve = served_by(model, tmp_path)
    assert set(serve.loaded.signatures) == {"serving_default", "serve_encoded", "serve_normalized"}
    normalized = ((images / 255.0 - np.array(MEAN)) / np.array(DEVIATION)).astype("float32")
    expected = probabilities(model, normalized)
    assert_near(serve("serving_default", image=tf.constant(images)), expected)
    assert_near(serve("serve_normalized", image=tf.constant(normalized)), expected)
    files = tf.constant([encoded(image) for image in images])
    assert_near(serve("serve_encoded", image_bytes=files), expected)
    for empty in (pictures(0), pictures(0, 9, 2)):
        assert serve("serving_default", image=tf.constant(empty)).shape == (0, 3)
    assert serve("serve_encoded", image_bytes=tf.constant([], tf.string)).shape == (0, 3)


def test_floats_are_not_taken_for_uint8(tmp_path):
    serve = served_by(student(), tmp_path)
    with pytest.raises(Exception, match="uint8"):
        serve("serving_default", image=tf.constant(pictures(2).astype("float32")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_files_are_decoded_as_by_pillow(tmp_path, kind):
    model = student((32, 48))
    serve = served_by(model, tmp_path, size=(32, 48))
    # Of large areas: JPEG's ways to decode differ there.
    images = pictures(6).repeat(8, axis=1).repeat(8, axis=2)
    files = [encoded(image, kind) for image in images]
    files += [encoded(images[0, ..., 0], kind)]  # a grey one
    decoded = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    expected = probabilities(model, front_end().normalize(np.stack(decoded)))
    assert_near(serve("serve_encoded", image_bytes=tf.constant(files)), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_on_white_here_and_there(tmp_path, mode):
    model, files = student(), []
    for image in pictures(4):
        picture = Image.fromarray(image).convert("L" if mode == "LA" else "RGB")
        if mode == "P":
            picture, settings = picture.quantize(4), {"transparency": 1}
        else:
            picture.putalpha(Image.fromarray(image[..., 0]))
            settings = {}
        files.append(io.BytesIO())
        picture.save(files[-1], "PNG", **settings)
    files = [file.getvalue() for file in files]
    decoded = np.stack([decode_image(file) for file in files])
    dropped = np.stack([Image.open(io.BytesIO(file)).convert("RGB") for file in files])
    assert np.abs(decoded.astype("int") - dropped).max() > 30  # transparency counts
    serve = served_by(model, tmp_path)
    served = serve("serve_encoded", image_bytes=tf.constant(files))
    # Pillow and the graph may round a value differently.
    np.testing.assert_allclose(
        served, probabilities(model, front_end().normalize(decoded)), rtol=0, atol=0.02
    )


@pytest.mark.parametrize("shape", [(9, 5), (4, 12), (2, 3), (40, 60)])
@pytest.mark.parametrize("crop", [False, True])
def test_pictures_of_other_sizes_are_resized(tmp_path, shape, crop):
    model, images = student(), pictures(3, *shape)
    serve = served_by(model, tmp_path, crop_to_aspect_ratio=crop)
    cut = images
    if crop:  # the largest middle of the shape 4:6
        rows, columns = {(9, 5): (3, 5), (4, 12): (4, 6)}.get(shape, shape)
        top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
        cut = images[:, top : top + rows, left : left + columns]
    # Pillow's bilinear filter has antialiasing as well; in floats it does not round.
    resized = [
        [
            np.asarray(Image.fromarray(image[..., n].astype("float32")).resize((6, 4), 2))
            for n in range(3)
        ]
        for image in cut
    ]
    values = np.moveaxis(np.array(resized), 1, -1)
    normalized = (values / 255.0 - np.array(MEAN)) / np.array(DEVIATION)
    expected = probabilities(model, normalized.astype("float32"))
    assert_near(serve("serving_default", image=tf.constant(images)), expected)
    files = tf.constant([encoded(image) for image in images])
    assert_near(serve("serve_encoded", image_bytes=files), expected)


def test_files_of_one_batch_may_have_other_sizes(tmp_path):
    serve = served_by(student(), tmp_path)
    images = [pictures(1, *shape)[0] for shape in ((4, 6), (9, 5), (3, 3))]
    alone = [serve("serving_default", image=tf.constant(image[None]))[0] for image in images]
    files = tf.constant([encoded(image) for image in images])
    assert_near(serve("serve_encoded", image_bytes=files), np.stack(alone))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_small_file_of_a_huge_picture_is_refused(tmp_path, kind):
    content = bytearray(encoded(pictures(1)[0], kind))
    sides = MOST_PIXELS // 4096 + 1, 4096
    if kind == "PNG":
        struct.pack_into(">II", content, 16, *sides)
    elif kind == "GIF":
        struct.pack_into("<HH", content, 6, *sides)
    else:  # height and width follow the marker of a frame, its length and its precision
        struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, *sides)
    serve = served_by(student(), tmp_path)
    message = f"at most {MOST_PIXELS} pixels, received a larger one"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve("serve_encoded", image_bytes=tf.constant([bytes(content)]))
    for length in (0, 3, 9, 20):
        with pytest.raises(tf.errors.InvalidArgumentError):
            serve("serve_encoded", image_bytes=tf.constant([bytes(content[:length])]))


def test_grey_images(tmp_path):
    model, images = student(channels=1, name=None), pictures(3, channels=1)
    serve = served_by(model, tmp_path, GREY)
    expected = probabilities(model, ((images / 255.0 - 0.5) / 0.25).astype("float32"))
    assert_near(serve("serving_default", image=tf.constant(images)), expected)
    files = tf.constant([encoded(image[..., 0]) for image in images])
    assert_near(serve("serve_encoded", image_bytes=files), expected)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"size": (4,)}, r"height and width, received \(4,\)"),
        ({"size": (4, 0)}, "height and width"),
        ({"mean": (0.5, 0.5)}, "one or three channels, received 2 and 3"),
        ({"standard_deviation": (0.5, 0.5)}, "one or three channels, received 3 and 2"),
        ({"standard_deviation": (0.5, 0.5, 0)}, "deviations above 0"),
    ],
)
def test_settings_are_checked(given, match):
    settings = {"size": (4, 6), "mean": MEAN, "standard_deviation": DEVIATION, **given}
    with pytest.raises(ValueError, match=match):
        ImageFrontEnd(settings.pop("size"), **settings)


@pytest.mark.parametrize(
    "model", [lambda: student((6, 4)), lambda: student(channels=1), lambda: student(dtype="uint8")]
)
def test_students_that_read_something_else_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match=r"floats of shape \(None, 4, 6, 3\), received 'image'"):
        export_saved_model(model(), tmp_path / "served", front_end=front_end())
    assert not list(tmp_path.iterdir())


def test_training_of_cifar100_and_what_is_served_normalise_alike(tmp_path):
    images = pictures(5, 32, 32)
    trained_on = cifar.Augmentation().apply(images, (), np)
    model = student((32, 32))
    serve = served_by(model, tmp_path, cifar.FRONT_END)
    expected = probabilities(model, trained_on)
    assert_near(serve("serving_default", image=tf.constant(images)), expected)
    assert from_json(json.loads(json.dumps(cifar.FRONT_END.to_json()))) == cifar.FRONT_END
