"""OpenTelemetry spans, off unless an OTLP address is set; without one nothing of OpenTelemetry is imported.

    with closing(open_tracing(TracingParams(endpoint="http://collector:4318"), "worker")) as tracing:
        with tracing.span("score") as span: ...

Sampling is parent-based: a context that came along decides, and only what has none is drawn by ``ratio``. The context
is W3C Trace Context (``traceparent``): a header of Kafka records, of HTTP requests, and the CloudEvents extension of
the same name.
"""

import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings

log = get_logger(__name__)

HEADER = "traceparent"
ENVIRONMENT = "FRAUDLINE_TRACING"
"""Names the OTLP address for a process whose settings come from its environment (the predictor)."""

_PATH = "/v1/traces"
_EXPORT_S = 5
_LENGTH = 55
_SAMPLED = 1
_WELL_FORMED = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_current: ContextVar[str] = ContextVar("traceparent", default="")


class TracingParams(Settings):
    """Where spans go, and of how many transactions.

    Attributes:
        endpoint: address of an OTLP collector (HTTP), as in ``http://collector:4318``; empty for no tracing.
        ratio: share of what comes without a trace context that is traced; a context that came along decides itself.
        carry_on: which contexts go on from transactions to decisions: ``recorded``, those of traces that are recorded,
            or ``all`` that came, as W3C Trace Context has it. Alerts, dead letters and events of features carry all.
        service: name of the service in the traces; empty for that of the program.
    """

    endpoint: str = ""
    ratio: float = Field(default=0.01, ge=0, le=1)
    carry_on: Literal["recorded", "all"] = "recorded"
    service: str = ""


def current_headers() -> dict[str, str]:
    """What carries the span at hand over HTTP; empty outside of one."""
    current = _current.get()
    return {HEADER: current} if current else {}


def is_sampled(traceparent: str | bytes) -> bool:
    """Whether a trace context is well-formed and says that its trace is recorded."""
    if len(traceparent) < _LENGTH:
        return False
    try:
        return bool(int(traceparent[53:55], 16) & _SAMPLED)
    except ValueError:
        return False


def carried(headers: Iterable[tuple[str, bytes]]) -> str:
    """The trace context that a record's headers carry; empty without one that may go on to others."""
    found = next((value or b"" for name, value in headers if name == HEADER), b"")
    return found.decode() if _WELL_FORMED.fullmatch(found) else ""


def open_tracing(params: TracingParams, service: str) -> "Tracing | None":
    """Spans for a program; None when tracing is off.

    Raises:
        UsageError: OpenTelemetry is not installed.
    """
    return Tracing(params, service) if params.endpoint else None


class Tracing:
    """Makes spans and sends them in the background; what cannot be sent is dropped, and the work goes on."""

    def __init__(self, params: TracingParams, service: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
            from opentelemetry.trace import Link, SpanKind
        except ImportError as error:
            raise UsageError("Tracing needs OpenTelemetry.", "Install the extra: fraudline[tracing].") from error
        resource = Resource.create({"service.name": params.service or service})
        exporter = OTLPSpanExporter(endpoint=params.endpoint.rstrip("/") + _PATH, timeout=_EXPORT_S)
        # what is sampled is decided before a span is made: making and dropping one a record would cost more
        self._provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("fraudline")
        self._kinds = {kind.name.lower(): kind for kind in SpanKind}
        self._link = Link
        self._ratio = params.ratio
        self.carries_all_on = params.carry_on == "all"
        log.info("tracing.on", endpoint=params.endpoint, ratio=params.ratio)

    def draw(self, count: int) -> list[int]:
        """Which of ``count`` things without a context are traced, ascending."""
        if self._ratio <= 0:
            return []
        found, at = [], -1
        while (at := at + 1 + self._skip()) < count:
            found.append(at)
        return found

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        kind: str = "internal",
        links: Sequence[str] = (),
        begin_ns: int | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> "Span":
        """A span that is ended by hand.

        Args:
            name: of the span.
            parent: ``traceparent`` of the span above; empty for a new trace.
            kind: ``internal``, ``producer``, ``consumer``, ``client`` or ``server``.
            links: ``traceparent`` of spans that it belongs with.
            begin_ns: when it began, nanoseconds since the epoch; now when not given.
            attributes: what is known of it.
        """
        span = self._tracer.start_span(
            name,
            context=_context(parent),
            kind=self._kinds[kind],
            links=[self._link(context) for link in links if (context := _span_context(link)) is not None],
            start_time=begin_ns,
            attributes=dict(attributes or {}),
        )
        return Span(span)

    @contextmanager
    def span(self, name: str, **given: Any) -> "Iterator[Span]":
        """A span around a block, which :func:`current_headers` then carries on; an error of the block marks it."""
        span = self.start(name, **given)
        token = _current.set(span.traceparent)
        try:
            yield span
        except BaseException as error:
            span.failed(error)
            raise
        finally:
            _current.reset(token)
            span.end()

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()

    def _skip(self) -> int:
        """How many are passed over before the next one that is traced."""
        if self._ratio >= 1:
            return 0
        return int(math.log(1.0 - random.random()) / math.log1p(-self._ratio))  # noqa: S311 - which are traced is no secret


class Span:
    """One span, named by its ``traceparent``."""

    __slots__ = ("_span", "trace_id", "traceparent")

    def __init__(self, span: Any) -> None:
        context = span.get_span_context()
        self._span = span
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01"

    def set(self, **attributes: Any) -> None:
        """Say more of it."""
        for name, value in attributes.items():
            self._span.set_attribute(name, value)

    def failed(self, error: BaseException) -> None:
        """Mark it as failed."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))

    def end(self, at_ns: int | None = None) -> None:
        """End it now, or when it ended (nanoseconds since the epoch)."""
        self._span.end(at_ns)


@lru_cache(1024)
def _span_context(traceparent: str) -> Any:
    """None where it is none. Kept, because the spans of a batch are all linked to it."""
    from opentelemetry.trace import SpanContext, TraceFlags

    try:
        _, trace, span, flags = traceparent.split("-", 3)
        context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags[:2], 16)))
    except ValueError:
        return None
    return context if context.is_valid else None


def _context(traceparent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    context = _span_context(traceparent)
    return Context() if context is None else set_span_in_context(NonRecordingSpan(context), Context())
