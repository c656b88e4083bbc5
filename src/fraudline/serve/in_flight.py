"""Requests that arrive together go through the model in one call: of an event loop, or of threads.

No request waits for a clock: a batch is what has come when the event loop has made a turn without a newcomer, or when
the model is free for the next thread. While a batch runs the next gathers: batches grow with the load by themselves.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

ALONE_ROWS = 128
"""A request of this many rows gains nothing from company: the cost of a call is spread over its rows already."""


class InFlight(Generic[Job, Result]):
    """Gathers waiting jobs for one call.

    Args:
        call: the model; a result for each job.
        rows: of a job.
        gather: False calls the model for each job by itself.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Job]], list[Result]],
        *,
        rows: Callable[[Job], int],
        gather: bool = True,
    ) -> None:
        self._call = call
        self._size = rows
        self._gather = gather
        self._waiting: list[tuple[Job, asyncio.Future[Result]]] = []
        self._rows = 0

    async def __call__(self, job: Job) -> Result:
        """The result of a job. What the model raises is raised to every job of the call."""
        rows = self._size(job)
        if not self._gather or rows >= ALONE_ROWS:
            return self._call([job])[0]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((job, future))
        self._rows += rows
        if len(self._waiting) == 1:
            loop.call_soon(self._settle, loop, 1)
        elif self._rows >= ALONE_ROWS:
            self._flush()
        return await future

    def _settle(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        now = len(self._waiting)
        if now > seen:
            loop.call_soon(self._settle, loop, now)
        else:
            self._flush()

    def _flush(self) -> None:
        # a job that is done was cancelled: its client is gone
        waiting = [(job, future) for job, future in self._waiting if not future.done()]
        self._waiting, self._rows = [], 0
        if not waiting:
            return
        _answer(self._call, waiting)


class ThreadsInFlight(Generic[Job, Result]):
    """Gathers the jobs of threads that wait for the model: the first of them calls it for all.

    Args:
        call: the model; a result for each job.
        rows: of a job.
        gather: False calls the model for each job by itself.
    """

    def __init__(
        self, call: Callable[[Sequence[Job]], list[Result]], *, rows: Callable[[Job], int], gather: bool = True
    ) -> None:
        self._call = call
        self._size = rows
        self._gather = gather
        self._waiting: deque[tuple[Job, Future[Result]]] = deque()
        self._free = threading.Lock()

    def __call__(self, job: Job) -> Result:
        """The result of a job. What the model raises is raised to every job of the call."""
        if not self._gather or self._size(job) >= ALONE_ROWS:
            return self._call([job])[0]
        own: Future[Result] = Future()
        self._waiting.append((job, own))
        with self._free:
            while not own.done():
                self._flush()
        return own.result()

    def _flush(self) -> None:
        """Call the model for those who wait, the longest first; only whoever holds the lock takes from them."""
        taken, rows = [], 0
        while self._waiting and rows < ALONE_ROWS:
            taken.append(self._waiting.popleft())
            rows += self._size(taken[-1][0])
        _answer(self._call, taken)


def _answer(
    call: Callable[[Sequence[Job]], list[Result]],
    waiting: Sequence[tuple[Job, "asyncio.Future[Result] | Future[Result]"]],
) -> None:
    """One call for all: each gets its result, or what the call raised."""
    try:
        results = call([job for job, _ in waiting])
    except Exception as error:
        for _, future in waiting:
            future.set_exception(error)
        return
    for (_, future), result in zip(waiting, results, strict=True):
        future.set_result(result)
