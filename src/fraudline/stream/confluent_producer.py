"""The transactional producer of the confluent transport."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from fraudline.stream.librdkafka import PARTITIONER, SETTINGS, know
from fraudline.stream.transport import MAX_REQUEST_BYTES, Connection


def open_producer(connection: Connection) -> Any:
    """A producer that has ended whatever its predecessor of the same id left open, and knows its topics.

    Raises:
        KafkaException: the broker does not answer, or refuses it.
        UnavailableError: there is no such topic.
    """
    heard: list[Any] = []
    producer = Producer(
        {
            "bootstrap.servers": connection.bootstrap,
            "error_cb": heard.append,
            "client.id": f"{connection.worker_id}-producer",
            "transactional.id": f"{connection.group}.{connection.worker_id}",
            "transaction.timeout.ms": int(connection.transaction_timeout_s * 1000),
            "linger.ms": 1_000,  # a full batch goes at once, the rest at the commit
            "retry.backoff.ms": 5,  # a transaction that follows at once is told to wait for the last one's markers
            "message.max.bytes": MAX_REQUEST_BYTES,
            **PARTITIONER,
            **SETTINGS,
            **connection.extra,
        }
    )
    try:
        producer.init_transactions(connection.timeout_s)
    except KafkaException:
        producer.poll(0)  # what librdkafka says beside its timeout
        for reason in heard:
            if reason.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - librdkafka's own code
                raise KafkaException(reason) from None
        raise
    for topic in (connection.topic, *connection.outputs):
        know(producer, topic, connection.timeout_s)
    return producer
