"""Answers of V2 from arrays, over REST and over gRPC. KServe's own conversions take a Python call for each number."""

from typing import Any

import numpy as np
import orjson
from kserve import InferResponse
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferResponse
from numpy.typing import NDArray


def encode_response(response: InferResponse) -> tuple[bytes, dict[str, str]]:
    """A V2 answer over REST: its tensors are arrays, in the JSON, or after it by their parameter ``binary_data``.

    Returns:
        The body, and the header that says how much of it is JSON where not all is.
    """
    outputs, raw = [], []
    for output in response.outputs:
        values = np.ascontiguousarray(output.data)
        described = {"name": output.name, "shape": output.shape, "datatype": output.datatype}
        parameters = dict(output.parameters or {})
        if parameters.pop("binary_data", False):
            raw.append(_raw(values))
            parameters["binary_data_size"] = len(raw[-1])
        else:
            described["data"] = values.tolist() if values.dtype.hasobject else values.ravel()
        outputs.append(described | ({"parameters": parameters} if parameters else {}))
    answer = {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": outputs,
        "parameters": response.parameters,
    }
    content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raw:
        return content, {}
    return b"".join([content, *raw]), {INFERENCE_CONTENT_LENGTH_HEADER: str(len(content))}


def encode_message(response: InferResponse) -> ModelInferResponse:
    """A V2 answer over gRPC, its tensors raw; a parameter that is no integer is text: the protocol has no such type."""
    message = ModelInferResponse(
        id=response.id, model_name=response.model_name, model_version=response.model_version or ""
    )
    for output in response.outputs:
        message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        message.raw_output_contents.append(_raw(output.data))
    for name, value in response.parameters.items():
        message.parameters[name].string_param = value if isinstance(value, str) else repr(value)
    return message


def _raw(values: NDArray[Any]) -> bytes:
    """Bytes of a tensor; texts each after their length, four bytes, little-endian."""
    if not values.dtype.hasobject:
        return values.tobytes()
    texts = [text.encode() for text in values.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
