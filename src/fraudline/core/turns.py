"""Threads that must not wait for each other's long turns."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SHORT_S = 0.001
_lock = threading.Lock()
_users = 0
_usual_s = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """Let the interpreter pass from thread to thread after 1 ms instead of 5 while any caller is inside.

    A thread of many short steps in C, each of which gives the interpreter away, waits for a whole turn of a busy one to
    get it back. Not for always: the busy thread loses about 3 % by it.
    """
    global _users, _usual_s  # noqa: PLW0603 - the interval is the interpreter's, and so is its count of users
    with _lock:
        if not _users:
            _usual_s = sys.getswitchinterval()
            sys.setswitchinterval(_SHORT_S)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                sys.setswitchinterval(_usual_s)
