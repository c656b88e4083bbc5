"""Offline scores equal the stream's for the same rows and the endpoint's for the same features."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from fraudline.core.clock import to_us
from fraudline.core.errors import SchemaError, StateError, UsageError
from fraudline.data.store import read_transactions, write_dataset
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles, write_profiles
from fraudline.model.artifact import load_artifact
from fraudline.steps import score_source
from fraudline.steps.params import Params
from fraudline.steps.score import LISTENER, score
from fraudline.stream.batch import Judge
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Decision, encode
from fraudline.stream.partition import PartitionState
from fraudline.stream.partitioning import partition_of
from fraudline.stream.produce import messages_of
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.transport import Record
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_tables

# importing kafka-python on Python 3.11
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

PARAMS = Params.model_validate({"stream": {"reasons_on": "all"}})
PARTITIONS = PARAMS.stream.topics.partitions


@dataclass(frozen=True)
class Setting:
    """A model, merchant profiles, what was before, and the rows to score."""

    model: Path
    profiles: Path
    history: Path
    past: pa.Table
    rows: pa.Table


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("score")
    model = tiny_artifact(folder / "model", review=0.5, block=0.6)
    spec = load_artifact(model).spec
    everything, labels = small_tables()
    past, rows = everything.slice(0, 6000).combine_chunks(), everything.slice(6000, 1500).combine_chunks()
    write_dataset(folder / "history", past, labels, {"name": "history"})
    tables = build_profiles(past, labels, spec=spec, label_delay_days=7)
    write_profiles(folder / "profiles", tables, spec=spec, label_delay_days=7)
    past = read_transactions(folder / "history")
    return Setting(model, folder / "profiles", folder / "history", past, rows)


class Stream:
    """The worker's own parts, without a broker: decode, advance by partition, judge, checkpoint."""

    def __init__(self, setting: Setting, checkpoints: Path) -> None:
        artifact = load_artifact(setting.model)
        profiles = ProfileTable.load(setting.profiles, artifact.spec)
        decoder = Decoder(artifact.spec.currencies)
        store = CheckpointStore(checkpoints, group=PARAMS.stream.group, topic=PARAMS.stream.topics.transactions)
        scoring = InProcessScoring(artifact, explain_all=True)
        self._judge = Judge(artifact, scoring, PARAMS.stream, profiles.version)
        self._offset = 0
        self.partitions = [
            PartitionState(
                partition,
                engines=lambda _: FeatureEngine(artifact.spec, profiles),
                decoder=decoder,
                transport=None,  # type: ignore[arg-type]  # only replays read the log
                store=store,
            )
            for partition in range(PARTITIONS)
        ]

    def take(self, table: pa.Table, batch: int = 97) -> dict[str, Decision]:
        decisions: dict[str, Decision] = {}
        for start in range(0, table.num_rows, batch):
            parts: dict[int, list[Record]] = {}
            for message in messages_of(table.slice(start, batch)):
                key = message.card_id.encode()
                partition = partition_of(key, PARTITIONS)
                record = Record("transactions", partition, self._offset, 0, key, encode(message))
                parts.setdefault(partition, []).append(record)
                self._offset += 1
            judged = self._judge.judge([self.partitions[p].advance(records) for p, records in sorted(parts.items())])
            decisions |= {decision.transaction_id: decision for decision in judged.decisions}
        return decisions


def run(file: Path, setting: Setting, out: Path, **options: Any) -> pa.Table:
    score(file=file, model=setting.model, out=out, params=PARAMS, **options)
    return pq.read_table(out) if out.suffix == ".parquet" else pa_csv.read_csv(out)


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def check_equal(found: pa.Table, decisions: dict[str, Decision]) -> None:
    rows = found.to_pylist()
    assert len(rows) == len(decisions)
    for row in rows:
        decision = decisions[row["transaction_id"]]
        assert row["score"] == decision.score
        assert row["decision"] == decision.decision
        assert row["threshold"] == decision.threshold
        assert row["model_version"] == decision.model_version
        assert row["threshold_version"] == decision.threshold_version
        wanted = [{name: getattr(reason, name) for name in reason.__struct_fields__} for reason in decision.reasons]
        assert json.loads(row["reasons"]) == wanted


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_rows_after_a_history_get_the_decisions_of_the_stream(setting: Setting, tmp_path: Path, suffix: str) -> None:
    stream = Stream(setting, tmp_path / "checkpoints")
    stream.take(setting.past, 1000)
    decisions = stream.take(setting.rows)
    file = write(setting.rows, tmp_path / f"rows{suffix}")
    out = tmp_path / f"out{suffix}"
    found = run(file, setting, out, history=setting.history, profiles=setting.profiles)
    check_equal(found, decisions)
    assert set(found["decision"].to_pylist()) >= {"allow", "review"}
    assert run(file, setting, out, history=setting.history, profiles=setting.profiles, jobs=3).equals(found)


