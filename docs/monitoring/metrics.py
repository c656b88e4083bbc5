"""The page of all metrics, from the registries that export them."""

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Metric


def exported() -> dict[str, tuple[CollectorRegistry, str]]:
    """Registries by who exports them, with how they come to Prometheus."""
    from prometheus_client import REGISTRY

    import fraudline.serve.metrics  # noqa: F401 - registers its own
    from fraudline.ops.ended import EndedMetrics
    from fraudline.stream.alert_metrics import AlertMetrics
    from fraudline.stream.metrics import StreamMetrics

    return {
        "Worker": (StreamMetrics("fraud").registry, "`/metrics` at `stream.metrics_port`"),
        "Alert router": (AlertMetrics().registry, "`/metrics` at `fraudline alerts run --port`"),
        "Predictor": (REGISTRY, "`/metrics` beside KServe's own `request_*_seconds`"),
        "Steps that end": (
            EndedMetrics().registry,
            "a textfile or a Pushgateway: `fraudline drift`, `skew`, `labels performance`, `step`, `rollout` with "
            "`--textfiles` or `--pushgateway`",
        ),
    }


def names(registry: CollectorRegistry) -> set[str]:
    """Names that a query may ask for."""
    found = set()
    for metric in _metrics(registry):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        found |= {f"{metric.name}{suffix}" for suffix in suffixes}
    return found


def metrics_page() -> str:
    """Markdown."""
    parts = [
        "# Metrics\n",
        "One prefix, base units, labels with few and known values. `model` is the model's name, `version` the first "
        "twelve digits of its digest; `figure` is a feature's name or `score`.\n",
    ]
    for who, (registry, how) in exported().items():
        parts.append(f"## {who}\n\nBy {how}.\n")
        parts += ["| metric | type | labels | meaning |", "|---|---|---|---|"]
        for metric in _metrics(registry):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            labels = ", ".join(f"`{label}`" for label in _labels(registry, metric.name))
            parts.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
        parts.append("")
    return "\n".join(parts)


def _metrics(registry: CollectorRegistry) -> Iterable[Metric]:
    found = {metric.name: metric for metric in registry.collect() if metric.name.startswith("fraudline_")}
    return [found[name] for name in sorted(found)]


def _labels(registry: CollectorRegistry, name: str) -> tuple[str, ...]:
    collectors: dict[Any, list[str]] = vars(registry)["_collector_to_names"]
    for collector, known in collectors.items():
        own = vars(collector)
        if name in known or own.get("_name") == name:
            return tuple(own.get("_labelnames") or own.get("_labels") or ())
    return ()
