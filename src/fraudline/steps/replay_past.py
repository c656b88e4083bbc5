"""What a replay begins with: past transactions with their features, and what was decided on them then."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import compress
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.clock import from_us, to_us
from fraudline.core.errors import SchemaError
from fraudline.data.store import days, read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact
from fraudline.ops.audit.trail import Trail
from fraudline.steps.params import Params
from fraudline.stream.decoding import UNREADABLE, Decoder
from fraudline.stream.dedupe import SeenIds
from fraudline.stream.history import History
from fraudline.stream.partition import Advanced, PartitionState
from fraudline.stream.produce import messages_of
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition, read_topic
from fraudline.stream.transport import Record, Transport

_CHUNK = 2_000


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What is compared of a decision."""

    transaction_id: str
    score: float
    decision: str
    model_version: str
    threshold_version: str
    threshold: float = 0.0
    profile_version: str = ""


VERDICTS = msgspec.json.Decoder(Verdict)
"""Reads one from a decision as it is appended."""


def from_dataset(
    artifact: Artifact, profiles: ProfileTable | None, dataset: Path | None, window: tuple[int, int]
) -> Iterator[Advanced]:
    """The data set in its order, a day at a time; days before the window warm the state and are not kept."""
    folder = dataset or Path()
    engine = FeatureEngine(artifact.card_spec, profiles)
    offset = 0
    for day in days(folder):
        begin_us = to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
        if begin_us >= window[1]:
            return
        table = read_transactions(folder, day, day + timedelta(days=1))
        features = engine.advance(columns_from_table(table))
        if to_us(from_us(begin_us) + timedelta(days=1)) <= window[0]:
            continue
        for start in range(0, table.num_rows, _CHUNK):
            messages = list(messages_of(table.slice(start, _CHUNK)))
            records = [
                Record(str(folder), 0, offset + n, message.event_time // 1000, message.card_id.encode(), None)
                for n, message in enumerate(messages)
            ]
            offset += len(records)
            yield Advanced(records, messages, features[start : start + len(messages)], [])


def from_topic(
    artifact: Artifact, profiles: ProfileTable | None, history: Path | None, params: Params
) -> Iterator[Advanced]:
    """The topic as a worker reads it from its beginning: bad records left out, copies of an event decided once."""
    stream = params.stream
    spec = artifact.card_spec
    with open_consumer(stream) as consumer:
        places = places_of(consumer, stream.topics.transactions)
        past = History(history, spec, profiles, len(places)) if history is not None else None
        for place in places:
            engines = partial(past.engine, place.partition) if past else lambda _: FeatureEngine(spec, profiles)
            state = PartitionState(
                place.partition,
                engines=engines,
                decoder=Decoder(spec.currencies),
                transport=cast(Transport, None),  # it only advances, and reads nothing itself
                store=None,
                memories=partial(SeenIds, stream.dedupe_hours, stream.dedupe_most),
            )
            for records in read_partition(consumer, place, 0, stream.timeout_s):
                yield state.advance(records)


def within(part: Advanced, window: tuple[int, int]) -> Advanced:
    """The transactions of the window."""
    inside = [window[0] <= transaction.event_time < window[1] for transaction in part.transactions]
    if all(inside):
        return part
    return replace(
        part,
        records=list(compress(part.records, inside)),
        transactions=list(compress(part.transactions, inside)),
        features=part.features[np.array(inside, bool)],
    )


def recorded_decisions(source: Path | None, params: Params) -> dict[str, Verdict]:
    """Recorded decisions by transaction, the newest of each."""
    if source is not None and source.is_file() and source.suffix not in (".jsonl", ".ndjson", ".json"):
        columns = Verdict.__struct_fields__[: -len(Verdict.__struct_defaults__)]
        try:
            table = pq.read_table(source, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise SchemaError(
                f"{source} cannot be read: {error}.", f"Give the columns {', '.join(columns)}."
            ) from error
        return {row["transaction_id"]: Verdict(**row) for row in table.to_pylist()}
    found = {}
    for value in _values(source, params):
        try:
            verdict = VERDICTS.decode(value)
        except UNREADABLE as error:
            name = source or params.stream.topics.decisions
            raise SchemaError(f"{name} has a record that is no decision: {error}.", "Name decisions.") from error
        found[verdict.transaction_id] = verdict
    return found


def _values(source: Path | None, params: Params) -> Iterator[bytes]:
    if source is None:
        yield from (record.value or b"" for record in read_topic(params.stream, params.stream.topics.decisions))
    elif source.is_dir():
        for seal in Trail.open(source).seals:
            with pq.ParquetFile(source / seal.file) as file:
                for batch in file.iter_batches(columns=["value"]):
                    yield from batch.column(0).to_pylist()
    else:
        with source.open("rb") as lines:
            yield from (line for line in lines if line.strip())
