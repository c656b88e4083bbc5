"""Whether a partition's log goes on where its group stands.

A client whose place is no longer in the log goes to the log's beginning, and says so to nobody. Records that were
deleted before they were read are gone: that is said and counted. A log that lost its end would be decided on a second
time: that is refused. A group of which Kafka knows no place may have been away for too long: that is said.
"""

from collections.abc import Mapping
from typing import Protocol

from prometheus_client import Counter

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger

log = get_logger(__name__)

_MARKER = 1
"""Offsets that the end of a producer's transaction takes."""


_NO_PLACE = (
    "Nothing for a new group. One that has decided here decides again: stop its workers and set its offsets to the "
    "first undecided records, docs/how-to/stream.md."
)


class Places(Protocol):
    """What it asks the broker for: see :class:`fraudline.stream.transport.Transport`."""

    def beginning(self, partition: int) -> int:
        """The first offset that the log still has."""
        ...

    def end(self, partition: int) -> int:
        """The offset after its last record."""
        ...

    def group_offset(self, partition: int) -> int | None:
        """Where the group goes on; None where it has committed nothing."""
        ...


class Continuity:
    """Watches the first offset of what is polled.

    Args:
        topic: the topic ``transactions``.
        places: the broker.
        deleted: counts offsets that were deleted before they were read.
    """

    def __init__(self, topic: str, places: Places, deleted: Counter) -> None:
        self._topic = topic
        self._places = places
        self._deleted = deleted
        self._told: dict[int, int] = {}  # by partition, up to where deleted records were told
        self._suspected: set[int] = set()
        self._new: set[int] = set()

    def begins(self, partition: int, first: int) -> None:
        """Compare the first record after a rebalance, a recovery or a step back with what the group has committed.

        Raises:
            UnavailableError: the client may have gone to the beginning by itself; the worker asks for the group's place
                again, because another member may have committed meanwhile.
            UsageError: it has gone there again.
        """
        stands = self._places.group_offset(partition)
        if stands is None:
            self.has_no_place({partition: first})
        if stands is None or stands == first:
            self._suspected.discard(partition)
            return
        beginning = self._places.beginning(partition)
        self._tell(partition, stands, beginning)
        if first >= stands:
            return
        log.warning("log.goes_back", partition=partition, group_stands_at=stands, first=first)
        if first <= beginning:
            self._refuse(partition, stands, beginning)

    def has_no_place(self, firsts: Mapping[int, int]) -> None:
        """Say, once a partition, that Kafka knows no place of the group: it is new, or was away for too long.

        Which of the two only its decisions tell, and a worker has no right to read them. Of a partition without a
        record nothing can have been decided, and nothing is said.

        Args:
            firsts: by partition, the offset that it decides from.
        """
        new = {partition: first for partition, first in firsts.items() if partition not in self._new}
        self._new |= new.keys()
        told = {partition: first for partition, first in new.items() if self._places.end(partition) > first}
        if told:
            log.warning("group.has_no_place", topic=self._topic, decides_from=told, action=_NO_PLACE)

    def goes_on(self, partition: int, expected: int, first: int) -> None:
        """Look for deleted records between two batches."""
        if first - expected > _MARKER:
            self._tell(partition, expected, self._places.beginning(partition))

    def _tell(self, partition: int, stands: int, beginning: int) -> None:
        since = max(stands, self._told.get(partition, stands))
        if since >= beginning:
            return
        self._told[partition] = beginning
        self._deleted.inc(beginning - since)
        log.error(
            "records.deleted_unread",
            partition=partition,
            undecided_from=since,
            log_begins=beginning,
            action=f"Keep {self._topic} longer than the group may lag (retention.ms, retention.bytes).",
        )

    def _refuse(self, partition: int, stands: int, beginning: int) -> None:
        problem = (
            f"Partition {partition} of {self._topic} comes from its beginning, {beginning}, but the group has decided "
            f"on all before {stands}: the log has lost its end, or all it had."
        )
        if partition not in self._suspected:
            self._suspected.add(partition)
            raise UnavailableError(problem, "Nothing to do yet: the group's place is asked for again.")
        action = "Set the group's offset to its first undecided record (kafka-consumer-groups --reset-offsets)."
        raise UsageError(problem, f"{action} Then start the worker again.")
