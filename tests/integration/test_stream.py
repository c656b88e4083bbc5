"""The whole way of a transaction, on a real broker: topic, worker, decisions, alerts and dead letters."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.merchant_history import build_profiles
from fraudline.features.profiles import ProfileTable, write_profiles
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.model.scorer import Scorer
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.mock import MockKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.batch import BatchReport
from fraudline.stream.dead_letter_topic import read_letters, replay_letters
from fraudline.stream.messages import Alert, Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import produce
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import TRANSPORTS, Output, open_sender
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_tables
from tests.support.stop import StopAfter
from tests.support.workers import WorkerProcess, wait_for, wait_until_committed

pytestmark = pytest.mark.integration

SPEC = load_spec()
ROWS = 3_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return small_tables()[0].slice(5_000, ROWS)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles") / "p"
    write_profiles(
        folder, build_profiles(*small_tables(), spec=SPEC, label_delay_days=7), spec=SPEC, label_delay_days=7
    )
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("model") / "m", review=0.42, block=0.47)


def run_until(params: StreamParams, model: Path, records: int, profiles: Path | None = None) -> list[BatchReport]:
    stop = StopAfter(records)
    assert run_worker(params, model_dir=model, profiles_dir=profiles, stop=stop.event, on_batch=stop) == records
    return stop.reports


def decisions_of(params: StreamParams) -> dict[str, Decision]:
    values = [record.value for record in read_all(params.bootstrap, params.topics.decisions)]
    decisions = [msgspec.json.decode(value, type=Decision) for value in values]
    found = {decision.transaction_id: decision for decision in decisions}
    assert len(found) == len(decisions)
    return found


def features_of(table: pa.Table, found: dict[str, Decision]) -> np.ndarray:
    return np.array([found[i].features for i in table["transaction_id"].to_pylist()], np.float32)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_good_and_bad_records_come_out_as_the_batch_says(
    kafka: LocalKafka, tmp_path: Path, table: pa.Table, model: Path, profiles: Path, transport: str
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, transport=transport)
    ensure_topics(params)
    bad = [b"", b"\xff\xfe", b'{"amount_minor": NaN}', b"x" * 900_000]
    with closing(open_sender(transport, params.bootstrap)) as sender:
        for value in bad:
            sender.send(Output(params.topics.transactions, b"card", value))
    produce([table], bootstrap=params.bootstrap, topic=params.topics.transactions, transport=transport)
    reports = run_until(params, model, ROWS + len(bad), profiles)

    found = decisions_of(params)
    merchant = ProfileTable.load(profiles, SPEC)
    oracle = FeatureEngine(SPEC, merchant).advance(columns_from_table(table))
    assert features_of(table, found).tobytes() == oracle.tobytes()
    artifact = load_artifact(model)
    scores = Scorer(artifact).score(oracle).score
    ordered = [found[i] for i in table["transaction_id"].to_pylist()]
    assert np.array([decision.score for decision in ordered], np.float32).tobytes() == scores.tobytes()
    assert {decision.profile_version for decision in ordered} == {merchant.version}
    assert {decision.model_version for decision in ordered} == {artifact.version}

    alerts = [msgspec.json.decode(r.value, type=Alert) for r in read_all(params.bootstrap, params.topics.alerts)]
    assert {alert.transaction_id for alert in alerts} == {d.transaction_id for d in ordered if d.decision != "allow"}
    assert {"allow", "review", "block"} == {decision.decision for decision in ordered}

    letters = read_all(params.bootstrap, params.topics.dead_letters)
    assert sorted(letter.value for letter in letters) == sorted(bad)
    assert all(dict(letter.headers)["topic"].decode() == params.topics.transactions for letter in letters)
    latencies = np.array([seconds for report in reports for seconds in report.latencies_s])
    assert len(latencies) == ROWS
    assert (latencies >= 0).all()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_record_with_neither_key_nor_value_is_a_dead_letter_that_can_be_sent_again(
    kafka: LocalKafka, tmp_path: Path, model: Path, transport: str
) -> None:
    """Java and librdkafka send such a record; kafka-python, which the worker writes with, refuses to."""
    params = own_params(tmp_path, kafka.bootstrap, transport=transport)
    ensure_topics(params)
    sender = pytest.importorskip("confluent_kafka").Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 2})
    sender.produce(params.topics.transactions)
    sender.flush()
    run_until(params, model, 1)
    assert [(letter.key, letter.value) for letter in read_letters(params)] == [(None, b"")]

    old = {"reason": b"value: nothing", "topic": params.topics.transactions, "partition": b"0", "offset": b"0"}
    sender.produce(params.topics.dead_letters, headers=list(old.items()))  # as a worker on librdkafka wrote it
    sender.flush()
    assert replay_letters(params).sent == 2
    run_until(params, model, 2)
    assert len(read_all(params.bootstrap, params.topics.dead_letters)) == 4


def test_a_worker_process_stops_on_ctrl_c_and_its_successor_goes_on(
    kafka: LocalKafka, tmp_path: Path, table: pa.Table, model: Path
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, metrics_port=free_port())
    ensure_topics(params)
    half = ROWS // 2
    produce([table.slice(0, half)], bootstrap=params.bootstrap, topic=params.topics.transactions)
    with WorkerProcess(tmp_path, params, model) as worker:
        wait_for(lambda: worker.metric("fraudline_transactions_total") == half, "the first half")
        assert worker.metric("fraudline_dead_letters_total") == 0
        os.kill(worker.child.pid, signal.SIGINT)
        assert worker.child.wait(300) == 0
    assert len(list(Path(params.checkpoint_dir).rglob("*.checkpoint"))) == params.topics.partitions
    produce([table.slice(half)], bootstrap=params.bootstrap, topic=params.topics.transactions)
    run_until(params, model, ROWS - half)
    oracle = FeatureEngine(SPEC).advance(columns_from_table(table))
    assert features_of(table, decisions_of(params)).tobytes() == oracle.tobytes()


def test_a_killed_broker_comes_back_and_nothing_is_lost_or_doubled(
    tmp_path: Path, table: pa.Table, model: Path, kafka: LocalKafka
) -> None:
    with LocalKafka(tmp_path / "own-kafka", cache=kafka.cache) as broker:
        settings = {"max_batch": 20, "recoveries": 50, "timeout_s": 3.0, "checkpoint_s": 0.3}
        params = own_params(tmp_path, broker.bootstrap, metrics_port=free_port(), **settings)
        ensure_topics(params)
        produce([table], bootstrap=params.bootstrap, topic=params.topics.transactions)
        with WorkerProcess(tmp_path, params, model) as worker:
            wait_for(lambda: worker.metric("fraudline_transactions_total") >= ROWS // 10, "a tenth", interval=0.05)
            broker.kill9()
            time.sleep(params.timeout_s + 2)  # longer than the client tries by itself
            broker.start()
            wait_until_committed(params, worker)
            assert worker.stop() == 0
        oracle = FeatureEngine(SPEC).advance(columns_from_table(table))
        assert features_of(table, decisions_of(params)).tobytes() == oracle.tobytes()


def test_the_mock_broker_carries_a_worker_without_java(tmp_path: Path, table: pa.Table, model: Path) -> None:
    with MockKafka() as mock:
        params = own_params(tmp_path, mock.bootstrap, transport="confluent")
        ensure_topics(params)
        produce([table], bootstrap=params.bootstrap, topic=params.topics.transactions, transport="confluent")
        reports = run_until(params, model, ROWS)
    found = {decision.transaction_id: decision for report in reports for decision in report.decisions}
    oracle = FeatureEngine(SPEC).advance(columns_from_table(table))
    assert features_of(table, found).tobytes() == oracle.tobytes()
