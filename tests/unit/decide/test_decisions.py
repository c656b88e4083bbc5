"""Decisions are read back with the cards, amounts and labels that belong to them, and only those known at the time."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError, SchemaError
from fraudline.data.schema import times_us
from fraudline.data.store import read_labels, read_transactions
from fraudline.decide.decisions import NEVER_US, read_decisions
from fraudline.decide.outcomes import Outcomes, arms_of, read_outcomes
from fraudline.features.spec import FeatureSpec, load_spec
from tests.support.datasets import small_dataset


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_topic_written_as_json_lines_is_read_in_order_of_time(tmp_path: Path) -> None:
    rows = [
        {"transaction_id": "b", "event_time": 2 * DAY_US, "card_id": "x", "score": 2.0, "reasons": [{"feature": "a"}]},
        {"transaction_id": "a", "event_time": DAY_US, "card_id": "y", "score": 1.0, "reasons": []},
    ]
    decisions = read_decisions(write_lines(tmp_path / "decisions.jsonl", rows))
    assert decisions.score.tolist() == [1.0, 2.0]
    assert decisions.days.tolist() == [1, 2]
    assert not decisions.known.any()


def test_labels_and_amounts_come_from_the_file_where_it_has_them(tmp_path: Path) -> None:
    rows = [
        {"score": 1.0, "is_fraud": True, "amount_minor": 1000, "currency": "USD", "card_id": "x", "event_time": 5},
        {"score": 2.0, "is_fraud": None, "amount_minor": 500, "currency": "EUR", "card_id": "x", "event_time": 6},
    ]
    decisions = read_decisions(write_lines(tmp_path / "d.jsonl", rows))
    assert decisions.fraud.tolist() == [True, False]
    assert decisions.known.tolist() == [True, False]
    assert decisions.amounts.tolist() == [920, 500]
    assert decisions.cards.tolist() == [0, 0]


def test_amounts_are_in_the_base_currency_of_the_specification(tmp_path: Path) -> None:
    packaged = load_spec()
    yen = {
        "JPY": {"exponent": 0, "rate": 1.0},
        "EUR": {"exponent": 2, "rate": 160.0},
        "XOF": {"exponent": 0, "rate": 0.25},
    }
    spec = FeatureSpec.parse({**packaged.model_dump(), "base_currency": "JPY", "currencies": yen}, "test")
    rows = [{"score": 1.0, "amount_minor": 500, "currency": code} for code in ("JPY", "EUR", "XOF")]
    file = write_lines(tmp_path / "d.jsonl", rows)
    assert read_decisions(file, spec=spec).amounts.tolist() == [500, 800, 125]
    with pytest.raises(SchemaError, match="XOF has no rate"):
        read_decisions(file)


def test_a_data_set_gives_the_labels_with_the_day_on_which_they_came(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    transactions, labels = read_transactions(dataset), read_labels(dataset)
    rows = transactions.num_rows
    ids = transactions["transaction_id"]
    scored = tmp_path / "scored.parquet"
    pq.write_table(pa.table({"transaction_id": ids, "score": np.arange(rows, dtype=float)}), scored)
    decisions = read_decisions(scored, dataset=dataset, label_delay_days=7)
    assert decisions.fraud.sum() == pc.sum(labels["is_fraud"]).as_py()
    assert decisions.amounts.sum() == pc.sum(transactions["amount_minor"]).as_py()
    newest = max(int(times_us(t).max()) for t in (transactions["event_time"], labels["label_time"]))
    young = decisions.times_us >= newest - 7 * DAY_US
    assert 0 < young.sum() < rows
    assert (decisions.known[young] == decisions.fraud[young]).all()  # without a label it may still be a fraud
    assert decisions.known[~young].all()
    half = int(decisions.times_us[rows // 2])
    then = decisions.as_of(half)
    in_time = labels.filter(pc.less(labels["label_time"].cast(pa.int64()), half))
    assert 0 < then.fraud.sum() == pc.sum(in_time["is_fraud"]).as_py()
    assert then.known[decisions.times_us < half - 7 * DAY_US].all()
    assert not (then.known & ~then.fraud)[decisions.times_us >= half - 7 * DAY_US].any()
    assert (then.known_us[~then.known] == NEVER_US).all()


def test_a_transaction_that_the_data_set_lacks_is_named(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    file = write_lines(tmp_path / "d.jsonl", [{"transaction_id": "strange", "score": 1.0}])
    with pytest.raises(SchemaError, match="strange"):
        read_decisions(file, dataset=dataset)


def test_an_id_that_is_a_number_is_one_that_the_data_set_lacks_and_no_traceback(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "d.jsonl", [{"transaction_id": 17, "score": 1.0}])
    with pytest.raises(SchemaError, match="1 transactions are not in .* 17 for one"):
        read_decisions(file, dataset=small_dataset(tmp_path))


@pytest.mark.parametrize("line", ["null", "null\n{}"])
def test_a_line_that_is_null_is_refused_by_its_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "d.jsonl").write_text(line)
    with pytest.raises(SchemaError, match=r"d\.jsonl cannot be read: .*null"):
        read_decisions(tmp_path / "d.jsonl")


def test_of_a_blocked_one_that_the_data_set_lacks_nothing_is_known(tmp_path: Path) -> None:
    """The data set that collect made has no blocked row without a label."""
    dataset = small_dataset(tmp_path)
    name = read_transactions(dataset)["transaction_id"][0].as_py()
    rows = [
        {"transaction_id": name, "score": 1.0, "decision": "allow", "event_time": 5, "card_id": "x"},
        {"transaction_id": "gone", "score": 9.0, "decision": "block", "event_time": 6 * DAY_US, "card_id": "y"},
    ]
    decisions = read_decisions(write_lines(tmp_path / "d.jsonl", rows), dataset=dataset)
    gone = decisions.score == 9.0
    assert decisions.known.tolist() == (~gone).tolist()
    assert (decisions.days[gone].item(), decisions.amounts[gone].item()) == (6, 0)
    assert len(set(decisions.cards.tolist())) == 2


def test_a_file_without_scores_or_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="row 2, column score: found 'much'") as caught:
        read_decisions(write_lines(tmp_path / "words.jsonl", [{"score": "1"}, {"score": "much"}]))
    assert caught.value.action == "Correct the row.", "nothing is written here that could have been changed"
    with pytest.raises(SchemaError, match="no column score"):
        read_decisions(write_lines(tmp_path / "d.jsonl", [{"transaction_id": "a"}]))
    with pytest.raises(DataError, match="no row"):
        read_decisions(write_lines(tmp_path / "empty.jsonl", []))
    (tmp_path / "odd.jsonl").write_text("{not json\n")
    with pytest.raises(SchemaError, match="cannot be read"):
        read_decisions(tmp_path / "odd.jsonl")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("event_time", "yesterday", "found 'yesterday', expected a time like"),
        ("event_time", "2026-01-01 00:00:00", "a time like 2026-01-31T12:30:00Z"),
        ("event_time", "", "found nothing, expected a time"),
        ("amount_minor", "", "found nothing, expected a whole number"),
        ("amount_minor", "5.5", "expected a whole number"),
        ("currency", "", "found nothing, expected a text"),
        ("card_id", "", "found nothing, expected a text"),
        ("is_fraud", "maybe", "found 'maybe', expected true, false or nothing"),
        ("sampled", "often", "found 'often', expected a share"),
        ("sampled", "1.5", "expected a share from 0 to 1 or nothing"),
        ("sampled", "nan", "expected a share from 0 to 1 or nothing"),
    ],
)
def test_a_value_that_a_decision_cannot_have_is_named_by_its_row(
    tmp_path: Path, column: str, value: str, expected: str
) -> None:
    row = {"score": "1", "event_time": "2026-01-01T00:00:00Z", "card_id": "c", "amount_minor": "5", "currency": "EUR"}
    row |= {"is_fraud": "True", "sampled": "0.1", "decision": "review", "model_version": "m", "transaction_id": "t"}
    file = tmp_path / "d.csv"
    file.write_text("\n".join(",".join(each) for each in (row, row.values(), (row | {column: value}).values())) + "\n")
    with pytest.raises(SchemaError, match=rf"row 2, column {column}: .*{expected}"):
        read_outcomes(file, dataset=None, label_delay_days=7)


def test_outcomes_name_the_model_of_each_decision_in_order_of_time(tmp_path: Path) -> None:
    rows = [
        {"score": 0.1, "model_version": "c", "decision": "allow", "event_time": 2_000_000, "is_fraud": False},
        {"score": 0.9, "model_version": "m", "decision": "review", "event_time": 1_000_000, "is_fraud": True},
        {"score": 0.5, "model_version": "c", "decision": "block", "event_time": 1_500_000, "is_fraud": None},
    ]
    found = read_outcomes(write_lines(tmp_path / "d.jsonl", rows), dataset=None, label_delay_days=7)
    assert found.versions.tolist() == ["m", "c"]
    assert (found.alerted.tolist(), found.fraud.tolist()) == ([True, False], [True, False])


def test_outcomes_of_two_models_are_false_alarms_among_alerts_and_missed_frauds_among_frauds() -> None:
    alerted = np.array([1, 1, 1, 0, 1, 0, 0, 0], bool)
    outcomes = Outcomes(True, np.array(["c"] * 4 + ["m"] * 4), alerted, np.ones(8, bool), np.zeros(8, np.int64))
    found = arms_of(outcomes, "c", "m")
    counts = {name: [int(getattr(arms, part).sum()) for part in ("x", "n", "y", "m")] for name, arms in found.items()}
    assert counts == {"false_alarms": [0, 3, 0, 1], "missed_frauds": [1, 4, 3, 4]}
