"""Gradient-boosted trees taught to a small network that is served whole, from a table of numbers.

Trees are the usual answer to a table, and a Python process has to serve them. Here their outputs on
the training rows are stored once, and a small network learns them (`target`, under a fixed teacher
of stored outputs). The preprocessing is part of the network: it reads the raw columns by their
names, in their own units, so that the SavedModel asks for nothing else. About a minute on two
cores. A notebook as a script: each `# %%` begins a cell.
"""

# %% Data: tumours, 30 measurements each; columns are named as the table has them.
import re

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict, train_test_split

from keras_prokt import FrozenTeacherDistiller

table = load_breast_cancer()
names = [re.sub(r"\W+", "_", name) for name in table.feature_names]
x, x_test, y, y_test = train_test_split(
    table.data.astype("float32"), table.target, test_size=0.3, random_state=0, stratify=table.target
)


def columns(rows):
    """Rows of the table as the network reads them: one column an input."""
    return {name: rows[:, [number]] for number, name in enumerate(names)}


# %% The trees, and what they say of rows that they have not been trained on.
trees = HistGradientBoostingClassifier(random_state=0)
probabilities = cross_val_predict(trees, x, y, cv=5, method="predict_proba")
logits = np.log(np.clip(probabilities, 1e-3, 1)).astype("float32")
trees.fit(x, y)


# %% The network: each raw column is standardised inside, by the training rows' mean and variance.
keras.utils.set_random_seed(0)
inputs = {name: keras.Input((1,), name=name) for name in names}
together = layers.Concatenate()([inputs[name] for name in names])
standardised = layers.Normalization(mean=x.mean(axis=0), variance=x.var(axis=0))(together)
hidden = layers.Dense(16, "relu")(standardised)
student = keras.Model(inputs, layers.Dense(2)(hidden), name="student")

distiller = FrozenTeacherDistiller(None, student, temperature=2.0, student_loss_weight=0.5)
distiller.compile(keras.optimizers.Adam(1e-2))
distiller.fit({"student": columns(x), "target": logits}, y, epochs=40, batch_size=32, verbose=0)

# %% It answers raw rows, as its SavedModel and `keras-prokt predict` do.
predicted = student.predict(columns(x_test), verbose=0).argmax(axis=-1)
weights, right = student.count_params(), np.mean(predicted == y_test)
print(f"test accuracy, trees: {trees.score(x_test, y_test):.3f}")
print(f"test accuracy, student of {weights:,} weights: {right:.3f}")
path = distiller.export("serving/tumours", class_names=[str(name) for name in table.target_names])
print(f"served: {path}, which reads {', '.join(names[:2])}, ... and {len(names) - 2} more")
