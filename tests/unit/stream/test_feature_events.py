"""The stage ``features``: events that carry what the predictor needs, in one transaction with the offsets."""

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.serve.dataplane import as_instances
from fraudline.serve.payload import parse_instances
from fraudline.stream.assembly import connection
from fraudline.stream.batch import BatchReport
from fraudline.stream.feature_events import EVENT_TYPE, FeatureWriter
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import _wanted
from fraudline.stream.transport import Output
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.unit.stream.fakes import FakeTransport, log_of, record
from tests.unit.stream.test_partition import ORACLE, SPEC, TRANSACTIONS

PARAMS = StreamParams(stage="features", checkpoint_dir="", max_batch=8)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("model") / "m"))


def run(artifact: Artifact, transport: FakeTransport, until: int) -> list[Output]:
    worker = Worker(
        params=PARAMS,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(SPEC),
        judge=FeatureWriter(artifact, PARAMS),
        transport=transport,
        metrics=StreamMetrics("fraud"),
    )
    stop, seen = threading.Event(), [0]

    def on_batch(report: BatchReport) -> None:
        seen[0] += report.records
        if seen[0] >= until:
            stop.set()

    worker.run(stop, on_batch)
    return transport.outputs


def test_each_transaction_becomes_one_event_whose_data_the_predictor_takes_bit_for_bit(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    outputs = run(artifact, transport, len(TRANSACTIONS))
    assert {output.topic for output in outputs} == {"features"}
    assert [output.key for output in outputs] == [t.card_id.encode() for t in TRANSACTIONS]
    batches = [parse_instances(as_instances(msgspec.json.decode(o.value)), artifact.spec.names) for o in outputs]
    assert np.concatenate([batch.features for batch in batches]).tobytes() == ORACLE.tobytes()
    assert [batch.transaction_ids[0] for batch in batches] == [t.transaction_id for t in TRANSACTIONS]
    assert transport.committed == {0: len(TRANSACTIONS)}


def test_an_event_has_the_attributes_of_a_cloudevent_in_binary_mode(artifact: Artifact) -> None:
    first = run(artifact, FakeTransport({0: log_of(TRANSACTIONS)}), len(TRANSACTIONS))[0]
    assert dict(first.headers) == {
        "ce_specversion": b"1.0",
        "ce_type": EVENT_TYPE.encode(),
        "ce_source": b"/fraudline/fraudline",
        "ce_id": TRANSACTIONS[0].transaction_id.encode(),
        "ce_featurespec": SPEC.version.encode(),
        "content-type": b"application/json",
    }


def test_a_record_that_holds_no_transaction_is_a_dead_letter_here_too(artifact: Artifact) -> None:
    outputs = run(artifact, FakeTransport({0: [record(0, b"no"), *log_of(TRANSACTIONS)[1:]]}), len(TRANSACTIONS))
    letters = [output for output in outputs if output.topic == "transactions.dlq"]
    assert [letter.value for letter in letters] == [b"no"]
    assert len(outputs) == len(TRANSACTIONS)


def test_the_stage_needs_its_topic_and_none_of_decisions(tmp_path: Path) -> None:
    assert set(_wanted(PARAMS)) == {"transactions", "features", "transactions.dlq"}


@pytest.mark.parametrize("stage", ["features", "decide"])
def test_a_worker_asks_for_no_topic_that_is_not_made_for_it(stage: str) -> None:
    params = StreamParams(stage=stage, block_hours=24)
    assert set(connection(params).outputs) <= set(_wanted(params))
