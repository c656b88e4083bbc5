"""One alert: what it asks, whom it tells, what they do, and a series that fires it beside one that does not."""

from dataclasses import dataclass, field

ROLES = {
    "oncall": "who keeps the stream running",
    "data": "who owns the feed of transactions",
    "model": "who owns the model",
    "fraud": "who reviews alerts",
}
"""Whom an alert goes to; Alertmanager routes by the label ``role``."""


@dataclass(frozen=True)
class Alert:
    """An alert rule with its cases.

    Attributes:
        name: in capitals, as Prometheus writes them.
        expr: PromQL.
        hold: how long it must be true.
        severity: ``page`` (now) or ``ticket`` (the next working day).
        role: whom it tells, one of ``ROLES``.
        summary: one line, with Prometheus's templates.
        means: why someone should care.
        look: what to look at, in order.
        act: what to do first.
        over: what shows that it is over.
        fires: series that fire it, in promtool's notation at one sample a minute; ``{now}`` is the time of evaluation
            in seconds, and the label ``job`` or ``model`` is the alert's own.
        quiet: series of a healthy system.
        alone: whether it fires only where the series of other alerts are not there.
    """

    name: str
    expr: str
    hold: str
    severity: str
    role: str
    summary: str
    means: str
    look: tuple[str, ...]
    act: tuple[str, ...]
    over: str
    fires: dict[str, str] = field(hash=False)
    quiet: dict[str, str] = field(hash=False)
    alone: bool = False

    @property
    def runbook(self) -> str:
        """Path of its page under ``docs``."""
        return f"how-to/runbooks/{self.name}.md"
