"""What becomes of decided transactions in the next version of the data set."""

from contextlib import nullcontext
from types import SimpleNamespace

import msgspec
import pyarrow as pa
import pytest
from kafka import TopicPartition

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import SchemaError, UnavailableError
from fraudline.data.store import write_dataset
from fraudline.steps import collect_stream
from fraudline.steps.collect import _checked, _dvc, joined, unscreened
from fraudline.steps.collect_stream import Memory, Stream, read_stream
from fraudline.steps.matured import Decided, Window
from fraudline.steps.params import Params
from fraudline.stream import transaction_places
from fraudline.stream.messages import Label, Transaction
from fraudline.stream.transport import Record
from tests.support.transactions import DAY, HOUR, START, labels_of, table_of, transaction

FIRST = START // DAY_US
WINDOW = Window(FIRST + 30, FIRST)


def sent(name, day, **fields):
    row = transaction(day * 86_400 + 3_600, transaction_id=name, **fields)
    return Transaction(**row)


def stream(rows, labels=()):
    """Transactions at offsets 0, 1, ... of partition 0, each with its decision."""
    decided = {
        row.transaction_id: Decided(row.transaction_id, row.card_id, row.event_time, outcome, "m", 0, offset)
        for offset, (row, outcome) in enumerate(rows)
    }
    found = {(0, offset): row for offset, (row, _) in enumerate(rows)}
    return Stream(decided, found, {label.transaction_id: label for label in labels})


def fraud(name, *, yes=True, version=1):
    return Label(name, yes, "chargeback", version, START + 25 * DAY)


@pytest.fixture
def before(tmp_path):
    rows = [transaction(86_400.0 * day + 60, transaction_id=f"o{day}") for day in range(5)]
    write_dataset(tmp_path / "data", table_of(rows), labels_of([("o1", START + 3 * DAY), ("o2", START + 4 * DAY)]), {})
    return tmp_path / "data"


@pytest.fixture
def collected(monkeypatch):
    """Reads the topics where decisions, at offsets 0, 1, ..., are of these days and the rest is empty."""

    def collected(days, memory=None, names=()):
        names = names or [f"t{i}" for i in range(len(days))]
        each = [Decided(names[i], "c", START + day * DAY, "allow", "m", 0, i) for i, day in enumerate(days)]
        log = [Record("decisions", 0, i, 0, b"", msgspec.json.encode(one)) for i, one in enumerate(each)]
        topics = {"decisions": log, "transactions": []}

        def read_partition(_, place, start, timeout_s, *, end=None):
            yield topics[place.topic][start:end]

        consumer = SimpleNamespace(end_offsets=lambda places: {one: len(topics[one.topic]) for one in places})
        for reader in (collect_stream, transaction_places):
            monkeypatch.setattr(reader, "open_consumer", lambda _: nullcontext(consumer))
            monkeypatch.setattr(reader, "places_of", lambda _, topic: [TopicPartition(topic, 0)])
            monkeypatch.setattr(reader, "read_partition", read_partition)
        monkeypatch.setattr(collect_stream, "read_label_topic", lambda _: [])
        return read_stream(Params(), WINDOW, from_us(START + 37 * DAY), memory)

    return collected


def test_the_next_collecting_goes_on_before_the_first_decision_that_has_not_matured(collected):
    found = collected([10, 40, 11])
    assert set(found.decided) == {"t0", "t2"}
    assert found.positions == {0: 1}
    memory = Memory("decisions", WINDOW.first, WINDOW.end, {0: 1})
    assert set(collected([10, 20, 11], memory).decided) == {"t1", "t2"}


def test_of_a_transaction_that_was_sent_and_decided_twice_the_first_decision_counts(collected):
    found = collected([10, 11, 12], names=["t0", "t0", "t2"])
    assert {name: decided.offset for name, decided in found.decided.items()} == {"t0": 0, "t2": 2}


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(collected):
    memory = Memory("decisions", WINDOW.first, WINDOW.end, {0: 99})
    found = collected([10, 11], memory)
    assert (set(found.decided), found.positions) == ({"t0", "t1"}, {0: 2})


def test_what_is_screened_are_the_transactions_of_the_batch(monkeypatch, tmp_path):
    seen = {}
    for name in ("validate", "featurize"):
        monkeypatch.setattr(f"fraudline.steps.collect.{name}", lambda **_: None)
    monkeypatch.setattr(
        "fraudline.steps.collect.screen", lambda **given: seen.update(given) or {"share": 0.0, "suspicious": 0.0}
    )
    _checked(tmp_path / "tree", tmp_path / "data", pa.array(["t1"]), Params())
    assert seen["batch"].to_pylist() == ["t1"]


