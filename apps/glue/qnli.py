"""App `glue-qnli`: whether a sentence answers a question, BERT into a bi-LSTM or a smaller BERT."""

from keras_prokt_apps.glue.app import glue_app

APP = glue_app(
    "qnli", "GLUE QNLI, questions and sentences; needs the data in TFDS format and a BERT"
)
