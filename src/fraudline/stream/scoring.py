"""Two ways to a score: the model in this process, or an inference service that may split over several models."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.decide.policy import DECISIONS, Thresholds, decide, threshold_of
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.model.artifact import Artifact
from fraudline.model.scorer import Scorer
from fraudline.stream import v2
from fraudline.stream.params import StreamParams

log = get_logger(__name__)

_BACKOFF_S = 0.1


@dataclass(frozen=True, slots=True)
class Scored:
    """What was decided on n rows, and by which model; one entry a row.

    Attributes:
        score: (n,) float32, high = anomalous.
        explained: (m,) the rows that contributions and expected are of, ascending; None for all of them.
        contributions: (m, d) float32.
        expected: (m, d) float32, in the features' own units.
        decision: ``allow``, ``review`` or ``block``.
        threshold: the threshold reached, or the next one not reached.
        model_version: the model that answered.
        threshold_version: its thresholds.
        scored_by: ``worker``, ``endpoint`` or ``fallback``.
    """

    score: NDArray[np.float32]
    explained: NDArray[np.intp] | None
    contributions: NDArray[np.float32]
    expected: NDArray[np.float32]
    decision: list[str]
    threshold: list[float]
    model_version: list[str]
    threshold_version: list[str]
    scored_by: list[str]


class Scoring(Protocol):
    """Anything that scores feature rows."""

    def score(self, features: NDArray[np.float32]) -> Scored:
        """Score (n, d) float32 rows.

        Raises:
            UnavailableError: no answer; the batch is read again.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class InProcessScoring:
    """The artifact's own graph, through ONNX Runtime.

    Args:
        artifact: the model.
        thresholds: instead of those that it was packaged with.
        explain_all: contributions for every row, not for those alone that are not allowed.
    """

    def __init__(self, artifact: Artifact, thresholds: Thresholds | None = None, *, explain_all: bool = False) -> None:
        self._scorer = Scorer(artifact)
        self._thresholds = thresholds or artifact.thresholds
        self._version = artifact.version
        self._explain_all = explain_all

    def score(self, features: NDArray[np.float32]) -> Scored:
        """See the protocol. The graph is asked for what explains a score where that is wanted, and not otherwise."""
        if self._explain_all:
            whole = self._scorer.score(features)
            score, explained = whole.score, None
        else:
            score = self._scorer.only_scores(features)
            explained = np.flatnonzero(decide(score, self._thresholds))
            whole = self._scorer.score(features[explained])
        decision = decide(score, self._thresholds).tolist()
        limits = [threshold_of(index, self._thresholds) for index in range(len(DECISIONS))]
        n = len(decision)
        return Scored(
            score,
            explained,
            whole.contributions,
            whole.expected,
            [DECISIONS[index] for index in decision],
            [limits[index] for index in decision],
            [self._version] * n,
            [self._thresholds.version] * n,
            ["worker"] * n,
        )

    def close(self) -> None:
        """See the protocol."""


class EndpointScoring:
    """A V2 inference service, a few rows a request; each request may be answered by another model.

    Raises:
        UsageError: httpx is not installed.
    """

    def __init__(self, params: StreamParams) -> None:
        try:
            import httpx
        except ImportError as error:
            raise UsageError("Scoring over an endpoint needs httpx.", "Install the extra: fraudline[serve].") from error
        self._errors = httpx.HTTPError
        self._params = params
        self._url = f"{params.endpoint.rstrip('/')}/v2/models/{params.endpoint_model}/infer"
        self._client = httpx.Client(timeout=params.endpoint_timeout_s)

    def score(self, features: NDArray[np.float32]) -> Scored:
        """See the protocol."""
        rows = self._params.endpoint_rows
        return _joined([self._ask(features[at : at + rows]) for at in range(0, len(features), rows)])

    def close(self) -> None:
        """See the protocol."""
        self._client.close()

    def _ask(self, features: NDArray[np.float32]) -> Scored:
        headers, body = v2.request(features, binary=self._params.endpoint_binary)
        problem = ""
        for attempt in range(self._params.endpoint_attempts):
            if attempt:
                time.sleep(_BACKOFF_S * 2**attempt)
            try:
                answer = self._client.post(self._url, headers=headers, content=body)
            except self._errors as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code == 200:
                return _scored(*v2.response(answer.headers, answer.content), features.shape)
            problem = f"status {answer.status_code}: {answer.text[:200]}"
            if 400 <= answer.status_code < 500 and answer.status_code not in (408, 425, 429):
                raise UsageError(
                    f"{self._url} refuses the features: {problem}.", "Serve a model of the same feature spec there."
                )
            log.warning("endpoint.retry", attempt=attempt + 1, problem=problem)
        raise UnavailableError(f"{self._url} does not answer: {problem}.", "Check that the endpoint runs.")


