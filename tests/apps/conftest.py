"""A small BERT for the apps on text."""

import keras
import pytest


@pytest.fixture(scope="session")
def make_bert(tmp_path_factory):
    """Makes a directory with a BERT of two small layers and random weights, by its words."""
    from keras_hub.models import BertBackbone, BertTokenizer

    def make(words):
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
        keras.utils.set_random_seed(0)
        folder = str(tmp_path_factory.mktemp("bert"))
        backbone = BertBackbone(
            vocabulary_size=len(pieces),
            num_layers=2,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=16,
            max_sequence_length=128,
        )
        for variable in backbone.trainable_variables:  # trained weights are larger than 0.02
            variable.assign(variable + keras.random.normal(variable.shape, stddev=0.5))
        backbone.save_to_preset(folder)
        BertTokenizer(pieces, lowercase=True, strip_accents=True).save_to_preset(folder)
        return folder

    return make
