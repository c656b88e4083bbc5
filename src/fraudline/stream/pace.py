"""How many records the next batch may take, so that none waits longer than it may.

    pace = Pace(most=2_000, max_latency_s=0.2)
    records = transport.poll(pace.size, 0.1)
    ...
    pace.took(len(records), seconds, waited_s)

A record that comes just after a poll waits for that batch and then for its own: each may take half of the greatest
latency. A worker that is idle gets small batches, because few records wait; one that is behind gets full ones, whose
size doubles while there is time left and shrinks when there is not. One that is so far behind that its records are
late before it takes them gets them as large as they may be: it serves most by catching up. But a size is not doubled
where twice the time would come near to that in which a group member must poll (five minutes), and a batch that could
not be ended in that time is tried again with half of its records.
"""

_FIRST = 256
_LEAST = 256
"""Below it a transaction's own cost outweighs its records: a worker that is behind would fall behind further."""
_ROOM = 0.5  # a size is doubled when the batch took less than this part of its time
_SAFETY = 0.9
_LONG_S = 100.0  # a batch of twice as many records still ends in time


class Pace:
    """The size of batches.

    Args:
        most: records a batch, whatever the time.
        max_latency_s: seconds from the append of a record to the commit of its decision, while the worker keeps up.
    """

    def __init__(self, most: int, max_latency_s: float) -> None:
        self._most = most
        self._late_s = max_latency_s
        self._budget = max_latency_s / 2
        self.size = min(_FIRST, most)

    def took(self, records: int, seconds: float, waited_s: float = 0.0) -> None:
        """Learn from a batch.

        Args:
            records: how many it had.
            seconds: from its poll to its commit.
            waited_s: seconds from the append of its oldest record to its poll.
        """
        if waited_s > self._late_s:
            self.size = min(2 * self.size, self._most) if seconds < _LONG_S else self.size
        elif seconds > self._budget:
            shrunk = int(min(records, self.size) * self._budget / seconds * _SAFETY)
            self.size = min(max(shrunk, _LEAST), self._most)
        elif records >= self.size and seconds < self._budget * _ROOM:
            self.size = min(2 * self.size, self._most)

    def gave_up(self) -> None:
        """Learn from a batch that could not be ended in the time it had."""
        self.size = max(self.size // 2, 1)
