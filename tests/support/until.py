"""Waiting for what another thread does."""

import time
from collections.abc import Callable
from typing import Any


def until(check: Callable[[], Any], what: str = "it", *, timeout: float = 120.0, interval: float = 0.01) -> Any:
    """What ``check`` gives once it is true; an AssertionError after ``timeout`` seconds without.

    The limit ends a test that hangs: no machine is so slow that it reaches it.
    """
    deadline = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        time.sleep(interval)
    return found
