"""The transport over confluent-kafka (librdkafka): faster, and the one that the mock broker understands."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from fraudline.core.errors import UnavailableError
from fraudline.stream.tls import LOGIN, RIGHTS, Tls
from fraudline.stream.transport import (
    NEWS_MS,
    READ_ROWS,
    UNREADABLE_HEADERS,
    Connection,
    FencedError,
    Output,
    Record,
    TooLargeError,
    missing_topic,
    with_values,
)

_TIMEOUT_S = 30.0
_SEEK_TRIES = 50
_ASK_S = 5.0
_CLOSE_S = 3.0
_made = partial(tuple.__new__, Record)
_ACTION = "Check the broker's address and that it runs."
_FATAL = (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError._FATAL)  # noqa: SLF001 - librdkafka's own codes
_RIGHTS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_QUIET = {"log_level": 2}
_PARTITIONER = {"partitioner": "murmur2_random"}
"""Java's and kafka-python's partitioner; librdkafka's own default would send a card elsewhere."""


class ConfluentTransport:
    """See :class:`fraudline.stream.transport.Transport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._topic = connection.topic
        self._epoch = 0
        self._assigned: frozenset[int] = frozenset()
        self._membership: Any = None
        self._reader: Any = None
        self._refused: Any = None
        self.appended_at = 0.0
        with _translated():
            self._producer = self._open_producer()
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
        with _translated():
            topics = self._producer.list_topics(self._topic, self._connection.timeout_s).topics
        return len(topics[self._topic].partitions)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See the protocol. ``consume`` waits for a full batch, so only the first record is waited for."""
        before = self._epoch
        with _translated():
            messages = self._consumer.consume(max_records, 0)
            if not messages:
                messages = self._consumer.consume(1, timeout_s)
                if messages and max_records > 1:
                    messages += self._consumer.consume(max_records - 1, 0)
            records = _records(messages)
            self._refused = None if records else _missing_right(messages) or self._refused
            if self._refused is not None:
                raise KafkaException(self._refused)
            if not records:
                return []
            if before != self._epoch:
                self._rewind(records)
                return []
            self._membership = self._consumer.consumer_group_metadata()
        return records

    def rehearse(self) -> None:
        """See the protocol."""
        with _translated():
            self._membership = self._consumer.consumer_group_metadata()
            offsets = self._committed()
        if offsets:
            self.transact((), offsets)

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        """See the protocol. Steps: begin, append, offsets, commit; any failure leaves the rest to ``recover``."""
        with _translated():
            self._producer.begin_transaction()
            _append(self._producer, outputs)
            self.appended_at = time.monotonic()
            commits = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
            self._producer.send_offsets_to_transaction(commits, self._membership, self._connection.timeout_s)
            self._producer.commit_transaction(self._connection.timeout_s)

    def recover(self) -> None:
        """See the protocol."""
        with _translated():
            self._producer.purge()
            self._refuse_the_fenced()
            self._producer = self._open_producer()
            self._epoch += 1
            for partition, offset in self._committed().items():
                self._seek(partition, offset)

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """See the protocol."""
        with _translated():
            reader = self._open_reader()
            reader.assign([TopicPartition(self._topic, partition, max(start, self.beginning(partition)))])
        deadline = time.monotonic() + self._connection.timeout_s
        done = start >= end
        while not done:
            with _translated():
                messages = reader.consume(READ_ROWS, 0.1)
                done = any(message.offset() is not None and message.offset() >= end for message in messages)
                records = [record for record in _records(messages) if record.offset < end]
            if records:
                done = done or records[-1].offset == end - 1
                deadline = time.monotonic() + self._connection.timeout_s
                yield records
            elif not done and time.monotonic() > deadline:
                raise UnavailableError(f"Partition {partition} gave no records before {end}.", _ACTION)

    def beginning(self, partition: int) -> int:
        """See the protocol."""
        with _translated():
            place = TopicPartition(self._topic, partition)
            return int(self._open_reader().get_watermark_offsets(place, timeout=self._connection.timeout_s)[0])

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

    def _on_assigned(self, _consumer: Any, places: list[Any]) -> None:
        self._epoch += 1
        self._refused = None
        self._assigned = frozenset(place.partition for place in places)

    def _on_revoked(self, _consumer: Any, _places: list[Any]) -> None:
        self._epoch += 1
        self._assigned = frozenset()

    def _rewind(self, records: Sequence[Record]) -> None:
        """Back to the committed offsets: what was read before a rebalance may meanwhile be another worker's, and done.

        Where nothing is committed (the mock broker forgets what a transaction commits) the first record read is next.
        """
        first = {record.partition: record.offset for record in reversed(records)}
        places = [TopicPartition(self._topic, partition) for partition in self._assigned]
        for place in self._consumer.committed(places, self._connection.timeout_s) if places else []:
            offset = place.offset if place.offset >= 0 else first.get(place.partition)
            if offset is not None:
                self._seek(place.partition, offset)

    def _refuse_the_fenced(self) -> None:
        """Ask the broker whether another worker has taken this one's place, whose producer a new one here would fence.

        Nothing is committed to ask: while a transaction is in doubt, no offset is known to be right.
        """
        own = self._consumer.memberid()
        admin = AdminClient({"bootstrap.servers": self._connection.bootstrap, **_QUIET, **self._connection.extra})
        asked = admin.describe_consumer_groups([self._connection.group], request_timeout=_ASK_S)
        with contextlib.suppress(KafkaException):  # what else there is, the next poll meets too
            for member in asked[self._connection.group].result().members:
                if own and member.group_instance_id == self._connection.worker_id and member.member_id != own:
                    raise FencedError

    def _committed(self) -> dict[int, int]:
        places = [TopicPartition(self._topic, partition) for partition in self._assigned]
        found = self._consumer.committed(places, self._connection.timeout_s) if places else []
        return {p.partition: p.offset if p.offset >= 0 else self.beginning(p.partition) for p in found}

    def _seek(self, partition: int, offset: int) -> None:
        # A partition just assigned refuses a seek until its fetcher has started.
        for attempt in range(_SEEK_TRIES):
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException:
                if attempt == _SEEK_TRIES - 1:
                    raise
                time.sleep(0.1)
            else:
                return

    def _open_producer(self) -> Any:
        heard: list[Any] = []
        producer = Producer(
            {
                "bootstrap.servers": self._connection.bootstrap,
                "error_cb": heard.append,
                "client.id": f"{self._connection.worker_id}-producer",
                "transactional.id": f"{self._connection.group}.{self._connection.worker_id}",
                "transaction.timeout.ms": int(self._connection.transaction_timeout_s * 1000),
                "linger.ms": 1_000,  # a full batch goes at once, the rest at the commit
                "retry.backoff.ms": 5,  # a transaction that follows at once is told to wait for the last one's markers
                "message.max.bytes": 16 << 20,
                **_PARTITIONER,
                **_QUIET,
                **self._connection.extra,
            }
        )
        try:
            producer.init_transactions(self._connection.timeout_s)
        except KafkaException:
            producer.poll(0)  # what librdkafka says beside its timeout
            for reason in heard:
                if reason.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - librdkafka's own code
                    raise KafkaException(reason) from None
            raise
        for topic in (self._topic, *self._connection.outputs):
            _know(producer, topic, self._connection.timeout_s)
        return producer

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
            **_QUIET,
            **self._connection.extra,
        }


