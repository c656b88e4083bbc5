"""Scoring over a V2 inference service, with patience: retries, a circuit breaker, and a policy for when it is down.

``hold`` waits: the batch stays in hand, no offset moves, ``/readyz`` says why. ``fallback`` scores with the artifact in
this process and stamps each decision with it. Which of the two is the operator's choice.
"""

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.core.tracing import current_headers
from fraudline.decide.policy import DECISIONS, Thresholds, threshold_of
from fraudline.model.scorer import Scorer
from fraudline.stream import v2
from fraudline.stream.breaker import CircuitBreaker, backoff_s
from fraudline.stream.endpoint_access import bearer_of, trusted
from fraudline.stream.health import Readiness
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring, Scored, joined, stamped

log = get_logger(__name__)

PART = "endpoint"
_BACKOFF_S = 0.2
_BACKOFF_MOST_S = 5.0
_BREAKER_FAILURES = 5
_BREAKER_PAUSE_S = 1.0
_BREAKER_MOST_S = 10.0
_HOLD_S = 240.0
"""A batch is held this long at most and then read again: a group member must poll every five minutes."""

_ANSWER_BYTES = 64 << 20
"""The largest answer read: a service that answers without end is down."""

_UNAUTHORIZED = 401
_TRY_AGAIN = (408, 425, 429)


class HeldError(UnavailableError):
    """The endpoint is down or slow; a batch was held as long as the group allows, and is read again, however often."""


class EndpointScoring:
    """A V2 inference service, a few rows a request; each request may be answered by another model.

    Args:
        params: where it is, and the patience with it.
        stop: ends every wait.

    Raises:
        UsageError: httpx is not installed, or the token or the authority's certificate cannot be read.
    """

    def __init__(self, params: StreamParams, stop: threading.Event | None = None) -> None:
        try:
            import httpx
        except ImportError as error:
            raise UsageError("Scoring over an endpoint needs httpx.", "Install the extra: fraudline[serve].") from error
        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        self._params = params
        self._stop = stop or threading.Event()
        self._url = f"{params.endpoint.rstrip('/')}/v2/models/{params.endpoint_model}/infer"
        self._bearer = bearer_of(params)
        self._client = httpx.Client(timeout=params.endpoint_timeout_s, verify=trusted(params))
        self.breaker = CircuitBreaker(_BREAKER_FAILURES, _BREAKER_PAUSE_S, _BREAKER_MOST_S)

    def score(self, features: NDArray[np.float32]) -> Scored:
        """Score (n, d) float32 rows.

        Raises:
            UnavailableError: no answer, or none that fits, after ``endpoint_attempts`` tries; at once while the breaker
                is open; or its answers come so slowly that the group would take the worker for dead.
            UsageError: it refuses the features.
        """
        return self.score_by(features, time.monotonic() + _HOLD_S)

    def score_by(self, features: NDArray[np.float32], deadline: float) -> Scored:
        """:meth:`score`; no further request begins after ``deadline``, of the monotonic clock."""
        n, rows = len(features), self._params.endpoint_rows
        parts: list[Scored] = []
        for at in range(0, n, rows):
            if parts and time.monotonic() > deadline:
                raise UnavailableError(
                    f"{self._url} is too slow: {at} of {n} rows were scored in {_HOLD_S:g} s.",
                    "Give it more replicas, or raise stream.endpoint_rows.",
                )
            parts.append(self._ask(features[at : at + rows]))
        return joined(parts)

    def use(self, scorer: Scorer) -> None:
        """Nothing to do: which model answers is the endpoint's affair."""

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _ask(self, features: NDArray[np.float32]) -> Scored:
        headers, body = v2.request(features, binary=self._params.endpoint_binary)
        headers |= current_headers()
        problem = "it was down a moment ago"
        for attempt in range(self._params.endpoint_attempts):
            if attempt:
                self._stop.wait(backoff_s(attempt - 1, _BACKOFF_S, _BACKOFF_MOST_S))
            if self.breaker.wait_s() > 0 or (attempt and self._stop.is_set()):
                break
            try:
                scored = self._try(headers, body, features.shape)
            except UnavailableError as error:
                self.breaker.failed()
                problem = error.problem
                log.warning("endpoint.failed", attempt=attempt + 1, problem=problem)
            else:
                self.breaker.succeeded()
                return scored
        raise UnavailableError(f"{self._url} does not answer: {problem}", "Check that the endpoint runs.")

    def _try(self, headers: dict[str, str], body: bytes, shape: tuple[int, ...]) -> Scored:
        if self._bearer is not None:
            headers = headers | {"authorization": self._bearer.header()}
        try:
            with self._client.stream("POST", self._url, headers=headers, content=body) as answer:
                status, content = answer.status_code, self._read(answer)
        except self._errors as error:
            raise UnavailableError(f"{type(error).__name__}: {error}.") from error
        if status == 200:
            return _scored(*v2.response(answer.headers, content), shape)
        problem = f"status {status}: {content[:200].decode(errors='replace')}."
        if status == _UNAUTHORIZED:
            if self._bearer is None:
                asked = f"{self._url} asks for a bearer token: {problem}"
                raise UsageError(asked, "Name its file in stream.endpoint_token_file.")
            # a token that was changed there may be changed here a moment later: the file is read again
            raise UnavailableError(f"it does not take the token of {self._params.endpoint_token_file}: {problem}")
        if 400 <= status < 500 and status not in _TRY_AGAIN:
            raise UsageError(
                f"{self._url} refuses the features: {problem}", "Serve a model of the same feature spec there."
            )
        raise UnavailableError(problem)

    def _read(self, answer: Any) -> bytes:
        """The body, within the time and the size that an answer may have."""
        deadline = time.monotonic() + self._params.endpoint_timeout_s
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _ANSWER_BYTES:
                raise UnavailableError(f"an answer of more than {_ANSWER_BYTES >> 20} MiB.")
            if time.monotonic() > deadline:
                raise UnavailableError(f"an answer that took more than {self._params.endpoint_timeout_s:g} s.")
        return bytes(content)


