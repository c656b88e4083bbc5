"""The newest scores of the topic ``decisions``: what thresholds are adjusted by."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import DataError, SchemaError
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
                except msgspec.DecodeError as error:
                    problem = (
                        f"{place.topic} {place.partition} has a record near {records[0].offset} that is no decision"
                    )
                    raise SchemaError(f"{problem}: {error}.", "Name the topic in stream.topics.decisions.") from error
    mine = sorted((each for each in found if each.model_version == model_version), key=lambda each: each.decided_at)
    if not mine:
        raise DataError(
            f"{params.topics.decisions} has no newer decision of the model {model_version}.",
            "Name the model that decides, or wait for decisions.",
        )
    return np.array([each.score for each in mine[-window:]], np.float32)
