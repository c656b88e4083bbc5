"""Requests that arrive together go through the model in one call.

No request waits for another one: what the event loop has read by the time that the model is called is one batch. A lone
request is a batch of one, and while a batch runs the next one gathers, so batches grow with the load by themselves.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Answer = TypeVar("Answer")
Row = NDArray[np.float32]

ALONE_ROWS = 128
"""A request of this many rows gains nothing from company: a call's own cost is spread over its rows already."""


class InFlight(Generic[Answer]):
    """Gathers the rows of waiting requests for one call.

    Args:
        call: the model; (n, d) float32 to an answer, raises what the requests are told.
        part: some rows of an answer.
        gather: False scores each request by itself.
    """

    def __init__(
        self, call: Callable[[Row], Answer], part: Callable[[Answer, slice], Answer], *, gather: bool = True
    ) -> None:
        self._call = call
        self._part = part
        self._gather = gather
        self._waiting: list[tuple[Row, asyncio.Future[Answer]]] = []
        self._rows = 0

    async def __call__(self, rows: Row) -> Answer:
        """The model's answer for (n, d) rows."""
        if not self._gather or len(rows) >= ALONE_ROWS:
            return self._call(rows)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((rows, future))
        self._rows += len(rows)
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        elif self._rows >= ALONE_ROWS:
            self._flush()
        return await future

    def _flush(self) -> None:
        waiting, self._waiting, self._rows = self._waiting, [], 0
        if not waiting:
            return
        try:
            found = self._call(waiting[0][0] if len(waiting) == 1 else np.concatenate([rows for rows, _ in waiting]))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        start = 0
        for rows, future in waiting:
            if not future.done():  # the client may be gone
                future.set_result(self._part(found, slice(start, start + len(rows))))
            start += len(rows)
