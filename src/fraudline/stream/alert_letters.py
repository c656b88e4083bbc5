"""Alerts that a sink did not take, read and sent again: what ``fraudline alerts dead-letters`` stands on.

    for letter in read_alert_letters(params): ...
    replay_alert_letters(params, Routing.load(Path("alerts.yaml")))     # every letter since the last replay

A letter goes to the sink of its name as the routing file describes it now, at that sink's rate, in one try and under
the idempotency key that it always had. What is still not taken becomes a new letter, in one Kafka transaction with the
note that the old one was seen to. So none is lost; one that was sent just before a crash is sent again under its key.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

from kafka.structs import OffsetAndMetadata

from fraudline.core.documents import parse_json
from fraudline.core.errors import FraudlineError, MessageError, UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.decide.routing import TokenBucket
from fraudline.stream.alert_router import Routing
from fraudline.stream.alert_senders import open_sink
from fraudline.stream.alert_sinks import RefusedError, Sink, send_once
from fraudline.stream.dead_letter import REPLAYED
from fraudline.stream.dead_letter_topic import Replayed
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition, read_record, read_topic, unread
from fraudline.stream.topic_writer import open_producer
from fraudline.stream.transport import Record

log = get_logger(__name__)

_ROUTERS = "Only routers may write to this topic."
_OWN = ("sink", "reason", "idempotency-key")


@dataclass(frozen=True, slots=True)
class AlertLetter:
    """A record of the topic ``alerts.dlq``.

    Attributes:
        partition: of the topic.
        offset: its place there.
        written_ms: when, in milliseconds since the epoch.
        sink: that did not take it.
        reason: what the sink answered.
        idempotency_key: by which a receiver knows a repetition.
        event: the CloudEvent.
        record: as it lies in the log.
    """

    partition: int
    offset: int
    written_ms: int
    sink: str
    reason: str
    idempotency_key: str
    event: dict[str, Any]
    record: Record

    @property
    def place(self) -> str:
        """``partition:offset``: its name on the command line."""
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, record: Record) -> Self:
        """Read a record of the topic.

        Raises:
            MessageError: it was not written by a router.
        """
        said, place = dict(record.headers), f"{record.topic} {record.partition}:{record.offset}"
        try:
            sink, reason, key = (said[name].decode() for name in _OWN)
            event = parse_json(record.value or b"", place, wrong=MessageError, action=_ROUTERS)
            if not isinstance(event, dict):
                raise TypeError("not an object")
        except (KeyError, ValueError, TypeError) as error:
            raise MessageError(f"{place} is no alert with headers {', '.join(_OWN)}.", _ROUTERS) from error
        return cls(record.partition, record.offset, record.timestamp_ms, sink, reason, key, event, record)

    def again(self, reason: str) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
        """Value, key and headers of the letter that takes its place, with the reason of the last try."""
        own = {"reason": reason.encode(errors="replace"), REPLAYED: self.place.encode()}
        return self.record.value, self.record.key, list((dict(self.record.headers) | own).items())


def replay_group(params: StreamParams) -> str:
    """The consumer group that remembers which letters were seen to."""
    return f"{params.group}-alerts-replay"


def read_alert_letters(params: StreamParams) -> Iterator[AlertLetter]:
    """Every letter up to now, partition by partition, in offset order.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    yield from _letters(read_topic(params, params.topics.alert_dead_letters))


def read_alert_letter(params: StreamParams, partition: int, offset: int) -> AlertLetter:
    """One letter.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic, partition or letter.
    """
    topic = params.topics.alert_dead_letters
    record = read_record(params, topic, partition, offset)
    for letter in _letters([record] if record is not None else []):
        return letter
    raise UsageError(f"{topic} has no letter {partition}:{offset}.", "See `fraudline alerts dead-letters list`.")


