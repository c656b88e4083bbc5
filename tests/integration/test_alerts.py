"""Real Prometheus on a day of bad samples, real Alertmanager, and a webhook that every alert reaches by its role."""

import math
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from docs.monitoring.alert import Alert
from docs.monitoring.alerts import ALERTS
from docs.monitoring.files import FOLDER, own_series, samples

from fraudline.ops.gitops.observe import Prometheus
from fraudline.steps.retrain_signs import FIRING
from tests.support.prometheus import alertmanager, ask, binary, prometheus, webhook
from tests.support.until import until

ROOT = Path(__file__).parents[2]
MINUTE = 60


def backfilled(folder: Path, alerts: Sequence[Alert], *, fires: bool) -> Path:
    """Prometheus's blocks of the alerts' cases, their last sample now."""
    now = int(time.time())
    lines: dict[str, list[str]] = {}
    for alert in alerts:
        for name, values in own_series(alert, fires=fires).items():
            found = samples(values, now)
            metric = name.partition("{")[0]
            lines.setdefault(metric, []).extend(
                f"{name} {value} {now - MINUTE * (len(found) - 1 - place)}"
                for place, value in enumerate(found)
                if not math.isnan(value)
            )
    text = "".join(f"# TYPE {metric} unknown\n" + "\n".join(rows) + "\n" for metric, rows in lines.items())
    (folder / "samples.txt").write_text(text + "# EOF\n")
    (folder / "data").mkdir()
    subprocess.run(
        [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data"],
        check=True,
        capture_output=True,
    )
    return folder


def at_once(folder: Path) -> Path:
    """The rules with a clock that is 600 times as fast: what must hold for minutes must hold for a moment."""
    rules = yaml.safe_load((ROOT / FOLDER / "rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s" if rule["for"].startswith("0") else "1s"
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(rules))
    return path


def config(rules: Path, *managers: str) -> dict:
    targets = [{"static_configs": [{"targets": [address.removeprefix("http://") for address in managers]}]}]
    return {
        "global": {"evaluation_interval": "1s", "scrape_interval": "1s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": targets if managers else []},
    }


def trigger() -> str:
    """What KEDA asks before it starts a job of retraining."""
    job = yaml.safe_load((ROOT / "manifests/components/retraining/scaledjob.yaml").read_text())
    (found,) = job["spec"]["triggers"]
    return found["metadata"]["query"]


@pytest.fixture(autouse=True)
def installed():
    for name in ("prometheus", "promtool", "alertmanager"):
        binary(name)


def test_every_alert_fires_and_arrives_at_whom_it_concerns(tmp_path):
    routes = yaml.safe_load((ROOT / FOLDER / "alertmanager.yaml").read_text())
    together = [alert for alert in ALERTS if not alert.alone]
    wanted = {(alert.role, alert.name) for alert in together}
    with webhook() as (address, received):
        for receiver in routes["receivers"]:
            receiver["webhook_configs"] = [{"url": f"{address}/{receiver['name']}"}]
        routes["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        backfilled(tmp_path, together, fires=True)
        with (
            alertmanager(tmp_path, routes) as manager,
            prometheus(tmp_path, config(at_once(tmp_path), manager.url)) as running,
        ):
            with suppress(AssertionError):  # below it is said which are missing
                until(lambda: wanted <= set(received), interval=0.5)
            asked = Prometheus(running.url).labels(FIRING)
            (began,) = ask(running.url, trigger())
    assert wanted - set(received) == set(), "these alerts did not arrive"
    roles = {alert.name: alert.role for alert in ALERTS}
    assert all(role == roles[name] for role, name in received), "an alert went to somebody else"
    signs = {(each["alertname"], each.get("figure", "")) for each in asked}
    asks = {("Drift", ""), ("PerformanceWorse", "recall")}
    assert float(began["value"][1]) == len(asks), "the ScaledJob sees another number of alerts begin"
    assert signs == {*asks, ("DriftNotMeasured", "")}, "retrain --prometheus sees other alerts"


@pytest.mark.parametrize("alert", [alert for alert in ALERTS if alert.alone], ids=lambda alert: alert.name)
def test_an_alert_of_what_is_not_there_fires_where_nothing_else_is(tmp_path, alert):
    backfilled(tmp_path, [alert], fires=True)
    with prometheus(tmp_path, config(at_once(tmp_path))) as running:
        firing = until(lambda: ask(running.url, 'ALERTS{alertstate="firing"}'), alert.name, interval=0.5)
        assert {each["metric"]["alertname"] for each in firing} == {alert.name}
        assert {each["alertname"] for each in Prometheus(running.url).labels(FIRING)} == {alert.name}


def test_a_healthy_day_fires_nothing(tmp_path):
    backfilled(tmp_path, ALERTS, fires=False)
    with prometheus(tmp_path, config(at_once(tmp_path))) as running:
        evaluated = "min(count_over_time(fraudline:alert_share:rate30m[1h])) > 3"
        until(lambda: ask(running.url, evaluated), "some evaluations of the rules", interval=0.5)
        assert ask(running.url, 'ALERTS{alertstate="firing"}') == []
        assert [each["value"][1] for each in ask(running.url, trigger())] == ["0"]
