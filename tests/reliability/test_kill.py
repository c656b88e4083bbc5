"""Workers are killed again and again; a reader must not be able to tell."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.control_worker import PAUSE_S
from tests.support.figures import Figure, not_fast, sized
from tests.support.workers import (
    Books,
    WorkerProcess,
    books_of,
    ownership_moves,
    send,
    states_equal_batch,
    wait_for,
    wait_until_committed,
)

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(1_800)]

RECORDS = sized(20_000, 20_000, 100_000)
KILLS = sized(10, 10, 32)
BAD_EVERY = 100


def send_part(params: StreamParams, part: pa.Table, first: int) -> None:
    """A part of the transactions, a bad record after every ninety-nine good ones."""
    topic = params.topics.transactions

    def outputs():
        for number, message in enumerate(messages_of(part), first + 1):
            yield output_of(topic, message)
            if number % (BAD_EVERY - 1) == 0:
                yield Output(topic, message.card_id.encode(), b'{"transaction_id": "bad-%d"' % number)

    send(params, outputs())


def kill_again_and_again(
    workers: list[WorkerProcess], params: StreamParams, table: pa.Table, kills: int, rng: random.Random
) -> list[float]:
    """Send a part, kill a worker in the middle of it; a third of the killed stay away until others have taken over.

    Returns:
        The time of each kill, milliseconds since the epoch.
    """
    part = -(-table.num_rows // kills)
    times = []
    for kill in range(kills):
        for worker in workers:
            if not worker.child.running:
                worker.start()
        victim = rng.choice(workers)
        with suppress(AssertionError):  # one that owns nothing yet is killed too
            wait_for(lambda some=victim: some.readyz()[0] == 200, "the victim's partitions", timeout=20)
        send_part(params, table.slice(kill * part, part), kill * part)
        time.sleep(rng.uniform(0.0, 0.6))
        times.append(time.time() * 1_000)
        victim.child.kill()
        if len(workers) > 1 and kill % 3 == 0:
            time.sleep(params.session_timeout_s + 1)
    for worker in workers:
        if not worker.child.running:
            worker.start()
    return times


def with_work_in_hand(kills: list[float], params: StreamParams, books: Books) -> int:
    """Kills at which a transaction lay in the log and its decision did not, by the broker's times of append.

    Whoever asks the broker after a kill may hear what another worker has done since.
    """
    log = read_all(params.bootstrap, params.topics.transactions)
    appended = {(record.partition, record.offset): record.timestamp for record in log}
    decided = [(msgspec.json.decode(record.value, type=Decision), record.timestamp) for record in books.records]
    waits = [(appended[said.partition, said.offset], at) for said, at in decided]
    return sum(any(begin <= kill < end for begin, end in waits) for kill in kills)


@pytest.mark.parametrize("transport", sized(["kafka-python"], *2 * [["kafka-python", "confluent"]]))
def test_kills_lose_nothing_double_nothing_and_change_no_feature(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure, transport: str
) -> None:
    """Two workers share the partitions; one after another is killed with SIGKILL at random moments."""
    table = transactions(RECORDS - RECORDS // BAD_EVERY)
    params = own_params(
        tmp_path,
        kafka.bootstrap,
        transport=transport,
        partitions=4,
        checkpoint_s=0.5,
        max_batch=20,
        session_timeout_s=2.0,
        recoveries=50,
    )
    ensure_topics(params)
    model = tiny_artifact(tmp_path / "model")
    workers = [
        WorkerProcess(
            tmp_path, params.model_copy(update={"worker_id": f"worker-{number}", "metrics_port": free_port()}), model
        )
        for number in range(2)
    ]
    begun = time.monotonic()
    with ExitStack() as stack:
        for worker in workers:
            stack.callback(worker.child.kill)
        kills = kill_again_and_again(workers, params, table, KILLS, random.Random(20_000))
        wait_until_committed(params, *workers)
        for worker in workers:
            assert worker.stop() == 0, worker.child.log_tail(30)
    seconds = time.monotonic() - begun
    books = books_of(params, table)
    in_the_middle = with_work_in_hand(kills, params, books)
    everything = read_all(params.bootstrap, params.topics.decisions, isolation="read_uncommitted")
    logs = "".join(worker.log for worker in workers)
    moves = ownership_moves(workers)
    same_states, states = states_equal_batch(params)
    figure(
        f"{transport}: {KILLS} kills ({in_the_middle} with work in hand) over {RECORDS:,} records and {moves} changes "
        f"of owner in {seconds:.0f} s: {books.lost} lost, {books.doubled} doubled, features equal to the batch bit for "
        f"bit: {books.same_features}, {same_states} of {states} states too; {len(everything) - len(books.records):,} "
        f"decisions of open transactions never shown, "
        f"{logs.count('checkpoint.loaded')} checkpoints loaded, {logs.count('state.replayed')} silent replays",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled) == (0, 0)
    assert books.same_features
    assert same_states == states > 0
    assert books.dead.total() == len(books.dead) == RECORDS // BAD_EVERY
    assert in_the_middle >= KILLS / 2, "the kills came too late to matter"
    assert moves > 0, "no partition changed its owner"
    assert "checkpoint.loaded" in logs


@not_fast
def test_the_same_kills_without_transactions_double(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """The control: the same worker that appends first and commits its offsets afterwards."""
    records, kills = sized(0, 6_000, 40_000), sized(0, 6, 20)
    table = transactions(records - records // BAD_EVERY)
    params = own_params(tmp_path, kafka.bootstrap, checkpoint_s=0.5, max_batch=200, metrics_port=free_port())
    ensure_topics(params)
    worker = WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "model"), module="tests.support.control_worker")
    with ExitStack() as stack:
        stack.callback(worker.child.kill)
        times = kill_again_and_again([worker], params, table, kills, random.Random(7))
        wait_until_committed(params, worker)
        worker.stop()
    books = books_of(params, table)
    in_the_middle = with_work_in_hand(times, params, books)
    figure(
        f"{kills} kills ({in_the_middle} with work in hand) over {records:,} records without transactions, and "
        f"{PAUSE_S} s between append and commit: "
        f"{books.lost} lost, {books.doubled:,} doubled",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert books.doubled > 0, "the test cannot see a doubled decision"
