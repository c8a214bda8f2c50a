"""Function matching, as in keras.io's "Knowledge distillation recipes" (Paul, 2021).

Beyer et al. 2022 (arXiv 2106.05237): the student matches the teacher as a function, on images that
are mixed up so strongly that no label fits them, for long, and never sees a label.

| keras.io | here |
|---|---|
| `Distiller` whose loss is the KL divergence alone | `FrozenTeacherDistiller(teacher, student)` |
| `temperature=10`, `KLDivergence` of both softmaxes | `temperature=10`, the same times T² |
| mixed-up images without labels | labels −1 and `ignore_class=-1` |
| teacher and student see the same crops | one input for both, the default |
| `AdamW` with warm-up and cosine decay | any optimizer and schedule of Keras's |

The factor T² only scales the loss; Adam's steps are the same. Half a minute on two cores. A
notebook as a script: each `# %%` begins a cell.
"""

# %% Data: of the digits only 200 have a label, and the teacher is trained on those.
import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_prokt import FrozenTeacherDistiller

digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(images))
labelled, unlabelled, test = order[:200], order[200:1400], order[1400:]


def network(channels):
    layers = [
        keras.layers.Conv2D(channels, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(2 * channels, 3, padding="same", activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def accuracy(model):
    predicted = model.predict(images[test], verbose=0).argmax(axis=-1)
    return np.mean(predicted == digits.target[test])


keras.utils.set_random_seed(0)
teacher, student = network(64), network(12)
scratch = keras.models.clone_model(student)
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for model, epochs in ((teacher, 60), (scratch, 200)):
    model.compile(keras.optimizers.Adam(3e-3), cross_entropy)
    model.fit(images[labelled], digits.target[labelled], epochs=epochs, verbose=0)


# %% Mix each image with another one, in random shares, anew in each epoch.
def mixed_up(batch):
    share = tf.random.uniform((64, 1, 1, 1))
    return share * batch + (1 - share) * tf.random.shuffle(batch)


rows = np.concatenate([labelled, unlabelled])
data = (
    tf.data.Dataset.from_tensor_slices(images[rows])
    .shuffle(len(rows))
    .batch(64, drop_remainder=True)
    .map(mixed_up)
    .map(lambda batch: (batch, tf.fill((64,), -1)))
)

# %% Match the teacher on them.
steps = 40 * (len(rows) // 64)
distiller = FrozenTeacherDistiller(teacher, student, temperature=10, ignore_class=-1)
distiller.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(1e-2, steps)))
distiller.fit(data, epochs=40, verbose=0)

for name, model in {
    "teacher": teacher,
    "matched on mixed-up images without labels": student,
    "trained on the 200 labels": scratch,
}.items():
    print(f"test accuracy, {name}: {accuracy(model):.3f}")
