"""What watches the system, from one source: ``python -m docs.monitoring [--check]``.

Writes ``manifests/components/monitoring`` (the rules as a plain file and as a PrometheusRule, their ``promtool test
rules`` cases, Alertmanager's routes), a runbook an alert, Grafana's dashboards, and ``docs/reference/metrics.md``.
``--check`` changes nothing and exits 1 when a file is stale.
"""
