"""The plain producer over kafka-python 3."""

import contextlib
from collections.abc import Sequence

from kafka import KafkaProducer

from fraudline.stream.kafka_client import BATCH_BYTES, abandon, know, translated
from fraudline.stream.tls import Tls
from fraudline.stream.transport import MAX_REQUEST_BYTES, Output


class KafkaPythonSender:
    """See :class:`fraudline.stream.transport.Sender`."""

    def __init__(self, bootstrap: str, tls: Tls, topics: Sequence[str] = (), timeout_s: float = 60.0) -> None:
        with translated(), contextlib.ExitStack() as failed:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                batch_size=BATCH_BYTES,
                max_request_size=MAX_REQUEST_BYTES,
                linger_ms=2,
                bootstrap_timeout_ms=int(timeout_s * 1000),
                max_block_ms=int(timeout_s * 1000),
                metrics_enabled=False,
                **tls.kafka_python(),
            )
            failed.callback(abandon, self._producer)
            for topic in topics:
                know(self._producer, topic)
            failed.pop_all()
        self._failures: list[BaseException] = []

    def send(self, output: Output) -> None:
        """See the protocol."""
        with translated():
            future = self._producer.send(output.topic, output.value, output.key, list(output.headers))
            future.add_errback(self._failures.append)

    def flush(self) -> None:
        """See the protocol."""
        with translated():
            self._producer.flush()
            if self._failures:
                raise self._failures.pop()

    def close(self) -> None:
        """See the protocol."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=1)
