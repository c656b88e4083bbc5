"""The KServe model: a verified artifact behind V1, V2 and CloudEvents.

V1 and CloudEvents answer ``{"predictions": [{score, decision, threshold, reasons, model_version, ...}]}``; V2 answers
the tensors ``score``, ``decision``, ``contributions`` and ``expected``. Scores: high = anomalous.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from numpy.typing import NDArray

from fraudline.core.errors import MessageError
from fraudline.core.log import get_logger
from fraudline.decide.policy import DECISIONS, decide, threshold_of
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.table import TableSpec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.scorer import Scorer, Scores
from fraudline.model.signature import ANYBODY, Trust
from fraudline.model.wording import Wording
from fraudline.serve.errors import RequestError
from fraudline.serve.metrics import PredictorMetrics, band_edges
from fraudline.serve.payload import INPUT, MAX_ROWS, Batch, check_datatype, kind, parse_instances, parse_tensor
from fraudline.serve.table import encoded

log = get_logger(__name__)

REASONS = 3
"""Reasons a row in V1 answers."""

OUTPUTS = {"score": "FP32", "decision": "BYTES", "contributions": "FP32", "expected": "FP32"}


@dataclass(frozen=True, slots=True)
class Job:
    """One checked request on its way through the model: V2 when ``request`` is there, else V1."""

    batch: Batch
    request: InferRequest | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A scored job. ``decisions`` are indices into ``DECISIONS``."""

    job: Job
    scores: Scores
    decisions: NDArray[np.int8]


