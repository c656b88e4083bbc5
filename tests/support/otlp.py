"""A collector on loopback that keeps the spans it is sent (OTLP over HTTP, protobuf)."""

import gzip
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.loopback import LoopbackServer


@dataclass(frozen=True)
class SpanSeen:
    name: str
    service: str
    trace: str
    span: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    begin_ns: int
    end_ns: int
    failed: bool


class Collector(LoopbackServer):
    """Runs for the length of a ``with`` block."""

    def __init__(self) -> None:
        self.spans: list[SpanSeen] = []
        super().__init__(_handler(self.spans))

    def named(self, name: str) -> list[SpanSeen]:
        return [span for span in self.spans if span.name == name]


def _handler(spans: list[SpanSeen]) -> type[BaseHTTPRequestHandler]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            spans.extend(_seen(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _seen(request: Any) -> list[SpanSeen]:
    return [
        SpanSeen(
            name=span.name,
            service=_attributes(part.resource.attributes)["service.name"],
            trace=span.trace_id.hex(),
            span=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            attributes=_attributes(span.attributes),
            begin_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            failed=span.status.code == 2,
        )
        for part in request.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
