"""The blocked cards: a compacted topic that the worker writes with its decisions and honours in the order of the log.

    cards = BlockedCards(KafkaCardLog(params))
    cards.align(0)                          # partition 0's list as committed, before its first record is decided
    cards.blocked(0, "c-1", at_us)          # the entry, or None
    cards.put(0, BlockedCard(...))          # at once, for the rest of the batch too
    cards.committed()                       # or abandoned(), as the batch's transaction ended

The topic is keyed by card and has as many partitions as ``transactions``, so a card's entry lies in the partition of
its transactions and moves with it from worker to worker. What this worker put on the list holds before it is read
back; what others put there is read by :meth:`BlockedCards.follow`.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from kafka import KafkaConsumer, TopicPartition

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.stream.decoding import UNREADABLE
from fraudline.stream.kafka_client import translated
from fraudline.stream.messages import BlockedCard
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import client_settings, places_of, read_partition
from fraudline.stream.transport import Record

log = get_logger(__name__)

_card = msgspec.json.Decoder(BlockedCard)


class CardLog(Protocol):
    """The committed records of the topic."""

    def ends(self, partitions: Collection[int], *, settled: bool) -> Mapping[int, int]:
        """The offset after the last record; with ``settled`` after the last one whose transaction has ended.

        Raises:
            UnavailableError: the broker does not answer.
            UsageError: ``transactions`` got partitions that the topic has not.
        """
        ...

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The committed records of ``[start, end)``; waits for transactions that are open below ``end``.

        Raises:
            UnavailableError: the records did not come in time.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class _Partition:
    """The list of one partition: what was read, and what this worker committed and has not read yet."""

    def __init__(self) -> None:
        self.position = 0
        self.read: dict[str, BlockedCard] = {}
        self.own: dict[str, BlockedCard] = {}

    def get(self, card: str) -> BlockedCard | None:
        return self.own.get(card) or self.read.get(card)

    def take(self, records: list[Record]) -> None:
        for record in records:
            card = (record.key or b"").decode("utf-8", errors="replace")
            entry = entry_of(record)
            if entry is None:
                self.read.pop(card, None)
            else:
                self.read[card] = entry
                if self.own.get(card) == entry:
                    del self.own[card]
            self.position = record.offset + 1


class BlockedCards:
    """The lists of the partitions that a worker owns. One thread.

    Args:
        source: the topic.
    """

    def __init__(self, source: CardLog) -> None:
        self._source = source
        self._partitions: dict[int, _Partition] = {}
        self._batch: dict[tuple[int, str], BlockedCard] = {}

    def __len__(self) -> int:
        """Cards on the lists, expired ones included."""
        return sum(len(part.read.keys() | part.own.keys()) for part in self._partitions.values())

    def align(self, partition: int) -> None:
        """Bring a partition's list to all that is in the log now, before its next record is decided.

        Every transaction that had begun is waited for: the offsets of the predecessor's last batch and its blocked
        cards commit together, but are seen at different moments.

        Raises:
            UnavailableError: the topic cannot be read.
        """
        part = self._partitions.setdefault(partition, _Partition())
        end = self._source.ends([partition], settled=False)[partition]
        self._read(partition, part, end)
        part.own.clear()

    def follow(self, owned: Collection[int]) -> None:
        """Read what was added to the lists of the owned partitions, and forget the others'.

        Raises:
            UnavailableError: the topic cannot be read.
        """
        self._partitions = {number: part for number, part in self._partitions.items() if number in owned}
        if self._partitions:
            for number, end in self._source.ends(self._partitions, settled=True).items():
                self._read(number, self._partitions[number], end)

    def _read(self, partition: int, part: _Partition, end: int) -> None:
        if part.position < end:
            for records in self._source.read(partition, part.position, end):
                part.take(records)
            part.position = end

    def blocked(self, partition: int, card: str, at: int) -> BlockedCard | None:
        """The entry that blocks a transaction of the card at ``at`` (µs since the epoch), or None."""
        part = self._partitions.get(partition)
        entry = self._batch.get((partition, card)) or (part.get(card) if part is not None else None)
        return entry if entry is not None and at < entry.until else None

    def put(self, partition: int, entry: BlockedCard) -> None:
        """Put a card on the list as part of the batch in hand."""
        self._batch[partition, entry.card_id] = entry

    def committed(self) -> None:
        """The batch's transaction was committed."""
        for (partition, card), entry in self._batch.items():
            self._partitions.setdefault(partition, _Partition()).own[card] = entry
        self._batch.clear()

    def abandoned(self) -> None:
        """The batch was given up; whether it was committed is found out by :meth:`align`."""
        self._batch.clear()

    def close(self) -> None:
        """Let go of connections."""
        self._source.close()


def entry_of(record: Record) -> BlockedCard | None:
    """The entry that a record of the topic holds; None for a tombstone and for what is no entry."""
    if not record.value:
        return None
    try:
        return _card.decode(record.value)
    except UNREADABLE as error:
        log.warning("cards.foreign", partition=record.partition, offset=record.offset, problem=str(error))
        return None


class KafkaCardLog:
    """The topic on a broker.

    Args:
        params: broker and topics.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: the topic is missing, or its partitions are not those of ``transactions``.
    """

    def __init__(self, params: StreamParams) -> None:
        self._topic, self._transactions = params.topics.blocked_cards, params.topics.transactions
        self._timeout_s = params.timeout_s
        with contextlib.ExitStack() as stack, translated():
            self._reader, self._newest = (self._open(params, level, stack) for level in _LEVELS)
            self._check()
            self._stack = stack.pop_all()

    def _check(self) -> None:
        count, wanted = (len(places_of(self._reader, topic)) for topic in (self._topic, self._transactions))
        if count != wanted:
            raise UsageError(
                f"{self._topic} has {count} partitions and {self._transactions} has {wanted}.",
                "Give both the same number: a card's entry must lie where its transactions do.",
            )

    @staticmethod
    def _open(params: StreamParams, isolation: str, stack: contextlib.ExitStack) -> Any:
        consumer = KafkaConsumer(**{**client_settings(params), "isolation_level": isolation})
        return stack.enter_context(contextlib.closing(consumer))

    def ends(self, partitions: Collection[int], *, settled: bool) -> Mapping[int, int]:
        """See the protocol."""
        with translated():
            if not self._reader.partitions_for_topic(self._topic).issuperset(partitions):  # some were added since
                for client in (self._reader, self._newest):
                    client.topics()  # what it knew is out of date
                self._check()
            places = [TopicPartition(self._topic, partition) for partition in partitions]
            found = (self._reader if settled else self._newest).end_offsets(places)
        return {place.partition: int(end) for place, end in found.items()}

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """See the protocol."""
        with translated():
            yield from read_partition(
                self._reader, TopicPartition(self._topic, partition), start, self._timeout_s, end=end
            )

    def close(self) -> None:
        """See the protocol."""
        self._stack.close()


_LEVELS = ("read_committed", "read_uncommitted")
