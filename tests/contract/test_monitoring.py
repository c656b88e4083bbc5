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


def test_every_alert_says_how_grave_it_is_whom_it_concerns_what_to_do_and_when_it_is_over():
    rules = yaml.safe_load((ROOT / FOLDER / "rules.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(ALERTS) == len({rule["alert"] for rule in alerts})
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["labels"]["role"] in ROLES
        page = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert rule["expr"] in page
        assert re.findall("^## (.*)", page, re.M) == ["Confirm", "Do first", "It is over when"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_commands_of_a_runbook_exist_and_are_whole(alert):
    for written in re.findall(r"`fraudline ([^`]*)`", " ".join([*alert.look, *alert.act, alert.over])):
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
    allowed |= {"feature", "band", "rule", "sink", "environment", "outcome"}
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


def asked_of_promtool(folder, series, asked, *, rules=(), interval):
    """What promtool says of the answers to expressions over series."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": interval, "input_series": inputs, "promql_expr_test": asked}
    files = {"evaluation_interval": interval, "rule_files": list(rules), "tests": [case]}
    (folder / "case.yaml").write_text(yaml.safe_dump(files))
    command = [binary("promtool"), "test", "rules", folder / "case.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_a_worker_that_has_just_begun_has_no_negative_share_of_high_scores(tmp_path):
    panels = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
    expr = next(p["targets"][0]["expr"] for p in panels if p["title"] == "Share of scores above 5")
    young = {
        'fraudline_score_bucket{le="5.0"}': "108 208 307",
        "fraudline_score_count": "111 211 311",
    }
    asked = [{"expr": expr, "eval_time": "11s", "exp_samples": [{"value": 0}]}]
    assert not asked_of_promtool(tmp_path, young, asked, interval="10s")


DAY, NIGHT = 192, 96
"""Samples of five minutes: 16 hours are busy, 8 are quiet."""
LAST = 5 * 2 * (DAY + NIGHT)
"""Minutes of two days: the end of the second night."""


def counted(*rates):
    """A counter in promtool's notation that grows by a rate for some samples each."""
    found, total = [], 0
    for rate, count in rates:
        found.append(f"{total}+{rate}x{count - 1}")
        total += rate * count
    return " ".join(found)


def newest(*, samples):
    """Time of the newest transaction where none came since the second evening."""
    evening = 2 * DAY + NIGHT
    return f"0+300x{evening - 1} {300 * evening}x{samples - evening - 1}"


HANDFUL = ((0, 84), (1, 1), (0, 11))
SHARES = {
    f'fraudline_field_problems_total{{job="w",field="f",problem="{problem}"}}': counted((0, 2 * DAY + NIGHT), *HANDFUL)
    for problem in ("late", "unseen", "zero", "missing")
}
QUIET = {
    "VolumeLow": {'fraudline_transactions_total{job="w"}': counted(*[(3000, DAY), (200, NIGHT)] * 2)},
    "DataStale": {
        'fraudline_transactions_total{job="w"}': counted(*[(300, DAY), (0, NIGHT)] * 2),
        'fraudline_newest_event_timestamp_seconds{job="w"}': newest(samples=2 * (DAY + NIGHT)),
        'fraudline_newest_event_timestamp_seconds{job="has read nothing yet"}': f"0x{2 * (DAY + NIGHT)}",
    },
    "HighScores": {
        'fraudline_score_bucket{model="m",le="5.0"}': counted((995, 2 * DAY + NIGHT), (0, 84), (9, 1), (0, 11)),
        'fraudline_score_count{model="m"}': counted((1000, 2 * DAY + NIGHT), (0, 84), (10, 1), (0, 11)),
    },
    "AlertRateHigh": {  # an hour after the first start the day before is some minutes, in which nothing alerted
        'fraudline_decisions_total{model="m"}': f"_x499 {counted((1000, 76))}",
        'fraudline_alerts_total{model="m"}': f"_x499 {counted((0, 6), (5, 70))}",
    },
    "EventsLate|UnseenCategories|ValuesOutOfRange|FieldMissing": {
        'fraudline_transactions_total{job="w"}': counted((1000, 2 * DAY + NIGHT), (0, 84), (10, 1), (0, 11)),
        **SHARES,
    },
}
BROKEN = {
    "VolumeLow": {
        'fraudline_transactions_total{job="w"}': counted(*[(3000, DAY), (200, NIGHT)] * 2, (3000, 12), (100, 24)),
    },
    "DataStale": {
        'fraudline_transactions_total{job="w"}': counted(*[(300, DAY), (0, NIGHT)] * 2, (0, 36)),
        'fraudline_newest_event_timestamp_seconds{job="w"}': newest(samples=2 * (DAY + NIGHT) + 36),
    },
    "FieldMissing": {  # a device, which three of four transactions have none of: payments in a shop
        'fraudline_transactions_total{job="w"}': counted((1000, 2 * (DAY + NIGHT) + 36)),
        'fraudline_field_problems_total{job="w",field="device_id",problem="missing"}': counted(
            (720, 2 * (DAY + NIGHT)), (1000, 36)
        ),
    },
}


def firing(names, minutes):
    return {"expr": f'count(ALERTS{{alertname=~"{names}",alertstate="firing"}})', "eval_time": f"{minutes}m"}


@pytest.mark.parametrize("names", QUIET)
def test_what_is_so_every_night_or_of_a_handful_of_transactions_alarms_nobody(tmp_path, names):
    asked = [firing(names, LAST - before) | {"exp_samples": []} for before in (300, 120, 60, 45, 40, 35, 30, 10)]
    rules = [str(ROOT / FOLDER / "rules.yaml")]
    assert not asked_of_promtool(tmp_path, QUIET[names], asked, rules=rules, interval="5m")


@pytest.mark.parametrize("name", BROKEN)
def test_a_feed_that_breaks_by_day_alarms_though_much_is_quiet_or_missing_every_day(tmp_path, name):
    asked = [firing(name, LAST + 170) | {"exp_samples": [{"labels": "{}", "value": 1}]}]
    rules = [str(ROOT / FOLDER / "rules.yaml")]
    assert not asked_of_promtool(tmp_path, BROKEN[name], asked, rules=rules, interval="5m")


def test_a_feed_that_has_been_cut_off_for_two_days_is_not_taken_for_what_is_usual(tmp_path):
    week, gone = 7 * 96, 2 * 96
    series = {
        'fraudline_transactions_total{job="w"}': counted((900, week), (0, gone)),
        'fraudline_newest_event_timestamp_seconds{job="w"}': f"0+900x{week - 1} {900 * week}x{gone - 1}",
    }
    asked = [firing("DataStale", 15 * (week + gone) - 30) | {"exp_samples": [{"labels": "{}", "value": 1}]}]
    rules = [str(ROOT / FOLDER / "rules.yaml")]
    assert not asked_of_promtool(tmp_path, series, asked, rules=rules, interval="15m")


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_the_profile_full_of_compose_mounts_what_is_here(name):
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounted = " ".join(services[name]["volumes"])
    assert f"./{FOLDER}/{ {'prometheus': 'rules.yaml', 'alertmanager': 'alertmanager.yaml'}[name] }" in mounted
    assert f"./{FOLDER}/dashboards" in " ".join(services["grafana"]["volumes"])
