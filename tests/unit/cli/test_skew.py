"""``fraudline skew``: a real worker agrees with the offline features; each planted fault is found where it begins."""

import json
import threading

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.clock import DAY_US, HOUR_US
from fraudline.core.errors import SkewFound
from fraudline.data.store import read_labels, read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles
from fraudline.model.artifact import load_artifact
from fraudline.steps.params import Params
from fraudline.steps.profiles import profiles as publish_profiles
from fraudline.stream.batch import Judge
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.transport import Record
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset
from tests.unit.stream.fakes import FakeTransport

FROM = 12_000
"""The first row of the window: the data set's last days."""
FAULT = 800
"""The row of the window from which a fault is planted."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set, its profiles, an artifact, and what a worker decided on the last days."""
    root = tmp_path_factory.mktemp("skew")
    dataset = small_dataset(root)
    publish_profiles(dataset=dataset, profiles=root / "profiles", params=Params())
    model = tiny_artifact(root / "model")
    artifact = load_artifact(model)
    profiles = ProfileTable.load(root / "profiles", artifact.card_spec)
    table = read_transactions(dataset).sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])
    window = table.slice(FROM)
    transport = FakeTransport({0: _records(window)})
    params = StreamParams(checkpoint_dir="", max_batch=500)

    def engine(*_):
        engine = FeatureEngine(artifact.card_spec, profiles)
        engine.advance(columns_from_table(table.slice(0, FROM)))
        return engine

    worker = Worker(
        params=params, artifact=artifact, engines=engine, transport=transport, metrics=StreamMetrics("fraud"),
        judge=Judge(artifact, InProcessScoring(artifact), params, profiles.version),
    )  # fmt: skip
    stop, seen = threading.Event(), [0]

    def on_batch(report):
        seen[0] += report.records
        if seen[0] >= window.num_rows:
            stop.set()

    worker.run(stop, on_batch)
    lines = [output.value.decode() for output in transport.outputs if output.topic == "decisions"]
    return {"root": root, "dataset": dataset, "model": model, "lines": lines, "window": window, "table": table,
            "spec": artifact.card_spec}  # fmt: skip


def _records(window):
    records = []
    columns = window.set_column(1, "event_time", window["event_time"].cast(pa.int64())).to_pylist()
    for offset, row in enumerate(columns):
        records.append(Record("transactions", 0, offset, 0, None, encode(Transaction(**row))))
    return records


def run(world, folder, lines, **options):
    (folder / "decisions.jsonl").write_text("\n".join(lines) + "\n")
    arguments = [
        "skew", folder / "decisions.jsonl", "--transactions", world["dataset"], "--history", world["dataset"],
        "--profiles", world["root"] / "profiles", "--model", world["model"], "--report", folder / "report", "--json",
    ]  # fmt: skip
    for name, value in options.items():
        arguments += [f"--{name}", value]
    return CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)


def planted(world, folder, change):
    """The features that differ when ``change`` is made to the rows of the window from the fault on."""
    rows = [json.loads(line) for line in world["lines"]]
    features = np.array([row["features"] for row in rows], np.float32)
    changed = change(features.copy())
    for row, values in zip(rows, changed.tolist(), strict=True):
        row["features"] = values
    result = run(world, folder, [json.dumps(row) for row in rows])
    assert isinstance(result.exception, SkewFound)
    return json.loads((folder / "report" / "skew.json").read_text())


def test_what_a_canary_decided_belongs_to_the_cards_it_decided_on(world, tmp_path):
    """A tenth of the requests goes to another model; the features come from the one worker all the same."""
    rows = [json.loads(line) for line in world["lines"]]
    for row in rows[::10]:
        row["model_version"] = "the canary's"
    result = run(world, tmp_path, [json.dumps(row) for row in rows])
    assert result.exception is None, result.exception
    assert json.loads(result.stdout)["rows"] == len(rows)


def test_what_a_worker_logged_agrees_bit_for_bit_with_the_offline_features(world, tmp_path):
    result = run(world, tmp_path, world["lines"], textfiles=tmp_path / "prom")
    assert result.exception is None, result.exception
    said = json.loads(result.stdout)
    assert said == {"rows": world["window"].num_rows, "differing": 0, "features": 0, "unknown": 0}
    assert "fraudline_skew_rows 0.0" in (tmp_path / "prom" / "fraudline_skew.prom").read_text()


def test_decisions_that_come_in_another_order_are_compared_in_the_streams(world, tmp_path):
    lines = list(np.random.default_rng(0).permutation(world["lines"]))
    assert run(world, tmp_path, lines).exception is None


def test_a_changed_unit_is_found_where_it_begins(world, tmp_path):
    index = world["spec"].names.index("amount")

    def cents(features):
        features[FAULT:, index] *= 100
        return features

    found = planted(world, tmp_path, cents)
    (feature,) = found["features"]
    assert feature["feature"] == "amount"
    assert feature["first"]["transaction_id"] == world["window"]["transaction_id"][FAULT].as_py()
    assert "100 times" in feature["hint"]
    assert found["differing"] == len(world["lines"]) - FAULT


def test_a_swapped_column_is_named_with_the_other(world, tmp_path):
    a, b = (world["spec"].names.index(name) for name in ("card_amount_7d", "card_amount_30d"))

    def swap(features):
        features[FAULT:, [a, b]] = features[FAULT:, [b, a]]
        return features

    hints = {each["feature"]: each["hint"] for each in planted(world, tmp_path, swap)["features"]}
    assert hints == {
        "card_amount_7d": "it is card_amount_30d: columns are swapped",
        "card_amount_30d": "it is card_amount_7d: columns are swapped",
    }


def test_a_shifted_window_is_found_in_the_counts(world, tmp_path):
    """A producer's clock that is an hour late moves every window."""
    profiles = ProfileTable.load(world["root"] / "profiles", world["spec"])
    engine = FeatureEngine(world["spec"], profiles)
    engine.advance(columns_from_table(world["table"].slice(0, FROM + FAULT)))
    rest = world["window"].slice(FAULT)
    late = pa.array(rest["event_time"].cast(pa.int64()).to_numpy() + HOUR_US).cast(rest["event_time"].type)
    shifted = engine.advance(columns_from_table(rest.set_column(1, "event_time", late)))

    def shift(features):
        features[FAULT:] = shifted
        return features

    found = planted(world, tmp_path, shift)
    names = {each["feature"] for each in found["features"]}
    assert "seconds_since_last" in names
    assert found["note"] == ""
    assert "hour_deviation" in names
    assert min(each["first"]["row"] for each in found["features"]) == FAULT


def test_a_late_profile_is_told_by_the_features_of_merchants(world, tmp_path):
    tables = build_profiles(
        read_transactions(world["dataset"]), read_labels(world["dataset"]), spec=world["spec"], label_delay_days=7
    )
    stale = {start + DAY_US: table for start, table in tables.items()}
    engine = FeatureEngine(world["spec"], ProfileTable.of(stale, world["spec"], "late"))
    engine.advance(columns_from_table(world["table"].slice(0, FROM)))
    late = engine.advance(columns_from_table(world["window"]))

    found = planted(world, tmp_path, lambda _: late)
    assert found["features"]
    assert "merchant_count_7d" in {each["feature"] for each in found["features"]}
    assert "merchant table" in found["note"]


def test_decisions_of_transactions_that_are_not_there_are_counted(world, tmp_path):
    stranger = json.dumps(json.loads(world["lines"][0]) | {"transaction_id": "elsewhere"})
    result = run(world, tmp_path, [*world["lines"], stranger])
    assert result.exception is None
    assert json.loads(result.stdout)["unknown"] == 1
