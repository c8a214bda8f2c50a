"""What the trials chose on validation data, by method; a test holds it against `results/`.

`None` as long as trials are missing. The rows made of it are in `rows.py`.
"""

from keras_prokt_apps.protocols.rows import Choice

DIGITS: Choice | None = None
DIGITS_WRONG_LABELS: Choice | None = None
TEXTS: Choice | None = None
