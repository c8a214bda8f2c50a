"""Consistency training, as in keras.io's "Consistency Training with Supervision" (Paul, 2021).

The student sees a noisy version of each image and learns to answer what the teacher answers to the
clean one, beside the labels (Xie et al. 2020, arXiv 1911.04252).

| keras.io | here |
|---|---|
| `SelfTrainer.train_step` takes `(clean, noisy)` | `{"teacher": clean, "student": noisy}` as x |
| mean of cross entropy and consistency loss | `student_loss_weight=0.5` |
| `KLDivergence` at `temperature=10`, without T² | `SoftTargets(temperature=10, weight=1 / 10**2)` |
| the teacher's predictions are constants | they always are |

Under a minute on two cores. A notebook as a script: each `# %%` begins a cell.
"""

# %% Data, clean and noisy.
import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_prokt import FrozenTeacherDistiller, StudentOnly
from keras_prokt.losses import SoftTargets

digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]


def noisy(image):
    return image + tf.random.normal(image.shape, stddev=0.3)


pairs = (
    tf.data.Dataset.from_tensor_slices((images[train], digits.target[train]))
    .shuffle(len(train))
    .map(lambda image, label: ({"teacher": image, "student": noisy(image)}, label))
    .batch(64)
    .prefetch(2)
)


def network(channels):
    layers = [
        keras.layers.Conv2D(channels, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(2 * channels, 3, padding="same", activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


# %% The teacher learns clean images.
keras.utils.set_random_seed(0)
teacher, student = network(32), network(8)
scratch = keras.models.clone_model(student)
scratch.set_weights(student.get_weights())
teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
teacher.fit(images[train], digits.target[train], epochs=20, verbose=0)

# %% The student learns noisy ones: the labels, and what the teacher says of the clean image.
consistency = SoftTargets(temperature=10, weight=1 / 10**2)
trainer = FrozenTeacherDistiller(
    teacher, student, objectives=[consistency], student_loss_weight=0.5
)
trainer.compile(keras.optimizers.Adam(3e-3))
trainer.fit(pairs, epochs=40, verbose=0)

# %% The same student on clean images alone, and both where images are clean or corrupted.
alone = StudentOnly(scratch)
alone.compile(keras.optimizers.Adam(3e-3))
alone.fit(images[train], digits.target[train], epochs=40, verbose=0)

corrupted = images[test] + np.random.default_rng(1).normal(0, 0.3, images[test].shape)
for name, model in {"with consistency": student, "clean images alone": scratch}.items():
    shares = []
    for x in (images[test], corrupted.astype("float32")):
        shares.append(np.mean(model.predict(x, verbose=0).argmax(axis=-1) == digits.target[test]))
    print(f"test accuracy, {name}: clean {shares[0]:.3f}, corrupted {shares[1]:.3f}")
