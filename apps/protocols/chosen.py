"""What the trials chose on validation data, by method; a test holds it against `results/`.

`None` as long as trials are missing. The rows made of it are in `rows.py`.
"""

from keras_prokt_apps.protocols.rows import Choice

DIGITS: Choice | None = Choice(
    labels={"student_learning_rate": 1e-2, "epochs": 1200, "label_smoothing": 0.1},
    kd={"temperature": 8.0, "label_weight": 0.0, "student_learning_rate": 2e-2},
    prokt={
        "proximal_weight": 0.6,
        "label_weight": 0.0,
        "student_learning_rate": 2e-2,
        "target_mode": "training",
    },
    papers_form={
        "proximal_weight": 0.6,
        "label_weight": 0.0,
        "student_learning_rate": 2e-2,
        "target_mode": "training",
    },
)
DIGITS_WRONG_LABELS: Choice | None = None
TEXTS: Choice | None = None
