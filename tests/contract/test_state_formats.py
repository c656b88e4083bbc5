"""What a release leaves behind, beside artifacts and messages, is used by the next: files of a format are kept forever.

The files of ``v1`` were written by the code of the time. One that this code must leave aside is refused by name here,
so that a format changes with a way on, or with a refusal that says one.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from prometheus_client.metrics import MetricWrapperBase

from fraudline.cli.main import cli
from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import StateError
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.monitor.renewal import RenewParams, Signs
from fraudline.ops.audit.verify import verify
from fraudline.ops.gitops.evidence import Evidence
from fraudline.ops.gitops.state import parse, render
from fraudline.serve import metrics
from fraudline.steps.params import Params
from fraudline.steps.retrain import retrain
from fraudline.stream.checkpoint import FORMAT, CheckpointStore
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_partition import ORACLE, TRANSACTIONS, state

ROOT = Path(__file__).parents[2]
V1 = ROOT / "tests" / "fixtures" / "state" / "v1"
MASTER = "00112233445566778899aabbccddeeff" * 2


def test_every_setting_of_an_earlier_release_is_still_one() -> None:
    assert Params.load(V1 / "params.yaml")


def test_a_checkpoint_of_an_earlier_release_gives_the_features_of_the_batch(tmp_path: Path) -> None:
    assert FORMAT == 3, "keep a file of the new format here, and say below that the one of format 3 is left aside"
    shutil.copytree(V1 / "checkpoints", tmp_path / "checkpoints")
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    transport.committed, transport.begins = {0: 40}, 39  # nothing but the checkpoint knows the rest
    there = state(transport, tmp_path / "checkpoints")
    there.align(40)
    assert there.advance(log[40:]).features.tobytes() == ORACLE[40:].tobytes()
    found = CheckpointStore(tmp_path / "checkpoints", group="g", topic="t").load(0)
    assert found is not None
    again = FeatureEngine(load_spec())
    again.advance(columns_from_messages(TRANSACTIONS[:40]))
    assert bytes(found.state) == again.snapshot(), "a checkpoint of today is not what an earlier release reads"


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[], CardKeys]:
    shutil.copy(V1 / "card-keys.db", tmp_path / "keys.db")
    (tmp_path / "master").write_text(MASTER)
    (tmp_path / "master").chmod(0o600)
    return lambda: CardKeys(tmp_path / "keys.db", tmp_path / "master")


def test_a_store_of_card_keys_of_an_earlier_release_names_and_opens_as_before(keys: Callable[[], CardKeys]) -> None:
    store = keys()
    named = json.loads((V1 / "card-names.json").read_text())
    for card in ("4000", "4001"):
        pseudonym, sealed = named[card]
        assert store.names([card])[card].pseudonym == pseudonym
        assert store.opened(pseudonym, sealed) == card.encode()
    assert store.opened(*named["4002"]) is None
    store.close()


def test_a_store_of_card_keys_of_a_later_release_is_refused(tmp_path: Path, keys: Callable[[], CardKeys]) -> None:
    keys().close()
    with sqlite3.connect(tmp_path / "keys.db") as later:
        later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(StateError, match="is of format 2") as caught:
        keys()
    assert "release that wrote it" in caught.value.action


def test_a_journal_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    """Its first run was proposed; its second is being trained on a cluster."""
    shutil.copytree(V1 / "renewal", tmp_path / "renewal")
    asked = []

    class Cluster:
        def train(self, run: str, lock: int) -> dict[str, str]:
            asked.append(run)
            return {"state": "trained", "digest": "2" * 64, "uri": "file:///models/2"}

        def holds(self, run: str) -> bool:
            return True

    def look(data: str) -> str:
        return str(
            retrain(
                folder=tmp_path / "renewal",
                signs=Signs(data=data * 32, params="p" * 12, champion="c" * 12, trained_on="d0", frauds=100),
                params=RenewParams(),
                now=datetime(2026, 12, 1, tzinfo=UTC),
                trainer=Cluster(),
                propose=None,
            )["action"]
        )

    assert look("b") == "trained"
    assert asked == ["c05b8c6aa044"]
    assert look("a") == "wait", "a run of the same data and parameters was proposed"


def test_a_rollout_of_an_earlier_release_is_read_verified_and_written_the_same() -> None:
    text, service = ((V1 / "rollout" / name).read_text() for name in ("rollout.yaml", "inferenceservice.yaml"))
    rollout = parse(text)
    assert rollout.canary is not None
    assert (rollout.percent, rollout.canary.version) == (10, "ba977a7267df")
    assert render(rollout, service, text) == text
    evidence = Evidence.parse((V1 / "rollout" / "evidence.json").read_text())
    for entry in (evidence.stable, evidence.canary):
        assert entry is not None
        entry.promotion.check((V1 / "rollout" / "promotion.pub").read_bytes())


def test_a_judge_finds_the_same_metrics_at_predictors_of_both_releases() -> None:
    """While predictors are replaced the arms are of two releases: what one of them lacks holds up a rollout."""
    now = {each._name: each._labelnames for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)}
    before = json.loads((V1 / "predictor-metrics.json").read_text())
    assert {name: list(now.get(name, ())) for name in before} == before


def test_a_trail_of_thresholds_of_an_earlier_release_is_whole() -> None:
    assert ThresholdLog.read(V1 / "thresholds.jsonl", "ab" * 32).newest.thresholds.review == 5.2


def test_exported_decisions_of_an_earlier_release_are_whole() -> None:
    report = verify(V1 / "audit", head=(V1 / "audit" / "head").read_text().strip())
    assert (report.findings, report.rows) == ((), 24)


def test_merchant_tables_of_an_earlier_release_are_read() -> None:
    daily = load_spec()
    spec = FeatureSpec.parse(
        {**daily.model_dump(), "parameters": {**daily.parameters.model_dump(), "profile_hours": 24}}, "spec"
    )
    tables = ProfileTable.load(V1 / "profiles", spec)
    assert np.float32(0.07185629) in tables.values


def test_what_an_earlier_release_sealed_is_opened(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"m1 {'ab' * 32}\n")
    (tmp_path / "key").chmod(0o600)
    given = ["unseal", str(V1 / "text.sealed"), "--key-file", str(tmp_path / "key"), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(cli, given).exit_code == 0
    assert (tmp_path / "out").read_text() == "what was sealed\n"