def test_new_rows_of_any_day_and_frauds_that_were_taken_back_are_screened(before):
    rows = [(sent("late", 1), "allow"), (sent("new", 10), "allow"), (sent("o3", 3), "allow")]
    labels = [fraud("o1", yes=False, version=2), fraud("o4"), fraud("new")]
    transactions, held, _ = joined(stream(rows, labels), before, WINDOW)
    assert set(unscreened(before, transactions, held).to_pylist()) == {"late", "new", "o1"}
    assert len(unscreened(None, transactions, held)) == transactions.num_rows


def test_a_decided_transaction_comes_as_it_was_sent_with_the_label_that_holds():
    row = sent("t1", 10, amount_minor=777, latitude=1.5, longitude=2.5, country="FR", device_id="d")
    transactions, labels, counts = joined(stream([(row, "review")], [fraud("t1")]), None, WINDOW)
    (found,) = transactions.to_pylist()
    assert (found["amount_minor"], found["country"], found["latitude"]) == (777, "FR", 1.5)
    assert found["event_time"].timestamp() * 1e6 == row.event_time
    assert labels["transaction_id"].to_pylist() == ["t1"]
    assert counts == {"new": 1, "unknown": 0, "gone": 0, "left_out": 0, "relabelled": 0}


def test_what_was_blocked_and_never_looked_at_is_left_out_and_not_called_normal():
    rows = [(sent("b1", 10), "block"), (sent("b2", 10), "block"), (sent("a", 10), "allow")]
    transactions, _, counts = joined(stream(rows, [fraud("b2", yes=False)]), None, WINDOW)
    assert sorted(transactions["transaction_id"].to_pylist()) == ["a", "b2"]
    assert counts["unknown"] == 1


def test_nothing_of_a_card_that_the_poisoning_gate_named_is_added_while_it_is_to_be_left_out():
    rows = [(sent("p1", 10, card_id="evil"), "allow"), (sent("a", 10), "allow")]
    transactions, _, counts = joined(stream(rows), None, WINDOW, frozenset({"evil"}))
    assert transactions["transaction_id"].to_pylist() == ["a"]
    assert (counts["new"], counts["left_out"]) == (1, 1)
    assert joined(stream(rows), None, WINDOW)[2]["new"] == 2


def test_a_late_reversal_takes_a_label_of_the_present_version_back(before):
    found = joined(stream([(sent("t1", 10), "allow")], [fraud("o1", yes=False, version=2)]), before, WINDOW)
    assert found[1]["transaction_id"].to_pylist() == ["o2"]
    assert found[2]["relabelled"] == 1


def test_a_label_that_is_dated_before_its_transaction_is_named_with_what_mends_it(before):
    early = msgspec.structs.replace(fraud("o4"), labelled_at=START + 3 * DAY)
    with pytest.raises(SchemaError, match="label of o4 is dated .* before its transaction .*the next version"):
        joined(stream([], [fraud("o3"), early]), before, WINDOW)
    right = msgspec.structs.replace(early, labelled_at=START + 4 * DAY + 60_000_000, version=2)
    assert joined(stream([], [fraud("o3"), right]), before, WINDOW)[2]["relabelled"] == 2


def test_what_the_data_set_has_stays_as_it_is_and_the_window_rolls(before):
    rows = [(sent("o3", 3, amount_minor=9), "allow"), (sent("t1", 10), "allow")]
    transactions, labels, counts = joined(stream(rows), before, Window(FIRST + 30, FIRST + 2))
    assert sorted(transactions["transaction_id"].to_pylist()) == ["o2", "o3", "o4", "t1"]
    amounts = dict(
        zip(transactions["transaction_id"].to_pylist(), transactions["amount_minor"].to_pylist(), strict=True)
    )
    assert amounts["o3"] == 1000
    assert labels["transaction_id"].to_pylist() == ["o2"]
    assert counts["new"] == 1


def test_a_transaction_that_left_the_topic_is_counted():
    gone = Stream({"t1": Decided("t1", "c", START + HOUR, "allow", "m", 0, 7)}, {}, {})
    assert joined(gone, None, WINDOW)[2]["gone"] == 1


def test_the_window_holds_whole_days_that_are_older_than_the_delay():
    window = Window.before(START + 20 * DAY + 5 * HOUR, 7, 3)
    assert [window.holds(START + day * DAY) for day in (9, 10, 12, 13)] == [False, True, True, False]


def test_a_store_that_dvc_cannot_reach_is_told_of_by_its_cause(tmp_path):
    pytest.importorskip("dvc")
    _dvc(tmp_path, "init", "--no-scm")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows").write_text("1")
    _dvc(tmp_path, "add", "data")
    _dvc(tmp_path, "remote", "add", "-d", "store", "gs://bucket")
    with pytest.raises(UnavailableError, match=r"dvc push failed: .*requires .dvc-gs.") as error:
        _dvc(tmp_path, "push")
    assert "credentials" in error.value.action
