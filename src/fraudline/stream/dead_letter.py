"""Dead letters: records that hold no transaction, kept with their bytes, and sent again when the cause is mended.

    letter = DeadLetter.parse(record)          # a record of the topic transactions.dlq
    output = letter.replayed()                 # the record as it first came

A dead letter is the record's own key, value and headers behind four headers of the worker: ``reason``, ``topic``,
``partition`` and ``offset``, the place it came from. Its bytes are the record's but for the digits of card numbers:
they are masked (:mod:`fraudline.core.masking`), never come back, and a header ``masked`` says so. A record larger than
``MOST_BYTES`` is cut, and a header ``cut`` gives the whole size of its value; the record itself is still where the
headers say. A record with neither key nor value has an empty value here.
"""

from dataclasses import dataclass, replace
from typing import Self

import msgspec

from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import MessageError
from fraudline.core.masking import mask_bytes, mask_text
from fraudline.stream.transport import NOT_UNPACKED, Output, Record

MOST_BYTES = 15 << 20
"""Largest record kept whole: what the worker's producer takes (16 MiB a request), less headers."""

SMALL_BYTES = 512 << 10
"""The same where the topic took no larger one: what any takes whose limit is at least about Kafka's default."""

_CUT_BYTES = 1 << 20
_KEY_BYTES = 1 << 10
_HEADERS_BYTES = 64 << 10
_MOST_REASON = 500
Headers = tuple[tuple[str, bytes], ...]
_OWN = ("reason", "topic", "partition", "offset")
_CUT = "cut"
SEALED = "sealed"
"""Header of a letter that only its card's key opens: the record's own key, encrypted; the letter's is a pseudonym."""

SEALED_HEADERS = "sealed-headers"
"""Header of such a letter: the headers that its record came with, encrypted too."""

_MASKED = "masked"
_LINE = "record-headers"
"""Empty header between the marks and a record's own headers, where the first of those is named like a mark."""

_Bytes = bytes | None
_MARKS = (SEALED, SEALED_HEADERS, _MASKED, _CUT)
_headers = msgspec.json.Decoder(Headers)
REPLAYED = "replayed"
"""Header of a record that was sent again: the dead letter's ``partition:offset``."""


