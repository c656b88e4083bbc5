"""The topic ``decisions`` as an audit trail reads it: day by day, each partition in the order of its offsets.

    with open_log(params) as log:
        for piece in log.days({0: 1_024}, until_ms): ...       # pieces of (day, offsets, records)

A day is the UTC day in which the broker appended a record (``LogAppendTime``), so a partition's days are ranges of
offsets, and the same topic always gives the same pieces.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import UsageError
from fraudline.stream.kafka_client import translated
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import offsets_at, open_consumer, places_of, read_partition
from fraudline.stream.transport import Record

_DAY_MS = DAY_US // 1000


@dataclass(frozen=True)
class Piece:
    """The decisions of one day.

    Attributes:
        day: ISO date.
        offsets: of each partition, the first offset and the one after the last.
        expired: offsets before them that Kafka has deleted since the piece before.
        records: read when they are asked for, partition by partition.
    """

    day: str
    offsets: Mapping[int, tuple[int, int]]
    expired: int
    records: Iterator[Record]


class DecisionLog:
    """Reads committed decisions up to the topic's present end; use :func:`open_log`."""

    def __init__(self, consumer: Any, params: StreamParams) -> None:
        self._consumer = consumer
        self._params = params
        with translated():
            self._places = {place.partition: place for place in places_of(consumer, params.topics.decisions)}
            self._begins = self._by_partition(consumer.beginning_offsets(list(self._places.values())))
            self._stable = self._by_partition(consumer.end_offsets(list(self._places.values())))

    def days(self, start: Mapping[int, int], until_ms: int) -> Iterator[Piece]:
        """One piece a day, oldest first; a day without a record gives none.

        Args:
            start: where each partition goes on; its first record when it is not named.
            until_ms: only records appended before, milliseconds since the epoch.

        Raises:
            UnavailableError: the broker does not answer.
            UsageError: the topic ends before ``start``: it is not the one that was read before.
        """
        for partition, offset in start.items():
            if offset > self._stable.get(partition, 0):
                raise UsageError(
                    f"{self._params.topics.decisions} {partition} ends before {offset}, where the trail goes on.",
                    "Name the topic that was exported, or begin a trail in another folder.",
                )
        ends = {p: start.get(p, begin) for p, begin in self._begins.items()}
        last = self._before(until_ms)
        while first := {p: ms for p in self._places if (ms := self._first_ms(p, ends[p], last[p])) is not None}:
            day = min(first.values()) // _DAY_MS
            upto = self._before(min((day + 1) * _DAY_MS, until_ms))
            ranges = {}
            for p, begin in ends.items():
                least = begin + (p in first and first[p] // _DAY_MS == day)  # whatever the order of times, it goes on
                ranges[p] = (begin, max(least, upto[p]))
            expired = sum(max(0, self._begins[p] - begin) for p, begin in ends.items())
            yield Piece(from_us(day * DAY_US).date().isoformat(), ranges, expired, self._records(ranges))
            ends = {p: end for p, (_, end) in ranges.items()}

    def _records(self, ranges: Mapping[int, tuple[int, int]]) -> Iterator[Record]:
        for partition, (begin, end) in sorted(ranges.items()):
            for records in self._read(partition, begin, end):
                yield from records

    def _read(self, partition: int, begin: int, end: int) -> Iterator[list[Record]]:
        with translated():
            yield from read_partition(self._consumer, self._places[partition], begin, self._params.timeout_s, end=end)

    def _first_ms(self, partition: int, begin: int, end: int) -> int | None:
        """When the first record of a range was appended."""
        if begin >= end:
            return None
        records = next(self._read(partition, begin, end), None)
        return records[0].timestamp_ms if records else None

    def _before(self, moment_ms: int) -> dict[int, int]:
        """The offset after the last record that was appended before a moment."""
        with translated():
            ends = {self._places[p]: end for p, end in self._stable.items()}
            return self._by_partition(offsets_at(self._consumer, ends, moment_ms))

    @staticmethod
    def _by_partition(values: Mapping[Any, Any]) -> dict[int, Any]:
        return {place.partition: value for place, value in values.items()}


@contextlib.contextmanager
def open_log(params: StreamParams) -> Iterator[DecisionLog]:
    """A reader of the topic ``decisions``.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with open_consumer(params) as consumer:
        yield DecisionLog(consumer, params)
