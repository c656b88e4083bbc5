"""The control: the same worker without Kafka transactions. It appends, waits for the broker, then commits its offsets.

Between the two it pauses for ``PAUSE_S``, so that a few kills suffice to meet the gap that a transaction closes.

``python -m tests.support.control_worker SETTINGS.yaml MODEL`` is what the kill test compares with.
"""

import sys
import time
from collections.abc import Mapping, Sequence

from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from fraudline.stream import worker
from fraudline.stream.__main__ import main
from fraudline.stream.kafka_python import KafkaPythonTransport
from fraudline.stream.transport import Connection, Output

PAUSE_S = 0.4


class ControlTransport(KafkaPythonTransport):
    """At least once: what is appended is visible at once, and the offsets follow."""

    def _open_producer(self):
        return KafkaProducer(bootstrap_servers=self._connection.bootstrap.split(","), metrics_enabled=False)

    def rehearse(self) -> None:
        return

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        for output in outputs:
            self._producer.send(output.topic, output.value, output.key, list(output.headers))
        self._producer.flush()
        time.sleep(PAUSE_S)
        commits = {TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        self._consumer.commit(commits)


def open_control(_name: str, connection: Connection) -> ControlTransport:
    return ControlTransport(connection)


if __name__ == "__main__":
    worker.open_transport = open_control
    sys.exit(main(sys.argv[1:]))
