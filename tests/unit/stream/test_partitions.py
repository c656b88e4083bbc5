"""The states of the partitions that a worker owns, and of those that went to another worker."""

import dataclasses
from pathlib import Path

import pytest

from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import load_artifact
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.merchant_tables import MerchantTables
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.partitions import Partitions
from tests.support.artifacts import tiny_artifact
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_merchant_tables import publish, watching
from tests.unit.stream.test_partition import SPEC, TRANSACTIONS


class Shared(FakeTransport):
    """Two partitions, of which this worker may lose one."""

    def __init__(self) -> None:
        super().__init__({p: log_of(TRANSACTIONS, p) for p in (0, 1)})
        self.mine = frozenset((0, 1))

    def assignment(self) -> frozenset[int]:
        return self.mine


@dataclasses.dataclass
class Case:
    transport: Shared
    metrics: StreamMetrics
    partitions: Partitions
    folder: Path

    def written(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*.checkpoint")}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return made(tmp_path)


def made(tmp_path: Path, tables: MerchantTables | None = None) -> Case:
    transport, metrics = Shared(), StreamMetrics("fraud")
    params = StreamParams(checkpoint_dir=str(tmp_path / "checkpoints"))
    partitions = Partitions(
        params,
        load_artifact(tiny_artifact(tmp_path / "m")),
        engines=lambda *_: FeatureEngine(SPEC),
        transport=transport,
        metrics=metrics,
        tables=tables,
    )
    for partition, log in transport.logs.items():
        partitions.advance(partition, log[:30])
    return Case(transport, metrics, partitions, tmp_path / "checkpoints")


def test_a_partition_that_went_away_is_not_owned_from_then_on(case: Case) -> None:
    assert case.partitions.owned == {0, 1}
    case.transport.mine = frozenset((1,))
    assert case.partitions.owned == {1}


def test_the_checkpoint_of_a_partition_that_went_away_is_left_to_its_new_owner(case: Case) -> None:
    case.transport.mine = frozenset((1,))
    case.partitions.save()
    assert case.written() == {"transactions-1.checkpoint"}


def test_what_is_remembered_of_a_partition_that_went_away_is_let_go(case: Case) -> None:
    def remembered() -> float | None:
        case.partitions.observe()
        return case.metrics.registry.get_sample_value("fraudline_seen_ids")

    assert remembered() == 60
    case.transport.mine = frozenset((1,))
    case.partitions.save()
    assert remembered() == 30


def test_a_partition_that_comes_later_begins_with_the_tables_of_now_and_not_of_the_start(tmp_path: Path) -> None:
    version = publish(tmp_path / "profiles", 3)
    with watching(tmp_path / "profiles") as tables:
        case = made(tmp_path, tables)
        case.partitions.save()
    saved = CheckpointStore(case.folder, group="fraudline", topic="transactions").load(1)
    assert saved is not None
    assert saved.profile_version == version, "the engines' maker knows none"
