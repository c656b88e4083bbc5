"""A newer publication of the merchant tables is taken between two batches; a broken one never."""

import shutil
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraudline.core.errors import DataError
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles, write_profiles
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.stream.batch import BatchReport, Judge
from fraudline.stream.merchant_tables import MerchantTables
from fraudline.stream.messages import Decision
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.transactions import labels_of, table_of, transaction
from tests.support.until import until
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_partition import TRANSACTIONS

SPEC = load_spec()
MERCHANT = TRANSACTIONS[0].merchant_id
BEFORE = 10 * 86_400
"""Seconds that the publication is older than the stream."""


def publish(folder: Path, visits: int) -> str:
    """The tables after a day with so many transactions at the merchant of the stream, long before it."""
    rows = [transaction(at - BEFORE, transaction_id=f"p{at}", merchant_id=MERCHANT) for at in range(visits)]
    tables = build_profiles(table_of(rows), labels_of([]), spec=SPEC, label_delay_days=7)
    version: str = write_profiles(folder, tables, spec=SPEC, label_delay_days=7)["version"]
    return version


def watching(folder: Path) -> closing[MerchantTables]:
    return closing(MerchantTables(folder, SPEC, interval_s=0.01))


def test_a_newer_publication_is_taken_once(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    first = publish(folder, 3)
    with watching(folder) as tables:
        assert tables.current.version == first
        assert tables.take() is None
        second = publish(folder, 5)
        found = until(tables.take)
        assert isinstance(found, ProfileTable)
        assert found.version == tables.current.version == second != first
        assert tables.take() is None


def test_a_damaged_or_missing_publication_is_refused_and_taken_when_it_is_mended(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    first = publish(folder, 3)
    with watching(folder) as tables:
        second = publish(tmp_path / "next", 5)
        damaged = sorted((tmp_path / "next").glob("*.parquet"))[-1]
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-1])
        shutil.rmtree(folder)
        shutil.move(tmp_path / "next", folder)
        assert damaged.name in str(until(lambda: "is not the file" in tables.problem and tables.problem))
        assert tables.take() is None
        assert tables.current.version == first
        (folder / damaged.name).write_bytes(content)
        assert until(tables.take).version == second
        assert tables.problem == ""
        shutil.rmtree(folder)
        assert "cannot be read" in str(until(lambda: tables.problem))
        assert tables.current.version == second


def test_without_a_publication_there_is_nothing_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="step profiles"):
        MerchantTables(tmp_path / "nowhere", SPEC, interval_s=1)


def test_a_worker_decides_by_newer_tables_from_a_batch_on_and_says_which(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    first = publish(folder, 3)
    artifact = load_artifact(tiny_artifact(tmp_path / "m"))
    params, metrics = StreamParams(checkpoint_dir="", max_batch=8), StreamMetrics("fraud")
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    stop, seen = threading.Event(), [0]
    with watching(folder) as tables:
        second = ""

        def on_batch(report: BatchReport) -> None:
            nonlocal second
            seen[0] += report.records
            if not second:
                second = publish(folder, 5)
                until(lambda: tables._next)  # read, not yet taken
            if seen[0] >= len(TRANSACTIONS):
                stop.set()

        Worker(
            params=params,
            artifact=artifact,
            engines=lambda *_: FeatureEngine(SPEC, tables.current),
            judge=Judge(artifact, InProcessScoring(artifact), params, first),
            transport=transport,
            metrics=metrics,
            tables=tables,
        ).run(stop, on_batch)

    decisions = [msgspec.json.decode(o.value, type=Decision) for o in transport.outputs if o.topic == "decisions"]
    versions = [decision.profile_version for decision in decisions]
    before = versions.index(second)
    assert versions == [first] * before + [second] * (len(decisions) - before)
    assert 0 < before < len(decisions)
    count = SPEC.names.index("merchant_count_30d")
    counts = [d.features[count] for d, t in zip(decisions, TRANSACTIONS, strict=True) if t.merchant_id == MERCHANT]
    assert set(counts) == {3.0, 5.0}
    assert np.all(np.diff(counts) >= 0)
    samples = {sample.name: sample.value for metric in metrics.registry.collect() for sample in metric.samples}
    assert samples["fraudline_merchant_tables_swaps_total"] == 1
    assert samples["fraudline_merchant_tables_refused"] == 0
    assert samples["fraudline_merchant_tables_timestamp_seconds"] == tables.current.starts[-1] / 1e6
