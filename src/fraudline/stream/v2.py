"""The V2 inference protocol's bytes: requests and responses, with JSON or binary tensors."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UnavailableError

LENGTH_HEADER = "Inference-Header-Content-Length"
_DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT32": "<i4", "INT64": "<i8", "BOOL": "?"}
_ACTION = "Check that the endpoint serves a fraudline model over V2."


def request(features: NDArray[np.float32], *, binary: bool) -> tuple[dict[str, str], bytes]:
    """Headers and body that ask for the scores of ``features``.

    Args:
        features: (n, d) float32.
        binary: raw tensors after a JSON header instead of JSON numbers.
    """
    tensor: dict[str, Any] = {"name": "features", "shape": list(features.shape), "datatype": "FP32"}
    if not binary:
        body = msgspec.json.encode({"inputs": [{**tensor, "data": features.ravel().tolist()}]})
        return {"Content-Type": "application/json"}, body
    raw = np.ascontiguousarray(features, "<f4").tobytes()
    tensor["parameters"] = {"binary_data_size": len(raw)}
    head = msgspec.json.encode({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(head))}, head + raw


def response(headers: Any, body: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The response's JSON part and its tensors by name.

    Args:
        headers: a mapping of header names, in any case.
        body: the whole body.

    Raises:
        UnavailableError: the body is not a V2 response.
    """
    try:
        size = headers.get(LENGTH_HEADER)
        cut = len(body) if size is None else int(size)
        head = msgspec.json.decode(body[:cut])
        tensors: dict[str, NDArray[Any]] = {}
        at = cut
        for output in head["outputs"]:
            length = (output.get("parameters") or {}).get("binary_data_size")
            if length is None:
                flat = np.array(
                    output["data"], object if output["datatype"] == "BYTES" else _DTYPES[output["datatype"]]
                )
            else:
                flat = _tensor(body[at : at + length], output["datatype"])
                at += length
            tensors[output["name"]] = flat.reshape(output["shape"])
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnavailableError(f"The endpoint's answer is not V2: {type(error).__name__}: {error}.", _ACTION) from error
    return head, tensors


def _tensor(raw: bytes, datatype: str) -> NDArray[Any]:
    if datatype != "BYTES":
        return np.frombuffer(raw, _DTYPES[datatype])
    texts = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return np.array(texts, object)
