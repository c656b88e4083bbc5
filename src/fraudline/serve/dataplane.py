"""KServe's data plane with strict decoding.

KServe's own decoding answers 500 to many malformed bodies (a list where an object is expected, a wrong length header,
an event without data), keeps JSON with a charset as raw bytes, and does not unwrap a structured event that has no
``time``. Here every body becomes either a checked value or a :class:`RequestError` with the field.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.infer_type import InferInput, InferRequest, InferResponse, RequestedOutput
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from kserve.utils.numpy_codec import to_np_dtype

from fraudline.core.clock import now
from fraudline.serve.encoding import encode_response
from fraudline.serve.errors import RequestError
from fraudline.serve.payload import kind

_READ_AGAIN_BYTES = 1 << 20
BINARY = f"Send binary tensors as application/octet-stream with the header {INFERENCE_CONTENT_LENGTH_HEADER}."

_STRUCTURED = "application/cloudevents+json"
_EVENT_FIELDS = ("specversion", "type", "source", "id")


class StrictDataPlane(DataPlane):  # type: ignore[misc]  # kserve has no type information
    """Decodes V1, V2 and CloudEvents, or says which field is wrong."""

    async def ready(self) -> bool:
        """Ready when every model is: the server has no other work."""
        return all([await model.healthy() for model in self.model_registry.get_models().values()])

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """KServe's metadata with the model's version."""
        metadata: dict[str, Any] = await super().model_metadata(model_name)
        version = getattr(self.model_registry.get_model(model_name), "version", None)
        return metadata | {"versions": [version] if version else None, "platform": "fraudline_onnxruntime"}

    def decode(
        self,
        body: Any,
        headers: Mapping[str, str] | None,
        protocol_version: str = PredictorProtocol.REST_V1.value,
        model_name: str | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The request in the form that the model takes, and the attributes of its event, if it is one.

        Raises:
            RequestError: the body is malformed; names the field.
        """
        headers = headers or {}
        if protocol_version.lower() == PredictorProtocol.REST_V2.value:
            return self._decode_v2(body, headers, model_name or ""), {}
        structured = _media_type(headers) == _STRUCTURED  # headers ce-* beside it are copies
        if not structured and any(f"ce-{name}" in headers for name in _EVENT_FIELDS):
            return self._decode_binary_event(body, headers)
        content = decode_json(body, "body")
        is_event = isinstance(content, dict) and all(name in content for name in _EVENT_FIELDS)
        if structured or is_event:
            return _unwrap(content)
        return content, {}

    def encode(
        self, model_name: str, response: Any, headers: Mapping[str, str] | None, req_attributes: dict[str, Any]
    ) -> tuple[Any, dict[str, str]]:
        """The body of the answer, and what KServe adds to its headers; an answer of V2 is bytes."""
        try:
            if isinstance(response, InferResponse):
                return encode_response(response)
            if _media_type(headers or {}) == _STRUCTURED:
                headers = {"content-type": _STRUCTURED}  # KServe takes a charset, or ce-* beside it, for another form
            content: tuple[Any, dict[str, str]] = super().encode(model_name, response, headers, req_attributes)
        except Exception:
            self.model_registry.get_model(model_name).failed()
            raise
        return content

    def _decode_v2(self, body: Any, headers: Mapping[str, str], model_name: str) -> InferRequest:
        if isinstance(body, InferenceRequest):  # parsed by KServe's own endpoint
            for tensor in body.inputs:
                if not tensor.data and tensor.parameters and "binary_data_size" in tensor.parameters:
                    raise RequestError(f"inputs.{tensor.name}.data", "missing.", BINARY)
            return InferRequest.from_inference_request(body, model_name)
        if not isinstance(body, bytes):
            raise RequestError("body", f"expected a JSON object, got {kind(body)}.")
        is_json = _media_type(headers) == "application/json"
        return parse_binary_request(body, None if is_json else headers.get(INFERENCE_CONTENT_LENGTH_HEADER), model_name)

    def _decode_binary_event(self, body: bytes, headers: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
        attributes = {
            name[3:]: value for name, value in headers.items() if name.startswith("ce-") and name != "ce-contenttype"
        }
        _check_attributes(attributes, "ce-")
        if "content-type" in headers:
            attributes["datacontenttype"] = headers["content-type"]
        return as_instances(decode_json(body, "data")), {"time": now().isoformat()} | attributes


class FixedRepository(ModelRepositoryExtension):  # type: ignore[misc]  # kserve has no type information
    """Refuses loading and unloading over the network: the deployment decides which model is served."""

    async def load(self, model_name: str) -> None:
        """Refused."""
        raise RequestError("load", f"{model_name} is fixed for the life of this server.", "Deploy a new revision.")

    async def unload(self, model_name: str) -> None:
        """Refused."""
        raise RequestError("unload", f"{model_name} is fixed for the life of this server.", "Scale it to zero.")


def decode_json(body: object, path: str) -> Any:
    """Decode strict JSON (no NaN, no infinity).

    Raises:
        RequestError: it is empty or not JSON.
    """
    if not isinstance(body, bytes | str):
        raise RequestError(path, f"expected JSON, got {kind(body)}.")
    if not body:
        raise RequestError(path, "empty; JSON was expected.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(path, f"not JSON: {error}.") from error


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def as_instances(data: object) -> object:
    """The data of an event as a V1 body: one object of features stands for one row."""
    if isinstance(data, dict) and "instances" not in data:
        return {"instances": [data]}
    return data


def _unwrap(event: object) -> tuple[object, dict[str, Any]]:
    if not isinstance(event, dict):
        raise RequestError("body", f"expected a CloudEvent object, got {kind(event)}.")
    _check_attributes(event)
    # KServe needs a time when it merges the request's attributes into the answer (CE_MERGE)
    attributes = {"time": now().isoformat()} | {k: v for k, v in event.items() if k not in ("data", "data_base64")}
    if "data" in event:
        data = event["data"]
        return as_instances(decode_json(data, "data") if isinstance(data, str) else data), attributes
    if "data_base64" in event:
        try:
            raw = base64.b64decode(event["data_base64"], validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise RequestError("data_base64", f"not base64: {error}.") from error
        return as_instances(decode_json(raw, "data_base64")), attributes
    raise RequestError("data", "missing; an event carries one object of features, or a V1 body.")


def _check_attributes(event: Mapping[str, object], prefix: str = "") -> None:
    for name in _EVENT_FIELDS:
        if not isinstance(event.get(name), str) or not event[name]:
            got = kind(event[name]) if name in event else "nothing"
            raise RequestError(f"{prefix}{name}", f"a CloudEvent needs a non-empty string here, got {got}.")
    if event["specversion"] not in ("1.0", "0.3"):
        raise RequestError(f"{prefix}specversion", f"expected 1.0, got {event['specversion']!r:.20}.")


def parse_binary_request(body: bytes, json_length: str | None, model_name: str) -> InferRequest:
    """A V2 request of raw bytes: JSON, followed by the tensors whose size the JSON states.

    Args:
        body: the whole body.
        json_length: the header ``inference-header-content-length``, bytes of JSON; None: all of it.
        model_name: the model of the path.

    Raises:
        RequestError: names the field.
    """
    length = len(body) if json_length is None else _length(json_length, len(body))
    content = _decode_any_number(body[:length])
    if not isinstance(content, dict):
        raise RequestError("body", f"expected a JSON object, got {kind(content)}.")
    inputs, position = [], length
    for i, item in enumerate(_objects(content, "inputs")):
        tensor, position = _tensor(f"inputs[{i}]", item, body, position)
        inputs.append(tensor)
    if position != len(body):
        raise RequestError("body", f"{len(body) - position} bytes follow the last tensor.", "Check binary_data_size.")
    outputs = [
        RequestedOutput(_field(f"outputs[{i}]", item, "name", str), _parameters(f"outputs[{i}]", item))
        for i, item in enumerate(_objects(content, "outputs") if content.get("outputs") is not None else [])
    ]
    request_id = content.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError("id", f"expected a string, got {kind(request_id)}.")
    return InferRequest(
        model_name, inputs, request_id, parameters=_parameters("", content), request_outputs=outputs or None
    )


def _decode_any_number(body: bytes) -> Any:
    """JSON, in which NaN and infinities are let through: the tensor that has them is named later.

    Of a large body only the place is named: nobody else is answered while it is read again.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if len(body) > _READ_AGAIN_BYTES:
            raise RequestError("body", f"not JSON: {error}.", BINARY) from error
        try:
            content = json.loads(body)
            json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be answered
        except (ValueError, RecursionError):
            raise RequestError("body", f"not JSON: {error}.", BINARY) from error
        return content


def _tensor(path: str, item: dict[str, Any], body: bytes, position: int) -> tuple[InferInput, int]:
    name = _field(path, item, "name", str)
    shape = _field(path, item, "shape", list)
    datatype = _field(path, item, "datatype", str).upper()
    parameters = _parameters(path, item)
    data = item.get("data")
    if data is None and "binary_data_size" in parameters:
        size = parameters["binary_data_size"]
        dtype = to_np_dtype(datatype)
        if dtype is None or np.dtype(dtype).hasobject:
            raise RequestError(f"{path}.datatype", f"expected FP32, got {datatype!r:.20}.")
        itemsize = np.dtype(dtype).itemsize
        if isinstance(size, bool) or not isinstance(size, int) or size < 0 or size % itemsize:
            raise RequestError(f"{path}.parameters.binary_data_size", f"{size!r:.20} is not a size of {datatype}.")
        if position + size > len(body):
            left = len(body) - position
            raise RequestError(f"{path}.parameters.binary_data_size", f"{size} bytes, but {left} follow the JSON.")
        data = np.frombuffer(body, dtype=dtype, count=size // itemsize, offset=position)
        position += size
    elif data is None:
        raise RequestError(f"{path}.data", "missing.", BINARY)
    return InferInput(name, shape, datatype, data, parameters), position


def _length(value: str, size: int) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 12 or not 0 < int(value) <= size:
        raise RequestError(
            INFERENCE_CONTENT_LENGTH_HEADER, f"expected the bytes of JSON, 1 to {size}, got {value!r:.20}."
        )
    return int(value)


def _objects(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items: list[Any] = _field("", content, name, list)
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            raise RequestError(f"{name}[{i}]", f"expected an object, got {kind(item)}.")
    return items


def _field(path: str, item: dict[str, Any], name: str, expected: type) -> Any:
    where = f"{path}.{name}" if path else name
    if name not in item:
        raise RequestError(where, "missing.")
    if not isinstance(item[name], expected):
        raise RequestError(where, f"expected {kind(expected())}, got {kind(item[name])}.")
    return item[name]


def _parameters(path: str, item: dict[str, Any]) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        where = f"{path}.parameters" if path else "parameters"
        raise RequestError(where, f"expected an object, got {kind(parameters)}.")
    return parameters
