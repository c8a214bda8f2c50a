"""Requests that do not fit, made out of one that does."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def as_json(values: np.ndarray) -> Any:
    """An input as TensorFlow Serving's REST API takes it."""
    if values.dtype != object:
        return values.tolist()

    def encoded(value: Any) -> Any:
        if isinstance(value, list):
            return [encoded(one) for one in value]
        return {"b64": base64.b64encode(value).decode()}

    return encoded(values.tolist())


def bad_requests(
    signature: str, inputs: Mapping[str, np.ndarray], large: bool = True
) -> Iterator[tuple[str, bytes]]:
    """What is wrong, and the body; a graph of raw bytes or texts may know more that is.

    Args:
        signature: Its name.
        inputs: A request that is answered.
        large: Whether those of 10 MB are among them.
    """

    def body(columns: Any, **others: Any) -> bytes:
        return json.dumps({"signature_name": signature, "inputs": columns, **others}).encode()

    good = {name: as_json(values) for name, values in inputs.items()}
    first = next(iter(inputs))
    values = inputs[first]

    def instead(other: Any) -> bytes:
        return body({**good, first: other})

    yield "rank below", instead(as_json(np.asarray(values[0], values.dtype)))
    yield "rank above", instead([good[first]])
    yield "no rank", instead(as_json(values.reshape(-1)[:1])[0])
    yield "rank 7", instead([[[[[[good[first]]]]]]])
    yield "ragged", instead([*good[first], []])
    yield "empty list", instead([])
    yield "null", instead(None)
    yield "another name", body({"nothing": good[first]})
    yield "one name more", body({**good, "nothing": good[first]})
    yield "no inputs", body({})
    yield "another signature", body(good, signature_name="nothing")
    yield "signature is a number", body(good, signature_name=3)
    yield "rows and columns", body(good, instances=[good])
    yield "neither rows nor columns", b'{"signature_name": "serving_default"}'
    yield "no rows", json.dumps({"signature_name": signature, "instances": []}).encode()
    yield "rows of nothing", json.dumps({"signature_name": signature, "instances": [{}]}).encode()
    yield "no body", b""
    yield "no JSON", b"image=3"
    yield "half a JSON", body(good)[:-7]
    yield "list", b"[1, 2]"
    yield "nested deeply", b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield (
        "nested deeply in rows",
        b'{"instances": ' + b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000 + b"}",
    )
    yield "rank 300", instead(json.loads("[" * 300 + "1" + "]" * 300))
    yield "half a surrogate", instead(["\ud800"])
    yield "half a surrogate as a name", body({"\udc00": good[first]})
    yield "name with a zero byte", body({f"{first}\0": good[first]})
    yield (
        "rows of two kinds",
        json.dumps(
            {"signature_name": signature, "instances": [{n: v[0] for n, v in good.items()}, 1]}
        ).encode(),
    )
    yield "an object for a list", instead({"0": good[first]})
    yield "invalid UTF-8", b'{"inputs": {"' + first.encode() + b'": ["\xff\xfe\xc3"]}}'
    if large:
        yield "10 MB", instead([[[1] * 100] * 100] * 350)
        yield "10 MB of noise", b"\x00\xff" * 5_000_000
    if values.dtype == object:
        yield "numbers for strings", instead([1, 2])
        for content in ("%%%", "A", "QUJD=A==", "QQ=", 3, None, ["QUJD"]):
            yield f"no base64: {content!r}", instead([{"b64": content}])
        yield "base64 and more", instead([{"b64": "QUJD", "more": 1}])
    else:
        yield "strings for numbers", instead(np.full(values.shape, "a").tolist())
        yield "booleans for numbers", instead((values > 0).tolist())
    if values.ndim > 2 or (values.ndim == 2 and values.dtype.kind == "f"):
        yield "another size", instead(as_json(np.concatenate([values, values], -1)))
        yield "size 0", instead(as_json(values[..., :0]))
    if values.dtype.kind in "iu":
        yield "fractions for integers", instead((values + 0.5).tolist())
        yield "far too large", instead((values.astype("int64") + 2**40).tolist())
    if values.dtype.kind == "f":
        for word in ("NaN", "Infinity", "-Infinity", "1e38"):
            other = values.astype(object)
            other.reshape(-1)[0] = "WORD"
            yield word, instead(other.tolist()).replace(b'"WORD"', word.encode())
    if len(inputs) > 1:
        yield "batches of two sizes", instead(as_json(np.concatenate([values, values])))
        yield "one batch of 1", instead(as_json(values[:1]))
        yield "an input less", body({first: good[first]})