def waiting(params: StreamParams) -> int:
    """Letters since the last replay.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    return unread(params, params.topics.alert_dead_letters, replay_group(params))


def replay_alert_letters(
    params: StreamParams,
    routing: Routing,
    *,
    limit: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Send every letter since the last replay to its sink.

    A sink that is away is asked once; its other letters are left for the next replay.

    Args:
        params: topics, broker and group.
        routing: the sinks.
        limit: letters at most.
        on_progress: called with the number of letters seen to so far.

    Raises:
        UnavailableError: the broker does not answer, or another replay runs.
        UsageError: there is no such topic.
    """
    sent = left = 0
    group, topic = replay_group(params), params.topics.alert_dead_letters
    with (
        open_consumer(params, group) as consumer,
        open_producer(params, group) as producer,
        closing(_Sinks(params, routing)) as sinks,
    ):
        places = places_of(consumer, topic)
        ends = consumer.end_offsets(places)
        for place in places:
            start = consumer.committed(place) or 0
            for records in read_partition(consumer, place, start, params.timeout_s, end=ends[place]):
                for letter in _letters(records):
                    if sent + left == limit:
                        return Replayed(sent, left)
                    problem = sinks.try_out(letter)
                    sent, left = (sent, left + 1) if problem else (sent + 1, left)
                    producer.begin_transaction()
                    if problem:
                        value, key, headers = letter.again(problem)
                        producer.send(topic, value, key, headers)
                    seen = {place: OffsetAndMetadata(letter.offset + 1, "", -1)}
                    producer.send_offsets_to_transaction(seen, consumer.group_metadata())
                    producer.commit_transaction()
                    if on_progress is not None:
                        on_progress(sent + left)
    return Replayed(sent, left)


def replay_alert_letter(params: StreamParams, routing: Routing, letter: AlertLetter) -> None:
    """Send one letter again, whether or not it was before: the receiver knows it by its key.

    Raises:
        RefusedError: its sink will never take it.
        UnavailableError: its sink does not take it now.
        UsageError: the routing file has no such sink.
    """
    with closing(_Sinks(params, routing)) as sinks:
        sinks.send(letter)


class _Sinks:
    """The sinks of a routing file, opened when the first letter wants them."""

    def __init__(self, params: StreamParams, routing: Routing) -> None:
        self._params, self._routing = params, routing
        self._open: dict[str, tuple[Sink, TokenBucket]] = {}
        self._away: set[str] = set()

    def send(self, letter: AlertLetter) -> None:
        """Send a letter to its sink, when the sink's rate allows it.

        Raises:
            RefusedError: the sink will never take it.
            UnavailableError: the sink does not take it now.
            UsageError: there is no such sink.
        """
        sink, bucket = self._sink(letter.sink)
        time.sleep(bucket.wait_s(time.monotonic()))
        bucket.take()
        try:
            refused = send_once(sink, letter.event, letter.idempotency_key)
        except (KeyError, TypeError, AttributeError) as error:
            problem = f"Letter {letter.place} holds no event that the sink {letter.sink} can send: {error!r}."
            raise RefusedError(problem, "See `fraudline alerts dead-letters show`.") from error
        if refused:
            log.error("alerts.addresses_refused", sink=letter.sink, letter=letter.place, addresses=refused)

    def try_out(self, letter: AlertLetter) -> str:
        """Send a letter; gives the reason for which it is left, and nothing when it was taken."""
        if letter.sink in self._away:
            return letter.reason
        try:
            self.send(letter)
        except FraudlineError as error:
            if isinstance(error, UnavailableError):
                self._away.add(letter.sink)
            log.warning("alerts.letter_left", sink=letter.sink, letter=letter.place, problem=error.problem)
            return error.problem
        return ""

    def close(self) -> None:
        """Let go of connections."""
        for sink, _ in self._open.values():
            sink.close()

    def _sink(self, name: str) -> tuple[Sink, TokenBucket]:
        if name not in self._routing.sinks:
            known = ", ".join(sorted(self._routing.sinks))
            raise UsageError(f"The routing file has no sink {name}.", f"Name one that has it; this one has {known}.")
        if name not in self._open:
            settings = self._routing.sinks[name]
            self._open[name] = open_sink(settings, self._params), TokenBucket(settings.rate, time.monotonic())
        return self._open[name]


def _letters(records: Iterable[Record]) -> Iterator[AlertLetter]:
    for record in records:
        try:
            yield AlertLetter.parse(record)
        except MessageError as error:
            log.warning("alerts.foreign", problem=error.problem, action=error.action)
