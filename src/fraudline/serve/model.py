"""The KServe model: a verified artifact behind V1, V2 and CloudEvents.

V1 and CloudEvents answer ``{"predictions": [{score, decision, threshold, reasons, model_version, ...}]}``; V2 answers
the tensors ``score``, ``decision``, ``contributions`` and ``expected``. Scores: high = anomalous.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from kserve import InferRequest, InferResponse, Model
from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME, get_labels
from kserve.model import InferenceVerb
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferResponse
from numpy.typing import NDArray

from fraudline.core.log import get_logger
from fraudline.decide.policy import DECISIONS, decide, threshold_of
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.table import TableSpec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import Reason, top_reasons
from fraudline.model.scorer import Scorer, Scores
from fraudline.model.signature import ANYBODY, Trust
from fraudline.model.wording import Wording
from fraudline.serve import quick
from fraudline.serve.errors import RequestError
from fraudline.serve.in_flight import GRPC_PATIENCE, PATIENCE, InFlight
from fraudline.serve.metrics import PredictorMetrics, band_edges
from fraudline.serve.payload import (
    INPUT,
    MAX_ROWS,
    Batch,
    instances_schema,
    parse_instances,
)
from fraudline.serve.table import encoded
from fraudline.serve.v2 import OUTPUTS, answer, read

log = get_logger(__name__)

REASONS = 3
"""Reasons a row in V1 answers."""

BLOCK_ROWS = 4
"""Matrix kernels take rows in blocks of four and the rest one by one, with other rounding: what goes through the graph
is filled up to whole blocks, so that a row's score has the same bits whatever requests it is scored with."""

_TIMES = (PRE_HIST_TIME, PREDICT_HIST_TIME, POST_HIST_TIME)

Answer: TypeAlias = dict[str, Any] | InferResponse | ModelInferResponse
"""Of V1 and events, of V2 over REST, of V2 over gRPC."""


