"""The transport over confluent-kafka (librdkafka): faster, and the one that the mock broker understands."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from fraudline.core.errors import UnavailableError
from fraudline.core.log import get_logger
from fraudline.stream.confluent_producer import open_producer
from fraudline.stream.kafka_group import member_of
from fraudline.stream.leader_epochs import LeaderEpochs
from fraudline.stream.librdkafka import (
    SETTINGS,
    append,
    last_of,
    missing_right,
    records_of,
    translated,
)
from fraudline.stream.tls import BROKER
from fraudline.stream.transport import NEWS_MS, READ_ROWS, Connection, FencedError, Output, Record

log = get_logger(__name__)

_STAY_S = 60.0
"""How often a group's member says that it is at work: one that is silent for five minutes is put out."""
_ALONE = "Kafka called this worker fenced, though no other has its place in the group."
_SEEK_TRIES = 50
_CLOSE_S = 3.0


class ConfluentTransport:
    """See :class:`fraudline.stream.transport.Transport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._topic = connection.topic
        self._epoch = self._polled = 0
        self._stayed = 0.0
        self._assigned: frozenset[int] = frozenset()
        self._member_ids: set[str] = set()  # that this one was given
        self._fenced = False
        self._membership: Any = None
        self._reader: Any = None
        self._refused: Any = None
        self._epochs = LeaderEpochs()
        self.appended_at = 0.0
        with translated():
            self._producer = open_producer(self._connection)
            self._consumer = self._open_consumer()

    @property
    def epoch(self) -> int:
        """See the protocol."""
        return self._epoch

    def assignment(self) -> frozenset[int]:
        """See the protocol."""
        return self._assigned

    def partitions(self) -> int:
        """See the protocol."""
        with translated():
            topics = self._producer.list_topics(self._topic, self._connection.timeout_s).topics
        return len(topics[self._topic].partitions)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See the protocol."""
        try:
            with translated():
                if self._fenced:  # librdkafka says it once
                    raise FencedError
                return self._poll(max_records, timeout_s)
        except FencedError:
            self._join_anew()
            return []

    def _poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """``consume`` waits for a full batch, so only the first record is waited for."""
        before, self._stayed = self._polled, time.monotonic()
        messages = self._consumer.consume(max_records, 0)
        if not messages:
            messages = self._consumer.consume(1, timeout_s)
            if messages and max_records > 1:
                messages += self._consumer.consume(max_records - 1, 0)
        records = records_of(messages)
        self._refused = None if records else missing_right(messages) or self._refused
        if self._refused is not None:
            raise KafkaException(self._refused)
        if before != self._epoch:
            self._rewind(records)
            self._polled = self._epoch
            return []
        if not records:
            return []
        self._membership = self._consumer.consumer_group_metadata()
        for last in last_of(messages):
            self._epochs.note(last.partition(), last.offset() + 1, last.leader_epoch())
        return records

    def rehearse(self) -> None:
        """See the protocol."""
        with translated():
            self._membership = self._consumer.consumer_group_metadata()
            places = self._committed()
        for place in places:
            self._epochs.note(place.partition, place.offset, place.leader_epoch)
        if places:
            self.transact((), {place.partition: place.offset for place in places})

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        """See the protocol. Steps: begin, append, offsets, commit; any failure leaves the rest to ``recover``."""
        with self._unless_fenced_alone():
            self._producer.begin_transaction()
            append(self._producer, outputs)
            self.appended_at = time.monotonic()
            commits = [
                TopicPartition(self._topic, partition, offset, leader_epoch=self._epochs.before(partition, offset))
                for partition, offset in offsets.items()
            ]
            self._producer.send_offsets_to_transaction(commits, self._membership, self._connection.timeout_s)
            self._producer.commit_transaction(self._connection.timeout_s)

    def recover(self) -> None:
        """See the protocol."""
        with translated():
            self._producer.purge()
            self._refuse_the_fenced()
            self._producer = open_producer(self._connection)
            self._epoch += 1
            for place in self._committed():
                self._seek(place)

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """See the protocol."""
        with translated():
            reader = self._open_reader()
            reader.assign([TopicPartition(self._topic, partition, max(start, self.beginning(partition)))])
        deadline = time.monotonic() + self._connection.timeout_s
        done = start >= end
        while not done:
            with self._unless_fenced_alone():
                self._stay()
            with translated():
                messages = reader.consume(READ_ROWS, 0.1)
                done = any(message.offset() is not None and message.offset() >= end for message in messages)
                records = [record for record in records_of(messages) if record.offset < end]
            if records:
                done = done or records[-1].offset == end - 1
                deadline = time.monotonic() + self._connection.timeout_s
                yield records
            elif not done and time.monotonic() > deadline:
                raise UnavailableError(f"Partition {partition} gave no records before {end}.", BROKER)

    def _stay(self) -> None:
        """Poll for nothing, now and then. What it gives nevertheless is given again."""
        if time.monotonic() - self._stayed < _STAY_S:
            return
        self._stayed = time.monotonic()
        self._consumer.pause([TopicPartition(self._topic, partition) for partition in self._assigned])
        try:
            messages = self._consumer.consume(1, 0)
            self._refused = missing_right(messages) or self._refused  # said once: the next poll would not hear it
            for record in records_of(messages):
                self._seek(TopicPartition(self._topic, record.partition, record.offset))
        finally:
            self._consumer.resume([TopicPartition(self._topic, partition) for partition in self._assigned])

    def beginning(self, partition: int) -> int:
        """See the protocol."""
        return self._bounds(partition)[0]

    def end(self, partition: int) -> int:
        """See the protocol."""
        return self._bounds(partition)[1]

    def _bounds(self, partition: int) -> tuple[int, int]:
        with translated():
            place = TopicPartition(self._topic, partition)
            begin, end = self._open_reader().get_watermark_offsets(place, timeout=self._connection.timeout_s)
        return int(begin), int(end)

    def group_offset(self, partition: int) -> int | None:
        """See the protocol."""
        with translated():
            (place,) = self._consumer.committed([TopicPartition(self._topic, partition)], self._connection.timeout_s)
        return int(place.offset) if place.offset >= 0 else None

    def lag(self) -> int:
        """See the protocol."""
        total = 0
        places = [TopicPartition(self._topic, partition) for partition in self._assigned]
        with contextlib.suppress(KafkaException):
            for place in self._consumer.position(places):
                end = self._consumer.get_watermark_offsets(place, cached=True)[1]
                if end >= 0 and place.offset >= 0:
                    total += max(0, end - place.offset)
        return total

    def close(self) -> None:
        """See the protocol."""
        with contextlib.suppress(KafkaException):  # nothing is open, or another's, or its outcome in doubt
            self._producer.abort_transaction(_CLOSE_S)
        for consumer in (self._consumer, self._reader):
            if consumer is not None:
                with contextlib.suppress(KafkaException):
                    consumer.close()
        self._reader = None
        self._producer.purge()

    def _on_assigned(self, consumer: Any, places: list[Any]) -> None:
        self._epoch += 1
        self._member_ids.add(consumer.memberid())
        self._refused = None
        self._assigned = frozenset(place.partition for place in places)

    def _on_revoked(self, _consumer: Any, _places: list[Any]) -> None:
        self._epoch += 1
        self._assigned = frozenset()

    def _rewind(self, records: Sequence[Record]) -> None:
        """Back to the committed offsets: what was read before a rebalance may meanwhile be another worker's, and done.

        librdkafka asks whether the log was cut before a place where it is sent, but not where it begins by itself.
        Where nothing is committed (the mock broker forgets what a transaction commits) the first record read is next.
        """
        first = {record.partition: record.offset for record in reversed(records)}
        places = [TopicPartition(self._topic, partition) for partition in self._assigned]
        for place in self._consumer.committed(places, self._connection.timeout_s) if places else []:
            if place.offset >= 0:
                self._seek(place)
            elif place.partition in first:
                self._seek(TopicPartition(self._topic, place.partition, first[place.partition]))

    def _refuse_the_fenced(self) -> None:
        """Ask the broker whether another worker has taken this one's place, whose producer a new one here would fence.

        Nothing is committed to ask: while a transaction is in doubt, no offset is known to be right. The other client
        asks: librdkafka ends the process where the broker goes away meanwhile (confluentinc/librdkafka#5397).
        """
        if self._fenced:
            self._join_anew()
        own = self._consumer.memberid()
        found = member_of(self._connection)
        if own and found and found != own and self._consumer.memberid() == own:  # or it has joined anew meanwhile
            raise FencedError

    @contextlib.contextmanager
    def _unless_fenced_alone(self) -> Iterator[None]:
        """``translated``, but where nobody else has this worker's place it joins anew, and a recovery goes on."""
        try:
            with translated():
                yield
        except FencedError as error:
            self._join_anew()
            raise UnavailableError(_ALONE, BROKER) from error

    def _join_anew(self) -> None:
        """Open the consumer anew, which a fence has ended, where nobody else has this worker's place.

        Where the broker was away for the session's timeout, librdkafka forgets its member's id, and sends heartbeats
        without one until a poll lets go of the partitions: the broker, which knows the member, calls that fenced.

        Raises:
            FencedError: another has this worker's place.
            UnavailableError: the broker does not say who has it.
        """
        self._fenced = True
        found = member_of(self._connection)
        if found is None:
            raise UnavailableError("Kafka does not say who has this worker's place in its group.", BROKER)
        if found and found not in self._member_ids:
            raise FencedError
        log.warning("transport.consumer_replaced", reason="fenced, but no other has its place")
        with contextlib.suppress(KafkaException):
            self._consumer.close()
        self._epoch += 1
        self._assigned = frozenset()
        with translated():
            self._consumer = self._open_consumer()
        self._fenced = False

    def _committed(self) -> list[Any]:
        """Where the group stands in each partition, with its leader's epoch; the log's beginning where it is new."""
        places = [TopicPartition(self._topic, partition) for partition in self._assigned]
        found = self._consumer.committed(places, self._connection.timeout_s) if places else []
        return [
            p if p.offset >= 0 else TopicPartition(self._topic, p.partition, self.beginning(p.partition)) for p in found
        ]

    def _seek(self, place: Any) -> None:
        # A partition just assigned refuses a seek until its fetcher has started.
        for attempt in range(_SEEK_TRIES):
            try:
                self._consumer.seek(place)
            except KafkaException:
                if attempt == _SEEK_TRIES - 1:
                    raise
                time.sleep(0.1)
            else:
                return

    def _open_consumer(self) -> Any:
        consumer = Consumer(
            {
                **self._reading(),
                "client.id": f"{self._connection.worker_id}-consumer",
                "group.id": self._connection.group,
                "group.instance.id": self._connection.worker_id,
                "session.timeout.ms": int(self._connection.session_timeout_s * 1000),
                "heartbeat.interval.ms": int(self._connection.session_timeout_s * 1000 / 5),
                "topic.metadata.refresh.interval.ms": NEWS_MS,
            }
        )
        consumer.subscribe(
            [self._topic], on_assign=self._on_assigned, on_revoke=self._on_revoked, on_lost=self._on_revoked
        )
        return consumer

    def _open_reader(self) -> Any:
        if self._reader is None:
            self._reader = Consumer(
                {
                    **self._reading(),
                    "client.id": f"{self._connection.worker_id}-replay",
                    "group.id": f"{self._connection.group}-replay",
                    "enable.partition.eof": True,
                }
            )
        return self._reader

    def _reading(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._connection.bootstrap,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            **SETTINGS,
            **self._connection.extra,
        }
