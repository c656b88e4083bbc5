"""The monitoring pipeline under kfp's local runner, as a recurring run starts it: a verdict, labels, both reports."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.files import read_json
from fraudline.data.store import read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import load_artifact
from fraudline.ops.pipeline import run_local
from pipelines.monitoring import GOLDEN
from tests.support.datasets import small_dataset
from tests.support.traffic import decisions, watched_artifact

pytestmark = pytest.mark.integration

FROM = 12_000
"""The first row of the window; what is before is the cards' history."""


def test_drift_and_skew_measure_a_window_and_leave_their_reports(tmp_path, monkeypatch):
    model, dataset = watched_artifact(tmp_path / "model"), small_dataset(tmp_path)
    artifact = load_artifact(model)
    table = read_transactions(dataset).sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])
    features = FeatureEngine(artifact.card_spec).advance(columns_from_table(table))[FROM:]
    window = decisions(model, table["event_time"].cast(pa.int64()).to_numpy()[FROM:], features)
    window = window.set_column(0, "transaction_id", table["transaction_id"].slice(FROM))
    pq.write_table(window, tmp_path / "decisions.parquet")
    monkeypatch.chdir(tmp_path)
    given = {
        "params": {"monitor": {"classifier_rows": 0}}, "decisions": str(tmp_path / "decisions.parquet"),
        "model": str(model), "transactions": str(dataset), "history": str(dataset), "profiles": "", "days": 0,
        "labels": str(dataset),
    }  # fmt: skip
    run = run_local(GOLDEN, given, tmp_path / "run")
    document = read_json(run.output("drift", "report") / "drift.json")
    assert document["window"]["rows"] == table.num_rows - FROM
    assert document["performance"]["known"] > 0
    assert 0 <= document["performance"]["figures"]["recall"]["value"] <= 1
    assert read_json(run.output("skew", "report") / "skew.json")["differing"] == 0
    assert (
        json.loads((run.folder / "drift" / "executor_output.json").read_text())["parameterValues"]["Output"] == "drift"
    )
    for task in ("drift", "skew"):
        assert "<html" in run.output(task, f"{task}_page").read_text()
