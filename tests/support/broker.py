"""A real Kafka broker for the tests of a session, and readers for what a worker wrote."""

import os
import socket
import ssl
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.net.inet import KafkaNetSocket
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport

from fraudline.ops.local.kafka import LocalKafka, java_available
from fraudline.stream.params import StreamParams, Topics
from tests.support.needed import lacks

CACHE = Path(os.environ.get("FRAUDLINE_CACHE", ".cache"))


class _ClosedAtItsEnd(socket.socket):
    """A socket that garbage collection closes without a word."""

    def __del__(self) -> None:
        self.close()


class _TlsClosedAtItsEnd(ssl.SSLSocket):
    """The same behind TLS."""

    def __del__(self) -> None:
        self.close()


def _client_socket(_: KafkaNetSocket, *kind: int) -> socket.socket:
    """What kafka-python connects with, in tests.

    A client of kafka-python 3.0.12 that is closed while bytes wait to be sent leaves the socket to garbage collection,
    whose ``ResourceWarning`` fails whichever test happens to run then. Every other socket that is left open still does.
    """
    return _ClosedAtItsEnd(*kind)


_context_of = KafkaSSLTransport._build_ssl_context


def _client_context(config: dict[str, Any]) -> ssl.SSLContext:
    """The context that it wraps such a socket with."""
    context: ssl.SSLContext = _context_of(config)
    context.sslsocket_class = _TlsClosedAtItsEnd
    return context


_begin = NetworkSelector.__init__


def _begin_and_end(self: NetworkSelector, **configs: Any) -> None:
    """A client that is refused while it is made is nobody's to close: what wakes its loop ends with the loop."""
    _begin(self, **configs)
    for end in (self._wakeup_r, self._wakeup_w):
        weakref.finalize(self, end.close)


NetworkSelector.__init__ = _begin_and_end
KafkaNetSocket.socket = _client_socket
KafkaSSLTransport._build_ssl_context = staticmethod(_client_context)


def need_java() -> None:
    """Skip where there is no Java; in CI a missing Java is a failure."""
    if not java_available(CACHE):
        lacks("Java 17 with Maven", cure="the tests of the stream need a real broker")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker for the whole session; use topics of your own."""
    need_java()
    with LocalKafka(tmp_path_factory.mktemp("kafka"), cache=CACHE) as broker:
        yield broker


def own_params(folder: Path, bootstrap: str, **changes: Any) -> StreamParams:
    """Settings with topics and a group that no other test uses."""
    name = uuid.uuid4().hex[:8]
    topics = Topics(
        transactions=f"transactions-{name}",
        decisions=f"decisions-{name}",
        alerts=f"alerts-{name}",
        dead_letters=f"transactions-{name}.dlq",
        blocked_cards=f"blocked-cards-{name}",
        card_actions=f"card-actions-{name}",
        alert_dead_letters=f"alerts-{name}.dlq",
        labels=f"labels-{name}",
        partitions=changes.pop("partitions", 3),
    )
    defaults = {"group": f"group-{name}", "checkpoint_dir": str(folder / "checkpoints"), "session_timeout_s": 6.0}
    return StreamParams(bootstrap=bootstrap, topics=topics, **{**defaults, **changes})


def read_all(bootstrap: str, topic: str, *, isolation: str = "read_committed", timeout_s: float = 300.0) -> list[Any]:
    """Every record of a topic that lies before its present end, as an independent reader sees it.

    The end is that of all records: a transaction that is still open is waited for, not taken for the end.
    """
    from kafka import KafkaConsumer, TopicPartition

    settings = {"bootstrap_servers": bootstrap, "enable_auto_commit": False, "metrics_enabled": False}
    reader = KafkaConsumer(**settings, isolation_level=isolation, auto_offset_reset="earliest")
    try:
        places = [TopicPartition(topic, partition) for partition in sorted(reader.partitions_for_topic(topic) or ())]
        reader.assign(places)
        with closing(KafkaConsumer(**settings)) as everything:
            ends = everything.end_offsets(places)
        for place in places:
            reader.seek(place, 0)
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while any(reader.position(place) < ends[place] for place in places):
            assert time.monotonic() < deadline, f"{topic} could not be read to its end: a transaction may be open"
            for records in reader.poll(timeout_ms=200, max_records=5_000).values():
                found += records
        return found
    finally:
        reader.close()


def committed_everything(params: StreamParams) -> bool:
    """Whether the group's committed offsets are the ends of the topic."""
    return undecided(params) == 0


def undecided(params: StreamParams) -> int:
    """How many records of the topic lie behind the group's committed offsets."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=params.bootstrap, group_id=params.group, enable_auto_commit=False)
    try:
        places = [TopicPartition(params.topics.transactions, p) for p in range(params.topics.partitions)]
        ends = consumer.end_offsets(places)
        return sum(ends[place] - (consumer.committed(place) or 0) for place in places)
    finally:
        consumer.close()


def members_of(params: StreamParams) -> list[str]:
    """Client ids of those whom the broker counts as members of the workers' group now, sorted."""
    from kafka.admin import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=params.bootstrap)
    try:
        return sorted(member["client_id"] for member in admin.describe_groups([params.group])[params.group]["members"])
    finally:
        admin.close()
