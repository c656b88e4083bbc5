"""The limit: a bare transactional copy of the records, by one client as its documentation shows it.

    python -m benchmarks.streaming.copy '{"client": "kafka-python", "bootstrap": ..., "source": ..., ...}'

With ``latency`` in place of ``count`` it copies for so many seconds, and the reader of the sink measures.
"""

import json
import sys
import time
from typing import Any

from benchmarks.streaming.watch import Watch


def kafka_python(bootstrap: str, source: str, sink: str, batch: int, stop: Any) -> int:
    """Copy with kafka-python; gives the number of records."""
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.structs import OffsetAndMetadata

    group = f"copy-{sink}"
    consumer = KafkaConsumer(
        source, bootstrap_servers=bootstrap, group_id=group, isolation_level="read_committed", metrics_enabled=False,
        enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100,
    )  # fmt: skip
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=group, linger_ms=0, batch_size=256 << 10, retry_backoff_ms=5,
        metrics_enabled=False,
    )  # fmt: skip
    producer.init_transactions()
    # metadata that come after the first join make the client join again, and hang
    consumer.partitions_for_topic(source)
    done = 0
    while not stop(done):
        fetched = consumer.poll(timeout_ms=100, max_records=batch)
        if not fetched:
            continue
        stop.watch.start()
        producer.begin_transaction()
        for records in fetched.values():
            for record in records:
                producer.send(sink, record.value, record.key)
        offsets = {place: OffsetAndMetadata(records[-1].offset + 1, "", -1) for place, records in fetched.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
        done += sum(map(len, fetched.values()))
    return done


def confluent(bootstrap: str, source: str, sink: str, batch: int, stop: Any) -> int:
    """Copy with confluent-kafka; gives the number of records."""
    from confluent_kafka import Consumer, Producer

    group = f"copy-{sink}"
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed", "log_level": 2,
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
        }
    )  # fmt: skip
    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "transactional.id": group, "linger.ms": 0, "retry.backoff.ms": 5,
            "partitioner": "murmur2_random", "log_level": 2,
        }
    )  # fmt: skip
    producer.init_transactions()
    consumer.subscribe([source])
    done = 0
    while not stop(done):
        messages = consumer.consume(batch, 0) or consumer.consume(1, 0.1)
        if not messages:
            continue
        stop.watch.start()
        producer.begin_transaction()
        for message in messages:
            producer.produce(sink, message.value(), message.key())
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()
        done += len(messages)
    return done


class _Stop:
    """Enough records copied, or enough time passed since the first."""

    def __init__(self, count: int, seconds: float) -> None:
        self.watch = Watch()
        self._count = count
        self._end = time.monotonic() + seconds if seconds else 0.0

    def __call__(self, done: int) -> bool:
        return time.monotonic() > self._end if self._end else done >= self._count


def main(config: dict[str, Any]) -> None:
    """Copy and print one JSON line."""
    stop = _Stop(config.get("count", 0), config.get("seconds", 0.0))
    copy = {"kafka-python": kafka_python, "confluent": confluent}[config["client"]]
    done = copy(config["bootstrap"], config["source"], config["sink"], config["batch"], stop)
    if done:
        stop.watch.finish(done)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
