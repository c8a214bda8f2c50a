"""ProKT around a `tf.data` pipeline and two Keras models of your own; half a minute on two cores.

A notebook as a script: each `# %%` begins a cell. It writes into the folder `own_pipeline`.
"""

# %% Data: handwritten digits, moved by a pixel at random while training.
import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_prokt import ProKTDistiller, StudentCheckpoint, TrainingDynamics, uniform_start

digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
classes = digits.target
order = np.random.default_rng(0).permutation(len(images))
train, validation, test = order[:1200], order[1200:1500], order[1500:]


def moved(image, label):
    return tf.image.random_crop(tf.pad(image, [[1, 1], [1, 1], [0, 0]]), (8, 8, 1)), label


def pipeline(rows, *, is_training=False):
    data = tf.data.Dataset.from_tensor_slices((images[rows], classes[rows]))
    if is_training:
        data = data.shuffle(len(rows), seed=0).map(moved)
    return data.batch(64).prefetch(2)


# %% Two models that end in logits and start as the uniform distribution.
def network(channels, name):
    layers = [
        keras.layers.Conv2D(channels, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(2 * channels, 3, padding="same", activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
    return uniform_start(keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name))


keras.utils.set_random_seed(0)
teacher, student = network(48, "teacher"), network(6, "student")

# %% Both learn together: the teacher the labels, near the student; the student the teacher.
distiller = ProKTDistiller(teacher, student, proximal_weight=0.3)
distiller.compile(
    optimizer=keras.optimizers.Adam(1e-2),
    teacher_optimizer=keras.optimizers.Adam(3e-3),
)
distiller.fit(
    pipeline(train, is_training=True),
    epochs=30,
    validation_data=pipeline(validation),
    callbacks=[
        StudentCheckpoint("own_pipeline/student.keras", monitor="val_student_accuracy"),
        TrainingDynamics("own_pipeline", title="digits · ProKT · λ 0.3 · seed 0", chance=0.1),
    ],
    verbose=0,
)

# %% The best student on validation, a plain Keras model, on test data that nothing was chosen on.
best = keras.saving.load_model("own_pipeline/student.keras")
logits = best.predict(pipeline(test), verbose=0)
accuracy = np.mean(logits.argmax(axis=-1) == classes[test])
print(
    f"{teacher.count_params():,} parameters of the teacher, {best.count_params():,} of the student"
)
print(f"test accuracy of the student: {accuracy:.3f}; the curves: own_pipeline/dynamics.png")
