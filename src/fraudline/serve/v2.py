"""V2: the tensor of a request, and the tensors of its answer, over REST and gRPC.

batch = read(request, names, max_rows)
answer(request, scores, decisions, thresholds, model="fraud", version="...")
"""

import uuid
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferResponse
from numpy.typing import NDArray

from fraudline.decide.policy import DECISIONS
from fraudline.model.scorer import Scores
from fraudline.model.thresholds import Thresholds
from fraudline.serve import quick
from fraudline.serve.encoding import encode_message
from fraudline.serve.errors import RequestError
from fraudline.serve.payload import INPUT, Batch, check_datatype, kind, parse_tensor

OUTPUTS = {"score": "FP32", "decision": "BYTES", "contributions": "FP32", "expected": "FP32"}
"""Names and datatypes of the tensors of an answer."""


def read(request: InferRequest, names: tuple[str, ...], max_rows: int) -> Batch:
    """The n rows of a request, checked.

    Args:
        request: decoded by KServe.
        names: of the d features.
        max_rows: the most rows.

    Raises:
        RequestError: names the field and what was expected.
    """
    given = [tensor.name for tensor in request.inputs]
    if given != [INPUT]:
        raise RequestError("inputs", f"expected one tensor named {INPUT}, got {given[:5]}.")
    unknown = [output.name for output in request.request_outputs or [] if output.name not in OUTPUTS]
    if unknown:
        raise RequestError(f"outputs.{unknown[0]:.40}", f"unknown; the model gives {', '.join(OUTPUTS)}.")
    binary = False if request.from_grpc else (request.parameters or {}).get("binary_data_output", False)
    if not isinstance(binary, bool):
        raise RequestError("parameters.binary_data_output", f"expected a boolean, got {kind(binary)}.")
    tensor = request.inputs[0]
    check_datatype(tensor.datatype)
    data = _data(request)
    values = quick.numbers(data)
    features = parse_tensor(tensor.shape, data if values is None else values, names, max_rows)
    return Batch(features, (None,) * len(features))


def answer(
    request: InferRequest,
    scores: Scores,
    decisions: NDArray[np.int8],
    thresholds: Thresholds,
    *,
    model: str,
    version: str,
) -> InferResponse | ModelInferResponse:
    """The answer to a request, with the tensors that it asked for, or all of them.

    Args:
        request: what was asked.
        scores: of its n rows.
        decisions: (n,) indices into ``DECISIONS``.
        thresholds: those that decided.
        model: the model's name.
        version: the model's version.
    """
    values = {
        "score": scores.score,
        "decision": np.array([DECISIONS[decision] for decision in decisions], dtype=np.object_),
        "contributions": scores.contributions,
        "expected": scores.expected,
    }
    binary = {output.name: (output.parameters or {}).get("binary_data") for output in request.request_outputs or []}
    outputs = [
        InferOutput(name, list(values[name].shape), OUTPUTS[name], values[name]) for name in binary or list(OUTPUTS)
    ]
    found = InferResponse(
        response_id=request.id or uuid.uuid4().hex,
        model_name=model,
        model_version=version,
        infer_outputs=outputs,
        parameters={"threshold_version": thresholds.version, "review": thresholds.review, "block": thresholds.block},
    )
    if request.from_grpc:
        return encode_message(found)
    for output in outputs:
        asked = binary.get(output.name)
        output.parameters = {"binary_data": request.use_binary_outputs if asked is None else asked}
    return found


def _data(request: InferRequest) -> Any:
    """The values of the only tensor, as a list or an array."""
    tensor = request.inputs[0]
    if not request.from_grpc:
        return tensor.data
    try:
        # raw bytes or typed contents; KServe raises whatever numpy does when the bytes do not fill the shape
        return tensor.as_numpy()
    except (ValueError, TypeError) as error:
        raise RequestError(
            f"inputs.{INPUT}.data", f"does not fit {tensor.datatype} {tensor.shape}: {error}."
        ) from error
