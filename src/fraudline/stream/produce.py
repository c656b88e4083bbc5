"""Replays transactions onto the topic, keyed by card, at a given rate.

produce(tables, bootstrap="127.0.0.1:9092", rate=500)
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from fraudline.core.clock import to_us
from fraudline.core.tracing import HEADER, Tracing
from fraudline.data.schema import TRANSACTIONS
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.tls import PLAIN, Tls
from fraudline.stream.transport import Output, open_sender

_ROWS = 1_000
_TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Produced:
    """How many transactions went out, and in how many seconds."""

    transactions: int
    seconds: float


def messages_of(table: pa.Table) -> Iterator[Transaction]:
    """The rows of a table with the columns of :data:`fraudline.data.schema.TRANSACTIONS`, as messages, in order."""
    for batch in table.select(TRANSACTIONS.names).to_batches(max_chunksize=_ROWS):
        for row in batch.to_pylist():
            row["event_time"] = to_us(row["event_time"])
            yield Transaction(**row)


def output_of(topic: str, message: Transaction) -> Output:
    """The record of a transaction: its card is the key, so a card's transactions keep their order."""
    return Output(topic, message.card_id.encode(), encode(message))


def produce(
    tables: Iterable[pa.Table],
    *,
    bootstrap: str,
    topic: str = "transactions",
    transport: str = "kafka-python",
    tls: Tls = PLAIN,
    timeout_s: float = 60.0,
    tracing: Tracing | None = None,
    rate: float = 0.0,
    limit: int | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Produced:
    """Send transactions in the order given.

    Args:
        tables: transactions; each is read when the one before is sent.
        bootstrap: ``host:port`` pairs, comma-separated.
        topic: where to.
        transport: ``kafka-python`` or ``confluent``.
        tls: certificates, where the brokers ask for them.
        timeout_s: how long to wait for an answer of the broker.
        tracing: begins the trace of a share of the transactions.
        rate: transactions a second; 0 for as fast as it goes.
        limit: transactions at most.
        stop: ends it early.
        on_progress: called with the number sent so far, about fifty times a second.

    Raises:
        UnavailableError: the broker does not take them, or there is no such topic.
    """
    stop = stop or threading.Event()
    messages = islice((message for table in tables for message in messages_of(table)), limit)
    begun = time.monotonic()
    sent = 0
    with closing(open_sender(transport, bootstrap, tls, topics=[topic], timeout_s=timeout_s)) as sender:
        while not stop.is_set():
            due = _ROWS if rate <= 0 else max(0, int((time.monotonic() - begun) * rate) - sent)
            part = list(islice(messages, due)) if due else []
            if due and not part:
                break
            traced = set(tracing.draw(len(part))) if tracing is not None else ()
            for place, message in enumerate(part):
                output = output_of(topic, message)
                if tracing is not None and place in traced:
                    with tracing.span("send", kind="producer") as span:
                        sender.send(output._replace(headers=((HEADER, span.traceparent.encode()),)))
                else:
                    sender.send(output)
            sent += len(part)
            if on_progress is not None and part:
                on_progress(sent)
            if rate > 0:
                stop.wait(_TICK_S)
    return Produced(sent, time.monotonic() - begun)
