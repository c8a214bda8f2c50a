"""App `glue-sst2`: sentiment of movie-review phrases, BERT into a bi-LSTM or a smaller BERT."""

from keras_prokt_apps.glue.app import glue_app

APP = glue_app("sst2", "GLUE SST-2, sentiment of phrases; needs the data in TFDS format and a BERT")
