"""Two ways to a score: the model in this process, or an inference service that may split over several models."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import StateError, UsageError
from fraudline.core.log import get_logger
from fraudline.core.reread import stamp_of
from fraudline.decide.policy import DECISIONS, Thresholds, decide, threshold_of
from fraudline.decide.threshold_log import Change, ThresholdLog
from fraudline.model.artifact import Artifact
from fraudline.model.scorer import Scorer
from fraudline.stream.health import Readiness
from fraudline.stream.params import StreamParams

log = get_logger(__name__)

_NAMES = np.array(DECISIONS, object)
_LOOK_S = 1.0
"""Seconds between two looks at a thresholds file."""


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
        held: the thresholds that decided, those of the first arm in an A/B.
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
    held: Thresholds | None = field(default=None, kw_only=True)


class Scoring(Protocol):
    """Anything that scores feature rows."""

    def score(self, features: NDArray[np.float32]) -> Scored:
        """Score (n, d) float32 rows.

        Raises:
            UnavailableError: no answer; the batch is read again.
        """
        ...

    def use(self, scorer: Scorer) -> None:
        """Score with another model of the same feature specification from the next call on."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class ThresholdFile:
    """The newest line of a thresholds file, looked at again when the file was replaced.

    A file that is refused (changed by hand, of another model) is said once, and what held goes on holding.

    Args:
        path: the file.
        model: the digest that it must be for.
        packaged: what holds until the file is there; None: it must be there.

    Raises:
        StateError: it is refused at the beginning.
    """

    def __init__(self, path: Path, model: str, packaged: Thresholds | None = None) -> None:
        self._path, self._model = path, model
        self._stamp = stamp_of(self._path)
        if packaged is None or self._stamp:
            self._hold(ThresholdLog.read(path, model).newest)
        else:
            self._held = packaged
            log.info("scoring.thresholds_packaged", file=str(path), version=packaged.version)
        self._looked = time.monotonic()

    def newest(self) -> Thresholds:
        """What holds now; the file is asked once a second at most."""
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            stamp = stamp_of(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    found = ThresholdLog.read(self._path, self._model).newest
                except StateError as error:
                    log.warning("scoring.thresholds_refused", problem=error.problem, action=error.action)
                else:
                    self._hold(found)
        return self._held

    def _hold(self, found: Change) -> None:
        self._held = found.thresholds
        log.info("scoring.thresholds", file=str(self._path), version=self._held.version, by=found.by, at=found.at)


class InProcessScoring:
    """The artifact's own graph, through ONNX Runtime.

    Args:
        artifact: the model.
        thresholds: asked for each batch, instead of those that it was packaged with.
        second: likewise, for the second arm of an A/B.
        explain_all: contributions for every row, not for those alone that are not allowed.
    """

    def __init__(
        self,
        artifact: Artifact,
        thresholds: Callable[[], Thresholds] | None = None,
        second: Callable[[], Thresholds] | None = None,
        *,
        explain_all: bool = False,
    ) -> None:
        self._explain_all, self._newest, self._second = explain_all, thresholds, second
        self.use(Scorer(artifact))

    def use(self, scorer: Scorer) -> None:
        """See the protocol."""
        self._scorer = scorer
        self._thresholds = scorer.artifact.thresholds
        self._version = scorer.artifact.version

    def score(self, features: NDArray[np.float32], second: NDArray[np.bool_] | None = None) -> Scored:
        """See the protocol. The graph is asked for what explains a score where that is wanted, and not otherwise.

        Args:
            features: (n, d) float32 rows.
            second: (n,) bool, rows that the thresholds of the second arm decide on; None for none.
        """
        arms = [self._newest() if self._newest is not None else self._thresholds]
        arm = np.zeros(len(features), np.intp)
        if second is not None and self._second is not None:
            arms, arm = [*arms, self._second()], second.astype(np.intp)
        if self._explain_all:
            whole = self._scorer.score(features)
            score, explained = whole.score, None
        else:
            score = self._scorer.only_scores(features)
        n = len(score)
        decision = np.stack([decide(score, each) for each in arms])[arm, np.arange(n)]
        if not self._explain_all:
            explained = np.flatnonzero(decision)
            whole = self._scorer.score(features[explained])
        limits = np.array([[threshold_of(index, each) for index in range(len(DECISIONS))] for each in arms])
        return Scored(
            score,
            explained,
            whole.contributions,
            whole.expected,
            _NAMES[decision].tolist(),
            limits[arm, decision].tolist(),
            [self._version] * n,
            np.array([each.version for each in arms], object)[arm].tolist(),
            ["worker"] * n,
            held=arms[0],
        )

    def close(self) -> None:
        """See the protocol."""


def open_scoring(
    params: StreamParams,
    artifact: Artifact,
    *,
    readiness: Readiness | None = None,
    stop: threading.Event | None = None,
) -> Scoring:
    """The scoring that ``params`` name: this process, or the endpoint with the policy for when it is down.

    Args:
        params: endpoint and policy.
        artifact: scores in this process, or when the endpoint is down and the policy is ``fallback``.
        readiness: told while the endpoint is waited for.
        stop: ends every wait.

    Raises:
        UsageError: the endpoint needs a library that is not installed, or a thresholds file is named where an endpoint
            or a changing champion decides.
        StateError: the thresholds file was changed by hand, or is of another model.
    """
    everything = params.reasons_on == "all"
    if params.thresholds:
        _may_follow(params)
        packaged = None if params.thresholds_b else artifact.thresholds
        first = ThresholdFile(Path(params.thresholds), artifact.digest, packaged).newest
        second = ThresholdFile(Path(params.thresholds_b), artifact.digest).newest if params.thresholds_b else None
        return InProcessScoring(artifact, first, second, explain_all=everything)
    if params.thresholds_b:
        raise UsageError("An A/B has two thresholds files.", "Name the first in stream.thresholds.")
    if not params.endpoint:
        return InProcessScoring(artifact, explain_all=everything)
    from fraudline.stream.endpoint import EndpointScoring, FallbackScoring, HoldScoring

    stop = stop or threading.Event()
    endpoint = EndpointScoring(params, stop)
    if params.endpoint_down == "fallback":
        return FallbackScoring(endpoint, InProcessScoring(artifact, explain_all=everything))
    return HoldScoring(endpoint, readiness or Readiness(), stop)


def _may_follow(params: StreamParams) -> None:
    if params.endpoint:
        raise UsageError(
            "With an endpoint the predictor decides, by the thresholds of its own model.",
            "Leave out stream.thresholds, or score in process.",
        )
    if params.champion:
        raise UsageError(
            "A thresholds file belongs to one model, and a champion's pointer may name another at any time.",
            "Leave out stream.thresholds or stream.champion.",
        )


def stamped(scored: Scored, scored_by: str) -> Scored:
    """The same decisions, said to be made by another."""
    return replace(scored, scored_by=[scored_by] * len(scored.decision))


def joined(parts: list[Scored]) -> Scored:
    """Parts of a batch in their order."""
    if len(parts) == 1:
        return parts[0]
    return Scored(
        np.concatenate([part.score for part in parts]),
        _explained(parts),
        np.concatenate([part.contributions for part in parts]),
        np.concatenate([part.expected for part in parts]),
        *(
            list(chain.from_iterable(getattr(part, name) for part in parts))
            for name in ("decision", "threshold", "model_version", "threshold_version", "scored_by")
        ),
        held=parts[-1].held,
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
