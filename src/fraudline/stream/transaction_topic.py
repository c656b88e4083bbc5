"""The topic of transactions as a table, from a moment on: what happened since a data set ended.

table, left_out = transactions_since(params, currencies, begin_us, end_us)
"""

from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa

from fraudline.core.clock import from_us
from fraudline.core.log import get_logger
from fraudline.data.schema import ORDER, TRANSACTIONS
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Transaction
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import open_consumer, places_at, read_partition

log = get_logger(__name__)

_SLACK_US = 3_600_000_000
"""How far a sender's clock may be ahead of the broker's."""


_ACTION = "Use a data set whose end is newer than the oldest record that the topic keeps."


def transactions_table(rows: Iterable[Transaction]) -> pa.Table:
    """Messages as ``schema.TRANSACTIONS``, in their order."""
    listed = list(rows)
    columns: dict[str, Any] = {}
    for field in TRANSACTIONS:
        values = [getattr(row, field.name) for row in listed]
        if field.name == "event_time":
            columns[field.name] = pa.array(values, pa.int64()).cast(field.type)
        else:
            columns[field.name] = pa.array(values, field.type)
    return pa.table(columns, schema=TRANSACTIONS)


def transactions_since(
    params: StreamParams, currencies: Collection[str], begin_us: int, end_us: int
) -> tuple[pa.Table, int]:
    """Transactions whose event time lies in ``[begin_us, end_us)``, each once; the first copy of an id counts.

    Read are the records that were appended from an hour before ``begin_us`` on: an event is appended after it happened,
    unless its sender's clock is ahead by more. A record that holds no transaction is left out, as the worker does.
    Where the topic has lost records of that time already, a line of the log says from when to when.

    Args:
        params: broker and topic.
        currencies: that the feature specification can convert.
        begin_us: µs since the epoch.
        end_us: the same.

    Returns:
        The table in the order of a data set, by time and id, and how many records hold no transaction.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    decoder = Decoder(currencies, tokens_only=params.tokens_only)
    parts, seen, left_out, begun_us = [], set[str](), 0, begin_us
    with open_consumer(params) as consumer:
        starts = dict(places_at(consumer, params.topics.transactions, begin_us - _SLACK_US))
        beginnings = consumer.beginning_offsets(list(starts))
        for place, start in starts.items():
            cut = 0 < start == beginnings[place]  # there were records before, and which is not known any more
            for records in read_partition(consumer, place, start, params.timeout_s):
                begun_us = max(begun_us, records[0].timestamp_ms * 1000) if cut else begun_us
                cut = False
                good, bad = decoder.decode_all([record.value for record in records])
                rows = []
                for row in good:
                    if begin_us <= row.event_time < end_us and row.transaction_id not in seen:
                        seen.add(row.transaction_id)
                        rows.append(row)
                parts.append(transactions_table(rows))
                left_out += len(bad)
    if begun_us > begin_us:
        log.warning("transactions.missing", since=_said(begin_us), topic_begins=_said(begun_us), action=_ACTION)
    table = pa.concat_tables([TRANSACTIONS.empty_table(), *parts]).sort_by(ORDER)
    log.info("transactions.read", topic=params.topics.transactions, rows=table.num_rows, left_out=left_out)
    return table, left_out


def _said(moment_us: int) -> str:
    return from_us(moment_us).isoformat(timespec="seconds")
