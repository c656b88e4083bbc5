"""Thresholds follow the decisions on a real broker's topic: the newest ones of this model, and no others."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from fraudline.cli.main import cli
from fraudline.core.errors import DataError, SchemaError, UsageError
from fraudline.data.generate import generate
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.datasets import SMALL
from tests.support.workers import WorkerProcess, send_table, wait_for, wait_until_committed

pytestmark = pytest.mark.integration

RATE = 0.02


@pytest.fixture
def params(kafka: LocalKafka, tmp_path: Path) -> StreamParams:
    params = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(params)
    settings = {
        "stream": params.model_dump(mode="json"),
        "threshold": {
            "review_rate": RATE,
            "block_rate": 0.001,
            "dynamic": {"enabled": True, "window": 1_000, "min_scores": 500, "max_step": 0.5, "lowest": 0.5},
        },
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    return params


def decisions(params: StreamParams) -> list[bytes]:
    return [record.value for record in read_all(params.bootstrap, params.topics.decisions)]


def send(params: StreamParams, scores: np.ndarray, model: str, begin: int) -> None:
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        for number, score in enumerate(scores.tolist()):
            decision = {"transaction_id": f"t{number}", "score": score, "decided_at": begin + number, "reasons": []}
            value = json.dumps({**decision, "model_version": model}).encode()
            sender.send(Output(params.topics.decisions, b"card-%d" % number, value))


def adjust(tmp_path: Path, model: Path, *more: str) -> Result:
    given = ["threshold", "adjust", "--topic", "--model", model, "--by", "ada", "--params", tmp_path / "params.yaml",
             "--thresholds", tmp_path / "t.jsonl", "--json", *more]  # fmt: skip
    return CliRunner().invoke(cli, [str(part) for part in given], catch_exceptions=False)


def test_the_newest_scores_of_this_model_move_the_threshold_to_the_budget(params: StreamParams, tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    version = load_artifact(model).version
    rng = np.random.default_rng(3)
    newest = rng.uniform(0.3, 0.62, 1_000)
    send(params, rng.uniform(0.9, 1.0, 400), version, begin=0)  # older than the window
    send(params, newest, version, begin=10_000)
    send(params, np.full(300, 5.0), "another", begin=20_000)
    said = json.loads(adjust(tmp_path, model).stdout)
    assert said["written"]
    assert said["scores"] == 1_000
    assert np.mean(newest >= said["after"]["review"]) == pytest.approx(RATE, abs=0.002)


def test_a_running_worker_decides_by_what_a_job_wrote_from_its_own_decisions(
    params: StreamParams, tmp_path: Path
) -> None:
    model = tiny_artifact(tmp_path / "model", review=0.38, block=3.0)
    packaged = load_artifact(model).thresholds
    rows = generate(SMALL, days=6)[0]
    live = params.model_copy(update={"thresholds": str(tmp_path / "t.jsonl"), "reasons": 0})
    with WorkerProcess(tmp_path, live, model) as worker:
        send_table(live, rows.slice(0, 1_500))
        wait_until_committed(live, worker)
        said = json.loads(adjust(tmp_path, model).stdout)
        assert said["written"]
        version = said["after"]["version"]
        pieces = iter(range(1_500, rows.num_rows - 100, 20))

        def taken() -> bool:
            send_table(live, rows.slice(next(pieces), 20))
            wait_until_committed(live, worker)
            return f"version={version}" in worker.log

        wait_for(taken, "the worker takes the new thresholds")
        send_table(live, rows.slice(rows.num_rows - 100))
        wait_until_committed(live, worker)
    decided = {record["transaction_id"]: record for record in map(json.loads, decisions(live))}
    assert len(decided) > 1_600
    before, after = (
        {decided[name]["threshold_version"] for name in rows.slice(begin, count)["transaction_id"].to_pylist()}
        for begin, count in ((0, 1_500), (rows.num_rows - 100, 100))
    )
    assert (before, after) == ({packaged.version}, {version})


def test_a_topic_without_decisions_of_this_model_is_an_error(params: StreamParams, tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    send(params, np.ones(3), "another", begin=0)
    with pytest.raises(DataError, match="no newer decision"):
        adjust(tmp_path, model)
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        sender.send(Output(params.topics.decisions, b"x", b"not a decision"))
    with pytest.raises(SchemaError, match="no decision"):
        adjust(tmp_path, model)
    with pytest.raises(UsageError, match="from a file or from the topic"):
        adjust(tmp_path, model, "--decisions", str(tmp_path / "params.yaml"))
