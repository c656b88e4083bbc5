"""Requests that arrive together go through the model in one call.

No request waits for a clock: a batch is what has come when the event loop has made some turns in which nothing more
came. While a batch runs the next one gathers, so batches grow with the load by themselves.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

ALONE_ROWS = 128
"""A request of this many rows gains nothing from company: the cost of a call is spread over its rows already."""

PATIENCE = 1
"""Turns without a newcomer that end the wait: over HTTP all that has arrived is read in one turn."""

GRPC_PATIENCE = 24
"""gRPC hands over one call at a time, with several turns between two calls that came together."""


class InFlight(Generic[Job, Result]):
    """Gathers waiting jobs for one call.

    Args:
        call: the model; a result for each job.
        rows: of a job.
        patience: of a job, in turns.
        gather: False calls the model for each job by itself.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Job]], list[Result]],
        *,
        rows: Callable[[Job], int],
        patience: Callable[[Job], int],
        gather: bool = True,
    ) -> None:
        self._call = call
        self._size = rows
        self._patience = patience
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
            loop.call_soon(self._settle, loop, 1, self._patience(job))
        elif self._rows >= ALONE_ROWS:
            self._flush()
        return await future

    def _settle(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int) -> None:
        now = len(self._waiting)
        if now > seen:
            turns = self._patience(self._waiting[-1][0])
        if now > seen or turns > 1:
            loop.call_soon(self._settle, loop, now, turns - (now == seen))
        else:
            self._flush()

    def _flush(self) -> None:
        # a job that is done was cancelled: its client is gone
        waiting = [(job, future) for job, future in self._waiting if not future.done()]
        self._waiting, self._rows = [], 0
        if not waiting:
            return
        try:
            results = self._call([job for job, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), result in zip(waiting, results, strict=True):
            future.set_result(result)
