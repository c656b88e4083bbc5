"""kafka-python 3 in the transport's own terms: its records, and what it raises."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
)

from fraudline.core.errors import UnavailableError
from fraudline.stream.kafka_batches import read_them_all
from fraudline.stream.tls import BROKER, LOGIN, RIGHTS, Tls
from fraudline.stream.transport import FencedError, Record, TooLargeError, missing_topic, with_values

read_them_all()

BATCH_BYTES = 256 << 10
_made = partial(tuple.__new__, Record)


def know(producer: Any, topic: str) -> None:
    """Learn a topic's partitions now.

    Raises:
        UnavailableError: the broker, which has answered before, does not know the topic.
    """
    try:
        producer.partitions_for(topic)
    except KafkaTimeoutError as error:
        raise missing_topic(topic) from error


def asking(bootstrap: str, tls: Tls, wait_ms: int) -> Any:
    """A client that asks the broker about topics and groups, within ``wait_ms``; to be closed.

    Raises:
        KafkaError: the broker does not answer, or refuses.
    """
    return KafkaAdminClient(
        bootstrap_servers=bootstrap.split(","),
        bootstrap_timeout_ms=wait_ms,
        request_timeout_ms=wait_ms,
        **tls.kafka_python(),
    )


def abandon(producer: Any) -> None:
    """Close it by force: the broker aborts what is open; ``close`` alone gives up before it closes the connections."""
    with contextlib.suppress(KafkaError):
        producer._sender.force_close()  # noqa: SLF001
        producer.close(timeout=1)


def record_of(record: Any) -> Record:
    """The client's record as the transport's."""
    place = (record.topic, record.partition, record.offset, record.timestamp)
    return _made((*place, record.key, record.value, with_values(record.headers)))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what the client raises into an error that names the action.

    Raises:
        FencedError: another client runs under the same id.
        TooLargeError: a record is too large.
        UnavailableError: the broker does not answer, or refuses the call.
    """
    try:
        yield
    except FencedInstanceIdError as error:
        raise FencedError from error
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise TooLargeError from error
    except AuthorizationError as error:
        raise UnavailableError(f"Kafka refused: {type(error).__name__}: {error}.", RIGHTS) from error
    except SaslAuthenticationFailedError as error:
        raise UnavailableError("Kafka refused the user or its password.", LOGIN) from error
    except KafkaTimeoutError as error:
        raise UnavailableError(f"The broker did not answer in time: {error}.", BROKER) from error
    except KafkaError as error:
        raise UnavailableError(f"Kafka refused: {type(error).__name__}: {error}.", BROKER) from error
