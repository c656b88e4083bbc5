"""Spans of the predictor's requests: a context that came along is continued, others are drawn by the ratio."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudline.core.tracing import HEADER, Tracing, is_sampled

_CODE = "rpc.grpc.status_code"
_OURS = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
    )
)  # fmt: skip
"""Codes that say that the server failed, and not who asked (OpenTelemetry's conventions for gRPC)."""


Handle: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
"""What handles a call of gRPC: its messages and its context."""


class TracedRequests:
    """ASGI middleware: a span ``predict`` around a POST that is traced.

    A CloudEvent's context is its extension, the header ``ce-traceparent``; the plain header comes first.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within its span."""
        came = _came_with(scope)
        wanted = scope["type"] == "http" and scope["method"] == "POST"
        if not wanted or not (is_sampled(came) if came else self._tracing.draw(1)):
            await self._app(scope, receive, send)
            return
        attributes = {"http.request.method": "POST", "url.path": scope["path"]}
        with self._tracing.span("predict", parent=came, kind="server", attributes=attributes) as span:

            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set(**{"http.response.status_code": message["status"]})
                await send(message)

            await self._app(scope, receive, answered)


class TracedCalls:
    """A span ``predict`` around a gRPC call that is traced; its context is the metadata's.

    Args:
        tracing: makes the spans.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def around(self, handle: Handle, method: str, metadata: Mapping[str, Any]) -> Handle:
        """What handles a call of ``/service/method``, within a span; itself where the call is not traced."""
        came = str(metadata.get(HEADER, ""))
        if not (is_sampled(came) if came else self._tracing.draw(1)):
            return handle
        service, name = method.strip("/").split("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

        async def traced(messages: Any, context: Any) -> Any:
            span = self._tracing.start("predict", parent=came, kind="server", attributes=attributes)
            code = 0
            try:
                return await handle(messages, context)
            except BaseException as error:
                code = _code(context, error)
                if code in _OURS:
                    span.failed(error)
                raise
            finally:
                span.set(**{_CODE: code})
                span.end()

        return traced


def _code(context: Any, error: BaseException) -> int:
    """What the caller is told: the code that the call was aborted with, else what gRPC makes of an error."""
    left = grpc.StatusCode.CANCELLED if isinstance(error, asyncio.CancelledError) else grpc.StatusCode.UNKNOWN
    given = context.code()
    return int(getattr(given, "value", (given,))[0]) or int(left.value[0])


def _came_with(scope: Scope) -> str:
    headers = dict(scope.get("headers", ()))
    return bytes(headers.get(HEADER.encode()) or headers.get(f"ce-{HEADER}".encode()) or b"").decode("latin-1")
