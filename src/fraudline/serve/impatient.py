"""Connections that are cut where a client dribbles a request's head, lets it grow without end or reads no answer."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fraudline.core.log import get_logger
from fraudline.serve.guard import LIMITS, Limits

log = get_logger(__name__)


def impatient(limits: Limits = LIMITS) -> type[HttpToolsProtocol]:
    """The protocol class of uvicorn with limits for a request's head and for the time that its answer is read in."""

    class ImpatientProtocol(HttpToolsProtocol):
        _kept = 0
        _head: asyncio.TimerHandle | None = None
        _answer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.parser = _Http1(self)  # type: ignore[assignment]  # in the place of httptools' own
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            if self._head is None and (self.cycle is None or self.cycle.response_complete):
                self._expect_head()
            self._kept += len(data)
            super().data_received(data)  # sets it back where a head ended or a body went on
            if self._kept > limits.head_bytes:
                self._cut("head too large")

        def on_headers_complete(self) -> None:
            if self.parser.should_upgrade():
                return  # it comes once more, without the offer
            self._head = _cancel(self._head)
            self._kept = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._kept = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            if not self.parser.should_upgrade():
                super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer = self._answer or self.loop.call_later(limits.answer_s, self._cut, "answer not read")

        def resume_writing(self) -> None:
            self._answer = _cancel(self._answer)
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head, self._answer = _cancel(self._head), _cancel(self._answer)
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            self._head = self.loop.call_later(limits.head_s, self._cut, "head not whole")

        def _cut(self, reason: str) -> None:
            self._head, self._answer = _cancel(self._head), _cancel(self._answer)
            log.warning("serve.cut", reason=reason)
            self.transport.abort()

    return ImpatientProtocol


class _Http1:
    """A parser that stays with HTTP/1.1 where a client offers another protocol, as a server may (RFC 9110, 7.8).

    llhttp by itself ends at the head of such a request and drops its body: Java's client offers HTTP/2 with a POST.

    Args:
        protocol: has ``url`` and ``headers`` of the head that was read, and hears of it again without the offer.
    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._parser = protocol.parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes | memoryview) -> None:
        """Parse some bytes.

        Raises:
            HttpParserError: they are no HTTP.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._parser.get_method() == b"CONNECT":
                    raise httptools.HttpParserError("no proxy") from offer
                data = memoryview(data)[offer.args[0] :]
                head = self._head()
                self._parser = httptools.HttpRequestParser(self._protocol)
                self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                self._parser.feed_data(head)
            else:
                return

    def _head(self) -> bytes:
        version = self._parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._protocol.url, version)]
        lines += [b"%s: %s" % line for line in self._protocol.headers if line[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
