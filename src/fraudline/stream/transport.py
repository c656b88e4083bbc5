"""The narrow protocol between the worker and a Kafka client.

    transport = open_transport("kafka-python", settings)
    records = transport.poll(512, timeout_s=0.1)
    transport.transact(outputs, {0: records[-1].offset + 1})

Two implementations, ``kafka-python`` and ``confluent``, pass the same contract test; the worker has no branch on which.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.stream.tls import PLAIN, TOPICS, Tls

TRANSPORTS = ("kafka-python", "confluent")
MAX_REQUEST_BYTES = 16 << 20
"""Of what a producer sends at once, and so of a record."""

NEWS_MS = 60_000
"""How often a client asks for partitions that were added; by itself it does so every five minutes."""

READ_ROWS = 2_000
"""Records a piece of a silent replay."""


class FencedError(UnavailableError):
    """Another worker with the same identity took over; this one must end."""

    def __init__(self) -> None:
        super().__init__("Another worker runs under this worker's id.", "Give each worker its own worker_id.")


class TooLargeError(UnavailableError):
    """A record is larger than its topic, or the client, takes: of what a worker writes, only dead letters can be."""

    def __init__(self) -> None:
        problem = "Kafka refused a record that is larger than its topic takes."
        super().__init__(problem, "Raise max.message.bytes of the topics that the worker writes.")


class Record(NamedTuple):
    """A record as it lies in the log: bytes, nothing parsed. ``timestamp_ms``: when it was appended or made."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Output(NamedTuple):
    """A record to append; its partition is the key's murmur2 hash, the same in both clients and in Java."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


UNREADABLE_HEADERS = (("unreadable-headers", b""),)
"""What a record has for its headers where the name of one is no UTF-8: no client gives any of them."""

NOT_UNPACKED = "not-unpacked"
"""Header of the empty record that stands for a batch which is too large when unpacked; its value says of what size."""


def with_values(headers: Iterable[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """A record's headers as a client gives them; one without a value, which Kafka allows, has an empty one."""
    return tuple([(name, value or b"") for name, value in headers])


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to know.

    Attributes:
        bootstrap: ``host:port`` pairs, comma-separated.
        topic: the topic to consume.
        group: consumer group.
        worker_id: this worker's identity, one per running worker: its transactional id and its static membership.
            A restarted worker with the same identity ends its predecessor's open transaction at once.
        session_timeout_s: how long the group waits for a worker that does not answer.
        transaction_timeout_s: how long the broker waits for an open transaction to end.
        timeout_s: how long to wait for an answer of the broker.
        outputs: topics to append to, asked for beforehand so that the first batch does not wait for it.
        extra: settings of the client itself, by its own names.
        tls: what ``extra`` was made from; says why a first connection fails.
    """

    bootstrap: str
    topic: str
    group: str
    worker_id: str
    session_timeout_s: float = 10.0
    transaction_timeout_s: float = 30.0
    timeout_s: float = 30.0
    outputs: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)  # may hold a password
    tls: Tls = PLAIN


class Transport(Protocol):
    """A member of a consumer group on one topic, and a transactional producer."""

    @property
    def epoch(self) -> int:
        """Grows at each rebalance and each :meth:`recover`: positions known from before may no longer hold."""
        ...

    @property
    def appended_at(self) -> float:
        """When the last :meth:`transact` had handed its records to the client and asked for the commit (monotonic)."""
        ...

    def assignment(self) -> frozenset[int]:
        """The partitions this member owns now."""
        ...

    def partitions(self) -> int:
        """How many partitions the topic has, as far as the client knows.

        Raises:
            UnavailableError: the broker does not answer.
        """
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to ``max_records`` records, in offset order within each partition; empty after ``timeout_s``.

        Raises:
            UnavailableError: the broker does not answer.
            FencedError: another worker took this identity.
            UsageError: the topic was deleted and made anew, and the client cannot tell its offsets from the old ones.
        """
        ...

    def rehearse(self) -> None:
        """Commit the committed offsets again, so that the first batch does not wait for what a first transaction needs.

        Call it before the first :meth:`poll` that gives records.

        Raises:
            UnavailableError: as :meth:`transact`.
            FencedError: as :meth:`transact`.
        """
        ...

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        """Append ``outputs`` and commit ``offsets`` (partition to next offset) in one transaction.

        Raises:
            TooLargeError: as below, because of a record's size.
            UnavailableError: the outcome is unknown or the transaction was aborted: call :meth:`recover`.
            FencedError: another worker took this identity.
        """
        ...

    def recover(self) -> None:
        """End whatever transaction is open and go back to the committed offsets, as a restart would.

        Raises:
            UnavailableError: the broker does not answer.
        """
        ...

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The committed records of ``[start, end)`` of a partition, apart from the group; fewer where the log is cut.

        Raises:
            UnavailableError: the records did not come in time.
        """
        ...

    def beginning(self, partition: int) -> int:
        """The first offset that the log still has."""
        ...

    def end(self, partition: int) -> int:
        """The offset after the last record that may be read; the beginning where there is none."""
        ...

    def group_offset(self, partition: int) -> int | None:
        """The offset that the group has committed: where it goes on. None where it has committed none.

        Raises:
            UnavailableError: the broker does not answer.
        """
        ...

    def lag(self) -> int:
        """Records of the owned partitions that are not yet polled."""
        ...

    def close(self) -> None:
        """Leave; an open transaction is aborted, or readers of committed records would wait for its timeout behind it.

        Where the broker does not answer it is left to that timeout, or to the successor.
        """
        ...


class Sender(Protocol):
    """A plain idempotent producer: what replays transactions onto a topic."""

    def send(self, output: Output) -> None:
        """Queue one record; blocks while the queue is full."""
        ...

    def flush(self) -> None:
        """Wait until every queued record is in the log.

        Raises:
            UnavailableError: a record could not be delivered.
        """
        ...

    def close(self) -> None:
        """Flush and leave."""
        ...


def open_transport(name: str, connection: Connection) -> Transport:
    """Join the group as a transactional worker.

    Args:
        name: ``kafka-python`` or ``confluent``.
        connection: where, and as whom.

    Raises:
        UsageError: there is no such transport, or its client is not installed.
        UnavailableError: the broker does not answer.
    """
    _check(name)
    with connection.tls.explained(connection.bootstrap):
        if name == "kafka-python":
            from fraudline.stream.kafka_python import KafkaPythonTransport

            return KafkaPythonTransport(connection)
        from fraudline.stream.confluent import ConfluentTransport

        return ConfluentTransport(connection)


def open_sender(
    name: str, bootstrap: str, tls: Tls = PLAIN, *, topics: Sequence[str] = (), timeout_s: float = 60.0
) -> Sender:
    """A producer without transactions.

    Args:
        name: ``kafka-python`` or ``confluent``.
        bootstrap: ``host:port`` pairs, comma-separated.
        tls: certificates, where the brokers ask for them.
        topics: that must be there.
        timeout_s: how long to wait for an answer of the broker.

    Raises:
        UsageError: there is no such transport, or its client is not installed.
        UnavailableError: the broker does not answer, or does not know a topic.
    """
    _check(name)
    with tls.explained(bootstrap):
        if name == "kafka-python":
            from fraudline.stream.kafka_sender import KafkaPythonSender

            return KafkaPythonSender(bootstrap, tls, topics, timeout_s)
        from fraudline.stream.confluent_sender import ConfluentSender

        return ConfluentSender(bootstrap, tls, topics, timeout_s)


def missing_topic(topic: str) -> UnavailableError:
    """What the broker, which has answered, does not know."""
    return UnavailableError(f"There is no topic {topic}.", TOPICS)


def _check(name: str) -> None:
    if name not in TRANSPORTS:
        raise UsageError(f"There is no transport {name!r}.", f"Choose from {', '.join(TRANSPORTS)}.")
    if name == "kafka-python":
        return
    try:
        import confluent_kafka  # noqa: F401
    except ImportError as error:
        raise UsageError("confluent-kafka is not installed.", "Install the extra: fraudline[fast].") from error
