"""A clock of wall and CPU seconds from the first record of a contestant to its last commit."""

import json
import resource
import sys
import time
from typing import Any


class Watch:
    """Starts when it is told of the first records; :meth:`finish` prints one JSON line."""

    def __init__(self) -> None:
        self._started: tuple[float, float] | None = None

    def start(self) -> None:
        """The first records are here; later calls do nothing."""
        if self._started is None:
            self._started = time.monotonic(), _cpu()

    def finish(self, records: int, **more: Any) -> None:
        """Everything is committed."""
        if self._started is None:
            raise SystemExit("no record came")
        wall, cpu = time.monotonic() - self._started[0], _cpu() - self._started[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        json.dump({"records": records, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak / 1024, **more}, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
