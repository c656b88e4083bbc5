"""Grafana's dashboards: operations, model health, canary beside champion, business."""

from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 12, 8


class Panel(NamedTuple):
    """One panel: its queries by legend, and the unit of what they give."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"


def _share(of: str, by: str, window: str = "5m") -> str:
    return f"sum by ({by}) (rate({of}[{window}])) / sum by ({by}) (rate(fraudline_decisions_total[{window}]))"


def _quantile(q: float, metric: str, by: str = "", window: str = "5m") -> str:
    keys = "le" + (f", {by}" if by else "")
    return f"histogram_quantile({q}, sum by ({keys}) (rate({metric}_bucket[{window}])))"


OPERATIONS = (
    Panel("Decisions a second", {"{{version}}": "sum by (version) (rate(fraudline_decisions_total[1m]))"}),
    Panel(
        "From append to decision",
        {f"{q:g}": _quantile(q, "fraudline_decision_latency_seconds") for q in (0.5, 0.95, 0.99)},
        "s",
    ),
    Panel("Time by stage, a second", {"{{stage}}": "sum by (stage) (rate(fraudline_stage_seconds_total[1m]))"}, "s"),
    Panel("Transactions that wait", {"{{instance}}": "fraudline_lag_records"}),
    Panel(
        "Records a transaction",
        {"mean": "sum(rate(fraudline_batch_records_sum[1m])) / sum(rate(fraudline_batch_records_count[1m]))"},
    ),
    Panel(
        "Dead letters, duplicates, recoveries a second",
        {
            "dead letters": "sum(rate(fraudline_dead_letters_total[5m]))",
            "duplicates": "sum(rate(fraudline_duplicates_total[5m]))",
            "recoveries": "sum(rate(fraudline_recoveries_total[5m]))",
        },
    ),
    Panel("Ready", {"{{instance}}": "fraudline_ready"}),
    Panel("Oldest checkpoint", {"{{instance}}": "fraudline_checkpoint_age_seconds"}, "s"),
    Panel("State: cards", {"{{instance}}": "fraudline_state_cards"}),
    Panel(
        "State: memory",
        {"{{instance}} cards": "fraudline_state_bytes", "{{instance}} ids": "fraudline_seen_ids_bytes"},
        "bytes",
    ),
)
HEALTH = (
    Panel(
        "Share of transactions with an alert",
        {"{{version}}": _share("fraudline_alerts_total", "version")},
        "percentunit",
    ),
    Panel("Score", {f"{q:g}": _quantile(q, "fraudline_score") for q in (0.5, 0.9, 0.99)}),
    Panel(
        "Share of scores above 5",
        # rate() lengthens each counter by itself towards its first sample, so the ratio of two young ones may exceed 1.
        {
            "share": 'clamp_min(1 - sum(rate(fraudline_score_bucket{le="5.0"}[5m]))'
            " / sum(rate(fraudline_score_count[5m])), 0)"
        },
        "percentunit",
    ),
    Panel("Thresholds", {"{{decision}}": "fraudline_threshold"}),
    Panel(
        "Age of the model's newest training day",
        {"{{version}}": "time() - fraudline_model_trained_timestamp_seconds"},
        "s",
    ),
    Panel(
        "Age of the newest transaction",
        {"{{instance}}": "time() - (fraudline_newest_event_timestamp_seconds > 0)"},
        "s",
    ),
    Panel(
        "Problems of fields, share",
        {
            "{{field}} {{problem}}": "sum by (field, problem) (rate(fraudline_field_problems_total[5m]))"
            " / on () group_left sum(rate(fraudline_transactions_total[5m]))",
        },
        "percentunit",
    ),
    Panel("Drift: stability index", {"{{figure}}": "topk(8, fraudline_drift_psi)"}),
    Panel("Drifted features", {"drifted": "fraudline_drift_figures"}, "short", "stat"),
    Panel("Decisions on other features than offline", {"rows": "fraudline_skew_rows"}, "short", "stat"),
)
CANARY = (
    Panel("Decisions by version", {"{{version}}": "sum by (version) (rate(fraudline_decisions_total[1m]))"}),
    Panel("Share with an alert", {"{{version}}": _share("fraudline_alerts_total", "version")}, "percentunit"),
    Panel("Score, median", {"{{version}}": _quantile(0.5, "fraudline_score", "version")}),
    Panel("Score, 99 %", {"{{version}}": _quantile(0.99, "fraudline_score", "version")}),
    Panel("Latency, 99 %", {"{{version}}": _quantile(0.99, "fraudline_decision_latency_seconds", "version")}, "s"),
    Panel(
        "Rows of the predictors a second",
        {"{{version}}": "sum by (version) (rate(fraudline_predictor_rows_total[1m]))"},
    ),
    Panel(
        "Predictor's time to score, 99 %",
        {"{{version}}": _quantile(0.99, "fraudline_predictor_score_seconds", "version")},
        "s",
    ),
    Panel(
        "Refused requests a second", {"{{version}}": "sum by (version) (rate(fraudline_predictor_refused_total[5m]))"}
    ),
)
BUSINESS = (
    Panel(
        "Alerts an hour: the analysts' load",
        {"{{version}}": "sum by (version) (rate(fraudline_alerts_total[15m])) * 3600"},
    ),
    Panel(
        "Amounts by decision, base currency a second",
        {"{{decision}}": "sum by (decision) (rate(fraudline_decided_amount_total[5m]))"},
    ),
    Panel("Precision and recall of matured labels", {"{{figure}}": "fraudline_performance"}, "percentunit"),
    Panel(
        "Money of matured labels: frauds stopped and missed, good held up",
        {"{{outcome}} {{currency}}": "fraudline_performance_amount"},
        "short",
        "bargauge",
    ),
    Panel("Cost of the last run by step", {"{{step}} {{currency}}": "fraudline_step_cost"}, "short", "bargauge"),
    Panel("Processor time by step", {"{{step}}": "fraudline_step_cpu_seconds"}, "s", "bargauge"),
    Panel(
        "Since each step last ended well", {"{{step}}": "time() - fraudline_step_timestamp_seconds"}, "s", "bargauge"
    ),
)


def dashboard(uid: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """A dashboard's JSON, two panels a row."""
    return {
        "uid": f"fraudline-{uid}",
        "title": f"fraudline: {title}",
        "tags": ["fraudline"],
        "schemaVersion": 41,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
            for place, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


BOARDS = {
    "operations": ("operations", OPERATIONS),
    "model-health": ("model health", HEALTH),
    "canary": ("canary beside champion", CANARY),
    "business": ("business", BUSINESS),
}
DASHBOARDS = {uid: dashboard(uid, title, panels) for uid, (title, panels) in BOARDS.items()}
