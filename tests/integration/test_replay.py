"""The past decided again: by the same model nothing changes, by another what it says; from topic and data set."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import DataError, UsageError
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.model.scorer import Scorer
from fraudline.steps.params import Params
from fraudline.steps.replay import replay
from fraudline.stream.messages import Decision
from tests.support.artifacts import tiny_artifact
from tests.support.broker import read_all
from tests.support.datasets import small_dataset, small_tables
from tests.support.decided import ROWS, Decided

pytestmark = pytest.mark.integration

ALWAYS = ("--from", "2020-01-01", "--to", "2030-01-01")


def test_the_same_model_decides_the_past_of_a_topic_as_it_did(decided: Decided, tmp_path: Path) -> None:
    side = f"{decided.params.stream.topics.decisions}-again"
    out, page = tmp_path / "r.parquet", tmp_path / "r.html"
    given = ("--topic", "--model", decided.entry, "--side-topic", side, "-o", out, "--page", page, "--json")
    document = json.loads(decided.cli("replay", *ALWAYS, *given).stdout)
    assert document["rows"] == ROWS
    assert document["unmatched"] == 0
    assert document["changed"]["only_a"]["alerts"] == document["changed"]["only_b"]["alerts"] == 0
    assert document["a"]["alerts"] == document["b"]["alerts"] > 0
    table = pq.read_table(out)
    assert table["score"].to_pylist() == table["before_score"].to_pylist()  # bit for bit, so the features are, too
    again = {}
    for record in read_all(decided.params.stream.bootstrap, side):
        decision = msgspec.json.decode(record.value, type=Decision)
        again[decision.transaction_id] = decision
    assert len(again) == ROWS
    assert again[decided.alert["transaction_id"]].features == decided.alert["features"]
    assert "Alerts a day" in page.read_text()


def test_another_threshold_alerts_what_the_recorded_scores_say(decided: Decided, tmp_path: Path) -> None:
    trail, lines = tmp_path / "trail", tmp_path / "d.jsonl"
    decided.cli("audit", "export", "-o", trail, "--now")
    values = [r.value for r in read_all(decided.params.stream.bootstrap, decided.params.stream.topics.decisions)]
    lines.write_bytes(b"\n".join(values))
    scores = np.array([json.loads(value)["score"] for value in values])
    for decisions in (trail, lines):
        given = ("--topic", "--model", decided.entry, "--decisions", decisions, "--thresholds", "0.40:0.45")
        document = json.loads(decided.cli("replay", *ALWAYS, *given, "-o", tmp_path / "r.parquet", "--json").stdout)
        assert document["b"]["alerts"] == (scores >= 0.40).sum()
        assert document["a"]["alerts"] == (scores >= 0.42).sum()
        assert document["names"]["b"].endswith(" at 0.40:0.45)")
        moved = document["transitions"]
        assert moved["review -> block"] == ((scores >= 0.45) & (scores < 0.47)).sum()
        assert moved["review -> allow"] == 0


def test_a_rule_file_decides_the_past_as_the_worker_would_have(decided: Decided, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {id: dear, when: 'amount > 200.0', verdict: block, reason: a dear purchase}\n")
    given = ("--topic", "--model", decided.entry, "--rules", rules, "-o", tmp_path / "r.parquet", "--json")
    document = json.loads(decided.cli("replay", *ALWAYS, *given).stdout)
    dear = pq.read_table(tmp_path / "r.parquet").to_pylist()
    blocked = [row for row in dear if row["decision"] == "block" and row["before_decision"] != "block"]
    assert document["rule_version"]
    assert len(blocked) == document["transitions"]["allow -> block"] + document["transitions"]["review -> block"] > 0
    assert min(row["amount_minor"] for row in blocked if row["currency"] == "EUR") > 20_000


def test_rules_are_tried_on_what_the_topic_holds(decided: Decided, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules:\n"
        "  - {id: odd, when: score >= 0.45, verdict: block, reason: far beyond the usual}\n"
        "  - {id: fast, when: card_count_1h >= 2.0, verdict: review, reason: the third purchase within the hour}\n"
    )
    document = json.loads(decided.cli("rules", "test", rules, "--topic", "--json").stdout)
    stream = decided.params.stream
    past = [msgspec.json.decode(r.value, type=Decision) for r in read_all(stream.bootstrap, stream.topics.decisions)]
    column = load_spec().names.index("card_count_1h")
    odd = [decision.score >= 0.45 for decision in past]
    fast = [decision.features[column] >= 2 for decision in past]
    would = [
        "block" if is_odd or decision.decision == "block" else "review" if is_fast else decision.decision
        for decision, is_odd, is_fast in zip(past, odd, fast, strict=True)
    ]
    changes = Counter((d.decision, new) for d, new in zip(past, would, strict=True) if d.decision != new)
    assert document["rows"] == len(past) == ROWS
    assert {rule["id"]: rule["count"] for rule in document["rules"]} == {"odd": sum(odd), "fast": sum(fast)}
    assert {(each["from"], each["to"]): each["count"] for each in document["changes"]} == changes
    assert {("allow", "review"), ("review", "block")} <= set(changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("what-if")


def test_a_data_set_is_decided_again_from_the_state_of_the_days_before(folder: Path) -> None:
    dataset, table = small_dataset(folder), small_tables()[0]
    champion = tiny_artifact(folder / "champion", 0, review=0.42, block=0.47)
    other = tiny_artifact(folder / "other", 1, review=0.43, block=0.47)
    last = table["event_time"][-1].as_py()
    end = datetime(last.year, last.month, last.day, tzinfo=UTC)
    begin = end - timedelta(days=10)
    document = replay(
        begin=begin, end=end, model=other, before=champion, dataset=dataset, out=folder / "r.parquet", params=Params()
    )
    features = FeatureEngine(load_spec()).advance(columns_from_table(table))
    times = table["event_time"]
    inside = np.array(pa.compute.and_(pa.compute.greater_equal(times, begin), pa.compute.less(times, end)))
    found = pq.read_table(folder / "r.parquet")
    assert found["transaction_id"].to_pylist() == table["transaction_id"].filter(inside).to_pylist()
    for name, model in (("score", other), ("before_score", champion)):
        assert (found[name].to_numpy() == Scorer(load_artifact(model)).only_scores(features[inside])).all()
    assert document["known"] > 0
    gap = document["difference"]["money_saved"]
    assert gap["interval"][0] <= gap["value"] <= gap["interval"][1]
    assert sum(document["transitions"].values()) == document["rows"] == inside.sum()


def test_what_cannot_be_replayed_is_said_before_anything_is_written(decided: Decided, folder: Path) -> None:
    day = datetime(2020, 1, 1, tzinfo=UTC)
    given = {"begin": day, "end": day + timedelta(days=1), "model": decided.entry, "out": folder / "no.parquet"}
    with pytest.raises(UsageError, match="no transactions"):
        replay(**given, params=decided.params)
    with pytest.raises(UsageError, match="is a topic of the worker"):
        replay(**given, params=decided.params, topic=True, side_topic=decided.params.stream.topics.alerts)
    with pytest.raises(DataError, match="No transaction"):
        replay(**given, params=decided.params, topic=True)
    with pytest.raises(UsageError, match="before it begins"):
        replay(**given | {"end": day}, params=decided.params, topic=True)
    assert not (folder / "no.parquet").exists()


def test_other_merchant_tables_than_then_are_said(decided: Decided, tmp_path: Path) -> None:
    lines = tmp_path / "d.jsonl"
    lines.write_text(json.dumps(decided.alert | {"profile_version": "p-of-then"}) + "\n")
    given = ("--topic", "--model", decided.entry, "--decisions", lines, "-o", tmp_path / "r.parquet")
    assert "merchant tables differ: then p-of-then, now none" in decided.cli("replay", *ALWAYS, *given).stdout
