"""A topic read as a file: its committed records up to its present end, then no more. No group moves.

    for record in read_topic(params, params.topics.decisions): ...

:func:`open_consumer`, :func:`places_of` and :func:`read_partition` are for those who want a part of it.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.stream.kafka_client import record_of, translated
from fraudline.stream.params import StreamParams
from fraudline.stream.tls import BROKER, awaited
from fraudline.stream.transport import Record

_BATCH = 500
_AGAIN_S = 0.02


_ABSENT = "Name the worker's --params, run it with --create-topics, or give the right to it."


def places_of(consumer: Any, topic: str, action: str = _ABSENT) -> list[Any]:
    """The partitions of a topic, in order.

    Args:
        consumer: the client.
        topic: its name.
        action: what helps where there is none.

    Raises:
        UsageError: there is no such topic.
    """
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        problem = f"There is no topic {topic}, or this client's user may not see it."  # the broker does not say which
        raise UsageError(problem, action)
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]


def places_at(consumer: Any, topic: str, moment_us: int) -> list[tuple[Any, int]]:
    """The partitions of a topic, each with the offset of the first record appended at that moment or later.

    Raises:
        UsageError: there is no such topic.
    """
    places = places_of(consumer, topic)
    ends = consumer.end_offsets(places)
    return list(offsets_at(consumer, {place: ends[place] for place in places}, max(moment_us // 1000, 0)).items())


def offsets_at(consumer: Any, ends: Mapping[Any, int], moment_ms: int) -> dict[Any, int]:
    """By partition the offset of the first record appended at that moment or later, its end where there is none."""
    found = consumer.offsets_for_times(dict.fromkeys(ends, moment_ms))
    return {place: min(end, found[place].offset) if found.get(place) else end for place, end in ends.items()}


def read_partition(
    consumer: Any, place: Any, start: int, timeout_s: float, *, end: int | None = None
) -> Iterator[list[Record]]:
    """The committed records of a partition from the offset ``start`` to ``end``, by default its present end, in pieces.

    Raises:
        UnavailableError: nothing comes for ``timeout_s`` seconds.
    """
    consumer.assign([place])
    consumer.seek(place, max(start, consumer.beginning_offsets([place])[place]))
    end = consumer.end_offsets([place])[place] if end is None else end
    deadline = time.monotonic() + timeout_s
    while consumer.position(place) < end:
        found = consumer.poll(timeout_ms=200, max_records=_BATCH).get(place, [])
        if found:
            deadline = time.monotonic() + timeout_s
            if records := [record_of(record) for record in found if record.offset < end]:
                yield records
        elif time.monotonic() > deadline:
            raise UnavailableError(f"{place.topic} {place.partition} gives no records before {end}.", BROKER)


def read_topic(params: StreamParams, topic: str, action: str = _ABSENT) -> Iterator[Record]:
    """All committed records of a topic, partition by partition, in offset order; ``action`` helps where there is none.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with open_consumer(params) as consumer:
        for place in places_of(consumer, topic, action):
            for records in read_partition(consumer, place, 0, params.timeout_s):
                yield from records


def is_there(params: StreamParams, topic: str) -> bool:
    """Whether there is such a topic.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with open_consumer(params) as consumer:
        return bool(consumer.partitions_for_topic(topic))


def read_record(params: StreamParams, topic: str, partition: int, offset: int) -> Record | None:
    """The committed record at one place of a topic; None where there is none.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with open_consumer(params) as consumer:
        for place in places_of(consumer, topic):
            if place.partition == partition:
                for records in read_partition(consumer, place, offset, params.timeout_s):
                    return records[0] if records[0].offset == offset else None
    return None


def unread(params: StreamParams, topic: str, group: str) -> int:
    """Records of a topic after what a group has committed.

    They are read: offsets count the ends of transactions, too.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with open_consumer(params, group) as consumer:
        return sum(
            len(records)
            for place in places_of(consumer, topic)
            for records in read_partition(consumer, place, consumer.committed(place) or 0, params.timeout_s)
        )


def wait_readable(params: StreamParams, written: Iterable[Any]) -> None:
    """Wait until readers of committed records see what a transaction appended.

    A commit is answered before the partitions have its marker: who reads at once may find nothing of it.

    Args:
        params: broker, and how long to wait at most, ``timeout_s``.
        written: the client's metadata (topic, partition, offset) of the records.

    Raises:
        UnavailableError: the broker does not answer.
    """
    last = {
        TopicPartition(each.topic, each.partition): each.offset for each in sorted(written, key=attrgetter("offset"))
    }
    deadline = time.monotonic() + params.timeout_s
    with open_consumer(params) as consumer:
        while last and time.monotonic() < deadline:
            ends = consumer.end_offsets(list(last))
            last = {place: offset for place, offset in last.items() if ends[place] <= offset}
            time.sleep(_AGAIN_S if last else 0)


def client_settings(params: StreamParams) -> dict[str, Any]:
    """How a client reads committed records of the partitions it is given."""
    return {
        "bootstrap_servers": params.bootstrap.split(","),
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "allow_auto_create_topics": False,
        "bootstrap_timeout_ms": int(params.timeout_s * 1000),
        "metrics_enabled": False,
        **params.tls.kafka_python(),
    }


@contextlib.contextmanager
def open_consumer(params: StreamParams, group: str | None = None) -> Iterator[Any]:
    """A client that reads committed records of the partitions it is given; ``group`` only to commit by hand.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with translated():
        with awaited(params.bootstrap):
            consumer = KafkaConsumer(group_id=group, **client_settings(params))
        with contextlib.closing(consumer):
            yield consumer
