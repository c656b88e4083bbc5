"""The inference service is slow, refuses, answers garbage and goes away: no offset moves past an unscored record."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.topics import ensure_topics
from tests.support.artifacts import tiny_artifact
from tests.support.broker import committed_everything, own_params
from tests.support.figures import Figure, sized
from tests.support.inference import InferenceService
from tests.support.workers import WorkerProcess, books_of, send_table, wait_for, wait_until_committed

pytestmark = pytest.mark.reliability

RECORDS = sized(1_500, 1_500, 20_000)
DOWN_S = sized(3, 3, 60)


ALL = ["slow", "refusing", "garbage", "down"]


@pytest.mark.parametrize("fault", sized(["garbage"], ALL, ALL))
def test_a_worker_holds_its_batch_until_the_endpoint_answers_as_it_should(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure, fault: str
) -> None:
    """Policy ``hold``. The service misbehaves in mid-stream, then is well again."""
    table = transactions(RECORDS)
    model = tiny_artifact(tmp_path / "model")
    half = RECORDS // 2
    with InferenceService(model) as service:
        params = own_params(
            tmp_path,
            kafka.bootstrap,
            endpoint=service.url,
            endpoint_timeout_s=0.5,
            max_batch=50,
            metrics_port=free_port(),
        )
        ensure_topics(params)
        with WorkerProcess(tmp_path, params, model) as worker:
            send_table(params, table.slice(0, half))
            wait_until_committed(params, worker)
            wait_for(lambda: worker.readyz()[0] == 200, "ready")
            before_mb = worker.resident_mb()
            if fault == "down":
                service.stop()
            else:
                service.mode = fault
            send_table(params, table.slice(half))
            noticed = wait_for(lambda: worker.readyz()[0] == 503, "not ready")
            time.sleep(DOWN_S)
            assert "endpoint" in worker.readyz()[1]
            done = worker.metric("fraudline_transactions_total")
            requests = service.requests
            time.sleep(2)
            assert worker.metric("fraudline_transactions_total") == done, "an offset moved past an unscored record"
            asked = service.requests - requests
            grown_mb = worker.resident_mb() - before_mb
            service.mode = "well"
            if fault == "down":
                service.start()
            begun = time.monotonic()
            wait_for(lambda: worker.metric("fraudline_transactions_total") > done, "the first batch")
            first = time.monotonic() - begun
            wait_until_committed(params, worker)
            wait_for(lambda: worker.readyz()[0] == 200, "ready again")
            assert worker.stop() == 0, worker.child.log_tail(30)
    books = books_of(params, table)
    figure(
        f"endpoint {fault} for {DOWN_S} s, {RECORDS:,} records: {books.lost} lost, {books.doubled} doubled; /readyz "
        f"false after {noticed:.1f} s, {asked} requests in 2 s of outage, {grown_mb:+.1f} MB of memory, first batch "
        f"{first:.1f} s after it was well",
        lost=books.lost,
        doubled=books.doubled,
        recovery_s=first,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
    assert {decision.scored_by for decision in books.decisions.values()} == {"endpoint"}
    assert asked <= 20, "the retries are not bounded"
    assert grown_mb < 50


def test_a_fallback_decides_in_the_worker_and_says_so_on_each_decision(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """Policy ``fallback``. The service goes away in mid-stream and comes back."""
    table = transactions(RECORDS)
    inside, outside = tiny_artifact(tmp_path / "inside"), tiny_artifact(tmp_path / "outside", seed=1)
    third = RECORDS // 3
    with InferenceService(outside) as service:
        params = own_params(
            tmp_path,
            kafka.bootstrap,
            endpoint=service.url,
            endpoint_timeout_s=0.5,
            endpoint_down="fallback",
            metrics_port=free_port(),
            max_batch=50,
        )
        ensure_topics(params)
        with WorkerProcess(tmp_path, params, inside) as worker:
            send_table(params, table.slice(0, third))
            wait_until_committed(params, worker)
            service.stop()
            send_table(params, table.slice(third, third))
            wait_until_committed(params, worker)
            assert worker.readyz()[0] == 200, "a worker that can decide is ready"
            service.start()
            time.sleep(11)  # the breaker's longest pause
            send_table(params, table.slice(2 * third))
            wait_until_committed(params, worker)
            assert worker.stop() == 0
    books = books_of(params, table)
    by = Counter(decision.scored_by for decision in books.decisions.values())
    figure(
        f"fallback, {RECORDS:,} records: {books.lost} lost, {books.doubled} doubled; {dict(sorted(by.items()))}",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
    versions = {(decision.scored_by, decision.model_version) for decision in books.decisions.values()}
    assert versions == {
        ("endpoint", service.artifact.version),
        ("fallback", tiny_version(inside)),
    }
    middle = table.slice(third, third)["transaction_id"].to_pylist()
    assert {books.decisions[i].scored_by for i in middle} == {"fallback"}
    assert committed_everything(params)


def tiny_version(model: Path) -> str:
    from fraudline.model.artifact import load_artifact

    return load_artifact(model).version
