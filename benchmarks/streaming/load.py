"""Transactions of about 400 bytes, put onto a topic once and read by every contestant."""

import uuid
from collections.abc import Callable, Iterator

import numpy as np

START_US = 1_767_571_200_000_000


def transactions(count: int, cards: int, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of ``count`` records in time order; each card comes once first, and is the same for every seed."""
    rng = np.random.default_rng(seed)
    names = [uuid.UUID(int=int(n)).hex for n in np.random.default_rng(0).integers(1, 2**62, cards)]
    card = np.concatenate([rng.permutation(cards)[:count], rng.integers(0, cards, max(count - cards, 0))])
    merchant = rng.integers(0, 3_000, count)
    times = START_US + np.sort(rng.integers(0, max(count * 86_400_000_000 // (2 * cards), 1), count))
    amount = rng.lognormal(8, 0.8, count).astype(np.int64)
    online = rng.random(count) < 0.4
    latitude, longitude = rng.uniform(40, 50, cards), rng.uniform(-5, 15, cards)
    columns = (card, merchant, times, amount, online, latitude[card], longitude[card])
    for i, (c, m, at, minor, away, north, east) in enumerate(zip(*(x.tolist() for x in columns), strict=True)):
        place = "null" if away else f"{north:.6f}"
        side = "null" if away else f"{east:.6f}"
        device = f'"device-{names[c][:24]}"' if away else "null"
        yield (
            names[c].encode(),
            f'{{"transaction_id":"{seed:08x}-0000-4000-8000-{i:012x}","event_time":{at},"card_id":"{names[c]}",'
            f'"merchant_id":"merchant-{m:015d}","category":{5400 + m % 40},"amount_minor":{minor},"currency":"EUR",'
            f'"channel":"{"ecommerce" if away else "pos"}","card_present":{"false" if away else "true"},'
            f'"country":"FR","latitude":{place},"longitude":{side},"device_id":{device}}}'.encode(),
        )


def fill(
    bootstrap: str,
    topic: str,
    partitions: int,
    records: Iterator[tuple[bytes, bytes]],
    headers: Callable[[], list[tuple[str, bytes]]] | None = None,
) -> int:
    """Make the topic and put the records there, each with new ``headers``; gives their mean size in bytes."""
    from confluent_kafka import Producer

    make(bootstrap, topic, partitions)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 2,
        }
    )
    size = count = 0
    batch: list[dict[str, bytes]] = []
    for key, value in records:
        size, count = size + len(value), count + 1
        if headers is not None:  # a batch has none
            producer.produce(topic, value, key, headers=headers())
            producer.poll(0)
            continue
        batch.append({"key": key, "value": value})
        if len(batch) == 10_000:
            _send(producer, topic, batch)
            batch = []
    _send(producer, topic, batch)
    producer.flush()
    return size // max(count, 1)


def make(bootstrap: str, topic: str, partitions: int) -> None:
    """Make a topic whose records carry the broker's time."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    config = {"message.timestamp.type": "LogAppendTime"}
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
        future.result()


def make_outputs(bootstrap: str, sink: str, partitions: int = 1) -> None:
    """Make the topics that a worker of :mod:`benchmarks.streaming.worker` appends to."""
    for suffix in ("", "-alerts", "-dlq"):
        make(bootstrap, sink + suffix, partitions)


def _send(producer: object, topic: str, batch: list[dict[str, bytes]]) -> None:
    producer.produce_batch(topic, batch)  # type: ignore[attr-defined]
    producer.poll(0)  # type: ignore[attr-defined]
