"""Spans of the predictor's requests: a context that came along is continued, others are drawn by the ratio."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudline.core.tracing import HEADER, Tracing, is_sampled


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


def _came_with(scope: Scope) -> str:
    headers = dict(scope.get("headers", ()))
    return bytes(headers.get(HEADER.encode()) or headers.get(f"ce-{HEADER}".encode()) or b"").decode("latin-1")