def dead_letter(topic: str, record: Record, reason: str, most: int = MOST_BYTES) -> Output:
    """The record as it came, card numbers masked, with the reason and the place it came from in its headers.

    Args:
        topic: of dead letters.
        record: that holds no transaction.
        reason: what is wrong with it; a long one is cut, because it quotes the record.
        most: bytes of a record that is kept whole; of a larger one its beginning is.
    """
    came = (record.value, record.key, record.headers)
    marks: Headers = ()
    value, key, headers = _without_card_numbers(*came)  # before the cut, which may go through a number
    if (value, key, headers) != came:
        marks = ((_MASKED, b"card numbers"),)
    if _size(record.headers) + len(record.key or b"") + len(record.value or b"") > most:
        value, key, headers = _beginning(value, key, headers, min(_CUT_BYTES, most // 2))
        marks += ((_CUT, str(len(record.value or b"")).encode()),)
    own = (
        ("reason", mask_text(reason)[:_MOST_REASON].encode(errors="replace")),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    )
    line = ((_LINE, b""),) if headers and headers[0][0] in (*_MARKS, _LINE) else ()
    return _sendable(Output(topic, key, value, (*own, *marks, *line, *headers)))


def _size(headers: Headers) -> int:
    return sum(len(name) + len(content) for name, content in headers)


def _beginning(value: _Bytes, key: _Bytes, headers: Headers, most: int) -> tuple[_Bytes, _Bytes, Headers]:
    return value and value[:most], key and key[:_KEY_BYTES], headers if _size(headers) <= _HEADERS_BYTES else ()


def _sendable(output: Output) -> Output:
    """The record, with an empty value where it has neither key nor value: kafka-python refuses to send such a one."""
    return output._replace(value=b"") if output.key is None and output.value is None else output


def _without_card_numbers(value: bytes | None, key: bytes | None, headers: Headers) -> tuple[_Bytes, _Bytes, Headers]:
    return (
        None if value is None else mask_bytes(value),
        None if key is None else mask_bytes(key),
        tuple((mask_text(name), mask_bytes(content)) for name, content in headers),
    )


def not_unpacked(record: Record) -> str:
    """What is wrong with a record that stands for a batch which was not unpacked; empty for any other."""
    if record.value is not None or record.key is not None:
        return ""
    return next(
        (f"batch: {what.decode(errors='replace')}" for name, what in record.headers if name == NOT_UNPACKED), ""
    )


def is_replayed(record: Record) -> bool:
    """Whether the record is a dead letter that was sent again."""
    return any(name == REPLAYED for name, _ in record.headers)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of the dead letter topic.

    Attributes:
        partition: of the dead letter topic.
        offset: its place there.
        written_ms: when, in milliseconds since the epoch.
        reason: what is wrong with it.
        topic: where it came from, as are ``source_partition`` and ``source_offset``.
        key: as it came.
        value: as it came, or the first MiB of it.
        headers: those it came with.
        cut_from: the whole size of a value that was cut, in bytes; None for a whole one.
        sealed_key: the record's key, encrypted as ``value`` is, of a letter that is sealed; ``key`` is a pseudonym.
        sealed_headers: its headers, encrypted too; empty in letters of versions that did not seal them.
        masked: whether digits of card numbers were masked.
    """

    partition: int
    offset: int
    written_ms: int
    reason: str
    topic: str
    source_partition: int
    source_offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    cut_from: int | None = None
    sealed_key: bytes | None = None
    sealed_headers: bytes = b""
    masked: bool = False

    @property
    def place(self) -> str:
        """``partition:offset`` in the dead letter topic: its name on the command line."""
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, record: Record) -> Self:
        """Read a record of the dead letter topic.

        Raises:
            MessageError: it was not written by a worker.
        """
        own, marks, came = cls.split(record.headers)
        if tuple(name for name, _ in own) != _OWN or not all(number.isdigit() for _, number in own[2:]):
            problem = f"{record.topic} {record.partition}:{record.offset} has no headers {', '.join(_OWN)}."
            raise MessageError(problem, "Only workers may write to the dead letter topic.")
        reason, topic, partition, offset = (value.decode(errors="replace") for _, value in own)
        marked = dict(marks)
        return cls(
            partition=record.partition,
            offset=record.offset,
            written_ms=record.timestamp_ms,
            reason=reason,
            topic=topic,
            source_partition=int(partition),
            source_offset=int(offset),
            key=record.key,
            value=record.value,
            headers=came,
            cut_from=int(cut) if (cut := marked.get(_CUT, b"")).isdigit() else None,
            sealed_key=marked.get(SEALED),
            sealed_headers=marked.get(SEALED_HEADERS, b""),
            masked=_MASKED in marked,
        )

    @staticmethod
    def split(headers: Headers) -> tuple[Headers, Headers, Headers]:
        """The worker's own headers, its marks in their order, and the headers that the record came with."""
        place = len(_OWN)
        for mark in _MARKS:
            place += len(headers) > place and headers[place][0] == mark
        line = len(headers) > place and headers[place][0] == _LINE
        return headers[: len(_OWN)], headers[len(_OWN) : place], headers[place + line :]

    def opened(self, keys: CardKeys) -> Self:
        """The letter as it was before it was sealed; itself where it is not, or where its card was erased."""
        if self.sealed_key is None:
            return self
        pseudonym = (self.key or b"").decode()
        value = None if self.value is None else keys.opened(pseudonym, self.value)
        key = keys.opened(pseudonym, self.sealed_key) if self.sealed_key else None
        if (value is None) != (self.value is None):
            return self
        content = keys.opened(pseudonym, self.sealed_headers) if self.sealed_headers else None
        headers = self.headers if content is None else _headers.decode(content)
        return replace(self, key=key, value=value, headers=headers, sealed_key=None, sealed_headers=b"")

    def replayed(self) -> Output:
        """The record as it first came, with the dead letter's place in one more header.

        Raises:
            MessageError: the value was cut, is sealed, or never was unpacked.
        """
        if self.sealed_key is not None:
            problem = f"The dead letter {self.place} is sealed, and its card's key is not at hand."
            raise MessageError(problem, "Name the store (stream.card_keys); an erased card's letters stay closed.")
        if any(name == NOT_UNPACKED for name, _ in self.headers):
            problem = f"The dead letter {self.place} stands for a batch that was not unpacked."
            raise MessageError(problem, "Have its producer send the transactions again, in smaller batches.")
        if self.cut_from is not None:
            problem = f"The dead letter {self.place} holds only the beginning of its {self.cut_from} bytes."
            action = f"Read the whole record from {self.topic} {self.source_partition}:{self.source_offset}."
            raise MessageError(problem, action)
        headers = tuple(header for header in self.headers if header[0] != REPLAYED)
        return _sendable(Output(self.topic, self.key, self.value, (*headers, (REPLAYED, self.place.encode()))))
