"""``fraudline retrain`` and ``fraudline labels`` from a terminal."""

import json

import pytest
from click.testing import CliRunner

from fraudline.cli.labels import group as labels
from fraudline.cli.retrain import command as retrain
from fraudline.core.clock import now_us
from fraudline.core.errors import UsageError
from fraudline.core.files import write_text
from fraudline.stream.messages import Label, encode
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


def test_either_the_triggers_decide_or_a_person(here):
    for arguments in ((), ("--if-needed", "--why", "I want it")):
        with pytest.raises(UsageError, match="triggers decide"):
            run(retrain, *arguments)


def test_a_cluster_needs_the_address_of_the_data(here):
    with pytest.raises(UsageError, match="--data-repo"):
        run(retrain, "--if-needed", "--host", "http://127.0.0.1:1", "--data-repo", "")


def test_performance_of_a_file_of_decisions_and_a_file_of_labels(here):
    at = now_us() - 20 * DAY
    rows = [
        {"transaction_id": f"t{i}", "card_id": f"c{i}", "event_time": at, "model_version": "m", "features": [1.0],
         "decision": "review" if i < 20 else "allow"} for i in range(200)
    ]  # fmt: skip
    write_text(here / "d.jsonl", "\n".join(map(json.dumps, rows)))
    found = [Label(f"t{i}", True, "chargeback", 1, at + 3 * DAY) for i in range(10, 30)]
    (here / "l.jsonl").write_bytes(b"\n".join(map(encode, found)))
    done = run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl", "--json")
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert (figures["precision"]["value"], figures["recall"]["value"]) == (0.5, 0.5)
    assert "precision" in run(labels, "performance", "--decisions", "d.jsonl", "--labels", "l.jsonl").output
