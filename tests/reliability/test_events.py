"""Events that come late, out of order and more than once, also across a restart."""

import random
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.topics import ensure_topics
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params
from tests.support.figures import Figure, sized
from tests.support.workers import WorkerProcess, books_of, send, wait_for, wait_until_committed

pytestmark = pytest.mark.reliability

RECORDS = sized(3_000, 3_000, 30_000)


@pytest.mark.parametrize("end", sized(["killed"], ["killed", "stopped"], ["killed", "stopped"]))
def test_the_same_event_three_times_is_decided_once_also_across_a_restart(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure, end: str
) -> None:
    """Some events come three times, and a tenth late; between the copies the worker dies and is started again."""
    rng = random.Random(5)
    rows = list(range(RECORDS))
    for _ in range(RECORDS // 10):  # late and out of order: moved behind later ones
        at = rng.randrange(RECORDS - 300)
        rows.insert(at + rng.randrange(1, 300), rows.pop(at))
    table = _denser(transactions(RECORDS)).take(rows)
    params = own_params(tmp_path, kafka.bootstrap, checkpoint_s=0.5, max_batch=50, metrics_port=free_port())
    ensure_topics(params)
    outputs = [output_of(params.topics.transactions, message) for message in messages_of(table)]
    half = RECORDS // 2
    again = rng.sample(range(max(0, half - 2_500), half), min(RECORDS // 10, 1_500))  # well within a day
    first = outputs[:half]
    twice = [outputs[i] for i in again]
    model = tiny_artifact(tmp_path / "model")
    with WorkerProcess(tmp_path, params, model) as worker:
        send(params, first + twice)
        if end == "stopped":
            wait_until_committed(params, worker)
            assert worker.stop() == 0
        else:
            wait_for(lambda: worker.metric("fraudline_transactions_total") > RECORDS // 4, "half of the first")
            worker.child.kill()
        send(params, twice + outputs[half:])
        worker.start()
        wait_until_committed(params, worker)
        wait_for(lambda: worker.metric("fraudline_seen_ids ") > 0, "the memory's gauge")
        ids, size = worker.metric("fraudline_seen_ids "), worker.metric("fraudline_seen_ids_bytes ")
        assert worker.stop() == 0
    books = books_of(params, table)
    figure(
        f"{len(twice):,} of {RECORDS:,} events three times and {RECORDS // 10:,} late, worker {end} in between: "
        f"{books.lost} lost, {books.doubled} doubled, features equal: {books.same_features}; {ids:,.0f} ids of the "
        f"last 24 h in {size / 1024:,.0f} kB",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)


def _denser(table: pa.Table) -> pa.Table:
    """The same with a tenth of the time between transactions: a day then has some thousands."""
    at = table.schema.get_field_index("event_time")
    times = table["event_time"].to_numpy()
    dense = times[0] + (times - times[0]) // 10
    return table.set_column(at, table.schema.field(at), pa.chunked_array([pa.array(dense, table["event_time"].type)]))


def test_the_memory_of_a_million_ids_is_counted(figure: Figure) -> None:
    """One partition, a million ids within the horizon."""
    count = 1_000_000
    seen = SeenIds(hours=24)
    ids = [uuid.UUID(int=number).hex for number in range(count)]
    times = np.arange(count, dtype=np.int64) * 80_000 + 1_767_225_600_000_000
    assert seen.first(hash_ids(ids), times).all()
    assert len(seen) == count
    snapshot = seen.snapshot()
    figure(
        f"{count:,} ids: {seen.nbytes / count:.1f} bytes an id in memory, {len(snapshot) / count:.1f} in a checkpoint",
        bytes_an_id=seen.nbytes / count,
    )
    assert seen.nbytes / count <= 28
