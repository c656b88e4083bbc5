"""``fraudline retrain`` and ``fraudline labels`` from a terminal."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.labels import group as labels
from fraudline.cli.retrain import command as retrain
from fraudline.core.clock import now_us
from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.files import write_text
from fraudline.steps.retrain_journal import JOURNAL
from fraudline.steps.retrain_signs import FIRING
from fraudline.stream.messages import Label, encode
from pipelines.training import GOLDEN
from tests.support.datasets import small_dataset
from tests.support.gitops import Forge, git
from tests.support.json_server import JsonServer
from tests.support.kfp_server import KfpServer
from tests.support.transactions import DAY


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "data.dvc", f"outs:\n- md5: {'b' * 32}.dir\n  nfiles: 3\n  path: data\n")
    write_text(tmp_path / "params.yaml", "renew: {schedule_days: 0}\nmonitor: {label_rows_min: 5}\n")
    return tmp_path


def run(command, *arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_without_a_sign_it_waits_says_so_and_the_journal_shows_it(here):
    done = run(retrain, "--if-needed", "--json")
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["action"]) == (0, "wait")
    assert "nothing asks for it" in run(retrain, "--history").output


def test_looks_that_waited_for_the_same_reason_are_one_line_of_the_history(here):
    waits = [{"at": f"2026-01-01T{hour:02}:00:00+00:00", "decision": "wait", "reason": "nothing"} for hour in range(9)]
    begun = {"at": "2026-01-01T09:00:00+00:00", "run": "r1", "state": "begun", "reason": "drift"}
    lines = [*waits, begun, begun | {"run": "r2"}, waits[0]]
    write_text(here / "renewal" / JOURNAL, "".join(json.dumps(line) + "\n" for line in lines))
    shown = " ".join(run(retrain, "--history").output.split())
    assert shown.count("nothing") == 2
    assert "9 times up to" in shown
    assert shown.count("drift") == 2
    assert json.loads(run(retrain, "--history", "--json").stdout) == {"journal": lines}


def test_either_the_triggers_decide_or_a_person(here):
    for arguments in ((), ("--if-needed", "--why", "I want it")):
        with pytest.raises(UsageError, match="triggers decide"):
            run(retrain, *arguments)


def test_a_cluster_needs_the_address_of_the_data(here):
    with pytest.raises(UsageError, match="--data-repo"):
        run(retrain, "--if-needed", "--host", "http://127.0.0.1:1", "--data-repo", "")


def test_a_pipeline_started_from_a_working_tree_knows_where_its_proposal_goes(here):
    git(here, "init", "-q")
    git(here, "remote", "add", "origin", "https://git.test/fraud.git")
    write_text(here / "pipelines" / "training.yaml", GOLDEN.read_text())
    with KfpServer() as kfp:
        run(retrain, "--why", "new categories", "--host", kfp.url, "--data-repo", "https://git.test/data.git", "--json")
        (made,) = kfp.runs.values()
    assert made["runtime_config"]["parameters"]["params"]["rollout"]["forge"]["remote"] == "https://git.test/fraud.git"


class Alerts(JsonServer):
    """A Prometheus in which these alerts fire."""

    firing: ClassVar[list[dict[str, str]]] = [
        {"alertname": "Drift"},
        {"alertname": "PerformanceWorse", "figure": "recall"},
    ]

    def reply(self, method, path, query, headers, body):
        assert body["query"] == FIRING
        return 200, {"status": "success", "data": {"result": [{"metric": each} for each in self.firing]}}


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    """A remote whose branch main has data and a compiled pipeline."""
    forge = Forge(tmp_path_factory.mktemp("main"))
    rules = yaml.safe_load((forge.work / "params.yaml").read_text())
    write_text(forge.work / "params.yaml", yaml.safe_dump({**rules, "renew": {"schedule_days": 0}}))
    write_text(forge.work / "data.dvc", f"outs:\n- md5: {'b' * 32}.dir\n  nfiles: 3\n  path: data\n")
    write_text(forge.work / "pipelines" / "training.yaml", GOLDEN.read_text())
    forge.land("data and pipeline")
    return forge


@pytest.fixture
def cluster(main, tmp_path, monkeypatch):
    """A pod beside a pipeline server and a Prometheus: nothing is here but the journal."""
    monkeypatch.chdir(tmp_path)
    with KfpServer() as kfp, Alerts() as alerts:
        monkeypatch.setenv("FRAUDLINE_REMOTE", str(main.remote))
        monkeypatch.setenv("FRAUDLINE_PROMETHEUS", alerts.url)

        def look(journal="renewal"):
            done = run(retrain, "--if-needed", "--host", kfp.url, "--journal", journal, "--json")
            return json.loads(done.stdout.splitlines()[-1])

        yield kfp, look


def test_an_alert_starts_the_pipeline_of_the_branch_main_on_its_data(cluster, main):
    kfp, look = cluster
    done = look()
    assert (done["action"], done["triggers"]) == ("submitted", ["drift", "performance"])
    assert done["reason"] == "drift: alert Drift; performance: recall fell"
    kept = kfp.runs[done["run_id"]]
    assert kept["display_name"] == f"fraudline-retrain-{done['run']}"
    given = kept["runtime_config"]["parameters"]
    revision = git(main.remote, "rev-parse", "main")
    assert (given["repo"], given["revision"], given["md5"]) == (str(main.remote), revision, f"{'b' * 32}.dir")
    assert (given["data_dvc"], given["promote_to"]) == ("data.dvc", "production")
    assert given["params"]["renew"]["schedule_days"] == 0


def test_the_same_cause_is_one_run_asked_again_killed_before_it_was_noted_or_with_its_journal_lost(cluster):
    kfp, look = cluster
    first = look()
    assert look()["run_id"] == first["run_id"]
    journal = Path("renewal", JOURNAL)
    journal.write_text(
        "".join(line for line in journal.read_text().splitlines(keepends=True) if '"submitted"' not in line)
    )
    assert look()["run_id"] == first["run_id"]
    assert look("another")["run_id"] == first["run_id"]
    assert list(kfp.runs) == [first["run_id"]]
    kfp.runs[first["run_id"]]["state"] = "SUCCEEDED"
    assert look()["action"] == "trained"
    again = look()
    assert again["action"] == "wait"
    assert "learned from the same data" in again["reason"]
    assert list(kfp.runs) == [first["run_id"]]


def test_what_a_remote_holds_is_not_trained_here(here):
    with pytest.raises(UsageError, match="--host"):
        run(retrain, "--if-needed", "--remote", "https://git.test/r")


def test_performance_of_a_file_of_decisions_and_a_file_of_labels(here):
    at = now_us() - 20 * DAY
    rows = [
        {"transaction_id": f"t{i}", "card_id": f"c{i}", "event_time": at, "model_version": "m", "features": [1.0],
         "decision": "review" if i < 20 else "allow"} for i in range(200)
    ]  # fmt: skip
    write_text(here / "d.jsonl", "\n".join(map(json.dumps, rows)))
    found = [Label(f"t{i}", True, "chargeback", 1, at + 3 * DAY) for i in range(10, 30)]
    found += [Label(f"t{i}", True, "chargeback", 1, now_us() + DAY) for i in range(30, 40)]  # of a clock that is ahead
    (here / "l.jsonl").write_bytes(b"\n".join(map(encode, found)))
    done = run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl", "--json")
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert (figures["precision"]["value"], figures["recall"]["value"]) == (0.5, 0.5)
    assert "precision" in run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl").output


def test_performance_says_what_was_stopped_and_missed_in_money_by_a_data_set_in_pipes_and_to_prometheus(here):
    at = now_us() - 20 * DAY
    rows = [
        {"transaction_id": f"t{i}", "card_id": f"c{i}", "event_time": at, "model_version": "m", "features": [1.0],
         "decision": "review" if i < 20 else "allow", "amount_minor": 100_000_000, "currency": "EUR"} for i in range(50)
    ]  # fmt: skip
    write_text(here / "d.jsonl", "\n".join(map(json.dumps, rows)))
    (here / "l.jsonl").write_bytes(
        b"\n".join(encode(Label(f"t{i}", True, "chargeback", 1, at + DAY)) for i in range(10, 30))
    )
    files = ("performance", "--decisions", "d.jsonl", "--labels", "l.jsonl", "--textfiles", ".")
    done = run(labels, *files)
    assert "frauds     stopped 10,000,000.00 EUR, missed 10,000,000.00 EUR; stopped share 0.500" in done.stdout, (
        "no line is broken"
    )
    assert 'amount{currency="EUR",outcome="held_up"} 1e+07' in (here / "fraudline_labels.prom").read_text()
    small_dataset(here)  # which has none of these transactions
    assert "the amounts of 30 are not known" in run(labels, *files, "--data", "dataset").stderr


def test_performance_says_that_too_few_frauds_are_known_for_figures(here):
    at = now_us() - 20 * DAY
    row = {"transaction_id": "t1", "card_id": "c1", "event_time": at, "model_version": "m", "features": [1.0],
           "decision": "review"}  # fmt: skip
    write_text(here / "d.jsonl", json.dumps(row))
    (here / "l.jsonl").write_bytes(encode(Label("t1", True, "chargeback", 1, at + 3 * DAY)))
    done = run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl")
    assert "too few frauds for figures: fewer than 5 (monitor.label_rows_min)" in done.stdout


def test_labels_are_sent_when_the_whole_file_is_right_and_none_of_them_before(here, monkeypatch):
    sent = []

    class Sender:
        send, flush, close = sent.append, lambda _: None, lambda _: None

    monkeypatch.setattr("fraudline.stream.labels.open_sender", lambda *_: Sender())
    monkeypatch.setattr("fraudline.stream.labels.ensure_topics", lambda *_: None)
    right = encode(Label("t1", True, "chargeback", 1, now_us()))
    (here / "l.jsonl").write_bytes(right + b"\n{}\n")
    with pytest.raises(SchemaError, match=r"l\.jsonl:2 is no label"):
        run(labels, "send", "l.jsonl")
    assert sent == []
    (here / "l.jsonl").write_bytes(right + b"\n")
    assert json.loads(run(labels, "send", "l.jsonl", "--json").stdout) == {"sent": 1}
    assert [output.key for output in sent] == [b"t1"]


def test_a_file_without_labels_is_told_at_once_and_waits_for_no_broker(here, monkeypatch):
    monkeypatch.setattr("fraudline.stream.labels.ensure_topics", lambda *_: pytest.fail("asked a broker"))
    (here / "[bold]l.jsonl").write_bytes(b"\n")
    done = run(labels, "send", "[bold]l.jsonl")
    assert (done.exit_code, done.stderr) == (0, "labels  none in [bold]l.jsonl: nothing is sent\n")
    assert json.loads(run(labels, "send", "[bold]l.jsonl", "--json").stdout) == {"sent": 0}


def test_performance_says_which_figure_has_no_value_and_what_it_does_not_cover(here):
    at = now_us() - 20 * DAY
    rows = [
        {"transaction_id": f"t{i}", "card_id": f"c{i}", "event_time": at, "model_version": "m", "features": [1.0],
         "decision": "allow" if i else "block"} for i in range(20)
    ]  # fmt: skip
    write_text(here / "d.jsonl", "\n".join(map(json.dumps, rows)))
    found = [Label(f"t{i}", True, "chargeback", 1, at + 3 * DAY) for i in range(1, 11)]
    (here / "l.jsonl").write_bytes(b"\n".join(map(encode, found)))
    done = run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl")
    assert ["precision", "–"] in [line.split() for line in done.output.splitlines()]
    assert "1 blocked ones are not in it" in done.output
