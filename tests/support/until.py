"""Waiting for what another thread does."""

import time
from collections.abc import Callable


def until(check: Callable[[], object]) -> object:
    """What ``check`` gives once it is true; an AssertionError after 20 s without."""
    deadline = time.monotonic() + 20
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
