"""The demo's page of one alert: the transaction, the reasons, the card around it, and where the decision comes from."""

from pathlib import Path

import pyarrow as pa
import pytest

from fraudline.cli.demo.story import alert_story, surest
from fraudline.cli.demo.tally import Tally
from fraudline.data.money import money
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.kafka import LocalKafka
from fraudline.steps.params import Params
from fraudline.stream.batch import Judge
from fraudline.stream.card_topic import listed
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.produce import messages_of
from fraudline.stream.scoring import InProcessScoring
from tests.support.broker import own_params
from tests.support.datasets import small_tables
from tests.support.stored import stored_artifact
from tests.unit.stream.fakes import record


def decide(table: pa.Table, entry: Path) -> list[Decision]:
    artifact = load_artifact(entry)
    messages = list(messages_of(table))
    features = FeatureEngine(artifact.card_spec).advance(columns_from_table(table))
    records = [record(offset, b"") for offset in range(len(messages))]
    judge = Judge(artifact, InProcessScoring(artifact), StreamParams(), "")
    return judge.judge([Advanced(records, messages, features, [])]).decisions


@pytest.fixture
def streamed(tmp_path: Path) -> tuple[Tally, pa.Table, Path]:
    entry = stored_artifact(tmp_path)
    table = small_tables()[0].slice(5_000, 400)
    decisions = decide(table, entry)
    blocked = [decision for decision in decisions if decision.decision == "block"]
    frauds = {decision.transaction_id: "takeover" for decision in blocked[:2]}
    tally = Tally(truth=frauds, card_of={})
    tally.add(decisions, [1.0] * len(decisions))
    return tally, table, entry


def test_the_surest_alert_on_a_fraud_is_told_from_the_transaction_to_the_data(
    streamed: tuple[Tally, pa.Table, Path], tmp_path: Path
) -> None:
    tally, table, entry = streamed
    page = alert_story(tmp_path / "demo", tally, table, entry, Params())
    assert page is not None
    html = page.read_text()
    alert = surest(tally, entry.name[:12], set(table["transaction_id"].to_pylist()))
    assert alert is not None
    assert alert.score == max(a.score for a in tally.alerted() if a.transaction_id in tally.truth)
    (mine,) = table.filter(pa.compute.equal(table["transaction_id"], alert.transaction_id)).to_pylist()
    merchant = mine["merchant_id"]
    assert f"<td>amount</td><td>{money(mine['amount_minor'], mine['currency'])}</td>" in html
    for text in (alert.transaction_id, alert.reasons[0].text, merchant, "takeover", "block", entry.name, "d028cb19"):
        assert text in html
    order = [
        html.index(title) for title in ("The transaction<", "Reasons", "What the card did", "The run that made it")
    ]
    assert order == sorted(order)


@pytest.mark.integration
def test_the_card_of_the_story_is_blocked_on_a_real_broker(
    streamed: tuple[Tally, pa.Table, Path], tmp_path: Path, kafka: LocalKafka
) -> None:
    tally, table, entry = streamed
    stream = own_params(tmp_path, kafka.bootstrap)
    page = alert_story(tmp_path / "demo", tally, table, entry, Params(), stream)
    alert = surest(tally, entry.name[:12], set(table["transaction_id"].to_pylist()))
    assert page is not None
    assert alert is not None
    assert [item.card_id for item in listed(stream)] == [alert.card_id]
    html = page.read_text()
    assert html.index("Reasons") < html.index("The block") < html.index("The run that made it")
    assert '<h2>The block</h2><div class="sheet facts" tabindex="0">' in html


def test_without_an_alert_on_a_fraud_there_is_no_story(streamed: tuple[Tally, pa.Table, Path], tmp_path: Path) -> None:
    _, table, entry = streamed
    assert alert_story(tmp_path, Tally(truth={}, card_of={}), table, entry, Params()) is None
