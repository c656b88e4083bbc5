"""Spans of the predictor's requests: a context that came along is continued, others are drawn by the ratio."""

from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudline.core.tracing import HEADER, Tracing, is_sampled

_INFER = "/ModelInfer"
_CODE = "rpc.grpc.status_code"
_OURS = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
    )
)  # fmt: skip
"""Codes that say that the server failed, and not who asked (OpenTelemetry's conventions for gRPC)."""


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


class TracedCalls(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no type information
    """A span ``predict`` around a gRPC call of ``ModelInfer`` that is traced; its context is the metadata's."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def intercept_service(self, continuation: Callable[[Any], Any], call: Any) -> Any:
        """Put a span around the call's handler."""
        handler = continuation(call)
        came = str(dict(call.invocation_metadata).get(HEADER, ""))
        if not call.method.endswith(_INFER) or not (is_sampled(came) if came else self._tracing.draw(1)):
            return handler
        answer = handler.stream_unary or handler.unary_unary
        make = grpc.stream_unary_rpc_method_handler if handler.stream_unary else grpc.unary_unary_rpc_method_handler
        return make(
            self._within(answer, came, call.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _within(self, answer: Callable[[Any, Any], Any], came: str, method: str) -> Any:
        service, name = method.strip("/").split("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

        def traced(request: Any, context: Any) -> Any:
            span = self._tracing.start("predict", parent=came, kind="server", attributes=attributes)
            code = 0
            try:
                return answer(request, context)
            except Exception as error:
                code = _code(context)
                if code in _OURS:
                    span.failed(error)
                raise
            finally:
                span.set(**{_CODE: code})
                span.end()

        return traced


def _code(context: Any) -> int:
    """What the caller is told: the code that the call was aborted with, else what gRPC makes of an error."""
    return int((context.code() or grpc.StatusCode.UNKNOWN).value[0])


def _came_with(scope: Scope) -> str:
    headers = dict(scope.get("headers", ()))
    return bytes(headers.get(HEADER.encode()) or headers.get(f"ce-{HEADER}".encode()) or b"").decode("latin-1")