def open_scoring(params: StreamParams, artifact: Artifact) -> Scoring:
    """The scoring that ``params`` name: the endpoint where there is one, else this process.

    Raises:
        UsageError: a thresholds file is named, but an endpoint decides.
        StateError: the thresholds file was changed by hand, or is of another model.
    """
    everything = params.reasons_on == "all"
    if not params.thresholds:
        return EndpointScoring(params) if params.endpoint else InProcessScoring(artifact, explain_all=everything)
    if params.endpoint:
        raise UsageError(
            "With an endpoint the predictor decides, by the thresholds of its own model.",
            "Leave out stream.thresholds, or score in process.",
        )
    held = ThresholdLog.read(Path(params.thresholds), artifact.digest).newest
    log.info("scoring.thresholds", file=params.thresholds, version=held.thresholds.version, by=held.by, at=held.at)
    return InProcessScoring(artifact, held.thresholds, explain_all=everything)


def _scored(head: dict[str, Any], tensors: dict[str, NDArray[Any]], shape: tuple[int, ...]) -> Scored:
    try:
        parameters = head["parameters"]
        review, block = float(parameters["review"]), float(parameters["block"])
        thresholds = Thresholds(review=review, block=block, policy={}, version=str(parameters["threshold_version"]))
        decision = [str(text) for text in tensors["decision"].ravel().tolist()]
        score, contributions, expected = (
            tensors[name].astype(np.float32, copy=False) for name in ("score", "contributions", "expected")
        )
        threshold = [threshold_of(DECISIONS.index(text), thresholds) for text in decision]
        version = str(head["model_version"])
    except (KeyError, TypeError, ValueError) as error:
        problem = f"The endpoint's answer is incomplete: {type(error).__name__}: {error}."
        raise UsageError(problem, "Serve a fraudline model there.") from error
    n = shape[0]
    if score.shape != (n,) or len(decision) != n or contributions.shape != shape or expected.shape != shape:
        problem = (
            f"The endpoint's answer has the shapes {score.shape} and {contributions.shape}, not ({n},) and {shape}."
        )
        raise UsageError(problem, "Serve a fraudline model of the same feature spec there.")
    if not all(np.isfinite(values).all() for values in (score, contributions, expected)):
        raise UsageError("The endpoint's answer holds numbers that are not finite.", "Serve another model there.")
    versions = [version] * n, [thresholds.version] * n, ["endpoint"] * n
    return Scored(score, None, contributions, expected, decision, threshold, *versions)


def _joined(parts: list[Scored]) -> Scored:
    if len(parts) == 1:
        return parts[0]
    return Scored(
        np.concatenate([part.score for part in parts]),
        _explained(parts),
        np.concatenate([part.contributions for part in parts]),
        np.concatenate([part.expected for part in parts]),
        *(
            [entry for part in parts for entry in getattr(part, name)]
            for name in ("decision", "threshold", "model_version", "threshold_version", "scored_by")
        ),
    )


def _explained(parts: list[Scored]) -> NDArray[np.intp] | None:
    """The rows explained of all parts together; None where each part explains all of its rows."""
    if all(part.explained is None for part in parts):
        return None
    rows, begin = [], 0
    for part in parts:
        n = len(part.score)
        rows.append(begin + (np.arange(n) if part.explained is None else part.explained))
        begin += n
    return np.concatenate(rows)
