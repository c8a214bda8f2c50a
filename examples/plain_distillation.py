"""Plain knowledge distillation, as in keras.io's "Knowledge Distillation" (Borup, 2020).

There a class `Distiller` overrides `train_step`; here `FrozenTeacherDistiller` is that class:

| keras.io | here |
|---|---|
| `Distiller(student=student, teacher=teacher)` | `FrozenTeacherDistiller(teacher, student, ...)` |
| `alpha=0.1`, the share of the labels in the loss | `student_loss_weight=0.1` |
| `temperature=10`, loss times T² | `temperature=10`, the same |
| `student_loss_fn=SparseCategoricalCrossentropy(from_logits=True)` | the default |
| `metrics=[SparseCategoricalAccuracy()]` | in the logs as `student_accuracy` and the teacher's |
| `distiller.evaluate(x_test, y_test)` | the same |

Under a minute on two cores. A notebook as a script: each `# %%` begins a cell.
"""

# %% Data, and two convolutional networks that end in logits.
import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_prokt import FrozenTeacherDistiller, StudentOnly

digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]


def network(channels):
    layers = [
        keras.layers.Conv2D(channels, 3, strides=2, padding="same", activation="leaky_relu"),
        keras.layers.Conv2D(2 * channels, 3, strides=2, padding="same"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def accuracy(model):
    predicted = model.predict(images[test], verbose=0).argmax(axis=-1)
    return np.mean(predicted == digits.target[test])


# %% Train the teacher as usual.
keras.utils.set_random_seed(0)
teacher, student = network(64), network(2)
scratch = keras.models.clone_model(student)
scratch.set_weights(student.get_weights())
teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
teacher.fit(images[train], digits.target[train], epochs=10, verbose=0)

# %% Distil it into the student.
distiller = FrozenTeacherDistiller(teacher, student, student_loss_weight=0.1, temperature=10)
distiller.compile("adam")
distiller.fit(images[train], digits.target[train], epochs=20, verbose=0)

# %% The same student from scratch, for comparison.
alone = StudentOnly(scratch)
alone.compile("adam")
alone.fit(images[train], digits.target[train], epochs=20, verbose=0)

for name, model in {"teacher": teacher, "distilled": student, "from scratch": scratch}.items():
    print(f"test accuracy, {name}: {accuracy(model):.3f}")
