"""What predicts: a model of a run, a `student.keras`, or a SavedModel, each by itself."""

import abc
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_prokt import outputs
from keras_prokt.data.batches import Batches
from keras_prokt.data.text import tokenize
from keras_prokt.export.described import Described, described
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd
from keras_prokt.models.as_logits import (
    InexactLogitsWarning,
    as_logits_if_seen,
    removed_activation,
)
from keras_prokt.models.loading import load_student
from keras_prokt.models.symbolic_inputs import symbolic_inputs
from keras_prokt.models.wordpiece import ExactBertTokenizer
from keras_prokt.recorders.saved_model import load_saved_model

BATCH_SIZE = 64
"""Examples a batch; changes the speed alone."""

_JOINT = ("token_ids", "padding_mask", "segment_ids")
_SENTENCE = ("token_ids", "padding_mask")
_SEPARATE = (*_SENTENCE, "token_ids_pair", "padding_mask_pair")


class Predictor(abc.ABC):
    """A model that answers raw input.

    Attributes:
        described: How it reads raw input, and what its outputs mean.
        path: Where it is.
        number_inputs: Dtype of each input that is one value an example, by name: what a table of
            numbers is read for. Empty where the model reads anything else.
    """

    described: Described
    path: Path
    number_inputs: Mapping[str, str]

    @abc.abstractmethod
    def texts(self, columns: Sequence[Sequence[str]]) -> np.ndarray:
        """Logits `(texts, width)` of texts, or of pairs."""

    @abc.abstractmethod
    def images(self, pixels: np.ndarray) -> np.ndarray:
        """Logits of images of the front end's size, uint8 `(images, height, width, channels)`."""

    @abc.abstractmethod
    def numbers(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits of one value an example for each of `number_inputs`."""

    def record(self, width: int) -> dict[str, Any]:
        """What `keras_prokt.results.predictions` wants to know of outputs of so many logits."""
        output = self.described.output or outputs.infer(width).id
        return {"output": output, "class_names": list(self.described.class_names)}


class KerasPredictor(Predictor):
    """A Keras model: of logits, or one that ends in probabilities, as its user made it.

    Args:
        path: Its file.
        of: What is known of it; `None` for what its file says.
        model: The model, if it has been loaded already.
    """

    def __init__(self, path: Path, of: Described | None = None, model: keras.Model | None = None):
        self.path = path
        self.described = described(path) if of is None else of
        network = load_student(path) if model is None else model
        output = self.described.output
        kind = None if output is None else outputs.get(output)
        with warnings.catch_warnings():
            # The probabilities that are written are the model's, however its logits are taken.
            warnings.simplefilter("ignore", InexactLogitsWarning)
            self._network = as_logits_if_seen(network, (kind or outputs.Output).activations)
        told = outputs.told_by({"student": removed_activation(self._network)})
        if output is None and told is not None:
            self.described = self.described._replace(output=told.id)
        inputs = symbolic_inputs(network)
        tensors = [] if inputs is None else keras.tree.flatten(inputs)
        self._names = [tensor.name for tensor in tensors]
        is_number = all(t.ndim == 1 or (t.ndim == 2 and t.shape[1] == 1) for t in tensors)
        self.number_inputs = {t.name: t.dtype for t in tensors} if is_number else {}

    def texts(self, columns: Sequence[Sequence[str]]) -> np.ndarray:
        front_end = self.described.front_end
        assert isinstance(front_end, TextFrontEnd)
        tokenizer = ExactBertTokenizer(
            front_end.vocabulary,
            lowercase=front_end.lowercase,
            strip_accents=front_end.strip_accents,
        )

        def read(*texts: Sequence[str]) -> dict[str, list[np.ndarray]]:
            tokens = tokenize(
                tokenizer,
                texts[0],
                second=texts[1] if len(texts) == 2 else None,
                max_length=front_end.max_length,
            )
            masks = [np.ones_like(row) for row in tokens.token_ids]
            return dict(zip(_JOINT, (tokens.token_ids, masks, tokens.segment_ids), strict=True))

        if set(self._names) == set(_SEPARATE):
            read_alone = [read(column) for column in columns]
            values = [tokens[name] for tokens in read_alone for name in _SENTENCE]
            inputs = dict(zip(_SEPARATE, values, strict=True))
        else:
            tokens = read(*columns)
            inputs = {name: tokens[name] for name in self._names}
        numbers = np.arange(len(columns[0]))
        batches = Batches(
            inputs, numbers, batch_size=BATCH_SIZE, max_length=front_end.max_length
        ).longest_first()
        by_length = self._network.predict(batches.for_evaluation(), verbose=0)
        logits = np.empty_like(by_length)
        logits[batches.labels] = by_length
        return logits

    def images(self, pixels: np.ndarray) -> np.ndarray:
        front_end = self.described.front_end
        assert isinstance(front_end, ImageFrontEnd)
        # Normalised all at once, they would take four times the memory of their pixels.
        starts = range(0, len(pixels), BATCH_SIZE)
        batches = (front_end.normalize(pixels[start : start + BATCH_SIZE]) for start in starts)
        return np.concatenate([self._network.predict_on_batch(batch) for batch in batches])

    def numbers(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {tensor.name: tensor for tensor in self._network.inputs}
        arrays = [columns[n].reshape(-1, *tensors[n].shape[1:]) for n in self._names]
        inputs = keras.tree.pack_sequence_as(self._network.input, arrays)
        return self._network.predict(inputs, batch_size=BATCH_SIZE, verbose=0)


class ServedPredictor(Predictor):
    """A SavedModel that `keras_prokt.export` wrote.

    Args:
        path: Its directory, or that of its versions, of which the last is taken.
    """

    def __init__(self, path: Path):
        versions = [one for one in path.iterdir() if one.name.isdecimal() and one.is_dir()]
        if not (path / "saved_model.pb").is_file() and versions:
            path = max(versions, key=lambda one: int(one.name))
        self.path = path
        self.described = described(path)
        self._tensorflow, self._loaded = load_saved_model(str(path))
        specs = self._inputs("serving_default")
        is_number = all(s.shape.rank == 1 or s.shape.as_list()[1:] == [1] for s in specs.values())
        self.number_inputs = {n: s.dtype.name for n, s in specs.items()} if is_number else {}

    def texts(self, columns: Sequence[Sequence[str]]) -> np.ndarray:
        names = ("text", "text_pair")[: len(columns)]
        raw = {name: np.array(column, "O") for name, column in zip(names, columns, strict=True)}
        return self._answers("serve_text", raw)

    def images(self, pixels: np.ndarray) -> np.ndarray:
        return self._answers("serving_default", {"image": pixels})

    def numbers(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        shapes = {name: spec.shape[1:] for name, spec in self._inputs("serving_default").items()}
        raw = {name: columns[name].reshape(-1, *shape) for name, shape in shapes.items()}
        return self._answers("serving_default", raw)

    def _inputs(self, signature: str) -> Mapping[str, Any]:
        if signature not in self._loaded.signatures:
            raise ValueError(
                f"Expected a SavedModel with the signature {signature!r}, received "
                f"{str(self.path)!r} with {', '.join(self._loaded.signatures) or 'none'}; export "
                "the student again."
            )
        return self._loaded.signatures[signature].structured_input_signature[1]

    def _answers(self, name: str, raw: Mapping[str, np.ndarray]) -> np.ndarray:
        self._inputs(name)
        signature, found = self._loaded.signatures[name], []
        for start in range(0, len(next(iter(raw.values()))), BATCH_SIZE):
            batch = {key: values[start : start + BATCH_SIZE] for key, values in raw.items()}
            answer = signature(**{k: self._tensorflow.constant(v) for k, v in batch.items()})
            found.append(self._logits(answer))
        return np.concatenate(found)

    def _logits(self, answer: Mapping[str, Any]) -> np.ndarray:
        if "probabilities" not in answer:
            [values] = [v for v in answer.values() if v.dtype.is_floating]
            return values.numpy().reshape(len(values), -1)
        means = answer["probabilities"].numpy()
        output = self.described.output
        if output is None:  # of an older version: a label an example, or one a logit
            output = "labels" if answer["label"].ndim == 2 else "classes"
            self.described = self.described._replace(output=output)
        return outputs.get(output).outputs_of_means(means)
