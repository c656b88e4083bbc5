"""Patience with a service that fails: how long to wait before a retry, and when to stop asking for a while.

    breaker = CircuitBreaker(failures=5, pause_s=1.0, most_s=30.0)
    if breaker.wait_s() == 0: ...        # ask; then breaker.succeeded() or breaker.failed()

Pauses have full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): workers that failed together do
not come back together.
"""

import random
import time
from collections.abc import Callable


def backoff_s(attempt: int, first_s: float, most_s: float, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait before a retry: uniform below ``first_s`` doubled ``attempt`` times, at most ``most_s``.

    Args:
        attempt: retries before this one.
        first_s: the longest first wait, seconds.
        most_s: the longest wait, seconds.
        chance: uniform in [0, 1).
    """
    return chance() * float(min(first_s * 2 ** min(attempt, 32), most_s))


class CircuitBreaker:
    """Closed while the service answers; open after failures in a row; half open when a pause is over.

    A half-open breaker allows asking: success closes it, failure opens it for twice the pause. Not thread-safe.

    Args:
        failures: in a row that open it.
        pause_s: the first pause, seconds; half of it at least, because of the jitter.
        most_s: the longest pause, seconds.
        clock: seconds, never going back.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        failures: int,
        pause_s: float,
        most_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._allowed = failures
        self._pause_s = pause_s
        self._most_s = most_s
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._openings = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether the service counts as down; also while half open."""
        return self._openings > 0

    def wait_s(self) -> float:
        """Seconds until the service may be asked; 0 for now."""
        return max(0.0, self._until - self._clock()) if self.open else 0.0

    def succeeded(self) -> None:
        """The service answered."""
        self._failures = self._openings = 0

    def failed(self) -> None:
        """The service did not answer, or not as it should."""
        self._failures += 1
        if self.open or self._failures >= self._allowed:
            longest = min(self._pause_s * 2 ** min(self._openings, 32), self._most_s)
            self._openings += 1
            self._until = self._clock() + longest * (1 + self._chance()) / 2
