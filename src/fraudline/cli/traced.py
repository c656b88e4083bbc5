"""Spans of a command that ends, and the option that asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from fraudline.core.tracing import ENVIRONMENT, Tracing, TracingParams, open_tracing

tracing_option = click.option(
    "--tracing",
    envvar=ENVIRONMENT,
    show_envvar=True,
    help="Send OpenTelemetry spans to this OTLP address (http://collector:4318).",
)


@contextmanager
def traced(params: TracingParams, service: str) -> Iterator[Tracing | None]:
    """Spans of a command, sent before it ends; None where tracing is off."""
    tracing = open_tracing(params, service)
    try:
        yield tracing
    finally:
        if tracing is not None:
            tracing.close()
