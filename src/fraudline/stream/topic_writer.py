"""A transactional producer for tools: what it sends between begin and commit is seen whole or not at all.

with open_producer(params, "my-id") as producer:
producer.begin_transaction(); producer.send(topic, value, key); producer.commit_transaction()
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, ProducerFencedError

from fraudline.core.errors import UnavailableError
from fraudline.stream.kafka_client import translated
from fraudline.stream.params import StreamParams
from fraudline.stream.tls import awaited
from fraudline.stream.transport import MAX_REQUEST_BYTES


@contextlib.contextmanager
def open_producer(params: StreamParams, transactional_id: str, compression: str | None = None) -> Iterator[Any]:
    """The producer; another one of the same id is fenced.

    Args:
        params: broker, and how long to wait for its answer.
        transactional_id: of the work.
        compression: of what is sent; None for none.

    Raises:
        UnavailableError: the broker does not answer, or refuses, or another of the same id was opened meanwhile.
    """
    with translated(), awaited(params.bootstrap):
        producer = KafkaProducer(
            bootstrap_servers=params.bootstrap.split(","),
            transactional_id=transactional_id,
            compression_type=compression,
            max_request_size=MAX_REQUEST_BYTES,
            bootstrap_timeout_ms=int(params.timeout_s * 1000),
            max_block_ms=int(params.timeout_s * 1000),
            metrics_enabled=False,
            **params.tls.kafka_python(),
        )
    try:
        with translated():
            producer.init_transactions()
            yield producer
    except UnavailableError as error:
        if not _fenced(error.__cause__):
            raise
        raise UnavailableError(
            f"Another command began the same work ({transactional_id}) and took over.",
            "Wait until it ends; run again, this one goes on after what was committed.",
        ) from error
    finally:
        producer.close(timeout=1)


def _fenced(cause: BaseException | None) -> bool:
    """Whether the client says so itself, or of a call before."""
    fenced = ProducerFencedError | InvalidProducerEpochError
    return cause is not None and any(isinstance(each, fenced) for each in (cause, *cause.args))