class HoldScoring:
    """Waits for the endpoint: a batch stays in hand until it is scored.

    Args:
        endpoint: what is waited for.
        readiness: told while it is.
        stop: ends the wait.
    """

    def __init__(self, endpoint: EndpointScoring, readiness: Readiness, stop: threading.Event) -> None:
        self._endpoint = endpoint
        self._readiness = readiness
        self._stop = stop

    def score(self, features: NDArray[np.float32]) -> Scored:
        """Score (n, d) float32 rows, as soon as the endpoint does.

        Raises:
            HeldError: the batch was held as long as the group allows.
            UnavailableError: the worker is asked to stop; nothing is scored.
            UsageError: the endpoint refuses the features.
        """
        breaker = self._endpoint.breaker
        deadline = time.monotonic() + _HOLD_S
        while True:
            try:
                scored = self._endpoint.score_by(features, deadline)
            except UnavailableError as error:
                self._readiness.waits(PART, error.problem)
                if self._stop.is_set():
                    raise
                if time.monotonic() > deadline:
                    raise HeldError(error.problem, error.action) from error
                pause_s = max(breaker.wait_s(), _BACKOFF_S)
                log.warning("endpoint.held", rows=len(features), retry_s=round(pause_s, 2), problem=error.problem)
                self._stop.wait(pause_s)
            else:
                self._readiness.goes_on(PART)
                return scored

    def use(self, scorer: Scorer) -> None:
        """Nothing to do: which model answers is the endpoint's affair."""

    def close(self) -> None:
        """Let go of connections."""
        self._endpoint.close()


class FallbackScoring:
    """Scores in this process while the endpoint is down; each decision says ``fallback``.

    Args:
        endpoint: asked first, whenever its breaker allows.
        inside: the artifact in this process.
    """

    def __init__(self, endpoint: EndpointScoring, inside: InProcessScoring) -> None:
        self._endpoint = endpoint
        self._inside = inside

    def score(self, features: NDArray[np.float32]) -> Scored:
        """Score (n, d) float32 rows. A batch is scored by one of the two, never by both."""
        if self._endpoint.breaker.wait_s() == 0:
            try:
                return self._endpoint.score(features)
            except (UnavailableError, UsageError) as error:
                log.warning("endpoint.fallback", rows=len(features), problem=error.problem)
        return stamped(self._inside.score(features), "fallback")

    def use(self, scorer: Scorer) -> None:
        """Fall back to another model from the next batch on."""
        self._inside.use(scorer)

    def close(self) -> None:
        """Let go of connections."""
        self._endpoint.close()


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
        problem = f"its answer is incomplete: {type(error).__name__}: {error}."
        raise UnavailableError(problem, "Serve a fraudline model there.") from error
    n = shape[0]
    if score.shape != (n,) or len(decision) != n or contributions.shape != shape or expected.shape != shape:
        problem = f"its answer has the shapes {score.shape} and {contributions.shape}, not ({n},) and {shape}."
        raise UnavailableError(problem, "Serve a fraudline model of the same feature spec there.")
    if not all(np.isfinite(values).all() for values in (score, contributions, expected)):
        raise UnavailableError("its answer holds numbers that are not finite.", "Serve another model there.")
    versions = [version] * n, [thresholds.version] * n, ["endpoint"] * n
    return Scored(score, None, contributions, expected, decision, threshold, *versions, held=thresholds)
