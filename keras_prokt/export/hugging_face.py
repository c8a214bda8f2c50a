"""A BERT student as a directory in Hugging Face's form, which transformers opens."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prokt.export.base import Answer, Description, Format
from keras_prokt.export.graph import check_description, checked_ends, in_float32
from keras_prokt.export.tokenizer_files import write_tokenizer
from keras_prokt.keras_internals import layers_in

_KINDS = {"classes": "SequenceClassification", "positions": "TokenClassification"}
_NAMES = {"token_ids": "input_ids", "padding_mask": "attention_mask"}


class HuggingFace(Format):
    """Form `huggingface`: `config.json`, `model.safetensors`, and the tokenizer's files.

    It holds what `keras_prokt.models.bert` builds, `bert_classifier` and `bert_tagger`: layers
    "backbone" and "logits".
    """

    def check(self, student: keras.Model, path: Path, description: Description) -> None:
        if path.is_file():
            raise ValueError(
                f"Expected a directory, received {str(path)!r}, which is a file; choose another "
                "path."
            )
        kind = check_description(student, description)
        if _backbone(student) is None or kind.id not in _KINDS:
            raise ValueError(
                "Expected a BERT student of classes for format 'huggingface', one of "
                f"bert_classifier or bert_tagger, received {student.name!r} of {kind.id}; export "
                "it as onnx or saved_model."
            )
        names = list(description.class_names or ())
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                "Expected class names that differ for format 'huggingface', which finds numbers by "
                f"names, received {twice!r} twice; name them apart, or export it as onnx."
            )

    def write(self, student: keras.Model, path: Path, description: Description) -> Path:
        from safetensors.numpy import save

        student = in_float32(student)
        _, width, kind = checked_ends(student, description.output)
        backbone = _backbone(student)
        assert backbone is not None
        names = description.class_names or [f"LABEL_{number}" for number in range(width)]
        config = {
            **_config(backbone, kind.id),
            "id2label": dict(enumerate(names)),
            "label2id": {name: number for number, name in enumerate(names)},
            "torch_dtype": "float32",
        }
        if kind.id == "classes":
            config["problem_type"] = "single_label_classification"
        path.mkdir()
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (path / "config.json").write_text(text + "\n", encoding="utf-8")
        weights = {
            name: np.ascontiguousarray(value, "float32")
            for name, value in _weights(student, backbone, kind.id)
        }
        # Its own way to a file has errors of its own, of a full disk too.
        (path / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
        write_tokenizer(path, description.front_end)
        return path

    def snippet(self, name: str, inputs: str, description: Description) -> str:
        # Without the tokenizer's files a text has no word pieces.
        if description.front_end is None:
            given = '{"input_ids": torch.ones((1, 8), dtype=torch.long)}'
        else:
            pair = ', "a second text"' if getattr(description.front_end, "pair", False) else ""
            given = f'AutoTokenizer.from_pretrained({name!r})("a text"{pair}, return_tensors="pt")'
        kind = getattr(description.output, "id", "classes")
        return f"""import torch
from transformers import AutoModelFor{_KINDS[kind]}, AutoTokenizer

model = AutoModelFor{_KINDS[kind]}.from_pretrained({name!r})
inputs = {given}
inputs = {{key: inputs[key] for key in ("input_ids", "attention_mask", "token_type_ids")
          if key in inputs and (key != "token_type_ids" or model.config.model_type == "bert")}}
with torch.no_grad():
    probabilities = model(**inputs).logits.softmax(-1)
