import math

import pyarrow as pa
import pytest
from rich.console import Console

from fraudline.cli.demo.run import _endless
from fraudline.cli.demo.screen import screen, split_text, summary
from fraudline.cli.demo.tally import Tally
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.stream.messages import Decision, ReasonMessage


def decision(transaction_id, verdict="allow", version="aaa"):
    return Decision(
        transaction_id=transaction_id,
        card_id="c1",
        event_time=1_767_571_200_000_000,
        score=1.5,
        decision=verdict,
        threshold=1.0,
        reasons=[ReasonMessage("amount", 1.0, 900.0, 20.0, "The amount is 900, expected 20.")],
        model_version=version,
        threshold_version="t",
        profile_version="p",
        spec_version="s",
        partition=0,
        offset=0,
        decided_at=0,
        features=[],
    )


@pytest.fixture
def tally():
    transactions = pa.table({"transaction_id": ["t1", "t2", "t3", "t4"], "card_id": ["c1", "c1", "c2", "c3"]})
    labels = pa.table({"transaction_id": ["t1", "t2", "t9"], "fraud_kind": ["x", "x", "y"]})
    return Tally.of(transactions, labels)


def test_recall_and_precision_are_taken_against_the_truth(tally):
    tally.add([decision("t1", "block"), decision("t2"), decision("t3", "review"), decision("t4")], [1.0, 2.0, 3.0, 4.0])
    kind, total = tally.kinds()
    assert (kind.kind, kind.frauds, kind.caught, kind.cards, kind.cards_caught) == ("x", 2, 1, 1, 1)
    assert kind.recall == total.recall == 0.5
    assert tally.precision() == 0.5


def test_a_fraud_of_the_days_that_an_endless_stream_goes_on_with_is_no_false_alarm():
    world = GenerateParams(days=2, cards=300, merchants=120, fraud_rate=0.05)
    first, labels = generate(world)
    tally = Tally.of(first, labels)
    days = _endless(first, world, tally)
    next(days)
    later = next(days)
    frauds = [t for t in later["transaction_id"].to_pylist() if t in tally.truth]
    tally.add([decision(transaction, "review") for transaction in frauds], [1.0])
    assert len(frauds) > 0
    assert tally.precision() == 1.0


def test_only_what_was_decided_counts_as_missed(tally):
    tally.add([decision("t1", "review")], [1.0])
    assert [row.frauds for row in tally.kinds()] == [1, 1]


def test_nothing_decided_gives_no_number_instead_of_a_wrong_one(tally):
    assert math.isnan(tally.precision())
    assert math.isnan(tally.kinds()[-1].recall)


def test_a_transaction_decided_twice_counts_once(tally):
    tally.add([decision("t1", "review")], [1.0])
    tally.add([decision("t1", "review")], [1.0])
    assert tally.snapshot().decisions == tally.snapshot().alerts == 1


def test_the_split_names_each_model_and_its_share(tally):
    tally.add([decision("t1"), decision("t2"), decision("t3"), decision("t4", version="bbb")], [1.0] * 4)
    text = split_text(tally.snapshot().split, {"aaa": "champion"})
    assert text == "champion 75.0% · bbb 25.0%"


def test_screen_and_summary_show_what_was_counted(tally, tmp_path):
    tally.add([decision("t1", "block"), decision("t4")], [10.0, 20.0], dead_letters=3)
    console = Console(record=True, width=140, file=(tmp_path / "out").open("w"))
    console.print(screen(tally.snapshot(), 4, {"aaa": "champion"}))
    summary(console, tally, 5, {"aaa": "champion"}, {"model card": tmp_path / "card.html"})
    text = console.export_text()
    for shown in ("2 of 4 decided", "p50 15 ms", "1 alerts", "block", "expected 20", "100%", "card.html"):
        assert shown in text
    assert "dead letters" in text
    console.file.close()
