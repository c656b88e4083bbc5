"""The newest decisions of the topic ``decisions``: what thresholds are adjusted by and drift is measured on."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.errors import DataError, SchemaError
from fraudline.data.json_lines import table_of_lines
from fraudline.monitor.window import PIECE_ROWS, Piece, piece_of
from fraudline.stream.decoding import UNREADABLE
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition

_SPARE = 1.5
"""Offsets that are looked at for each record wanted: partitions differ, and transactions leave markers between."""


class _Scored(msgspec.Struct, frozen=True, gc=False):
    """What is read of a decision."""

    score: float
    decided_at: int
    model_version: str


def newest_scores(params: StreamParams, window: int, model_version: str) -> NDArray[np.float32]:
    """The newest scores of one model, oldest first.

    Args:
        params: broker and topics.
        window: scores at most.
        model_version: whose scores; those of another model are left out.

    Returns:
        (n,) float32, n at most ``window``.

    Raises:
        DataError: the topic has no decision of this model.
        SchemaError: a record is no decision.
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    decoder = msgspec.json.Decoder(_Scored)
    found: list[_Scored] = []
    with open_consumer(params) as consumer:
        places = places_of(consumer, params.topics.decisions)
        ends = consumer.end_offsets(places)
        back = math.ceil(window * _SPARE / len(places))
        for place in places:
            for records in read_partition(consumer, place, max(ends[place] - back, 0), params.timeout_s):
                try:
                    found += [decoder.decode(record.value or b"") for record in records]
                except UNREADABLE as error:
                    raise _no_decision(place, records[0].offset, error) from error
    mine = sorted((each for each in found if each.model_version == model_version), key=lambda each: each.decided_at)
    if not mine:
        raise DataError(
            f"{params.topics.decisions} has no newer decision of the model {model_version}.",
            "Name the model that decides, or wait for decisions.",
        )
    return np.array([each.score for each in mine[-window:]], np.float32)


def newest_decisions(params: StreamParams, rows: int, names: Sequence[str], model_version: str) -> Iterator[Piece]:
    """A bounded window of committed decisions, as :func:`fraudline.monitor.window.pieces` gives those of a file.

    Args:
        params: broker and topics.
        rows: newest decisions that are looked at, at most; each partition gives its share of what the topic keeps.
        names: d feature names.
        model_version: whose decisions; those of another model are left out.

    Raises:
        SchemaError: a record is no decision, or has another number of features.
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    with open_consumer(params) as consumer:
        places = places_of(consumer, params.topics.decisions)
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        kept = max(sum(ends[place] - begins[place] for place in places), 1)
        for place in places:
            start = ends[place] - int((ends[place] - begins[place]) * min(rows / kept, 1.0))
            lines: list[bytes] = []
            first = start
            for records in read_partition(consumer, place, start, params.timeout_s):
                lines += [record.value for record in records if record.value]
                if len(lines) >= PIECE_ROWS:
                    yield from _piece(place, first, lines, names, model_version)
                    lines, first = [], records[-1].offset + 1
            yield from _piece(place, first, lines, names, model_version)


def _piece(place: Any, first: int, lines: Sequence[bytes], names: Sequence[str], model_version: str) -> Iterator[Piece]:
    if not lines:
        return
    source = f"{place.topic} {place.partition}"
    try:
        table = table_of_lines(lines)
    except pa.ArrowInvalid as error:
        raise _no_decision(place, first, error) from error
    piece = piece_of(table, names, source, model_version)
    if len(piece):
        yield piece


def _no_decision(place: Any, offset: int, error: Exception) -> SchemaError:
    problem = f"{place.topic} {place.partition} has a record near {offset} that is no decision"
    return SchemaError(f"{problem}: {error}.", "Name the topic in stream.topics.decisions.")