class FraudModel(Model):  # type: ignore[misc]  # kserve has no type information
    """Serves one artifact.

    Args:
        name: the model's name on the endpoint path.
        folder: the artifact.
        expected_digest: the digest that the deployment names; any other model is refused.
        max_rows: largest number of rows a request.
        thresholds: a thresholds file whose newest line holds, instead of the artifact's own.
        trust: whose signature the artifact must have, if any.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        expected_digest: str | None = None,
        max_rows: int = MAX_ROWS,
        thresholds: Path | None = None,
        trust: Trust = ANYBODY,
    ) -> None:
        super().__init__(name)
        self._folder = folder
        self._expected_digest = expected_digest
        self._max_rows = max_rows
        self._thresholds_file = thresholds
        self._trust = trust

    def load(self) -> bool:
        """Verify the artifact, build the scorer and score one row; ready only then.

        Raises:
            ArtifactError: the artifact is not what it says, or its graph cannot be run.
            StateError: the thresholds file was changed by hand, or is of another model.
        """
        started = time.perf_counter()
        artifact = load_artifact(self._folder, self._expected_digest, self._trust)
        self._scorer = Scorer(artifact)
        self._scorer.score(np.zeros((1, len(artifact.spec.names)), np.float32))
        self.version = artifact.version
        self.digest = artifact.digest
        self._names = tuple(artifact.spec.names)
        self._table = artifact.spec if isinstance(artifact.spec, TableSpec) else None
        self._wording = Wording.of(artifact.spec)
        self._thresholds = artifact.thresholds
        if self._thresholds_file is not None:
            self._thresholds = ThresholdLog.read(self._thresholds_file, artifact.digest).newest.thresholds
        self._metrics = PredictorMetrics(self.name, self.version, features=self._names, edges=_edges(artifact))
        self.ready = True
        log.info("serve.loaded", model=self.name, digest=self.digest, seconds=round(time.perf_counter() - started, 3))
        return self.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        """The V2 input: raw features in the order of the spec."""
        return [{"name": INPUT, "datatype": "FP32", "shape": [-1, len(self._names)]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The V2 outputs."""
        wide = ("contributions", "expected")
        return [
            {"name": name, "datatype": datatype, "shape": [-1, len(self._names)] if name in wide else [-1]}
            for name, datatype in OUTPUTS.items()
        ]

    def preprocess(self, payload: Any, headers: Mapping[str, str] | None = None) -> Job:
        """Check a decoded request.

        Raises:
            RequestError: names the field and what was expected.
        """
        try:
            if isinstance(payload, InferRequest):
                return self._parse_v2(payload)
            if self._table is not None:
                payload = encoded(payload, self._table)
            return Job(parse_instances(payload, self._names, self._max_rows))
        except RequestError:
            self._metrics.refused()
            raise

    def predict(self, payload: Job, headers: Mapping[str, str] | None = None) -> Result:
        """Score and decide.

        Raises:
            RequestError: the scorer refuses a row.
        """
        with self._metrics.scoring():
            try:
                scores = self._scorer.score(payload.batch.features)
            except MessageError as error:
                raise RequestError(INPUT, error.problem, error.action) from error
            decisions = decide(scores.score, self._thresholds)
        self._metrics.decided(decisions, scores.score, scores.contributions)
        return Result(payload, scores, decisions)

    def postprocess(self, result: Result, headers: Mapping[str, str] | None = None) -> dict[str, Any] | InferResponse:
        """The answer in the protocol of the request."""
        if result.job.request is not None:
            return self._answer_v2(result, result.job.request)
        return {"predictions": self._predictions(result)}

    def _parse_v2(self, request: InferRequest) -> Job:
        names = [tensor.name for tensor in request.inputs]
        if names != [INPUT]:
            raise RequestError("inputs", f"expected one tensor named {INPUT}, got {names[:5]}.")
        unknown = [output.name for output in request.request_outputs or [] if output.name not in OUTPUTS]
        if unknown:
            raise RequestError(f"outputs.{unknown[0]:.40}", f"unknown; the model gives {', '.join(OUTPUTS)}.")
        binary = False if request.from_grpc else (request.parameters or {}).get("binary_data_output", False)
        if not isinstance(binary, bool):
            raise RequestError("parameters.binary_data_output", f"expected a boolean, got {kind(binary)}.")
        tensor = request.inputs[0]
        check_datatype(tensor.datatype)
        features = parse_tensor(tensor.shape, _data(request), self._names, self._max_rows)
        return Job(Batch(features, (None,) * len(features)), request)

    def _predictions(self, result: Result) -> list[dict[str, Any]]:
        features, scores = result.job.batch.features, result.scores
        reasons = top_reasons(
            self._names, scores.contributions, features, scores.expected, REASONS, wording=self._wording
        )
        predictions = []
        for i, decision in enumerate(result.decisions.tolist()):
            prediction: dict[str, Any] = {
                "score": float(scores.score[i]),
                "decision": DECISIONS[decision],
                "threshold": threshold_of(decision, self._thresholds),
                "reasons": [reason._asdict() for reason in reasons[i]],
                "model_version": self.version,
                "threshold_version": self._thresholds.version,
            }
            if (transaction_id := result.job.batch.transaction_ids[i]) is not None:
                prediction["transaction_id"] = transaction_id
            predictions.append(prediction)
        return predictions

    def _answer_v2(self, result: Result, request: InferRequest) -> InferResponse:
        values = {
            "score": result.scores.score,
            "decision": np.array([DECISIONS[decision] for decision in result.decisions], dtype=np.object_),
            "contributions": result.scores.contributions,
            "expected": result.scores.expected,
        }
        asked = [output.name for output in request.request_outputs or []] or list(OUTPUTS)
        outputs = [InferOutput(name, list(values[name].shape), OUTPUTS[name], values[name]) for name in asked]
        if request.from_grpc:  # KServe's conversion takes raw bytes or lists, not arrays
            for output in outputs:
                output.set_data_from_numpy(values[output.name], binary_data=True)
        for output in request.request_outputs or []:
            output.parameters = {"binary_data": request.use_binary_outputs} | (output.parameters or {})
        # gRPC parameters have no floating point type
        show = repr if request.from_grpc else float
        limits = {"review": show(self._thresholds.review), "block": show(self._thresholds.block)}
        return InferResponse(
            response_id=request.id or uuid.uuid4().hex,
            model_name=self.name,
            model_version=self.version,
            infer_outputs=outputs,
            parameters={"threshold_version": self._thresholds.version, **limits},
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=None if request.from_grpc else request.request_outputs,
        )


def _edges(artifact: Artifact) -> NDArray[np.float64] | None:
    """Edges of the score's bands; None where the artifact keeps no training scores."""
    if "reference/score.parquet" not in artifact.content:
        return None
    table = artifact.table("reference/score.parquet")
    return band_edges(*(table[name].to_numpy().astype(np.float64) for name in ("lower", "share")))


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
