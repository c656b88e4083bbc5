"""Stops a worker that runs in this process once it has committed enough."""

import threading
from typing import Any


class StopAfter:
    """Give it as ``on_batch`` and its ``event`` as ``stop``.

    Args:
        records: committed records that end the worker.
        timeout_s: ends it in any case.
    """

    def __init__(self, records: int, timeout_s: float = 900.0) -> None:
        self.event = threading.Event()
        self.seen = 0
        self.reports: list[Any] = []
        self._records = records
        self._timer = threading.Timer(timeout_s, self.event.set)
        self._timer.daemon = True
        self._timer.start()

    def __call__(self, report: Any) -> None:
        self.reports.append(report)
        self.seen += report.records
        if self.seen >= self._records:
            self.event.set()
            self._timer.cancel()
