import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.decide.policy import DECISIONS, decide
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.scorer import Scorer
from fraudline.stream import v2
from fraudline.stream.breaker import CircuitBreaker
from fraudline.stream.endpoint import EndpointScoring, FallbackScoring, HeldError, HoldScoring
from fraudline.stream.health import Readiness
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring, open_scoring
from tests.support.artifacts import tiny_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("model") / "m", review=0.4, block=0.5))


@pytest.fixture(scope="module")
def features(artifact: Artifact) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 3, (23, len(artifact.spec.names))).astype(np.float32)


class Endpoint:
    """A V2 server of two models that take turns; ``statuses`` are answered first, without a body."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact, self.scorer = artifact, Scorer(artifact)
        self.statuses: list[int] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.change: dict[str, Any] = {}

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests.append((headers, body))
        if self.statuses:
            return self.statuses.pop(0), {}, b"no"
        cut = int(headers.get(v2.LENGTH_HEADER, len(body)))
        tensor = json.loads(body[:cut])["inputs"][0]
        assert (tensor["name"], tensor["datatype"]) == ("features", "FP32")
        binary = "data" not in tensor
        flat = np.frombuffer(body[cut:], "<f4") if binary else np.array(tensor["data"], np.float32)
        scores = self.scorer.score(flat.reshape(tensor["shape"]))
        decisions = [DECISIONS[i] for i in decide(scores.score, self.artifact.thresholds)]
        outputs = [
            ("score", "FP32", scores.score),
            ("decision", "BYTES", np.array(decisions)),
            ("contributions", "FP32", scores.contributions),
            ("expected", "FP32", scores.expected),
        ]
        thresholds = self.artifact.thresholds
        head: dict[str, Any] = {
            "model_name": "fraud",
            "model_version": "champion" if len(self.requests) % 2 else "challenger",
            "parameters": {"threshold_version": "t7", "review": thresholds.review, "block": thresholds.block},
            "outputs": [],
        }
        raw = b""
        for name, datatype, values in outputs:
            entry = {"name": name, "datatype": datatype, "shape": list(values.shape)}
            if binary:
                part = encode_bytes(values) if datatype == "BYTES" else values.astype("<f4").tobytes()
                entry["parameters"] = {"binary_data_size": len(part)}
                raw += part
            else:
                entry["data"] = values.ravel().tolist()
            head["outputs"].append(entry)
        content = json.dumps({**head, **self.change}).encode()
        return 200, {v2.LENGTH_HEADER: str(len(content))} if binary else {}, content + raw


def encode_bytes(values: np.ndarray) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text.encode() for text in values.tolist())


@contextmanager
def served(endpoint: Endpoint) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v2/models/fraud/infer"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = endpoint.answer(dict(self.headers.items()), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def scoring_of(endpoint: Endpoint, **changes: Any) -> Iterator[EndpointScoring]:
    with served(endpoint) as url:
        scoring = EndpointScoring(StreamParams(endpoint=url, endpoint_rows=10, **changes))
        try:
            yield scoring
        finally:
            scoring.close()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_an_endpoint_decides_as_the_model_in_this_process_does(
    artifact: Artifact, features: np.ndarray, binary: bool
) -> None:
    here = InProcessScoring(artifact).score(features)
    with scoring_of(Endpoint(artifact), endpoint_binary=binary) as scoring:
        there = scoring.score(features)
    assert len(set(here.decision)) > 1
    assert there.score.tobytes() == here.score.tobytes()
    assert there.contributions.tobytes() == here.contributions.tobytes()
    assert there.expected.tobytes() == here.expected.tobytes()
    assert (there.decision, there.threshold) == (here.decision, here.threshold)


def test_each_request_is_stamped_with_the_model_that_answered_it(artifact: Artifact, features: np.ndarray) -> None:
    with scoring_of(Endpoint(artifact)) as scoring:
        scored = scoring.score(features)
    assert scored.model_version == ["champion"] * 10 + ["challenger"] * 10 + ["champion"] * 3
    assert set(scored.threshold_version) == {"t7"} == {scored.held.version}


def test_an_endpoint_that_stumbles_is_asked_again(artifact: Artifact, features: np.ndarray) -> None:
    endpoint = Endpoint(artifact)
    endpoint.statuses = [503, 429]
    with scoring_of(endpoint) as scoring:
        assert len(scoring.score(features[:5]).score) == 5
    assert len(endpoint.requests) == 3


def test_an_endpoint_that_stays_down_makes_the_batch_wait(artifact: Artifact, features: np.ndarray) -> None:
    endpoint = Endpoint(artifact)
    endpoint.statuses = [503] * 9
    with scoring_of(endpoint, endpoint_attempts=2) as scoring, pytest.raises(UnavailableError, match="status 503"):
        scoring.score(features)
    assert len(endpoint.requests) == 2


def test_an_endpoint_nobody_listens_at_is_unavailable(features: np.ndarray) -> None:
    scoring = EndpointScoring(StreamParams(endpoint="http://127.0.0.1:9", endpoint_attempts=1))
    with pytest.raises(UnavailableError, match="ConnectError"):
        scoring.score(features)
    scoring.close()


def test_an_endpoint_that_refuses_the_features_is_a_mistake_of_the_caller(
    artifact: Artifact, features: np.ndarray
) -> None:
    endpoint = Endpoint(artifact)
    endpoint.statuses = [400]
    with scoring_of(endpoint) as scoring, pytest.raises(UsageError, match="status 400"):
        scoring.score(features)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("change", [{"outputs": []}, {"parameters": {}}, {"model_version": "x", "parameters": None}])
def test_an_answer_of_another_model_is_no_answer(
    artifact: Artifact, features: np.ndarray, change: dict[str, Any]
) -> None:
    endpoint = Endpoint(artifact)
    endpoint.change = change
    some = {"endpoint_binary": False, "endpoint_attempts": 1}
    with scoring_of(endpoint, **some) as scoring, pytest.raises(UnavailableError, match="incomplete"):
        scoring.score(features)


@pytest.mark.parametrize(
    ("name", "wrong", "problem"),
    [
        ("score", lambda values: values[:-1], "shapes"),
        ("contributions", lambda values: values[:, :-1], "shapes"),
        ("expected", lambda values: values[:, :-1], "shapes"),
        ("score", lambda values: values * np.float32("inf"), "not finite"),
    ],
)
def test_an_answer_that_does_not_fit_the_rows_is_refused(
    artifact: Artifact, features: np.ndarray, name: str, wrong: Callable[[np.ndarray], np.ndarray], problem: str
) -> None:
    endpoint = Endpoint(artifact)
    score = endpoint.scorer.score
    endpoint.scorer.score = lambda rows: dataclasses.replace(
        found := score(rows), **{name: wrong(getattr(found, name))}
    )
    with scoring_of(endpoint, endpoint_attempts=1) as scoring, pytest.raises(UnavailableError, match=problem):
        scoring.score(features[:5])


@pytest.mark.parametrize(
    "body", [b'{"outputs": ["score"]}', b"", b"[]", b"{}", b"<html>", b'{"outputs": [{"name": "score"}]}']
)
def test_an_answer_that_is_not_v2_makes_the_batch_wait(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="not V2"):
        v2.response({}, body)


def test_without_an_endpoint_the_model_scores_in_this_process(artifact: Artifact) -> None:
    assert isinstance(open_scoring(StreamParams(), artifact), InProcessScoring)
    for policy, kind in (("hold", HoldScoring), ("fallback", FallbackScoring)):
        with closing(open_scoring(StreamParams(endpoint="http://127.0.0.1:9", endpoint_down=policy), artifact)) as some:
            assert isinstance(some, kind)


def test_an_endpoint_that_is_down_is_not_asked_again_until_its_pause_is_over(
    artifact: Artifact, features: np.ndarray
) -> None:
    endpoint = Endpoint(artifact)
    endpoint.statuses = [503] * 50
    with scoring_of(endpoint, endpoint_attempts=20) as scoring:
        scoring.breaker = CircuitBreaker(5, 60.0, 60.0)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                scoring.score(features[:5])
    assert len(endpoint.requests) == 5


def test_a_held_batch_is_scored_when_the_endpoint_is_back_and_readiness_says_why_it_waits(
    artifact: Artifact, features: np.ndarray
) -> None:
    endpoint, readiness, stop = Endpoint(artifact), Readiness(), threading.Event()
    endpoint.statuses = [503] * 3
    said: list[dict[str, str]] = []
    answer = endpoint.answer

    def listening(headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        said.append(readiness.waiting)
        return answer(headers, body)

    endpoint.answer = listening
    with served(endpoint) as url:
        params = StreamParams(endpoint=url, endpoint_attempts=1)
        with closing(open_scoring(params, artifact, readiness=readiness, stop=stop)) as scoring:
            scored = scoring.score(features[:5])
    assert set(scored.scored_by) == {"endpoint"}
    assert ["status 503" in reasons.get("endpoint", "") for reasons in said] == [False, True, True, True]
    assert readiness.waiting == {}


def test_an_endpoint_too_slow_for_the_whole_batch_gives_it_back_before_the_group_takes_the_worker_for_dead(
    artifact: Artifact, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudline.stream.endpoint._HOLD_S", 0.0)
    endpoint, readiness = Endpoint(artifact), Readiness()
    with served(endpoint) as url:
        params = StreamParams(endpoint=url, endpoint_rows=10)
        with closing(open_scoring(params, artifact, readiness=readiness)) as scoring:
            with pytest.raises(HeldError, match=f"too slow: 10 of {len(features)} rows"):
                scoring.score(features)
            assert "too slow" in readiness.waiting["endpoint"]
            assert len(scoring.score(features[:10]).score) == 10, "one request is always made"
    assert len(endpoint.requests) == 2
    assert readiness.waiting == {}


def test_a_worker_that_is_stopped_does_not_wait_for_the_endpoint(artifact: Artifact, features: np.ndarray) -> None:
    stop = threading.Event()
    stop.set()
    params = StreamParams(endpoint="http://127.0.0.1:9")
    with (
        closing(open_scoring(params, artifact, stop=stop)) as scoring,
        pytest.raises(UnavailableError, match="ConnectError"),
    ):
        scoring.score(features)


def test_a_fallback_scores_here_says_so_and_gives_back_to_the_endpoint(
    artifact: Artifact, features: np.ndarray
) -> None:
    endpoint = Endpoint(artifact)
    endpoint.statuses = [503, 400]
    here = InProcessScoring(artifact).score(features[:5])
    with served(endpoint) as url:
        params = StreamParams(endpoint=url, endpoint_attempts=1, endpoint_down="fallback")
        with closing(open_scoring(params, artifact)) as scoring:
            down, refused, back = (scoring.score(features[:5]) for _ in range(3))
    for scored in (down, refused):
        assert (set(scored.scored_by), set(scored.model_version)) == ({"fallback"}, {artifact.version})
        assert scored.score.tobytes() == here.score.tobytes()
    assert set(back.scored_by) == {"endpoint"}


def test_an_answer_without_end_is_no_answer(artifact: Artifact, features: np.ndarray) -> None:
    endpoint = Endpoint(artifact)
    endpoint.answer = lambda *_: (200, {}, b"x" * (65 << 20))
    with (
        scoring_of(endpoint, endpoint_attempts=1, endpoint_timeout_s=30.0) as scoring,
        pytest.raises(UnavailableError, match="more than 64 MiB"),
    ):
        scoring.score(features[:5])