class ConfluentSender:
    """See :class:`fraudline.stream.transport.Sender`."""

    def __init__(self, bootstrap: str, tls: Tls, topics: Sequence[str] = (), timeout_s: float = 60.0) -> None:
        with _translated():
            self._producer = Producer(
                {
                    "bootstrap.servers": bootstrap,
                    "linger.ms": 2,
                    "message.max.bytes": 16 << 20,
                    "enable.idempotence": True,
                    "on_delivery": self._delivered,
                    **_PARTITIONER,
                    **_QUIET,
                    **tls.librdkafka(),
                }
            )
            for topic in topics:
                _know(self._producer, topic, timeout_s)
        self._failures: list[Any] = []

    def send(self, output: Output) -> None:
        """See the protocol."""
        with _translated():
            _produce(self._producer, [output])
            self._producer.poll(0)

    def flush(self) -> None:
        """See the protocol."""
        with _translated():
            left = self._producer.flush(_TIMEOUT_S)
            if self._failures:
                raise KafkaException(self._failures.pop())
        if left:
            raise UnavailableError(f"{left} records were not delivered in time.", _ACTION)

    def close(self) -> None:
        """See the protocol."""
        self.flush()

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failures.append(error)


def _know(producer: Any, topic: str, timeout_s: float) -> None:
    """Ask for a topic.

    Raises:
        UnavailableError: the broker does not know it.
    """
    error = producer.list_topics(topic, timeout_s).topics[topic].error
    if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise missing_topic(topic)
    if error is not None and error.code() in _RIGHTS:
        raise KafkaException(error)


