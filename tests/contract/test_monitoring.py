"""Alerts, runbooks, dashboards and the page of metrics come from one source and ask for what is exported."""

import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from docs.monitoring.alert import ROLES
from docs.monitoring.alerts import ALERTS, RECORDED
from docs.monitoring.dashboards import DASHBOARDS
from docs.monitoring.files import FOLDER, files
from docs.monitoring.metrics import exported, names

from fraudline.cli.main import cli
from tests.support.prometheus import binary

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"\bfraudline_\w+")


def test_no_file_is_stale_and_none_is_left_over():
    for name, content in files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == content, f"{name} is stale: python -m docs.monitoring"
    runbooks = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "how-to" / "runbooks").iterdir()}
    assert runbooks == {name for name in files() if "/runbooks/" in name}


def test_alerts_and_panels_ask_for_metrics_that_are_exported():
    known = set().union(*(names(registry) for registry, _ in exported().values()))
    asked = METRIC.findall(" ".join([*RECORDED.values(), *(alert.expr for alert in ALERTS)]))
    panels = [
        target["expr"] for board in DASHBOARDS.values() for panel in board["panels"] for target in panel["targets"]
    ]
    asked += METRIC.findall(" ".join(panels))
    assert set(asked) <= known


def test_every_alert_says_how_grave_it_is_whom_it_concerns_and_what_to_do():
    rules = yaml.safe_load((ROOT / FOLDER / "rules.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(ALERTS) == len({rule["alert"] for rule in alerts})
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["labels"]["role"] in ROLES
        page = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert rule["expr"] in page
        assert "## Look" in page
        assert "## Do" in page


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_commands_of_a_runbook_exist_and_are_whole(alert):
    for written in re.findall(r"`fraudline ([^`]*)`", " ".join([*alert.look, *alert.act])):
        command, words = cli, written.split()
        while isinstance(command, click.Group) and words:
            command = command.get_command(click.Context(command), words.pop(0))
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
        assert written != "drift", "it needs a file or --topic"


def test_the_operators_resource_has_the_rules_of_the_plain_file():
    rules = yaml.safe_load((ROOT / FOLDER / "rules.yaml").read_text())
    resource = yaml.safe_load((ROOT / FOLDER / "prometheusrule.yaml").read_text())
    assert resource["spec"]["groups"] == rules["groups"]


def test_no_metric_has_a_label_whose_values_are_not_bounded():
    allowed = {"model", "version", "stage", "decision", "field", "problem", "figure", "verdict", "step", "currency"}
    allowed |= {"feature", "band", "rule", "sink"}
    page = files()["docs/reference/metrics.md"]
    labels = {label for row in re.findall(r"^\| `fraudline_\w+` \| \w+ \| (.*?) \|", page, re.M) for label in
              re.findall(r"`(\w+)`", row)}  # fmt: skip
    assert labels
    assert labels <= allowed


def test_promtool_fires_each_alert_by_one_case_and_keeps_it_quiet_by_another():
    cases = yaml.safe_load((ROOT / FOLDER / "rules.test.yaml").read_text())["tests"]
    assert [case["name"] for case in cases] == [f"{a.name} {how}" for a in ALERTS for how in ("fires", "is quiet")]
    done = subprocess.run(
        [binary("promtool"), "test", "rules", "rules.test.yaml"],
        cwd=ROOT / FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_that_has_just_begun_has_no_negative_share_of_high_scores(tmp_path):
    panels = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
    expr = next(p["targets"][0]["expr"] for p in panels if p["title"] == "Share of scores above 5")
    young = [
        {"series": 'fraudline_score_bucket{le="5.0"}', "values": "108 208 307"},
        {"series": "fraudline_score_count", "values": "111 211 311"},
    ]
    asked = [{"expr": expr, "eval_time": "11s", "exp_samples": [{"value": 0}]}]
    case = {"interval": "10s", "input_series": young, "promql_expr_test": asked}
    (tmp_path / "case.yaml").write_text(
        yaml.safe_dump({"evaluation_interval": "10s", "rule_files": [], "tests": [case]})
    )
    command = [binary("promtool"), "test", "rules", tmp_path / "case.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_the_profile_full_of_compose_mounts_what_is_here(name):
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounted = " ".join(services[name]["volumes"])
    assert f"./{FOLDER}/{ {'prometheus': 'rules.yaml', 'alertmanager': 'alertmanager.yaml'}[name] }" in mounted
    assert f"./{FOLDER}/dashboards" in " ".join(services["grafana"]["volumes"])
