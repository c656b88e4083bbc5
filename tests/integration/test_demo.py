import json
from pathlib import Path

import pytest

from fraudline.cli.demo.brokers import broker
from fraudline.cli.demo.live import Plan, drained, running
from fraudline.cli.demo.screen import watch
from fraudline.cli.demo.tally import Tally
from fraudline.core.errors import ArtifactError, UsageError
from fraudline.data.generate import generate_live
from fraudline.ops.local.mock import MOCK_NOTICE
from fraudline.stream.params import StreamParams
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import SMALL, small_dataset
from tests.support.processes import alive, children

pytestmark = pytest.mark.integration


def plan_in(folder: Path, **changes):
    defaults = {
        "folder": folder / "run",
        "champion": tiny_artifact(folder / "champion", seed=1, review=0.55, block=0.7),
        "canary": tiny_artifact(folder / "canary", seed=2, review=0.55, block=0.7),
        "canary_percent": 50,
        "profiles": None,
        "history": small_dataset(folder),
        "broker": "auto",
        "bootstrap": "",
        "cache": folder,
        "stream": StreamParams(poll_s=0.05, max_batch=4),  # many requests, so that chance splits them evenly
    }
    return Plan(**(defaults | changes))


def run(plan: Plan):
    before = children()
    transactions, labels = generate_live(SMALL, minutes=1_000)
    tally = Tally.of(transactions, labels)
    with running(plan) as line:
        line.work(lambda r: tally.add(r.decisions, [1000 * s for s in r.latencies_s], r.dead_letters))
        line.feed([transactions], rate=400)
        from rich.console import Console

        with Path(plan.folder / "screen.txt").open("w") as out:
            console = Console(file=out, width=110)
            watch(console, tally, transactions.num_rows, lambda: not drained(line, tally.settled), {})
        begun = children() - before
        assert len(begun) >= 3
    assert not [pid for pid in begun if alive(pid)]
    return tally, transactions, line, (plan.folder / "screen.txt").read_text()


def test_two_predictors_behind_envoy_decide_everything_once_on_a_real_broker(tmp_path, kafka):
    tally, transactions, line, text = run(plan_in(tmp_path, bootstrap=kafka.bootstrap))
    now = tally.snapshot()
    assert line.sent == now.decisions == transactions.num_rows > 100
    assert sum(now.split.values()) == transactions.num_rows
    assert len(now.split) == 2
    assert min(now.split.values()) > 0.2 * transactions.num_rows
    assert f"{now.decisions:,} of {transactions.num_rows:,} decided" in text


def test_the_mock_broker_carries_the_same_line_without_java(tmp_path):
    tally, transactions, line, _ = run(plan_in(tmp_path, broker="mock"))
    assert line.broker.notice == MOCK_NOTICE
    assert tally.snapshot().decisions == transactions.num_rows


def test_a_tampered_champion_stops_the_demo_before_anything_streams(tmp_path, kafka):
    plan = plan_in(tmp_path, bootstrap=kafka.bootstrap)
    with (plan.champion / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactError, match=r"model\.onnx"), running(plan):
        pytest.fail("it started")


def test_kafka_is_not_promised_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="Java 17"), broker("kafka", bootstrap="", folder=tmp_path, cache=tmp_path):
        pytest.fail("it started")
    with broker("auto", bootstrap="", folder=tmp_path, cache=tmp_path) as chosen:
        assert chosen.transport == "confluent"
        assert json.dumps(chosen.bootstrap)