def _produce(producer: Any, outputs: Iterable[Output]) -> None:
    """Queue records one by one, with their headers."""
    produce = producer.produce
    for topic, key, value, headers in outputs:
        while True:
            try:
                produce(topic, value, key, headers=[*headers] or None)
            except BufferError:  # its queue is full: let it drain
                producer.poll(0.1)
            else:
                break


def _append(producer: Any, outputs: Sequence[Output]) -> None:
    """Queue records in their order: those without headers together, the others one by one: a batch has no headers."""
    for (topic, headed), part in groupby(outputs, lambda output: (output[0], bool(output[3]))):
        if headed:
            _produce(producer, part)
        else:
            _append_batch(producer, topic, [{"value": value, "key": key} for _, key, value, _ in part])


def _append_batch(producer: Any, topic: str, messages: list[dict[str, bytes | None]]) -> None:
    left = messages
    while left:
        producer.produce_batch(topic, left)
        if left := [message for message in left if "_error" in message]:
            _refuse_all_but_full(left)
            producer.poll(0.1)  # its queue is full: let it drain


def _refuse_all_but_full(left: list[dict[str, Any]]) -> None:
    for message in left:
        error = message.pop("_error")
        if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - librdkafka's own code
            raise KafkaException(error)


def _records(messages: Sequence[Any]) -> list[Record]:
    errors = list(map(Message.error, messages))
    if any(errors):
        for error in filter(None, errors):
            if error.code() in _FATAL or error.fatal():
                raise KafkaException(error)
        messages = [message for message, error in zip(messages, errors, strict=True) if error is None]
    columns = (Message.topic, Message.partition, Message.offset, _appended_ms, Message.key, Message.value)
    return list(map(_made, zip(*(map(column, messages) for column in columns), _headers(messages), strict=True)))


def _missing_right(messages: Sequence[Any]) -> Any:
    """The broker's refusal among what a group's member was given; None where there is none.

    librdkafka says it once, beside the records, and asks on in silence.
    """
    errors = filter(None, map(Message.error, messages))
    return next((error for error in errors if error.code() in _RIGHTS), None)


def _appended_ms(message: Any) -> int:
    return int(message.timestamp()[1])


def _headers(messages: Sequence[Any]) -> list[tuple[tuple[str, bytes], ...]]:
    """The headers of each message.

    Where the name of one is no UTF-8, the client gives a list with holes and leaves an error behind. Only a caller
    written in C, as ``map`` is, looks for it; the list must not be asked for again, or a hole ends the process.
    """
    found: list[tuple[tuple[str, bytes], ...]] = []
    given = map(Message.headers, messages)
    while True:
        try:
            found.extend(with_values(headers or ()) for headers in given)
        except SystemError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            found.append(UNREADABLE_HEADERS)
        else:
            return found


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        reason = error.args[0]
        code = reason.code() if isinstance(reason, KafkaError) else None
        # how librdkafka tells a consumer of it: a fatal error, whose reason only its text says
        if code == KafkaError.FENCED_INSTANCE_ID or (code == KafkaError._FATAL and "consumer fenced" in reason.str()):  # noqa: SLF001
            raise FencedError from error
        if code in _TOO_LARGE:
            raise TooLargeError from error
        if code == KafkaError._AUTHENTICATION:  # noqa: SLF001 - librdkafka's own code
            raise UnavailableError("Kafka refused the user or its password.", LOGIN) from error
        action = RIGHTS if code in _RIGHTS else _ACTION
        raise UnavailableError(f"Kafka refused: {reason}.", action) from error
