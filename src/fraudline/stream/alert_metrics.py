"""What the alert router tells Prometheus. ``sink`` is a name of the routing file."""

from prometheus_client import Counter, Gauge, Histogram

from fraudline.stream.health import HealthMetrics

_DELAY = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_SINK = ("sink",)


class AlertMetrics(HealthMetrics):
    """The router's metrics in a registry of their own."""

    def __init__(self) -> None:
        super().__init__("fraudline_alert_router_ready", "1 when alerts are read, as /readyz says.")
        registry = self.registry
        self.read = Counter("fraudline_alerts_read", "Alerts read from the topic.", registry=registry)
        self.bad = Counter("fraudline_alerts_unreadable", "Records of the topic that hold no alert.", registry=registry)
        self.unrouted = Counter("fraudline_alerts_unrouted", "Alerts that no route takes.", registry=registry)
        self.grouped = Gauge("fraudline_alert_groups_open", "Groups that are not yet sent.", registry=registry)
        self.sent = Counter("fraudline_alert_events_sent", "Events that a sink took.", _SINK, registry=registry)
        self.failed = Counter("fraudline_alert_events_failed", "Tries that failed.", _SINK, registry=registry)
        self.left_out = Counter(
            "fraudline_alert_addresses_refused", "Addresses left out of events that a sink took.", _SINK,
            registry=registry,
        )  # fmt: skip
        self.dead = Counter("fraudline_alert_dead_letters", "Events given up by a sink.", _SINK, registry=registry)
        self.waiting = Gauge("fraudline_alert_events_waiting", "Events that wait for a sink.", _SINK, registry=registry)
        self.delay = Histogram(
            "fraudline_alert_delay_seconds",
            "From the decision of an event's first alert to its delivery.",
            _SINK,
            buckets=_DELAY,
            registry=registry,
        )
        self.refused = Gauge(
            "fraudline_alert_routing_refused", "1 while the routing file is wrong and an older one holds.",
            registry=registry,
        )  # fmt: skip

    def sink(self, name: str) -> None:
        """Show a sink's counters at 0: the first event given up is an increase only beside a 0 seen before."""
        for counter in (self.sent, self.failed, self.left_out, self.dead):
            counter.labels(name)
        self.waiting.labels(name)