def test_a_history_that_holds_the_rows_too_ends_before_them(setting: Setting, tmp_path: Path) -> None:
    file = write(setting.rows, tmp_path / "rows.parquet")
    whole = write(pa.concat_tables([setting.past, setting.rows]), tmp_path / "whole.parquet")
    after, among = (
        run(file, setting, tmp_path / f"{history.stem}.out.parquet", history=history, profiles=setting.profiles)
        for history in (setting.history, whole)
    )
    assert among.equals(after)


@pytest.mark.parametrize(("begin", "level"), [(0, "warning"), (5_000, "info")])
def test_a_history_of_which_nothing_is_left_is_warned_of(
    setting: Setting, tmp_path: Path, begin: int, level: str
) -> None:
    file = write(setting.past.slice(begin, 20), tmp_path / "rows.parquet")
    with capture_logs() as told:
        run(file, setting, tmp_path / "out.parquet", history=setting.history, profiles=setting.profiles)
    assert [each["log_level"] for each in told if each["event"] == "score.history_cut"] == [level]


def test_a_data_set_folder_is_scored_day_by_day_as_one_file_of_its_rows(setting: Setting, tmp_path: Path) -> None:
    write_dataset(tmp_path / "new", setting.rows, small_tables()[1].slice(0, 0), {"name": "new"})
    assert len(list((tmp_path / "new" / "transactions").glob("*.parquet"))) > 1
    file = write(read_transactions(tmp_path / "new"), tmp_path / "rows.parquet")
    one, many = (
        run(source, setting, tmp_path / f"{source.stem}.out.parquet", history=setting.history)
        for source in (file, tmp_path / "new")
    )
    assert many.equals(one)
    with pytest.raises(SchemaError, match="no data set"):
        run(tmp_path, setting, tmp_path / "out.parquet")


def test_a_file_of_another_system_is_sent_to_the_import(setting: Setting, tmp_path: Path) -> None:
    file = write(pa.table({"id": ["a"], "booked_at": ["2026-01-01"]}), tmp_path / "bank.csv")
    with pytest.raises(SchemaError, match="neither the columns of transactions") as caught:
        run(file, setting, tmp_path / "out.parquet")
    assert "data import table" in caught.value.action


def test_rows_without_ids_take_the_whole_history(setting: Setting, tmp_path: Path) -> None:
    file, past = (
        write(table.drop_columns(["transaction_id"]), tmp_path / f"{name}.parquet")
        for name, table in (("rows", setting.rows), ("past", setting.past))
    )
    whole, anonymous = (
        run(file, setting, tmp_path / f"{history.stem}.out.parquet", history=history)
        for history in (setting.history, past)
    )
    assert anonymous.equals(whole)


def test_rows_after_a_checkpoint_get_the_decisions_of_the_stream(setting: Setting, tmp_path: Path) -> None:
    stream = Stream(setting, tmp_path / "checkpoints")
    stream.take(setting.past, 1000)
    for partition in stream.partitions:
        partition.save()
    decisions = stream.take(setting.rows)
    file = write(setting.rows, tmp_path / "rows.parquet")
    for folder in (tmp_path / "checkpoints", tmp_path / "checkpoints" / PARAMS.stream.group):
        found = run(file, setting, tmp_path / "out.parquet", checkpoint=folder, profiles=setting.profiles)
        check_equal(found, decisions)


