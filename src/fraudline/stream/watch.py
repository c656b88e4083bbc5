"""Something outside that may change while the worker runs: looked at by a thread, taken between two batches."""

import threading
from collections import deque
from typing import Generic, TypeVar

from fraudline.core.errors import FraudlineError
from fraudline.core.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")


class Watch(Generic[T]):
    """A thread that looks every ``interval_s`` seconds; what it finds waits until it is taken.

    A subclass sets itself up and then calls :meth:`_begin`; its :meth:`_look` loads and proves what is new.

    Args:
        name: of the thread, and of its lines in the log (``name.refused``).
        interval_s: seconds between two looks.
    """

    def __init__(self, name: str, interval_s: float) -> None:
        self._name, self._interval_s = name, interval_s
        self._next: deque[T] = deque(maxlen=1)  # changed by two threads, each time in one step
        self._problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)

    @property
    def problem(self) -> str:
        """Why what is out there is not in use; empty when it is, or will be."""
        return self._problem

    def take(self) -> T | None:
        """What is new, once. Never waits."""
        try:
            return self._next.pop()
        except IndexError:
            return None

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _begin(self) -> None:
        self._thread.start()

    def _look(self) -> T | None:
        """What is new; None for nothing.

        Raises:
            FraudlineError: there is something that cannot be used.
        """
        raise NotImplementedError

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                found = self._look()
            except Exception as error:  # a thread that ended would leave what comes later unseen
                other = f"{type(error).__name__}: {error}"
                refused = error if isinstance(error, FraudlineError) else FraudlineError(other)
                if refused.problem != self._problem:
                    log.warning(f"{self._name}.refused", problem=refused.problem, action=refused.action)
                self._problem = refused.problem
                continue
            if found is not None:
                self._next.append(found)