print(probabilities, model.config.id2label)
"""

    def open(self, written: Path, description: Description) -> Answer | None:
        import torch
        import transformers

        config = json.loads((written / "config.json").read_text(encoding="utf-8"))
        [architecture] = config["architectures"]
        model = getattr(transformers, architecture).from_pretrained(
            written, local_files_only=True, use_safetensors=True, attn_implementation="eager"
        )
        model.eval()
        kind = description.output
        assert kind is not None

        def answer(features: Mapping[str, np.ndarray]) -> np.ndarray:
            given = {_NAMES.get(name, "token_type_ids"): v for name, v in features.items()}
            if config["model_type"] == "distilbert":
                given.pop("token_type_ids", None)
            tensors = {n: torch.from_numpy(v.astype("int64")) for n, v in given.items()}
            with torch.no_grad():
                logits = model(**tensors).logits.numpy()
            return np.asarray(ops.convert_to_numpy(kind.means(ops.convert_to_tensor(logits))))

        return answer


def _backbone(student: keras.Model) -> Any:
    """The encoder of what `keras_prokt.models.bert` builds; `None` of another model."""
    layers = {layer.name: layer for layer in student.layers}
    backbone = layers.get("backbone")
    known = {"BertBackbone", "ExactGeluBertBackbone", "DistilBertBackbone"}
    is_known = type(backbone).__name__ in known and "logits" in layers
    return backbone if is_known else None


def _is_distilled(backbone: Any) -> bool:
    return type(backbone).__name__ == "DistilBertBackbone"


def _config(backbone: Any, kind: str) -> dict[str, Any]:
    sizes = backbone.get_config()
    family = "DistilBert" if _is_distilled(backbone) else "Bert"
    config: dict[str, Any] = {
        "architectures": [f"{family}For{_KINDS[kind]}"],
        "model_type": family.lower(),
        "vocab_size": sizes["vocabulary_size"],
        "max_position_embeddings": sizes["max_sequence_length"],
        "pad_token_id": 0,
    }
    if family == "DistilBert":
        return config | {
            "dim": sizes["hidden_dim"],
            "n_layers": sizes["num_layers"],
            "n_heads": sizes["num_heads"],
            "hidden_dim": sizes["intermediate_dim"],
            "dropout": sizes["dropout"],
            "activation": "gelu",
        }
    return config | {
        "hidden_size": sizes["hidden_dim"],
        "num_hidden_layers": sizes["num_layers"],
        "num_attention_heads": sizes["num_heads"],
        "intermediate_size": sizes["intermediate_dim"],
        "hidden_dropout_prob": sizes["dropout"],
        "attention_probs_dropout_prob": sizes["dropout"],
        "type_vocab_size": sizes["num_segments"],
        "hidden_act": "gelu" if "Exact" in type(backbone).__name__ else "gelu_new",
        "layer_norm_eps": 1e-12,
    }


_BERT_BLOCK = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
_DISTILBERT_BLOCK = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "self_attention_layer_norm": "sa_layer_norm",
    "feedforward_intermediate_dense": "ffn.lin1",
    "feedforward_output_dense": "ffn.lin2",
    "feedforward_layer_norm": "output_layer_norm",
}


def _weights(student: keras.Model, backbone: Any, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """All weights by the names that transformers has for them: `models/bert.py` the other way."""
    layers = {layer.name: layer for layer in student.layers}
    if _is_distilled(backbone):
        root, blocks, names = "distilbert.", "transformer.layer", _DISTILBERT_BLOCK
    else:
        root, blocks, names = "bert.", "encoder.layer", _BERT_BLOCK
    for layer in layers_in(backbone):
        by_name = {weight.name: ops.convert_to_numpy(weight) for weight in layer.weights}
        if layer.name == "token_embedding":
            yield f"{root}embeddings.word_embeddings.weight", by_name["embeddings"]
        elif layer.name == "position_embedding":
            yield f"{root}embeddings.position_embeddings.weight", by_name["embeddings"]
        elif layer.name == "segment_embedding":
            yield f"{root}embeddings.token_type_embeddings.weight", by_name["embeddings"]
        elif layer.name == "embeddings_layer_norm":
            yield from _norm(f"{root}embeddings.LayerNorm", layer)
        elif layer.name == "pooled_dense" and kind == "classes":
            yield from _linear(f"{root}pooler.dense", layer)
    for number, block in enumerate(backbone.transformer_layers):
        for layer in layers_in(block):
            if layer.name not in names:
                continue
            name = f"{root}{blocks}.{number}.{names[layer.name]}"
            yield from (_norm if "norm" in layer.name else _linear)(name, layer)
    if "pre_classifier" in layers:
        yield from _linear("pre_classifier", layers["pre_classifier"])
    yield from _linear("classifier", layers["logits"])


def _norm(name: str, layer: Any) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{name}.weight", ops.convert_to_numpy(layer.gamma)
    yield f"{name}.bias", ops.convert_to_numpy(layer.beta)


def _linear(name: str, layer: Any) -> Iterator[tuple[str, np.ndarray]]:
    kernel, bias = (ops.convert_to_numpy(value) for value in (layer.kernel, layer.bias))
    # Heads are axes of their own: (inputs, heads, size), and (heads, size, outputs) at the end.
    inputs = kernel.size // bias.size
    yield f"{name}.weight", kernel.reshape(inputs, bias.size).T
    yield f"{name}.bias", bias.reshape(-1)
