"""Which broker carries the demo: a named one, a real Kafka from Maven jars, or the in-process mock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fraudline.core.errors import UsageError
from fraudline.ops.local.kafka import KAFKA_VERSION, LocalKafka, java_available
from fraudline.ops.local.mock import MOCK_NOTICE, MockKafka

CHOICES = ("auto", "kafka", "mock")


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker.

    Attributes:
        bootstrap: ``host:port`` pairs.
        transport: the client that works on it.
        title: what it is, for people.
        notice: what it does not guarantee; empty for a real one.
    """

    bootstrap: str
    transport: str
    title: str
    notice: str = ""


@contextmanager
def broker(choice: str, *, bootstrap: str, folder: Path, cache: Path) -> Iterator[Broker]:
    """Run or name a broker for the length of the block.

    Args:
        choice: ``auto`` takes the first that works; ``kafka`` and ``mock`` insist.
        bootstrap: a broker that runs already; it wins when given.
        folder: the local broker's log.
        cache: where Kafka's jars are kept.

    Raises:
        UsageError: ``kafka`` was asked for and there is no Java 17 or no Maven.
    """
    if bootstrap:
        yield Broker(bootstrap, "kafka-python", f"the broker at {bootstrap}")
        return
    if choice != "mock" and java_available(cache):
        with LocalKafka(folder, cache=cache) as kafka:
            yield Broker(kafka.bootstrap, "kafka-python", f"Apache Kafka {KAFKA_VERSION} at {kafka.bootstrap}")
        return
    if choice == "kafka":
        raise UsageError("There is no Java 17 or no Maven here.", "Install them, or run with --broker mock.")
    with MockKafka() as mock:
        yield Broker(mock.bootstrap, "confluent", f"a mock broker at {mock.bootstrap}", MOCK_NOTICE)
