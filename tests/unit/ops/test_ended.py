"""Metrics of what ends: in a folder, at a gateway, and never a zero that nobody measured."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.cost import Usage
from fraudline.ops.ended import EndedMetrics, check, publish
from fraudline.ops.local.process import free_port

DRIFT = {
    "verdict": "drift",
    "window": {"rows": 2_000},
    "figures": [{"name": "amount", "psi": 0.4, "drifted": True}, {"name": "score", "psi": 0.01, "drifted": False}],
}


def test_a_folder_gets_one_file_a_job_with_only_what_was_said(tmp_path):
    metrics = EndedMetrics()
    metrics.drift(DRIFT)
    metrics.publish("drift", textfiles=tmp_path)
    text = (tmp_path / "fraudline_drift.prom").read_text()
    assert 'fraudline_drift_psi{figure="amount"} 0.4' in text
    assert "fraudline_drift_figures 1.0" in text
    assert 'fraudline_drift_verdict{verdict="drift"} 1.0' in text
    assert 'fraudline_drift_verdict{verdict="stable"} 0.0' in text
    assert "fraudline_skew" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["fraudline_drift.prom"]


MONEY = {"EUR": {"stopped": 123_456, "missed": 100, "held_up": 0, "blocked": 0},
         "JPY": {"stopped": 700, "missed": 0, "held_up": 5, "blocked": 9}}  # fmt: skip


def test_a_figure_of_performance_that_is_zero_is_said_and_one_without_a_value_is_not(tmp_path):
    figures = {"recall": {"value": 0.0, "worse": True}, "precision": {"value": None, "worse": None}}
    performance = {"figures": figures, "money": {}}
    for job, say in (("drift", EndedMetrics.drift), ("labels", EndedMetrics.labels)):
        metrics = EndedMetrics()
        say(metrics, {**DRIFT, "performance": performance} if job == "drift" else performance)
        metrics.publish(job, textfiles=tmp_path)
    pages = [(tmp_path / f"fraudline_{job}.prom").read_text().splitlines() for job in ("drift", "labels")]
    said = [line for page in pages for line in page if line.startswith("fraudline_performance") and "{" in line]
    assert said == [
        'fraudline_performance_worse{figure="recall"} 1.0',
        'fraudline_performance_worse{figure="precision"} 0.0',
        'fraudline_performance{figure="recall"} 0.0',
    ]
    series = [line.rsplit(" ", 1)[0] for page in pages for line in page]
    assert len([name for name in series if name.startswith("fraudline")]) == len(
        {name for name in series if name.startswith("fraudline")}
    ), "a series in two files is refused by the collector"


def test_money_is_said_in_units_of_its_currency_by_what_became_of_it(tmp_path):
    metrics = EndedMetrics()
    metrics.labels({"figures": {}, "money": MONEY})
    metrics.publish("labels", textfiles=tmp_path)
    said = (tmp_path / "fraudline_labels.prom").read_text()
    assert 'fraudline_performance_amount{currency="EUR",outcome="stopped"} 1234.56' in said
    assert 'fraudline_performance_amount{currency="JPY",outcome="stopped"} 700.0' in said
    assert 'fraudline_performance_amount{currency="JPY",outcome="blocked"} 9.0' in said


def test_a_window_that_is_too_small_is_no_measurement_without_drift(tmp_path):
    metrics = EndedMetrics()
    metrics.drift({"verdict": "inconclusive", "window": {"rows": 50}, "figures": []})
    metrics.publish("drift", textfiles=tmp_path)
    text = (tmp_path / "fraudline_drift.prom").read_text()
    assert "fraudline_drift_rows 50.0" in text
    assert 'fraudline_drift_verdict{verdict="inconclusive"} 1.0' in text
    assert "fraudline_drift_figures" not in text
    assert "fraudline_drift_timestamp_seconds" not in text


def test_drift_of_several_features_together_is_one_that_the_alert_counts():
    metrics = EndedMetrics()
    figures = [{"name": "amount", "psi": 0.01, "drifted": False}]
    metrics.drift({**DRIFT, "figures": figures, "classifier": {"drifted": True, "auc": 0.99}})
    assert metrics.registry.get_sample_value("fraudline_drift_figures") == 1


def test_a_look_at_a_rollout_says_share_and_verdict_and_one_without_a_canary_that_there_is_none(tmp_path):
    for verdict in ({"verdict": "inconclusive", "percent": 25, "overdue": True}, None):
        metrics = EndedMetrics()
        metrics.rollout("production", verdict)
        metrics.publish("rollout_production", textfiles=tmp_path)
        text = (tmp_path / "fraudline_rollout_production.prom").read_text()
        assert f'fraudline_rollout_percent{{environment="production"}} {25.0 if verdict else 0.0}' in text
        assert f'fraudline_rollout_overdue{{environment="production"}} {1.0 if verdict else 0.0}' in text
        said = f'fraudline_rollout_verdict{{environment="production",verdict="inconclusive"}} {1.0 if verdict else 0.0}'
        assert said in text


def test_a_gateway_gets_the_same_under_the_jobs_name():
    seen = {}

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self):
            seen[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.handle_request, daemon=True).start()
    metrics = EndedMetrics()
    metrics.step("train", Usage(10.0, 8.0, 4.0), price=0.5, currency="EUR")
    metrics.publish("train", pushgateway=f"127.0.0.1:{server.server_port}")
    server.server_close()
    assert 'fraudline_step_cost{currency="EUR",step="train"} 0.5' in seen["/metrics/job/fraudline_train"]


def test_a_gateway_that_is_away_is_named():
    port = free_port()
    with pytest.raises(UnavailableError, match=str(port)):
        EndedMetrics().publish("drift", pushgateway=f"127.0.0.1:{port}")


@pytest.mark.parametrize("where", ["a gateway", "a folder"])
def test_work_that_is_done_does_not_fail_for_its_figures(tmp_path, where):
    (tmp_path / "file").write_text("")
    away = {
        "a gateway": {"pushgateway": f"127.0.0.1:{free_port()}"},
        "a folder": {"textfiles": tmp_path / "file" / "metrics"},
    }[where]
    with capture_logs() as said:
        publish("drift", lambda told: told.drift(DRIFT), **away)
    (line,) = said
    assert (line["event"], line["log_level"], line["job"]) == ("metrics.not_published", "warning", "drift")
    assert str(next(iter(away.values()))) in line["problem"]


def test_a_mistake_of_ours_in_figures_is_no_gateway_that_is_away(tmp_path):
    with pytest.raises(KeyError):
        publish("drift", lambda told: told.drift({}), textfiles=tmp_path)


@pytest.mark.parametrize("address", ["foo bar:9091", "127.0.0.1:port", ":9091", "http://:9091", "gateway:0"])
def test_what_is_no_address_of_a_gateway_is_refused_before_the_work(address):
    with pytest.raises(UsageError, match="is no address of a Pushgateway"):
        check(address)


@pytest.mark.parametrize(
    "address", ["", "gateway:9091", "10.0.0.1:9091", "[::1]:9091", "https://gateway/path", "gateway"]
)
def test_addresses_that_there_are_are_taken(address):
    check(address)


@pytest.mark.parametrize("address", ["foo bar:9091", "127.0.0.1:port"])
def test_a_gateway_that_is_no_address_is_named(address):
    with pytest.raises(UnavailableError, match=address):
        EndedMetrics().publish("drift", pushgateway=address)
