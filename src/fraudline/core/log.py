"""Structured events: ``log = get_logger(__name__)``, ``log.info("step.done", rows=n)``. Card numbers are masked."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from fraudline.core.masking import mask_text
from fraudline.core.words import printable

get_logger = structlog.get_logger


def configure(*, level: str = "info", as_json: bool = False) -> None:
    """Send events to standard error, as aligned text or one JSON object a line."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if as_json else structlog.processors.UnicodeDecoder(),
            *([] if as_json else [_printable]),
            renderer,
            _without_card_numbers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # the stream is looked up at each event: a test or a daemon may have replaced it since
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Texts without characters that command a terminal: a client may have written them. JSON escapes them by itself."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value, kept="\t\r\n")
    return event


def _without_card_numbers(_logger: Any, _method: str, line: Any) -> str:
    return mask_text(str(line))
