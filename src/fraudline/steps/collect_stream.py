"""What collecting reads of the topics, and what it remembers so that the next one goes on from there.

    stream = read_stream(params, window, now, remembered(data))
    memory = stream.memory(transactions, window)    # written with the data set, which is its next version

A collected data set says up to which offset of ``decisions`` everything had matured, and which decisions of its window
have no row: blocked without a label, or no longer in the topic. These are looked at again, and what lies after that
offset; nothing else is. So a second collecting gives what one from the beginning would give.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.clock import DAY_US, to_us
from fraudline.core.log import get_logger
from fraudline.data.store import EXTRA, read_meta
from fraudline.steps.matured import Decided, Window, decided_of, hold
from fraudline.steps.params import Params
from fraudline.stream.decoding import Decoder
from fraudline.stream.labels import newest, read_label_topic
from fraudline.stream.messages import Label, Transaction
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition
from fraudline.stream.transaction_places import transactions_at

log = get_logger(__name__)

META, LEFT_OUT = "stream", "left_out"
"""Of the data set: the key of ``dataset.json``, and the extra table."""

_LEFT = pa.schema(
    [
        *((name, pa.string()) for name in ("transaction_id", "card_id")),
        ("event_time", pa.int64()),
        *((name, pa.string()) for name in ("decision", "model_version")),
        *((name, pa.int64()) for name in ("partition", "offset")),
        ("sampled", pa.float64()),
    ]
)


class Memory(msgspec.Struct, frozen=True):
    """Where a collecting ended.

    Attributes:
        topic: of the decisions.
        first: day since the epoch that its window began with.
        end: day that it ended before.
        positions: by partition, the offset before which every decision had matured.
        left: decisions before that offset without a row.
    """

    topic: str
    first: int
    end: int
    positions: dict[int, int]
    left: tuple[Decided, ...] = ()

    def serves(self, topic: str, window: Window) -> bool:
        """Whether a collecting of ``window`` needs nothing that this one passed by."""
        return topic == self.topic and self.first <= (window.first or 0) and self.end <= window.end

    def document(self) -> dict[str, Any]:
        """As it stands in ``dataset.json``; ``left`` is a table beside it."""
        return {"topic": self.topic, "first": self.first, "end": self.end,
                "positions": {str(key): value for key, value in sorted(self.positions.items())}}  # fmt: skip

    def table(self) -> pa.Table:
        """The decisions that were left out, in the order of their names."""
        rows = sorted(self.left, key=lambda each: each.transaction_id)
        return pa.Table.from_pylist([msgspec.structs.asdict(each) for each in rows], schema=_LEFT)


def remembered(dataset: Path | None) -> Memory | None:
    """Where the collecting that made a data set ended; None where it was not collected, or does not say."""
    if dataset is None or (found := read_meta(dataset).get(META)) is None:
        return None
    rows = pq.read_table(dataset / EXTRA / f"{LEFT_OUT}.parquet").to_pylist()
    memory = msgspec.json.decode(json.dumps(found), type=Memory)
    return msgspec.structs.replace(memory, left=tuple(Decided(**row) for row in rows))


@dataclass(frozen=True, slots=True)
class Stream:
    """What the topics hold: decisions by transaction, transactions by partition and offset, labels that hold.

    Attributes:
        decided: decisions of the window.
        transactions: of those decisions, by partition and offset.
        labels: that hold, by transaction.
        topic: of the decisions.
        positions: by partition, the offset before which every decision has matured.
        read: records that were read of ``decisions`` and of ``transactions``.
    """

    decided: Mapping[str, Decided]
    transactions: Mapping[tuple[int, int], Transaction]
    labels: Mapping[str, Label]
    topic: str = ""
    positions: Mapping[int, int] = field(default_factory=dict)
    read: tuple[int, int] = (0, 0)

    def memory(self, transactions: pa.Table, window: Window) -> Memory:
        """Where this collecting ends, once its window's rows are ``transactions``."""
        kept = set(transactions["transaction_id"].to_pylist())
        left = tuple(each for name, each in self.decided.items() if name not in kept)
        return Memory(self.topic, window.first or 0, window.end, dict(self.positions), left)


def read_stream(params: Params, window: Window, now: datetime, memory: Memory | None = None) -> Stream:
    """Read the three topics up to their present ends, decisions from where ``memory`` ends.

    Labels are read whole: there are few, and any of them may be of a decision of any day.

    Raises:
        SchemaError: a record is no decision.
        UnavailableError: the broker does not answer.
        UsageError: a topic is missing.
    """
    topic = params.stream.topics.decisions
    held: dict[str, Decided] = {}
    positions: dict[int, int] = {}
    count = 0
    with open_consumer(params.stream) as consumer:
        places = places_of(consumer, topic)
        ends = consumer.end_offsets(places)
        if (
            memory is None
            or not memory.serves(topic, window)
            or any(
                memory.positions.get(place.partition, 0) > ends[place]
                for place in places  # the topic was made anew
            )
        ):
            memory = Memory(topic, 0, 0, {})
        hold(held, memory.left, window)
        for place in places:
            position, matured = memory.positions.get(place.partition, 0), True
            for records in read_partition(consumer, place, position, params.stream.timeout_s):
                decided = list(map(decided_of, records))
                hold(held, decided, window)
                for record, each in zip(records, decided, strict=True):
                    matured = matured and each.event_time // DAY_US < window.end
                    if matured:
                        position = record.offset + 1
                count += len(records)
            positions[place.partition] = position
    wanted = {(each.partition, each.offset) for each in held.values()}
    decoder = Decoder(params.features.resolve().currencies)
    found, looked = transactions_at(params.stream, decoder, wanted)
    log.info("collect.read", decisions=count, transactions=looked, remembered=bool(memory.positions))
    labels = newest(read_label_topic(params.stream), before_us=to_us(now))
    return Stream(held, found, labels, topic, positions, (count, looked))