@dataclass(frozen=True, slots=True)
class Job:
    """One checked request on its way through the model: V2 when ``request`` is there, else V1."""

    batch: Batch
    request: InferRequest | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A scored job.

    Attributes:
        job: what was asked.
        scores: of its n rows.
        decisions: (n,) indices into ``DECISIONS``.
        reasons: a list a row; None for V2, whose answer has no place for them.
    """

    job: Job
    scores: Scores
    decisions: NDArray[np.int8]
    reasons: list[list[Reason]] | None


class FraudModel(Model):  # type: ignore[misc]  # kserve has no type information
    """Serves one artifact.

    Args:
        name: the model's name on the endpoint path.
        folder: the artifact.
        expected_digest: the digest that the deployment names; any other model is refused.
        max_rows: largest number of rows a request.
        thresholds: a thresholds file whose newest line holds, instead of the artifact's own.
        gather: score requests that arrive together in one call.
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
        gather: bool = True,
        trust: Trust = ANYBODY,
    ) -> None:
        super().__init__(name)
        self._folder = folder
        self._expected_digest = expected_digest
        self._max_rows = max_rows
        self._thresholds_file = thresholds
        self._gather = gather
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
        self.version = artifact.version
        self.digest = artifact.digest
        self._names = tuple(artifact.spec.names)
        self._table = artifact.spec if isinstance(artifact.spec, TableSpec) else None
        self._wording = Wording.of(artifact.spec)
        self._thresholds = artifact.thresholds
        if self._thresholds_file is not None:
            self._thresholds = ThresholdLog.read(self._thresholds_file, artifact.digest).newest.thresholds
        self._metrics = PredictorMetrics(self.name, self.version, features=self._names, edges=_edges(artifact))
        self._in_flight = InFlight(self._results, rows=_rows, patience=_patience, gather=self._gather)
        self._timers = [times.labels(**get_labels(self.name)) for times in _TIMES]
        self._warm()
        self.ready = True
        log.info("serve.loaded", model=self.name, digest=self.digest, seconds=round(time.perf_counter() - started, 3))
        return self.ready

    @property
    def fields(self) -> int:
        """The most fields of a row: features, or a table's columns."""
        return max(len(self._names), len(self._table.column_names) if self._table is not None else 0)

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

    def v1_schema(self) -> dict[str, Any]:
        """JSON Schema of a V1 body; a model of a table takes rows of its columns as well."""
        if self._table is not None and set(self._table.column_names) != set(self._names):
            return {"type": "object", "properties": {"instances": {"type": "array"}}, "required": ["instances"]}
        return instances_schema(self._names, self._max_rows)

    def preprocess(self, payload: Any, headers: Mapping[str, str] | None = None) -> Job:
        """Check a decoded request.

        Raises:
            RequestError: names the field and what was expected.
        """
        try:
            if isinstance(payload, InferRequest):
                return Job(read(payload, self._names, self._max_rows), payload)
            if self._table is not None:
                payload = encoded(payload, self._table)
            limits = self._names, self._max_rows
            return Job(quick.instances(payload, *limits) or parse_instances(payload, *limits))
        except RequestError:
            self._metrics.refused()
            raise

    async def __call__(
        self, body: Any, headers: Mapping[str, str] | None = None, verb: InferenceVerb = InferenceVerb.PREDICT
    ) -> tuple[Answer, dict[str, str]]:
        """Preprocess, predict and postprocess, with KServe's timers; rows of other requests may share the call.

        Raises:
            RequestError: the request is wrong.
            NotImplementedError: another verb than predict.
        """
        if verb is not InferenceVerb.PREDICT:
            raise NotImplementedError
        with self._timers[0].time():
            job = self.preprocess(body, headers)
        with self._timers[1].time(), self._metrics.scoring():
            result = await self._in_flight(job)
        with self._timers[2].time():
            try:
                return self.postprocess(result, headers), {}
            except Exception:
                self.failed()
                raise

    def failed(self) -> None:
        """Count a request whose answer could not be written, though it was scored."""
        self._metrics.failed()

    def postprocess(self, result: Result, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer in the protocol of the request."""
        if result.job.request is not None:
            values = result.scores, result.decisions, self._thresholds
            return answer(result.job.request, *values, model=self.name, version=self.version)
        return {"predictions": self._predictions(result)}

    def _results(self, jobs: Sequence[Job], *, count: bool = True) -> list[Result]:
        """Score, decide, count and explain the rows of some jobs, together."""
        batches = [job.batch.features for job in jobs]
        rows = np.concatenate(batches)
        scores = self._score(rows)
        decisions = decide(scores.score, self._thresholds)
        if count:
            self._metrics.decided(decisions, scores.score, scores.contributions)
        asked = np.repeat([job.request is None for job in jobs], list(map(len, batches)))
        explained = iter(self._explain(rows, scores, asked))
        results, start = [], 0
        for job, n in zip(jobs, map(len, batches), strict=True):
            part = slice(start, start + n)
            start += n
            own = Scores(scores.score[part], scores.contributions[part], scores.expected[part])
            reasons = list(islice(explained, n)) if job.request is None else None
            results.append(Result(job, own, decisions[part], reasons))
        return results

    def _score(self, rows: NDArray[np.float32]) -> Scores:
        n = len(rows)
        lacking = -n % BLOCK_ROWS
        if not lacking:
            return self._scorer.score(rows)
        found = self._scorer.score(np.concatenate([rows, np.repeat(rows[-1:], lacking, axis=0)]))
        return Scores(found.score[:n], found.contributions[:n], found.expected[:n])

    def _explain(self, rows: NDArray[np.float32], scores: Scores, asked: NDArray[np.bool_]) -> list[list[Reason]]:
        if not asked.any():
            return []
        parts = (scores.contributions[asked], rows[asked], scores.expected[asked])
        return top_reasons(self._names, *parts, REASONS, wording=self._wording)

    def _warm(self) -> None:
        """What the first request would otherwise do first: buffers of the runtime, compiled formats of sentences."""
        rows = np.zeros((BLOCK_ROWS, len(self._names)), np.float32)
        self._predictions(self._results([Job(Batch(rows, (None,) * BLOCK_ROWS))], count=False)[0])

    def _predictions(self, result: Result) -> list[dict[str, Any]]:
        predictions = []
        rows = zip(
            result.scores.score.tolist(),
            result.decisions.tolist(),
            result.reasons or [],
            result.job.batch.transaction_ids,
            strict=True,
        )
        for score, decision, reasons, transaction_id in rows:
            prediction: dict[str, Any] = {
                "score": score,
                "decision": DECISIONS[decision],
                "threshold": threshold_of(decision, self._thresholds),
                "reasons": [reason._asdict() for reason in reasons],
                "model_version": self.version,
                "threshold_version": self._thresholds.version,
            }
            if transaction_id is not None:
                prediction["transaction_id"] = transaction_id
            predictions.append(prediction)
        return predictions


def _rows(job: Job) -> int:
    return len(job.batch.features)


def _patience(job: Job) -> int:
    return GRPC_PATIENCE if job.request is not None and job.request.from_grpc else PATIENCE


def _edges(artifact: Artifact) -> NDArray[np.float64] | None:
    """Edges of the score's bands; None where the artifact keeps no training scores."""
    if "reference/score.parquet" not in artifact.content:
        return None
    table = artifact.table("reference/score.parquet")
    return band_edges(*(table[name].to_numpy().astype(np.float64) for name in ("lower", "share")))
