"""Under which leader the last record before a place was written.

A group's place is committed with it: where the log is cut by an unclean election and has grown beyond the place again,
the broker knows where that leader's records end, and the client goes on there.
"""

UNKNOWN = -1
"""Kafka's own word for an epoch that nobody knows."""


class LeaderEpochs:
    """Of each partition, the epoch of the record that was polled last."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}

    def note(self, partition: int, next_offset: int, epoch: int | None) -> None:
        """Remember the epoch of the record before ``next_offset``; None or a negative one is unknown."""
        self._last[partition] = next_offset, UNKNOWN if epoch is None else epoch

    def before(self, partition: int, offset: int) -> int:
        """The epoch of the record before ``offset``; :data:`UNKNOWN` where that is not the one polled last."""
        next_offset, epoch = self._last.get(partition, (offset, UNKNOWN))
        return epoch if next_offset == offset else UNKNOWN
