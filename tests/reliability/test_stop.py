"""SIGTERM: the batch in hand is committed, checkpoints are written, and a second signal spoils nothing."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from tests.support.artifacts import tiny_artifact
from tests.support.broker import CACHE, committed_everything, need_java, own_params, undecided
from tests.support.figures import Figure, not_fast, sized
from tests.support.workers import WorkerProcess, books_of, send_table, wait_for, wait_until_committed

pytestmark = pytest.mark.reliability

RECORDS = sized(4_000, 4_000, 20_000)
PARTS, BATCH = 4, 20
GRACE_S = 30
"""What Kubernetes gives a pod before it kills it."""


def stand_in_mid_work(worker: WorkerProcess, params: StreamParams, table: pa.Table) -> None:
    """Send a part of the table after the other until the worker stands still with several batches to come."""
    size = table.num_rows // PARTS
    for first in range(0, table.num_rows, size):
        before = max(worker.metric("fraudline_transactions_total"), 0)
        send_table(params, table.slice(first, size))
        wait_for(lambda at=before: worker.metric("fraudline_transactions_total") > at, "a batch", interval=0.02)
        os.killpg(worker.child.pid, signal.SIGSTOP)
        if undecided(params) > 5 * BATCH:
            send_table(params, table.slice(first + size))
            return
        os.killpg(worker.child.pid, signal.SIGCONT)
    pytest.fail("the worker was quicker than the test, again and again")


@pytest.mark.parametrize("signals", sized([2], [2], [1, 2, 5]))
def test_a_worker_in_mid_work_ends_within_the_grace_period_and_its_successor_goes_on(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure, signals: int
) -> None:
    """SIGTERM, once or again and again a few milliseconds apart, while the worker has work in hand."""
    table = transactions(RECORDS)
    params = own_params(
        tmp_path, kafka.bootstrap, metrics_port=free_port(), max_batch=BATCH, partitions=2, session_timeout_s=60.0
    )
    ensure_topics(params)
    worker = WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "model"))
    with worker:
        stand_in_mid_work(worker, params, table)
        begun = time.monotonic()
        for _ in range(signals):
            os.killpg(worker.child.pid, signal.SIGTERM)
            os.killpg(worker.child.pid, signal.SIGCONT)
            time.sleep(0.005)
        code = worker.child.wait(GRACE_S)
        seconds = time.monotonic() - begun
    in_the_middle = not committed_everything(params)
    checkpoints = len(list(Path(params.checkpoint_dir).rglob("*.checkpoint")))
    with worker:
        wait_until_committed(params, worker)
        assert worker.stop() == 0
    books = books_of(params, table)
    figure(
        f"{signals} × SIGTERM in mid-work: exit code {code} after {seconds:.1f} s, {checkpoints} checkpoints, "
        f"{RECORDS:,} records: {books.lost} lost, {books.doubled} doubled, features equal: {books.same_features}",
        lost=books.lost,
        doubled=books.doubled,
        stop_s=seconds,
    )
    assert code == 0
    assert in_the_middle, "the signal came too late to matter"
    assert checkpoints >= 1
    assert "checkpoint.loaded" in worker.log
    assert "checkpoint.refused" not in worker.log
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)


def test_a_worker_whose_endpoint_is_down_ends_within_the_grace_period(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """SIGTERM while a batch is held."""
    params = own_params(
        tmp_path, kafka.bootstrap, endpoint=f"http://127.0.0.1:{free_port()}", metrics_port=free_port(), partitions=2
    )
    ensure_topics(params)
    send_table(params, transactions(RECORDS).slice(0, 200))
    with WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "model")) as worker:
        wait_for(lambda: "endpoint" in worker.readyz()[1], "the hold")
        begun = time.monotonic()
        worker.child.terminate()
        code = worker.child.wait(GRACE_S)
        seconds = time.monotonic() - begun
    figure(f"SIGTERM while a batch is held: exit code {code} after {seconds:.1f} s", stop_s=seconds)
    assert code == 0


@not_fast
def test_a_worker_whose_broker_is_gone_ends_within_the_grace_period(
    transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """SIGTERM while the broker is down, with the default patience."""
    need_java()
    with LocalKafka(tmp_path / "kafka", cache=CACHE) as broker:
        params = own_params(tmp_path, broker.bootstrap, metrics_port=free_port(), max_batch=20)
        ensure_topics(params)
        send_table(params, transactions(RECORDS))
        with WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "model")) as worker:
            wait_for(lambda: worker.metric("fraudline_transactions_total") > 0, "the first batch")
            broker.kill9()
            time.sleep(2)
            begun = time.monotonic()
            worker.child.terminate()
            code = worker.child.wait(60)
            seconds = time.monotonic() - begun
    figure(f"SIGTERM while the broker is gone: exit code {code} after {seconds:.1f} s", stop_s=seconds)
    assert code in (0, 8)
    assert seconds < GRACE_S
