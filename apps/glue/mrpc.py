"""App `glue-mrpc`: whether two sentences say the same, BERT into a bi-LSTM or a smaller BERT."""

from keras_prokt_apps.glue.app import glue_app

APP = glue_app(
    "mrpc", "GLUE MRPC, paraphrases, F1 and accuracy; needs the data in TFDS format and a BERT"
)
