"""The transport over kafka-python 3: the default, pure Python, with transactions."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.stream.kafka_client import BATCH_BYTES, abandon, know, record_of, translated
from fraudline.stream.kafka_group import (
    Rebalances,
    go_on_at,
    is_silent,
    keep_epochs,
    keep_joining,
    let_go,
    refuse_the_fenced,
    subscribe,
)
from fraudline.stream.leader_epochs import UNKNOWN, LeaderEpochs
from fraudline.stream.partitioning import partitions_of
from fraudline.stream.tls import BROKER
from fraudline.stream.transport import MAX_REQUEST_BYTES, NEWS_MS, READ_ROWS, Connection, Output, Record

log = get_logger(__name__)

_CLOSE_MS = 3_000
_AT_ONCE_S = 0.002
_SINCE_MS = 5


class KafkaPythonTransport:
    """See :class:`fraudline.stream.transport.Transport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._topic = connection.topic
        self._listener = Rebalances()
        self._polled_epoch = 0
        self._recoveries = 0
        self._membership: Any = None
        self._reader: Any = None
        self._lost_since: float | None = None
        self._log: Any = None
        self._epochs = LeaderEpochs()
        self.appended_at = 0.0
        with translated(), contextlib.ExitStack() as failed:
            self._producer = self._open_producer()
            failed.callback(self._close_producer)
            self._consumer = self._open_consumer()
            failed.pop_all()

    @property
    def epoch(self) -> int:
        """See the protocol; as of the last :meth:`poll`, because rebalances happen on another thread."""
        return self._polled_epoch + self._recoveries

    def assignment(self) -> frozenset[int]:
        """See the protocol."""
        return frozenset(partition.partition for partition in self._consumer.assignment())

    def partitions(self) -> int:
        """See the protocol."""
        with translated():
            return len(self._consumer.partitions_for_topic(self._topic))

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See the protocol.

        The group's generation is the same before and after a fetch, or the fetch does not count: offsets are then
        committed under the generation that owned the records, and the broker refuses them when it has passed.
        """
        with translated():
            keep_joining(self._consumer)
            self._refuse_another_log()
            if is_silent(self._consumer):
                refuse_the_fenced(self._consumer)
            before = self._consumer.group_metadata(), self._listener.count
            fetched = self._fetch(max_records, timeout_s)
            after = self._consumer.group_metadata(), self._listener.count
            self._polled_epoch = after[1]
            if not fetched:
                self._find_coordinator()
                return []
            self._lost_since = None
            if before != after:
                self._rewind(fetched)
                return []
            self._membership = after[0]
            for place, records in fetched.items():
                self._epochs.note(place.partition, records[-1].offset + 1, records[-1].leader_epoch)
        return [record for records in fetched.values() for record in map(record_of, records)]

    def _fetch(self, max_records: int, timeout_s: float) -> dict[Any, list[Any]]:
        """What a poll gives; and where it gave at once less than was asked for, what has come since, too.

        The client asks for the next records when it hands out the last ones: what it gives at once lay there while a
        batch was worked on, and what came meanwhile would wait for another batch.
        """
        begun = time.monotonic()
        with let_go(self._consumer):
            fetched: dict[Any, list[Any]] = self._consumer.poll(
                timeout_ms=int(timeout_s * 1000), max_records=max_records
            )
            room = max_records - sum(map(len, fetched.values()))
            if fetched and room and time.monotonic() - begun < _AT_ONCE_S:
                for place, records in self._consumer.poll(timeout_ms=_SINCE_MS, max_records=room).items():
                    fetched[place] = fetched.get(place, []) + records
        return fetched

    def _refuse_another_log(self) -> None:
        """The client fetches by the topic's name, and goes on at its old place in another topic of that name."""
        found = self._consumer._cluster.topic_id(self._topic)  # noqa: SLF001 - nothing public says it
        self._log = self._log or found
        if found not in (None, self._log):
            raise UsageError(
                f"The topic {self._topic} was deleted and made anew under this worker; it may have skipped records.",
                "Start it again; a new stream.group has every record of the new topic decided.",
            )

    def _find_coordinator(self) -> None:
        """Open the consumer anew when it has not known its group's coordinator for ``timeout_s``.

        The client's look-up is one shared request; it has been seen to wait for its answer forever.
        """
        if not self._consumer._coordinator.coordinator_unknown():  # noqa: SLF001 - nothing public says it
            self._lost_since = None
            return
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since < self._connection.timeout_s:
            return
        log.warning("transport.consumer_replaced", reason="no group coordinator", seconds=round(now - self._lost_since))
        self._close_consumer(self._consumer)
        self._consumer = self._open_consumer()
        self._recoveries += 1
        self._lost_since = None

    def rehearse(self) -> None:
        """See the protocol."""
        with translated():
            self._membership = self._consumer.group_metadata()  # before the positions: a rebalance makes it outdated
            places = {place.partition: self._committed(place) for place in self._consumer.assignment()}
        for partition, place in places.items():
            self._epochs.note(partition, place.offset, place.leader_epoch)
        if offsets := {partition: place.offset for partition, place in places.items()}:
            self.transact((), offsets)

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        """See the protocol. Steps: begin, append, offsets, commit; any failure leaves the rest to ``recover``."""
        with translated():
            self._producer.begin_transaction()
            sent = self._append(outputs)
            self.appended_at = time.monotonic()
            commits = {
                TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", self._epochs.before(p, offset))
                for p, offset in offsets.items()
            }
            manager = self._producer._transaction_manager  # noqa: SLF001 - see _settle
            self._settle(manager.send_offsets_to_transaction(commits, self._membership))
            self._settle(manager.begin_commit())
            for future in sent:
                if future.failed():
                    raise future.exception

    def _append(self, outputs: Sequence[Output]) -> list[Any]:
        """Queue the records; their partitions are computed here, all at once, which the client does slowly."""
        place: dict[int, int] = {}
        for topic in dict.fromkeys(output.topic for output in outputs):
            keyed = [i for i, output in enumerate(outputs) if output.topic == topic and output.key is not None]
            count = len(self._producer.partitions_for(topic))
            place.update(zip(keyed, partitions_of([outputs[i].key or b"" for i in keyed], count), strict=True))
        send = self._producer.send
        return [
            send(topic, value, key, list(headers) or None, place.get(i))
            for i, (topic, key, value, headers) in enumerate(outputs)
        ]

    def recover(self) -> None:
        """See the protocol."""
        with translated():
            self._close_producer()
            self._close_reader()  # it has been seen to ask a broker that was away until every try had timed out
            refuse_the_fenced(self._consumer)  # its new producer would fence that of its successor
            self._producer = self._open_producer()
            self._recoveries += 1
            self._rewind(self._consumer.assignment())

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """See the protocol."""
        place = TopicPartition(self._topic, partition)
        with translated():
            reader = self._open_reader()
            reader.assign([place])
            reader.seek(place, max(start, self.beginning(partition)))
        deadline = time.monotonic() + self._connection.timeout_s
        while True:
            with translated():
                self._consumer._coordinator.poll_heartbeat()  # noqa: SLF001 - a member that is silent for long is put out
                position = reader.position(place, timeout_ms=_CLOSE_MS)
                if position is not None and position >= end:
                    return
                fetched = reader.poll(timeout_ms=200, max_records=READ_ROWS).get(place, [])
            records = [record_of(record) for record in fetched if record.offset < end]
            if records:
                deadline = time.monotonic() + self._connection.timeout_s
                yield records
            elif time.monotonic() > deadline:
                problem = f"Partition {partition} gave no records between {position} and {end}."
                raise UnavailableError(problem, BROKER)

    def beginning(self, partition: int) -> int:
        """See the protocol."""
        place = TopicPartition(self._topic, partition)
        with translated():
            return int(self._open_reader().beginning_offsets([place])[place])

    def end(self, partition: int) -> int:
        """See the protocol."""
        place = TopicPartition(self._topic, partition)
        with translated():
            return int(self._open_reader().end_offsets([place])[place])

    def group_offset(self, partition: int) -> int | None:
        """See the protocol."""
        place = self._group_place(TopicPartition(self._topic, partition))
        return None if place is None else int(place.offset)

    def lag(self) -> int:
        """See the protocol."""
        total = 0
        for partition in self._consumer.assignment():
            with contextlib.suppress(KafkaError):
                end, position = self._consumer.highwater(partition), self._position(partition)
                if end is not None and position is not None:
                    total += max(0, end - position)
        return total

    def close(self) -> None:
        """See the protocol."""
        with contextlib.suppress(KafkaError):  # nothing is open, or another's, or its outcome in doubt
            self._settle(self._producer._transaction_manager.begin_abort(), _CLOSE_MS)  # noqa: SLF001 - see _settle
        self._close_producer()
        self._close_reader()
        self._close_consumer(self._consumer)

    def _close_reader(self) -> None:
        """The next that wants it opens another."""
        if self._reader is not None:
            self._close_consumer(self._reader)
            self._reader = None

    @staticmethod
    def _close_consumer(consumer: Any) -> None:
        with contextlib.suppress(KafkaError):
            consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def _position(self, partition: Any) -> int | None:
        # consumer.position() asks the broker; the fetch position lies in the client's own state
        state = self._consumer._subscription.assignment.get(partition)  # noqa: SLF001
        return None if state is None or state.position is None else int(state.position.offset)

    def _group_place(self, partition: Any) -> Any:
        """The offset that the group has committed, with its leader's epoch; None where it has committed none."""
        with translated():
            return self._consumer.committed(partition, metadata=True, timeout_ms=_CLOSE_MS)

    def _committed(self, partition: Any) -> Any:
        return self._group_place(partition) or OffsetAndMetadata(self.beginning(partition.partition), "", UNKNOWN)

    def _rewind(self, partitions: Iterable[Any]) -> None:
        for partition in partitions:
            go_on_at(self._consumer, partition, self._committed(partition))

    def _open_producer(self) -> Any:
        producer = KafkaProducer(
            bootstrap_servers=self._connection.bootstrap.split(","),
            client_id=f"{self._connection.worker_id}-producer",
            transactional_id=f"{self._connection.group}.{self._connection.worker_id}",
            transaction_timeout_ms=int(self._connection.transaction_timeout_s * 1000),
            batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            linger_ms=1_000,  # a full batch goes at once, the rest at the commit: its thread stays out of the way
            retry_backoff_ms=5,  # a transaction that follows at once is told to wait for the last one's markers
            bootstrap_timeout_ms=int(self._connection.timeout_s * 1000),
            max_block_ms=int(self._connection.timeout_s * 1000),
            metrics_enabled=False,
            **self._connection.extra,
        )
        with contextlib.ExitStack() as failed:
            failed.callback(abandon, producer)
            producer.init_transactions()
            for topic in (self._topic, *self._connection.outputs):
                know(producer, topic)
            failed.pop_all()
        return producer

    def _open_consumer(self) -> Any:
        consumer = KafkaConsumer(
            client_id=f"{self._connection.worker_id}-consumer",
            group_id=self._connection.group,
            group_instance_id=self._connection.worker_id,
            session_timeout_ms=int(self._connection.session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._connection.session_timeout_s * 1000 / 5),
            metadata_max_age_ms=NEWS_MS,
            **self._reading(),
        )
        with contextlib.ExitStack() as failed:
            failed.callback(self._close_consumer, consumer)
            keep_epochs(consumer)
            subscribe(consumer, self._topic, self._listener)
            failed.pop_all()
        return consumer

    def _open_reader(self) -> Any:
        if self._reader is None:
            self._reader = KafkaConsumer(
                client_id=f"{self._connection.worker_id}-replay", group_id=None, **self._reading()
            )
        return self._reader

    def _reading(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._connection.bootstrap.split(","),
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": 100,
            "bootstrap_timeout_ms": int(self._connection.timeout_s * 1000),
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
            **self._connection.extra,
        }

    def _settle(self, result: Any, timeout_ms: float | None = None) -> None:
        # The producer's own methods wait without a limit, and a commit that was under way when the broker died never
        # ends: the outcome is then unknown, and recover() finds it out.
        self._producer._sender.wakeup()  # noqa: SLF001
        if not result.wait(timeout_ms=timeout_ms or self._connection.timeout_s * 1000):
            raise KafkaTimeoutError("a transaction did not end")

    def _close_producer(self) -> None:
        abandon(self._producer)