def test_times_on_the_wire_and_as_text_give_the_same_scores(setting: Setting, tmp_path: Path) -> None:
    rows = setting.rows.slice(0, 200)
    index = rows.column_names.index("event_time")
    wire = rows.set_column(index, "event_time", pa.array([to_us(t) for t in rows["event_time"].to_pylist()]))
    text = rows.set_column(index, "event_time", pa.array([t.isoformat() for t in rows["event_time"].to_pylist()]))
    tables = [
        run(write(table, tmp_path / f"{name}.csv"), setting, tmp_path / f"{name}.parquet")
        for name, table in (("wire", wire), ("text", text), ("plain", rows))
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning")
def test_feature_rows_get_the_answers_of_the_endpoint(setting: Setting, tmp_path: Path) -> None:
    from fraudline.serve.model import FraudModel

    features = run(
        write(setting.rows, tmp_path / "rows.parquet"), setting, tmp_path / "features.parquet", with_features=True
    )
    names = list(load_artifact(setting.model).spec.names)
    rows = features.select(["transaction_id", *names]).slice(0, 300)
    found = run(write(rows, tmp_path / "given.parquet"), setting, tmp_path / "out.parquet")
    model = FraudModel("fraud", setting.model)
    model.load()
    answers, _ = asyncio.run(model({"instances": rows.to_pylist()}))
    for row, answer in zip(found.to_pylist(), answers["predictions"], strict=True):
        assert {name: row[name] for name in ("transaction_id", "score", "decision", "threshold")} == {
            name: answer[name] for name in ("transaction_id", "score", "decision", "threshold")
        }
        assert json.loads(row["reasons"]) == answer["reasons"]
        assert (row["model_version"], row["threshold_version"]) == (
            answer["model_version"],
            answer["threshold_version"],
        )


def test_a_file_without_optional_columns_is_scored_with_numbered_rows(setting: Setting, tmp_path: Path) -> None:
    needed = ["event_time", "card_id", "merchant_id", "amount_minor", "currency", "channel"]
    found = run(write(setting.rows.select(needed).slice(0, 3), tmp_path / "r.csv"), setting, tmp_path / "o.parquet")
    assert found["transaction_id"].to_pylist() == ["row-1", "row-2", "row-3"]


def test_rows_without_ids_are_numbered_through_all_days_of_a_folder(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "new" / "transactions").mkdir(parents=True)
    for day, first in (("2026-01-01", 0), ("2026-01-02", 3)):
        rows = setting.rows.drop_columns(["transaction_id"]).slice(first, 3)
        pq.write_table(rows, tmp_path / "new" / "transactions" / f"{day}.parquet")
    found = run(tmp_path / "new", setting, tmp_path / "o.parquet")
    assert found["transaction_id"].to_pylist() == [f"row-{number}" for number in range(1, 7)]


def replaced(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    kind = pa.string() if isinstance(value, str) else None
    texts = [None if v is None else str(v) for v in values] if kind else values
    return table.set_column(table.column_names.index(name), name, pa.array(texts, kind))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount_minor", "12.5"),
        ("amount_minor", -1),
        ("amount_minor", None),
        ("event_time", "yesterday"),
        ("currency", "euro"),
        ("channel", "fax"),
        ("card_id", None),
        ("category", 12345),
        ("latitude", 91.0),
        ("card_present", "maybe"),
    ],
)
def test_a_wrong_value_is_an_error_with_row_and_column_and_nothing_is_written(
    setting: Setting, tmp_path: Path, name: str, value: Any
) -> None:
    file = write(replaced(setting.rows.slice(0, 20), name, 7, value), tmp_path / "rows.parquet")
    with pytest.raises(SchemaError, match=rf"row 8, column {name}"):
        run(file, setting, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_currency_without_a_rate_is_an_error_that_names_it(setting: Setting, tmp_path: Path) -> None:
    file = write(replaced(setting.rows.slice(0, 20), "currency", 7, "XXX"), tmp_path / "rows.parquet")
    with pytest.raises(SchemaError, match="XXX"):
        run(file, setting, tmp_path / "out.parquet")


def test_a_feature_row_that_is_not_finite_is_an_error_with_row_and_column(setting: Setting, tmp_path: Path) -> None:
    names = load_artifact(setting.model).spec.names
    matrix = np.zeros((5, len(names)))
    matrix[2, 4] = np.nan
    file = write(pa.table({name: matrix[:, j] for j, name in enumerate(names)}), tmp_path / "rows.parquet")
    with pytest.raises(SchemaError, match=rf"row 3, column {names[4]}"):
        run(file, setting, tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("kept", "named"),
    [("transactions", "merchant_id"), ("features", "category_rarity")],
)
def test_a_missing_column_is_named(setting: Setting, tmp_path: Path, kept: str, named: str) -> None:
    if kept == "transactions":
        table = setting.rows.drop_columns([named])
    else:
        table = pa.table({name: [0.0] for name in load_artifact(setting.model).spec.names if name != named})
    with pytest.raises(SchemaError, match=f"no column {named}"):
        run(write(table, tmp_path / "rows.parquet"), setting, tmp_path / "out.parquet")


def test_arguments_that_do_not_go_together_are_refused(setting: Setting, tmp_path: Path) -> None:
    file = write(setting.rows, tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="neither CSV nor parquet"):
        run(file, setting, tmp_path / "out.txt")
    with pytest.raises(UsageError, match="two beginnings"):
        run(file, setting, tmp_path / "out.csv", history=file, checkpoint=tmp_path)
    with pytest.raises(StateError, match="no checkpoint"):
        run(file, setting, tmp_path / "out.csv", checkpoint=tmp_path)
    names = load_artifact(setting.model).spec.names
    features = write(pa.table({name: [0.0] for name in names}), tmp_path / "features.parquet")
    with pytest.raises(UsageError, match="feature rows already"):
        run(features, setting, tmp_path / "out.csv", profiles=setting.profiles)


def test_more_partitions_than_params_say_are_refused(setting: Setting, tmp_path: Path) -> None:
    stream = Stream(setting, tmp_path / "checkpoints")
    stream.take(setting.rows.slice(0, 200))
    for partition in stream.partitions:
        partition.save()
    group = tmp_path / "checkpoints" / PARAMS.stream.group
    first = group / f"{PARAMS.stream.topics.transactions}-0.checkpoint"
    first.rename(group / f"{PARAMS.stream.topics.transactions}-{PARTITIONS}.checkpoint")
    file = write(setting.rows, tmp_path / "rows.parquet")
    with pytest.raises(StateError, match="beyond the"):
        run(file, setting, tmp_path / "out.csv", checkpoint=tmp_path / "checkpoints")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("beginning", ["history", "checkpoint"])
def test_a_file_in_many_chunks_gets_the_answers_of_one(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, beginning: str
) -> None:
    stream = Stream(setting, tmp_path / "checkpoints")
    stream.take(setting.past, 1000)
    for partition in stream.partitions:
        partition.save()
    begun = {"history": setting.history, "checkpoint": tmp_path / "checkpoints"}[beginning]
    options = {beginning: begun, "profiles": setting.profiles, "with_features": True}
    file = write(setting.rows.drop_columns(["transaction_id"]), tmp_path / f"rows{suffix}")
    whole = run(file, setting, tmp_path / "whole.parquet", **options)
    monkeypatch.setattr(score_source, "ROWS", 101)
    heard: list[tuple[int, float]] = []
    token = LISTENER.set(lambda rows, share: heard.append((rows, share)))
    try:
        parts = run(file, setting, tmp_path / "parts.parquet", **options)
    finally:
        LISTENER.reset(token)
    assert parts.equals(whole)
    assert len(heard) == 15
    assert heard == sorted(heard)
    assert heard[-1] == (1500, 1.0)


@pytest.mark.parametrize("wrong", ["a value", "a row"])
def test_a_mistake_in_a_later_chunk_is_named_by_its_row_in_the_file(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(score_source, "ROWS", 101)
    file = write(setting.rows.slice(0, 400), tmp_path / "rows.csv")
    lines = file.read_text().splitlines(keepends=True)
    lines[307] = lines[307].replace(",", ",,", 1) if wrong == "a row" else lines[307].replace("EUR", "euro")
    file.write_text("".join(lines))
    with pytest.raises(SchemaError, match="row 307"):
        run(file, setting, tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_reasons_are_given_on_the_decisions_that_the_stream_explains(setting: Setting, tmp_path: Path) -> None:
    file = write(setting.rows, tmp_path / "rows.parquet")
    everything = run(file, setting, tmp_path / "all.parquet").to_pylist()
    score(file=file, model=setting.model, out=tmp_path / "alerts.parquet", params=Params())
    alerts = pq.read_table(tmp_path / "alerts.parquet").to_pylist()
    assert {row["decision"] for row in alerts} >= {"allow", "review"}
    for row, explained in zip(alerts, everything, strict=True):
        assert row == explained | ({"reasons": "[]"} if row["decision"] == "allow" else {})
