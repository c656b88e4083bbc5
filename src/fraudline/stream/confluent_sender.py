"""The plain producer over confluent-kafka (librdkafka)."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from fraudline.core.errors import UnavailableError
from fraudline.stream.librdkafka import PARTITIONER, SETTINGS, know, produce_all, translated
from fraudline.stream.tls import BROKER, Tls
from fraudline.stream.transport import MAX_REQUEST_BYTES, Output

_TIMEOUT_S = 30.0


class ConfluentSender:
    """See :class:`fraudline.stream.transport.Sender`."""

    def __init__(self, bootstrap: str, tls: Tls, topics: Sequence[str] = (), timeout_s: float = 60.0) -> None:
        with translated():
            self._producer = Producer(
                {
                    "bootstrap.servers": bootstrap,
                    "linger.ms": 2,
                    "message.max.bytes": MAX_REQUEST_BYTES,
                    "enable.idempotence": True,
                    "on_delivery": self._delivered,
                    **PARTITIONER,
                    **SETTINGS,
                    **tls.librdkafka(),
                }
            )
            for topic in topics:
                know(self._producer, topic, timeout_s)
        self._failures: list[Any] = []

    def send(self, output: Output) -> None:
        """See the protocol."""
        with translated():
            produce_all(self._producer, [output])
            self._producer.poll(0)

    def flush(self) -> None:
        """See the protocol."""
        with translated():
            left = self._producer.flush(_TIMEOUT_S)
            if self._failures:
                raise KafkaException(self._failures.pop())
        if left:
            raise UnavailableError(f"{left} records were not delivered in time.", BROKER)

    def close(self) -> None:
        """See the protocol."""
        self.flush()

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failures.append(error)
