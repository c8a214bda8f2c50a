"""A Hugging Face model in PyTorch as a live, fixed teacher."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_prokt import FrozenTeacherDistiller

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="computed by PyTorch alone"
)


def test_a_model_of_transformers_teaches_and_stays_as_it_is():
    import torch

    transformers = pytest.importorskip("transformers", reason="a model of Hugging Face")

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, inputs):
            ids, mask = inputs["token_ids"], inputs["padding_mask"]
            return self.model(input_ids=ids, attention_mask=mask).logits

    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    inputs = {
        name: keras.Input((6,), dtype="int32", name=name) for name in ("token_ids", "padding_mask")
    }
    wrapped = layers.TorchModuleWrapper(Logits(model), output_shape=(None, 3))
    teacher = keras.Model(inputs, wrapped(inputs))
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(inputs["token_ids"]))
    student = keras.Model(inputs, layers.Dense(3)(embedded))

    rng = np.random.default_rng(0)
    x = {
        "token_ids": rng.integers(0, 20, size=(16, 6)).astype("int32"),
        "padding_mask": np.ones((16, 6), "int32"),
    }
    with torch.no_grad():
        ids, mask = torch.tensor(x["token_ids"]), torch.tensor(x["padding_mask"])
        logits = model(input_ids=ids, attention_mask=mask).logits.numpy()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    y = logits.argmax(-1)

    distiller = FrozenTeacherDistiller(teacher, student)
    distiller.compile("adam")
    logs = distiller.fit(x, y, epochs=2, verbose=0).history
    assert logs["teacher_accuracy"] == [1, 1]
    assert logs["student_loss"][1] < logs["student_loss"][0]
    assert all(map(torch.equal, before, model.parameters()))

    stored = FrozenTeacherDistiller(None, keras.models.clone_model(student))
    for trained in (stored, distiller):
        trained.student.set_weights([np.full(w.shape, 0.1) for w in student.get_weights()])
        trained.compile(keras.optimizers.SGD(0.1))
    stored.fit({"student": x, "target": logits}, y, shuffle=False, verbose=0)
    distiller.fit(x, y, shuffle=False, verbose=0)
    for one, other in zip(stored.student.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
