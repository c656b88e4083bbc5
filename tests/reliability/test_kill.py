"""The worker is killed again and again; a reader must not be able to tell."""

import random
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import yaml

from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import ChildProcess
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.artifacts import tiny_artifact
from tests.support.broker import committed_everything, own_params, read_all

RECORDS = 20_000
BAD_EVERY = 100
KILLS = 10


class Worker:
    """``python -m fraudline.stream`` as a child process, started again after each kill."""

    def __init__(self, folder: Path, params: StreamParams, model: Path) -> None:
        settings = folder / "worker.yaml"
        settings.write_text(yaml.safe_dump(params.model_dump(mode="json")))
        command = [sys.executable, "-m", "fraudline.stream", settings, model]
        self.child = ChildProcess("worker", command, log_path=folder / "worker.log", stop_timeout=30)

    def starts(self) -> int:
        return self.log.count("worker.started")

    @property
    def log(self) -> str:
        return self.child.log_path.read_text() if self.child.log_path.exists() else ""

    def start(self) -> None:
        before = self.starts()
        self.child.start().wait_ready(lambda: self.starts() > before, timeout=60)


@pytest.fixture(scope="module")
def transactions() -> pa.Table:
    good = RECORDS - RECORDS // BAD_EVERY
    table, _ = generate(GenerateParams(days=60, cards=400, merchants=200, seed=11, fraud_rate=0.01))
    assert table.num_rows >= good
    return table.slice(0, good)


def send(params: StreamParams, part: pa.Table, first: int) -> None:
    """Send a part of the transactions, a bad record after every ninety-nine good ones."""
    topic = params.topics.transactions
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        for number, message in enumerate(messages_of(part), first + 1):
            sender.send(output_of(topic, message))
            if number % (BAD_EVERY - 1) == 0:
                sender.send(Output(topic, message.card_id.encode(), b'{"transaction_id": "bad-%d"' % number))


@pytest.mark.reliability
@pytest.mark.timeout(240)
def test_ten_kills_lose_nothing_double_nothing_and_change_no_feature(
    kafka: LocalKafka, transactions: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, checkpoint_s=0.5, max_batch=20)
    ensure_topics(params)
    worker = Worker(tmp_path, params, tiny_artifact(tmp_path / "model"))
    rng = random.Random(20_000)
    begun = time.monotonic()
    part = -(-transactions.num_rows // KILLS)
    in_the_middle = 0
    for kill in range(KILLS):
        send(params, transactions.slice(kill * part, part), kill * part)
        worker.start()
        time.sleep(rng.uniform(0.1, 1.6))
        worker.child.kill()
        in_the_middle += not committed_everything(params)
    worker.start()
    deadline = time.monotonic() + 90
    while not committed_everything(params):
        assert time.monotonic() < deadline, worker.child.log_tail(30)
        time.sleep(0.3)
    assert worker.child.stop() == 0, worker.child.log_tail(30)

    raw = [record.value for record in read_all(params.bootstrap, params.topics.decisions)]
    aborted = len(read_all(params.bootstrap, params.topics.decisions, isolation="read_uncommitted")) - len(raw)
    decisions = msgspec.json.Decoder(Decision)
    found = {}
    for value in raw:
        decision = decisions.decode(value)
        found[decision.transaction_id] = decision
    ids = transactions["transaction_id"].to_pylist()
    lost, doubled = len(set(ids) - set(found)), len(raw) - len(found)
    dead = Counter(record.value for record in read_all(params.bootstrap, params.topics.dead_letters))
    batch = FeatureEngine(load_spec()).advance(columns_from_table(transactions))
    stream = np.array([found[i].features for i in ids if i in found], np.float32)
    replays = worker.log.count("state.replayed")
    figures = (
        f"{KILLS} kills ({in_the_middle} with work in hand) over {RECORDS} records in "
        f"{time.monotonic() - begun:.0f} s: {lost} lost, {doubled} doubled, {aborted} decisions of open transactions "
        f"never shown, {worker.log.count('checkpoint.loaded')} checkpoints loaded, {replays} silent replays"
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert (lost, doubled) == (0, 0)
    assert sum(dead.values()) == len(dead) == RECORDS // BAD_EVERY
    assert in_the_middle >= KILLS / 2, "the kills came too late to matter"
    assert worker.log.count("checkpoint.loaded") > 0
    assert batch.tobytes() == stream.tobytes()
