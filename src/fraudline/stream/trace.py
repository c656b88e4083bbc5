"""The trace of a batch and of the transactions in it.

A batch is a trace of its own: consume, decode, features, score, produce, commit, and what an endpoint adds. A
transaction that is traced has the span ``decide`` in the trace that its record came with, linked to the batch; what is
appended about it carries on from there. Transactions without a context are drawn by the ratio; a batch is traced when a
transaction of it is.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

from fraudline.core.tracing import HEADER, Span, Tracing, is_sampled
from fraudline.stream.dead_letter import Headers
from fraudline.stream.partition import Advanced
from fraudline.stream.transport import Record

_UNSAMPLED = b"00"


class Onward(NamedTuple):
    """What is appended about n records.

    Attributes:
        ids: of each one's trace; "" without.
        headers: with the context that goes on; () without.
        decisions: those of decisions, which are as many as records and whose headers cost.
    """

    ids: list[str]
    headers: list[Headers]
    decisions: list[Headers]

    @classmethod
    def nothing(cls, count: int) -> "Onward":
        """Nobody traces."""
        bare: list[Headers] = [()] * count
        return cls([""] * count, bare, bare)


class BatchTrace:
    """The spans of one batch.

    Args:
        tracing: makes them.
        records: of the batch.
        asked: when the records were asked for, ``time.monotonic``.
        begun: when they were there.
    """

    def __init__(self, tracing: Tracing, records: Sequence[Record], asked: float, begun: float) -> None:
        self._tracing = tracing
        self._zero_ns = time.time_ns() - time.monotonic_ns()
        self._spans: dict[int, Span] = {}
        self._batch: Span | None = None
        self._records = records = sorted(records, key=attrgetter("partition"))  # as they are worked on
        self._came = came = _came_with(records)
        self._ids = [context[0][1][3:35].decode("latin-1") if context else "" for context in came]
        bare = [row for row, context in enumerate(came) if not context]
        parents = {
            row: context[0][1].decode(errors="replace")
            for row, context in enumerate(came)
            if context and context[0][1][-2:] != _UNSAMPLED and is_sampled(context[0][1])
        } | {bare[at]: "" for at in tracing.draw(len(bare))}
        if not parents:
            return
        self._batch = tracing.start(
            "batch", kind="consumer", links=[parent for parent in parents.values() if parent],
            begin_ns=self._ns(asked),
            attributes={"messaging.system": "kafka", "messaging.batch.message_count": len(records)},
        )  # fmt: skip
        self.stage("consume", asked, begun)
        for row, parent in parents.items():
            record = records[row]
            self._spans[row] = tracing.start(
                "decide", parent=parent, kind="consumer", links=[self._batch.traceparent], begin_ns=self._ns(begun),
                attributes={
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                },
            )  # fmt: skip

    def onward(self, records: Sequence[Record]) -> Onward:
        """What is appended about records of the batch.

        Where somebody else decided not to record a trace, its context goes on as it came, on decisions if
        :attr:`~fraudline.core.tracing.TracingParams.carry_on` says so.
        """
        headers, ids, spans = list(self._came), list(self._ids), self._spans
        if records != self._records:
            rows = [self._rows[record.partition, record.offset] for record in records]
            headers, ids = [headers[row] for row in rows], [ids[row] for row in rows]
            spans = {at: spans[row] for at, row in enumerate(rows) if row in spans}
        decisions: list[Headers] = list(headers) if self._tracing.carries_all_on else [()] * len(records)
        for row, span in spans.items():
            ids[row] = span.trace_id
            headers[row] = decisions[row] = ((HEADER, span.traceparent.encode()),)
        return Onward(ids, headers, decisions)

    @cached_property
    def _rows(self) -> dict[tuple[int, int], int]:
        """Where each record stands in the batch."""
        return {(record.partition, record.offset): row for row, record in enumerate(self._records)}

    def stages(self, parts: Sequence[Advanced], moments: Sequence[float], appended_at: float) -> None:
        """The parts of a batch that is committed.

        Args:
            parts: what each partition gave.
            moments: when the records were there, were advanced, were judged, and were committed.
            appended_at: when the client had the outputs; it sends them while it commits.
        """
        for part in parts:
            begin, decoded, advanced = part.moments
            self.stage("decode", begin, decoded, transactions=len(part.transactions), refused=len(part.bad))
            self.stage("features", decoded, advanced, transactions=len(part.transactions))
        self.stage("produce", moments[2], appended_at)
        self.stage("commit", appended_at, moments[3])

    def stage(self, name: str, begin: float, end: float, **attributes: Any) -> None:
        """A part of the batch that is over; moments of ``time.monotonic``."""
        if self._batch is not None:
            parent = self._batch.traceparent
            self._tracing.start(name, parent=parent, begin_ns=self._ns(begin), attributes=attributes).end(self._ns(end))

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Around the scoring: an endpoint that is asked meanwhile continues the trace."""
        span = nullcontext() if self._batch is None else self._tracing.span("score", parent=self._batch.traceparent)
        with span:
            yield

    def end(self, error: BaseException | None = None) -> None:
        """The batch is committed, or failed."""
        spans = [*self._spans.values(), *([self._batch] if self._batch is not None else [])]
        for span in spans:
            if error is not None:
                span.failed(error)
            span.end()

    def _ns(self, moment: float) -> int:
        """Nanoseconds since the epoch of a moment of ``time.monotonic``."""
        return self._zero_ns + int(moment * 1e9)


def _came_with(records: Sequence[Record]) -> list[Headers]:
    """Of each record the header with a context, alone; nothing where it has none."""
    return [
        headers
        if not (headers := record.headers) or (len(headers) == 1 and headers[0][0] == HEADER and headers[0][1])
        else next(((header,) for header in headers if header[0] == HEADER and header[1]), ())
        for record in records
    ]
