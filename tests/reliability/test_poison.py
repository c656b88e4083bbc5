"""One record in a hundred is poison: each becomes a dead letter, none of the others is lost or waits for it."""

import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.figures import Figure, sized
from tests.support.workers import Books, WorkerProcess, books_of, wait_for, wait_until_committed

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(1_800)]

RECORDS = sized(5_000, 5_000, 100_000)
RATE = sized(500, 500, 1_000)
LARGE, LARGE_BYTES = sized((2, 10 << 20), (10, 10 << 20), (10, 10 << 20))


def changed(message: Transaction, **fields: Any) -> bytes:
    return json.dumps({**json.loads(encode(message)), **fields}).encode()


POISON: dict[str, Callable[[Transaction], bytes]] = {
    "broken bytes": lambda m: encode(m)[:-9] + b"\xff\xfe",
    "cut": lambda m: encode(m)[:40],
    "wrong type": lambda m: changed(m, amount_minor="12.50"),
    "NaN": lambda m: changed(m, latitude=float("nan")),
    "absurd amount": lambda m: changed(m, amount_minor=10**18),
    "negative amount": lambda m: changed(m, amount_minor=-1),
    "wrong time": lambda m: changed(m, event_time=5),
    "time in the far future": lambda m: changed(m, event_time=9_000_000_000_000_000),
    "unknown currency": lambda m: changed(m, currency="XXX"),
    "missing field": lambda m: json.dumps({"transaction_id": m.transaction_id}).encode(),
    "nothing": lambda m: b"",
}


def stream_with(
    kafka: LocalKafka, folder: Path, table: pa.Table, poison_every: int
) -> tuple[StreamParams, dict[tuple[int, int], bytes], Books, float]:
    """Run a worker over the table at a steady rate.

    Returns:
        Settings, the poison by (partition, offset), the books, and the 99th percentile of the seconds from the append
        of a transaction to the append of its decision.
    """
    folder.mkdir()
    params = own_params(folder, kafka.bootstrap, metrics_port=free_port(), partitions=4)
    params = params.model_copy(update={"topics": params.topics.model_copy(update={"record_bytes": 11 << 20})})
    ensure_topics(params)
    rng = random.Random(3)
    kinds = list(POISON.values())
    topic = params.topics.transactions
    with WorkerProcess(folder, params, tiny_artifact(folder / "model")) as worker:
        wait_for(lambda: worker.readyz()[0] == 200, "ready")
        with closing(open_sender("kafka-python", params.bootstrap)) as sender:
            paced(sender, table, topic, poison_every, rng, kinds)
            wait_until_committed(params, worker)
            if poison_every:
                for number in range(LARGE):
                    sender.send(Output(topic, b"card-%d" % number, bytes([97 + number]) * LARGE_BYTES))
        wait_until_committed(params, worker)
        assert worker.stop() == 0, worker.child.log_tail(20)
    books = books_of(params, table)
    source = read_all(params.bootstrap, topic)
    appended = {(record.partition, record.offset): record.timestamp for record in source}
    good = {(decision.partition, decision.offset) for decision in books.decisions.values()}
    bad = {(r.partition, r.offset): r.value for r in source if (r.partition, r.offset) not in good}
    decided = [json.loads(record.value) for record in books.records]
    waits = [
        record.timestamp - appended[said["partition"], said["offset"]]
        for record, said in zip(books.records, decided, strict=True)
    ]
    return params, bad, books, float(np.percentile(waits, 99)) / 1000


def paced(sender: Any, table: pa.Table, topic: str, poison_every: int, rng: random.Random, kinds: list) -> None:
    import time

    begun = time.monotonic()
    for sent, message in enumerate(messages_of(table), 1):
        sender.send(output_of(topic, message))
        if poison_every and sent % poison_every == 0:
            poison = rng.choice(kinds)(message)
            sender.send(Output(topic, message.card_id.encode(), poison, (("trace", b"%d" % sent),)))
        ahead = sent / RATE - (time.monotonic() - begun)
        if ahead > 0.02:
            time.sleep(ahead)


def test_poison_becomes_dead_letters_and_nothing_else_is_lost_or_waits(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """1 % of eleven kinds of poison at a steady rate, then records of 10 MB; beside the same stream without any."""
    table = transactions(RECORDS)
    *_, clean_p99 = stream_with(kafka, tmp_path / "clean", table, 0)
    params, bad, books, p99 = stream_with(kafka, tmp_path / "poisoned", table, 100)
    letters = read_all(params.bootstrap, params.topics.dead_letters)
    said = {}
    for letter in letters:
        headers = dict(letter.headers[:4])
        place = int(headers["partition"]), int(headers["offset"])
        assert headers["topic"].decode() == params.topics.transactions
        assert headers["reason"]
        said[place] = letter.value
    reasons = Counter(dict(letter.headers)["reason"].decode().split(":")[0] for letter in letters)
    large = sum(len(value or b"") > 1 << 20 for value in said.values())
    figure(
        f"{len(bad)} poisoned of {RECORDS + len(bad):,} records, {large} of them of 10 MB, at {RATE:,} a second: "
        f"{len(said)} dead letters, {books.lost} valid lost, {books.doubled} doubled, features equal: "
        f"{books.same_features}; p99 from append to decision {p99 * 1000:.0f} ms with poison, "
        f"{clean_p99 * 1000:.0f} ms without ({p99 / clean_p99 - 1:+.0%})",
        lost=books.lost,
        doubled=books.doubled,
        p99_ratio=p99 / clean_p99,
    )
    assert said == bad
    assert len(letters) == len(said) == RECORDS // 100 + LARGE
    assert large == LARGE
    assert len(reasons) >= 5, reasons
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
