"""Transactions read back by partition and offset: only those that are asked for, and what lies close between them."""

from collections.abc import Iterable, Iterator

from fraudline.core.errors import MessageError
from fraudline.core.log import get_logger
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Transaction
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import open_consumer, places_of, read_partition

log = get_logger(__name__)

_GAP = 500
"""Offsets between two wanted transactions from which on a new place is sought: about what one answer brings."""


def transactions_at(
    params: StreamParams, decoder: Decoder, wanted: set[tuple[int, int]]
) -> tuple[dict[tuple[int, int], Transaction], int]:
    """The transactions at these partitions and offsets, as far as the topic still has them, and how many were read.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    found: dict[tuple[int, int], Transaction] = {}
    count = 0
    with open_consumer(params) as consumer:
        places = places_of(consumer, params.topics.transactions)
        ends = consumer.end_offsets(places)
        for place in places:  # what lies beyond the end was of a topic that was made anew
            offsets = sorted(at for partition, at in wanted if partition == place.partition and at < ends[place])
            for first, last in _runs(offsets):
                for records in read_partition(consumer, place, first, params.timeout_s, end=last + 1):
                    count += len(records)
                    for record in records:
                        if (record.partition, record.offset) in wanted:
                            try:
                                found[record.partition, record.offset] = decoder.decode(record.value)
                            except MessageError as error:  # decided by a spec that knew the currency, say
                                log.warning("transactions.left_out", offset=record.offset, problem=error.problem)
    return found, count


def _runs(offsets: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of ascending offsets without a wide gap."""
    first = last = -1
    for offset in offsets:
        if first >= 0 and offset - last > _GAP:
            yield first, last
            first = -1
        first, last = offset if first < 0 else first, offset
    if first >= 0:
        yield first, last
