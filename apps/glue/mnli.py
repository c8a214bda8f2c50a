"""App `glue-mnli`: inference on pairs of sentences, BERT into a bi-LSTM or a smaller BERT."""

from keras_prokt_apps.glue.app import glue_app

APP = glue_app(
    "mnli", "GLUE MNLI, inference, matched and mismatched; needs the data in TFDS format and a BERT"
)
