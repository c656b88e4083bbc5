"""What a watch found is handed over once, and never lost between its two threads."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

from fraudline.stream.watch import Watch

SECONDS = 10.0


class Looking(Watch[str]):
    """Finds what it is told to find, when it is told."""

    def __init__(self) -> None:
        super().__init__("looking", 0.001)
        self._found: list[str] = []
        self._looked = threading.Event()
        self._begin()

    def find(self, what: str) -> None:
        """Return when it waits to be taken."""
        self._found.append(what)
        for _ in range(2):  # the second look begins after what the first one found was put down
            self._looked.clear()
            assert self._looked.wait(SECONDS)

    def _look(self) -> str | None:
        found = self._found.pop() if self._found else None
        self._looked.set()
        return found


def taken(watch: Looking, step: int) -> Iterator[str | None]:
    """What is taken where something is found when the taking is ``step`` instructions old, and what is taken next."""
    left = step

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code is not Watch.take.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                watch.find("new")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield watch.take()
    finally:
        sys.settrace(before)
    if left > 0:
        watch.find("new")
    yield watch.take()


def test_what_is_found_while_something_is_taken_is_taken_next() -> None:
    watch = Looking()
    try:
        for step in range(1, 12):
            assert [found for found in taken(watch, step) if found] == ["new"], step
        assert watch.take() is None, "once"
    finally:
        watch.close()
