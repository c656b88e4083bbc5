"""The dead letter topic, read and replayed: what ``fraudline dlq`` stands on.

    for letter in read_letters(params): ...
    replay_letters(params)          # every letter since the last replay, exactly once

A replay is Kafka's own exactly-once: the records and the offsets of the letters they come from, kept under a group of
their own, commit in one transaction. A replay that is cut off leaves nothing half done, and the next goes on after it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import MessageError, UsageError
from fraudline.core.log import get_logger
from fraudline.stream.dead_letter import DeadLetter
from fraudline.stream.params import StreamParams
from fraudline.stream.sealing import keys_at_hand
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition, read_record, read_topic, unread
from fraudline.stream.topic_writer import open_producer
from fraudline.stream.transport import Record

log = get_logger(__name__)

_COMPRESSION = "gzip"
"""Of what is sent again: a large record that came compressed is more than its topic takes as it is."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: letters sent again, and letters left."""

    sent: int
    left: int


def replay_group(params: StreamParams) -> str:
    """The consumer group that remembers which letters were sent again."""
    return f"{params.group}-dlq-replay"


def read_letters(params: StreamParams) -> Iterator[DeadLetter]:
    """Every committed dead letter up to now, partition by partition, in offset order.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with keys_at_hand(params) as keys:
        yield from _letters(read_topic(params, params.topics.dead_letters), keys)


def read_letter(params: StreamParams, partition: int, offset: int) -> DeadLetter:
    """One dead letter.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic, partition or letter.
    """
    record = read_record(params, params.topics.dead_letters, partition, offset)
    with keys_at_hand(params) as keys:
        for letter in _letters([record] if record is not None else [], keys):
            return letter
    problem = f"{params.topics.dead_letters} has no dead letter {partition}:{offset}."
    raise UsageError(problem, "See `fraudline dlq list`.")


def waiting(params: StreamParams) -> int:
    """Letters since the last replay.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    return unread(params, params.topics.dead_letters, replay_group(params))


def replay_letters(
    params: StreamParams, *, limit: int | None = None, on_progress: Callable[[int], None] | None = None
) -> Replayed:
    """Send every letter since the last replay back to where it came from, each exactly once.

    A letter whose value was cut, or whose card was erased, is left, and said so. What is still wrong becomes a new
    dead letter.

    Args:
        params: topics, broker and group.
        limit: letters at most.
        on_progress: called with the number sent so far.

    Raises:
        UnavailableError: the broker does not answer, or another replay runs.
        UsageError: there is no such topic.
    """
    sent = left = 0
    group = replay_group(params)
    with (
        open_consumer(params, group) as consumer,
        open_producer(params, group, _COMPRESSION) as producer,
        keys_at_hand(params) as keys,
    ):
        for place in places_of(consumer, params.topics.dead_letters):
            start = consumer.committed(place) or 0
            for records in read_partition(consumer, place, start, params.timeout_s):
                room = len(records) if limit is None else limit - sent - left
                part = records[: max(0, room)]
                if not part:
                    return Replayed(sent, left)
                here = _send(producer, place, part, consumer.group_metadata(), keys)
                sent, left = sent + here.sent, left + here.left
                if on_progress is not None:
                    on_progress(sent)
    return Replayed(sent, left)


def replay_letter(params: StreamParams, letter: DeadLetter) -> None:
    """Send one letter again, whether or not it was before: the worker's memory of transaction ids is the only guard.

    Raises:
        MessageError: its value was cut.
        UnavailableError: the broker does not answer.
    """
    output = letter.replayed()
    with open_producer(params, replay_group(params), _COMPRESSION) as producer:
        producer.begin_transaction()
        producer.send(output.topic, output.value, output.key, list(output.headers))
        producer.commit_transaction()


def _send(producer: Any, place: Any, records: list[Record], group: Any, keys: CardKeys | None) -> Replayed:
    """One transaction: the records as they first came, and the offset after the last letter."""
    from kafka.structs import OffsetAndMetadata

    sent = left = 0
    producer.begin_transaction()
    futures = []
    for letter in _letters(records, keys):
        try:
            output = letter.replayed()
        except MessageError as error:
            log.warning("dlq.left", problem=error.problem, action=error.action)
            left += 1
            continue
        futures.append(producer.send(output.topic, output.value, output.key, list(output.headers)))
        sent += 1
    offset = OffsetAndMetadata(records[-1].offset + 1, "", -1)
    producer.send_offsets_to_transaction({place: offset}, group)
    producer.commit_transaction()
    for future in futures:
        future.get(timeout=1)
    return Replayed(sent, left)


def _letters(records: Iterable[Record], keys: CardKeys | None) -> Iterator[DeadLetter]:
    for record in records:
        try:
            letter = DeadLetter.parse(record)
            yield letter if keys is None else letter.opened(keys)
        except MessageError as error:
            log.warning("dlq.foreign", problem=error.problem, action=error.action)
