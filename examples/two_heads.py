"""A student with two heads, as in keras.io's "Distilling Vision Transformers" (Paul, 2022).

DeiT (Touvron et al. 2021, arXiv 2012.12877): beside the class token the student has a distillation
token. The labels train the head on the first one, the teacher trains the head on the second.

| keras.io | here |
|---|---|
| `ViTDistilled` with outputs `(cls, dist)` | outputs `{"class": ..., "teacher": ...}` |
| `DeiT.train_step` | `FrozenTeacherDistiller(..., student_divergence_output="teacher")` |
| loss: mean of both cross entropies (hard labels) | `student_loss_weight=0.5`; see below |
| mean of the two heads at inference | `keras.Model(inputs, (class + teacher) / 2)` |

Hard distillation takes the teacher's most probable class for a label. Its cross entropy is the
divergence from a distribution that is all on that class: stored outputs, the part `target` of x,
say so. Without them the heads learn DeiT's soft targets. Under a minute on two cores. A notebook as
a script: each `# %%` begins a cell.
"""

# %% Data: the rows of each image are its tokens.
import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_prokt import FrozenTeacherDistiller

digits = load_digits()
images = (digits.images / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]


def accuracy(model):
    predicted = model.predict(images[test], verbose=0).argmax(axis=-1)
    return np.mean(predicted == digits.target[test])


# %% A convolutional teacher, trained as usual.
keras.utils.set_random_seed(0)
teacher = keras.Sequential(
    [
        keras.Input((8, 8)),
        layers.Reshape((8, 8, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10),
    ]
)
teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
teacher.fit(images[train], digits.target[train], epochs=15, verbose=0)


# %% A small transformer with a class token and a distillation token.
@keras.saving.register_keras_serializable("two_heads")
class Tokens(layers.Layer):
    """Puts two learnt tokens before the others and adds positions."""

    def build(self, shape):
        _, length, width = shape
        self.tokens = self.add_weight(shape=(1, 2, width), name="tokens")
        self.positions = self.add_weight(shape=(1, length + 2, width), name="positions")

    def call(self, x):
        tokens = keras.ops.repeat(self.tokens, keras.ops.shape(x)[0], axis=0)
        return keras.ops.concatenate([tokens, x], axis=1) + self.positions


def transformer(width=32):
    inputs = keras.Input((8, 8))
    x = Tokens()(layers.Dense(width)(inputs))
    for _ in range(2):
        normal = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, width // 2)(normal, normal)
        x = x + layers.Dense(width)(layers.Dense(2 * width, "gelu")(layers.LayerNormalization()(x)))
    x = layers.LayerNormalization()(x)
    heads = {"class": layers.Dense(10)(x[:, 0]), "teacher": layers.Dense(10)(x[:, 1])}
    return keras.Model(inputs, heads)


student = transformer()

# %% Hard labels of the teacher as a distribution, and half of the loss for each head.
answers = teacher.predict(images[train], verbose=0).argmax(axis=-1)
hard = np.log(np.clip(np.eye(10)[answers], 1e-7, 1)).astype("float32")
distiller = FrozenTeacherDistiller(
    None, student, student_divergence_output="teacher", student_loss_weight=0.5
)
distiller.compile(keras.optimizers.AdamW(3e-3))
distiller.fit(
    {"student": images[train], "target": hard}, digits.target[train], epochs=25, verbose=0
)

# %% At inference, the mean of both heads.
mean = keras.Model(student.input, (student.output["class"] + student.output["teacher"]) / 2)
for name, model in {"teacher": teacher, "student, mean of both heads": mean}.items():
    print(f"test accuracy, {name}: {accuracy(model):.3f}")
