"""What becomes of decided transactions in the next version of the data set."""

import pytest

from fraudline.core.clock import DAY_US
from fraudline.data.store import write_dataset
from fraudline.steps.collect import joined
from fraudline.steps.collect_stream import Stream
from fraudline.steps.matured import Decided, Window
from fraudline.stream.messages import Label, Transaction
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


def test_a_decided_transaction_comes_as_it_was_sent_with_the_label_that_holds():
    row = sent("t1", 10, amount_minor=777, latitude=1.5, longitude=2.5, country="FR", device_id="d")
    transactions, labels, counts = joined(stream([(row, "review")], [fraud("t1")]), None, WINDOW)
    (found,) = transactions.to_pylist()
    assert (found["amount_minor"], found["country"], found["latitude"]) == (777, "FR", 1.5)
    assert found["event_time"].timestamp() * 1e6 == row.event_time
    assert labels["transaction_id"].to_pylist() == ["t1"]
    assert counts == {"new": 1, "unknown": 0, "gone": 0, "relabelled": 0}


def test_what_was_blocked_and_never_looked_at_is_left_out_and_not_called_normal():
    rows = [(sent("b1", 10), "block"), (sent("b2", 10), "block"), (sent("a", 10), "allow")]
    transactions, _, counts = joined(stream(rows, [fraud("b2", yes=False)]), None, WINDOW)
    assert sorted(transactions["transaction_id"].to_pylist()) == ["a", "b2"]
    assert counts["unknown"] == 1


def test_a_late_reversal_takes_a_label_of_the_present_version_back(before):
    found = joined(stream([(sent("t1", 10), "allow")], [fraud("o1", yes=False, version=2)]), before, WINDOW)
    assert found[1]["transaction_id"].to_pylist() == ["o2"]
    assert found[2]["relabelled"] == 1


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
