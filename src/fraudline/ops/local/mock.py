"""librdkafka's mock broker inside this process: for a demo on a machine without Java, never for a guarantee."""

from typing import Any, Self

from fraudline.core.errors import UnavailableError
from fraudline.core.log import get_logger
from fraudline.ops.local.process import READY_SECONDS, Service

log = get_logger(__name__)

MOCK_NOTICE = (
    "Mock broker: it keeps everything in memory and forgets transactional offsets, so a restarted or second worker "
    "begins at offset zero; exactly-once delivery is not guaranteed on it."
)
"""What the mock does not guarantee, in one sentence for people."""


class MockKafka(Service):
    """A mock cluster of one broker that lives as long as this object.

    Clients of this process and of others reach it at :attr:`bootstrap`; a topic appears, with four partitions, when
    somebody asks for it. Use the confluent-kafka transport on it.
    """

    def __init__(self) -> None:
        self._holder: Any = None
        self.bootstrap = ""

    def start(self) -> Self:
        """Start the mock.

        Raises:
            UnavailableError: confluent-kafka is not installed, or the mock does not answer.
        """
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError as error:
            raise UnavailableError(
                "The mock broker needs confluent-kafka.", "Install fraudline with the extra: fraudline[fast]."
            ) from error
        self._holder = Producer(
            {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0, "client.id": "mock-broker"}
        )
        try:
            brokers = self._holder.list_topics(timeout=READY_SECONDS).brokers.values()
        except KafkaException as error:
            raise UnavailableError(f"The mock broker does not answer: {error}.", "Try again.") from error
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        log.debug("mock.started", bootstrap=self.bootstrap)
        return self

    def stop(self) -> None:
        """End the mock; all its records are gone."""
        self._holder = None
