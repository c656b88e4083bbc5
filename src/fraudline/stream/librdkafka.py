"""librdkafka in the transport's own terms: its records, and what it raises."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import filterfalse, groupby
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message

from fraudline.core.errors import UnavailableError
from fraudline.stream.tls import BROKER, LOGIN, RIGHTS
from fraudline.stream.transport import (
    UNREADABLE_HEADERS,
    FencedError,
    Output,
    Record,
    TooLargeError,
    missing_topic,
    with_values,
)

_made = partial(tuple.__new__, Record)
_FATAL = (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError._FATAL)  # noqa: SLF001 - librdkafka's own codes
_RIGHTS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
SETTINGS = {"log_level": 2, "metadata.recovery.strategy": "none"}
"""Of every client. Where all brokers were down, librdkafka would by itself begin anew with the bootstrap addresses: its
producer then waits without end for a group's coordinator that it has let go of, whatever its timeouts say.
"""

PARTITIONER = {"partitioner": "murmur2_random"}
"""Java's and kafka-python's partitioner; librdkafka's own default would send a card elsewhere."""


def know(producer: Any, topic: str, timeout_s: float) -> None:
    """Ask for a topic.

    Raises:
        UnavailableError: the broker does not know it.
    """
    error = producer.list_topics(topic, timeout_s).topics[topic].error
    if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise missing_topic(topic)
    if error is not None and error.code() in _RIGHTS:
        raise KafkaException(error)


def produce_all(producer: Any, outputs: Iterable[Output]) -> None:
    """Queue records one by one, with their headers."""
    produce = producer.produce
    for topic, key, value, headers in outputs:
        while True:
            try:
                produce(topic, value, key, headers=[*headers] or None)
            except BufferError:  # its queue is full: let it drain
                producer.poll(0.1)
            else:
                break


def append(producer: Any, outputs: Sequence[Output]) -> None:
    """Queue records in their order: those without headers together, the others one by one: a batch has no headers."""
    for (topic, headed), part in groupby(outputs, lambda output: (output[0], bool(output[3]))):
        if headed:
            produce_all(producer, part)
        else:
            _append_batch(producer, topic, [{"value": value, "key": key} for _, key, value, _ in part])


def _append_batch(producer: Any, topic: str, messages: list[dict[str, bytes | None]]) -> None:
    left = messages
    while left:
        producer.produce_batch(topic, left)
        if left := [message for message in left if "_error" in message]:
            _refuse_all_but_full(left)
            producer.poll(0.1)  # its queue is full: let it drain


def _refuse_all_but_full(left: list[dict[str, Any]]) -> None:
    for message in left:
        error = message.pop("_error")
        if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - librdkafka's own code
            raise KafkaException(error)


def records_of(messages: Sequence[Any]) -> list[Record]:
    """The client's messages as the transport's records, without those that are errors and pass.

    Raises:
        KafkaException: one that does not.
        UnavailableError: a batch cannot be unpacked, or is too large for the client.
    """
    errors = list(map(Message.error, messages))
    if any(errors):
        for error in filter(None, errors):
            if error.code() in _FATAL or error.fatal():
                raise KafkaException(error)
            if error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001 - librdkafka's own code
                _refuse_packed(messages)
        messages = [message for message, error in zip(messages, errors, strict=True) if error is None]
    columns = (Message.topic, Message.partition, Message.offset, _appended_ms, Message.key, Message.value)
    return list(map(_made, zip(*(map(column, messages) for column in columns), _headers(messages), strict=True)))


def _refuse_packed(messages: Sequence[Any]) -> NoReturn:
    """The client asks for the same batch again and again, in silence: its partition stands still."""
    bad = next(each for each in messages if each.error() and each.error().code() == KafkaError._BAD_COMPRESSION)  # noqa: SLF001
    raise UnavailableError(
        f"{bad.topic()} {bad.partition()} has a batch at {bad.offset()} that this client does not unpack.",
        "Set stream.transport to kafka-python, which makes one dead letter of it: docs/how-to/secure.md.",
    )


def last_of(messages: Sequence[Any]) -> Iterable[Any]:
    """The last message of each partition, errors left out."""
    return {message.partition(): message for message in filterfalse(Message.error, messages)}.values()


def missing_right(messages: Sequence[Any]) -> Any:
    """The broker's refusal among what a group's member was given; None where there is none.

    librdkafka says it once, beside the records, and asks on in silence.
    """
    errors = filter(None, map(Message.error, messages))
    return next((error for error in errors if error.code() in _RIGHTS), None)


def _appended_ms(message: Any) -> int:
    return int(message.timestamp()[1])


def _headers(messages: Sequence[Any]) -> list[tuple[tuple[str, bytes], ...]]:
    """The headers of each message.

    Where the name of one is no UTF-8, the client gives a list with holes and leaves an error behind. Only a caller
    written in C, as ``map`` is, looks for it; the list must not be asked for again, or a hole ends the process.
    """
    found: list[tuple[tuple[str, bytes], ...]] = []
    given = map(Message.headers, messages)
    while True:
        try:
            found.extend(with_values(headers or ()) for headers in given)
        except SystemError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            found.append(UNREADABLE_HEADERS)
        else:
            return found


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
    except KafkaException as error:
        reason = error.args[0]
        code = reason.code() if isinstance(reason, KafkaError) else None
        # how librdkafka tells a consumer of it: a fatal error, whose reason only its text says
        if code == KafkaError.FENCED_INSTANCE_ID or (code == KafkaError._FATAL and "consumer fenced" in reason.str()):  # noqa: SLF001
            raise FencedError from error
        if code in _TOO_LARGE:
            raise TooLargeError from error
        if code == KafkaError._AUTHENTICATION:  # noqa: SLF001 - librdkafka's own code
            raise UnavailableError("Kafka refused the user or its password.", LOGIN) from error
        action = RIGHTS if code in _RIGHTS else BROKER
        raise UnavailableError(f"Kafka refused: {reason}.", action) from error
