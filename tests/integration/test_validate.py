"""Each kind of corruption is stopped when it is critical, and reported when it is a warning."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import DataError, UsageError, ValidationFailed
from fraudline.data.params import ValidateParams
from fraudline.data.schema import TRANSACTIONS
from fraudline.data.store import days
from fraudline.steps.fetch import fetch
from fraudline.steps.params import Params
from fraudline.steps.validate import validate
from tests.support.corruption import dataset_of_days
from tests.support.datasets import small_tables

pytestmark = pytest.mark.integration

Change = Callable[[Path], None]


def day_file(folder: Path, name: str = "transactions", index: int = 3) -> Path:
    """One daily file of the data set."""
    return sorted((folder / name).glob("*.parquet"))[index]


def edit(path: Path, column: str, values: "Callable[[list], list]", kind: pa.DataType | None = None) -> None:
    """Rewrite one column of one file; nulls are allowed, as a broken producer would write them."""
    table = pq.read_table(path)
    changed = pa.array(values(table[column].to_pylist()), type=kind or table.schema.field(column).type)
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, pa.field(column, changed.type), changed), path)


def setting(column: str, value: object, rows: int = 3, name: str = "transactions") -> Change:
    """Put a value in the first rows of a column."""
    return lambda folder: edit(day_file(folder, name), column, lambda old: [value] * rows + old[rows:])


def meta(folder: Path, **values: object) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def duplicate_ids(folder: Path) -> None:
    edit(day_file(folder), "transaction_id", lambda old: [old[1], *old[1:]])


def ids_of_another_day(folder: Path) -> None:
    other = pq.read_table(day_file(folder, index=2))["transaction_id"].to_pylist()
    edit(day_file(folder), "transaction_id", lambda old: other[:2] + old[2:])


def copied_row(folder: Path) -> None:
    path = day_file(folder)
    table = pq.read_table(path)
    ids = pa.array(["t9999999999", *table["transaction_id"].to_pylist()])
    doubled = pa.concat_tables([table.slice(0, 1), table]).set_column(0, table.schema.field(0), ids)
    pq.write_table(doubled, path)
    count = json.loads((folder / "dataset.json").read_text())["transactions"]
    meta(folder, transactions=count + 1)


def half_a_position(folder: Path) -> None:
    edit(day_file(folder), "latitude", lambda old: [None if v is not None else v for v in old])


def shuffled(folder: Path) -> None:
    path = day_file(folder)
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(np.arange(table.num_rows)[::-1])), path)


def renamed_file(folder: Path) -> None:
    day_file(folder, index=-1).rename(folder / "transactions" / "2027-01-01.parquet")


def missing_day(folder: Path) -> None:
    path = day_file(folder)
    rows = pq.read_table(path).num_rows
    path.unlink()
    meta(folder, transactions=json.loads((folder / "dataset.json").read_text())["transactions"] - rows)


def truncated_file(folder: Path) -> None:
    path = day_file(folder)
    path.write_bytes(path.read_bytes()[:500])


def foreign_file(folder: Path) -> None:
    (folder / "transactions" / "notes.txt").write_text("mine")


def dropped_column(folder: Path) -> None:
    path = day_file(folder)
    pq.write_table(pq.read_table(path).drop_columns(["currency"]), path)


def extra_column(folder: Path) -> None:
    path = day_file(folder)
    table = pq.read_table(path)
    pq.write_table(table.append_column("cvv", table["category"]), path)


def amounts_as_text(folder: Path) -> None:
    edit(day_file(folder), "amount_minor", lambda old: [str(v) for v in old], pa.string())


def amounts_in_major_units(folder: Path) -> None:
    edit(day_file(folder), "amount_minor", lambda old: [v / 100 for v in old], pa.float64())


def label_of_nobody(folder: Path) -> None:
    edit(day_file(folder, "labels"), "transaction_id", lambda old: ["t-unknown", *old[1:]])


def two_labels(folder: Path) -> None:
    path = day_file(folder, "labels")
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(0, 1), table]), path)
    meta(folder, frauds=json.loads((folder / "dataset.json").read_text())["frauds"] + 1)


def label_before_its_transaction(folder: Path) -> None:
    later = pq.read_table(day_file(folder, index=-1))["transaction_id"].to_pylist()
    edit(day_file(folder, "labels", 0), "transaction_id", lambda old: [later[0], *old[1:]])


def label_in_another_days_file(folder: Path) -> None:
    edit(day_file(folder, "labels"), "label_time", lambda old: [v + timedelta(days=1) for v in old])


def everything_is_fraud(folder: Path) -> None:
    ids, times = [], []
    for path in sorted((folder / "transactions").glob("*")):
        table = pq.read_table(path)
        ids += table["transaction_id"].to_pylist()
        times += table["event_time"].to_pylist()
    known = pq.read_table(day_file(folder, "labels", 0))
    name = day_file(folder, "labels", -1)
    day = pq.read_table(name)["label_time"].to_pylist()[0]
    for path in (folder / "labels").glob("*"):
        path.unlink()
    chosen = ids[::3]
    table = pa.table(
        {
            "transaction_id": chosen,
            "label_time": pa.array([day] * len(chosen), type=known.schema.field("label_time").type),
            "is_fraud": [True] * len(chosen),
            "fraud_kind": pa.array([None] * len(chosen), type=pa.string()),
        }
    )
    pq.write_table(table, name)
    meta(folder, frauds=len(chosen))


def no_label(folder: Path) -> None:
    for path in (folder / "labels").glob("*"):
        path.unlink()
    meta(folder, frauds=0)


def wrong_count(folder: Path) -> None:
    meta(folder, transactions=1)


def no_meta(folder: Path) -> None:
    (folder / "dataset.json").unlink()


CRITICAL: dict[str, tuple[Change, str]] = {
    "a null card": (setting("card_id", None), "card_id is never null"),
    "a null amount": (setting("amount_minor", None), "amount_minor is never null"),
    "a null time": (setting("event_time", None), "event_time is never null"),
    "a blank merchant": (setting("merchant_id", "  "), "no identifier is blank"),
    "an id twice in a day": (duplicate_ids, "transaction_id is unique"),
    "an id twice in two days": (ids_of_another_day, "transaction_id is unique"),
    "a copied row with a new id": (copied_row, "no row repeats another"),
    "a negative amount": (setting("amount_minor", -1), "amount_minor, in the base currency, is between"),
    "an amount beyond belief": (
        setting("amount_minor", 10**12),
        "amount_minor, in the base currency, is between 0 and 5,000,000 (validation.max_amount_minor)",
    ),
    "a file named by no day": (
        lambda folder: day_file(folder).rename(folder / "transactions" / "NaT.parquet"),
        "every file is readable, named by its day",
    ),
    "an unknown currency": (setting("currency", "XXX"), "currency is one of EUR"),
    "an unknown channel": (setting("channel", "fax"), "channel is one of"),
    "an unknown country": (setting("country", "QQ"), "country is one of"),
    "a category out of range": (setting("category", -7), "category is between"),
    "a latitude out of range": (setting("latitude", 123.0), "latitude is between"),
    "a longitude out of range": (setting("longitude", -200.0), "longitude is between"),
    "half a position": (half_a_position, "latitude and longitude are both there"),
    "rows out of order": (shuffled, "rows are in time order"),
    "a file with another day's name": (renamed_file, "event_time lies in the day of its file"),
    "a missing day": (missing_day, "no day between the first and the last is missing"),
    "a truncated file": (truncated_file, "every file is readable"),
    "a foreign file": (foreign_file, "every file is readable"),
    "a missing column": (dropped_column, "every file is readable"),
    "an unknown column": (extra_column, "every file is readable"),
    "amounts as text": (amounts_as_text, "every file is readable"),
    "amounts in major units": (amounts_in_major_units, "every file is readable"),
    "a label of no transaction": (label_of_nobody, "the label's transaction exists"),
    "a transaction with two labels": (two_labels, "a transaction has one label"),
    "a label before its transaction": (label_before_its_transaction, "label_time is not before event_time"),
    "a label in another day's file": (label_in_another_days_file, "label_time lies in the day of its file"),
    "a null in is_fraud": (setting("is_fraud", None, 1, "labels"), "is_fraud is never null"),
    "a third of all rows fraud": (everything_is_fraud, "fraud_rate is between"),
    "a wrong count in dataset.json": (wrong_count, "dataset.json counts the transactions right"),
    "no count in dataset.json": (
        lambda folder: meta(folder, transactions=None),
        "dataset.json counts the transactions right",
    ),
    "a count in words": (lambda folder: meta(folder, frauds="many"), "dataset.json counts the frauds right"),
    "no dataset.json": (no_meta, "every file is readable"),
}

TOGETHER = {
    "a null card": 3,
    "a null amount": 3,
    "a blank merchant": 3,
    "an id twice in a day": 2,
    "an unknown currency": 3,
    "an unknown channel": 3,
    "an unknown country": 3,
    "a category out of range": 3,
    "a latitude out of range": 3,
    "a longitude out of range": 3,
    "a label of no transaction": 1,
    "a label before its transaction": 1,
    "a label in another day's file": 2,
    "no count in dataset.json": 1,
    "a count in words": 1,
}
"""Corruptions that hide and cause no other one, and the rows that each damages: one run finds them all."""


def position_on_null_island(folder: Path) -> None:
    for name in ("latitude", "longitude"):
        edit(day_file(folder), name, lambda old: [0.0, 0.0, *old[2:]])


def position_without_presence(folder: Path) -> None:
    edit(day_file(folder), "card_present", lambda old: [False] * len(old))


def tenfold_amounts(folder: Path) -> None:
    for path in (folder / "transactions").glob("*"):
        edit(path, "amount_minor", lambda old: [v * 10 for v in old])


def one_category(folder: Path) -> None:
    for path in (folder / "transactions").glob("*"):
        edit(path, "category", lambda old: [5999] * len(old))


def no_device(folder: Path) -> None:
    for path in (folder / "transactions").glob("*"):
        edit(path, "device_id", lambda old: [None] * len(old))


def free_transactions(folder: Path) -> None:
    for path in (folder / "transactions").glob("*"):
        edit(path, "amount_minor", lambda old: [0 if k % 4 == 0 else v for k, v in enumerate(old)])


def thin_day(folder: Path) -> None:
    path = day_file(folder)
    table = pq.read_table(path)
    labelled = pa.concat_tables([pq.read_table(p) for p in (folder / "labels").glob("*")])["transaction_id"]
    kept = table.filter(pc.is_in(table["transaction_id"], value_set=labelled.combine_chunks()))
    kept = pa.concat_tables([kept, table.slice(0, 3)]).sort_by("event_time") if kept.num_rows == 0 else kept
    pq.write_table(kept, path)
    count = json.loads((folder / "dataset.json").read_text())["transactions"]
    meta(folder, transactions=count - table.num_rows + kept.num_rows)


def late_label(folder: Path) -> None:
    path = day_file(folder, "labels", -1)
    edit(path, "label_time", lambda old: [v + timedelta(days=100) for v in old])
    table = pq.read_table(path)
    first = table["label_time"].to_pylist()[0].date()
    path.unlink()
    same = [t.date() == first for t in table["label_time"].to_pylist()]
    kept = table.filter(pa.array(same))
    pq.write_table(kept, folder / "labels" / f"{first}.parquet")
    frauds = json.loads((folder / "dataset.json").read_text())["frauds"]
    meta(folder, frauds=frauds - table.num_rows + kept.num_rows)


def half_the_labels(folder: Path) -> None:
    lost = 0
    for path in sorted((folder / "labels").glob("*"))[::3] + sorted((folder / "labels").glob("*"))[1::3]:
        lost += pq.read_table(path).num_rows
        path.unlink()
    meta(folder, frauds=json.loads((folder / "dataset.json").read_text())["frauds"] - lost)


WARNINGS: dict[str, tuple[Change, str]] = {
    "positions at 0, 0": (position_on_null_island, "no position is 0, 0"),
    "a position without the card": (position_without_presence, "a card-not-present row has no position"),
    "card_present against the channel": (position_without_presence, "card_present fits the channel"),
    "no fraud at all": (no_label, "at least one fraud is labelled"),
    "no device anywhere": (no_device, "share_without_device is between"),
    "many amounts of zero": (free_transactions, "share_of_zero_amounts is between"),
    "a thin day": (thin_day, "each day has about as many rows"),
    "a label after 100 days": (late_label, "delay_days is between"),
    "amounts ten times as large as before": (tenfold_amounts, "psi_amount is between"),
    "one category where there were many": (one_category, "psi_category is between"),
    "two thirds of the labels lost": (half_the_labels, "fraud_rate_change is between"),
}
WARNED_TOGETHER = (
    "a position without the card",
    "card_present against the channel",
    "no device anywhere",
    "a label after 100 days",
    "amounts ten times as large as before",
    "one category where there were many",
)


@pytest.fixture(scope="module", autouse=True)
def great_expectations() -> None:
    """Import it once: its own dependencies warn while they are imported, which is not ours to correct."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return dataset_of_days(tmp_path_factory.mktemp("good"), *small_tables(), days=14)


@pytest.fixture
def damaged(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "dataset"))


def report_of(folder: Path) -> dict:
    return json.loads((folder / "validation.json").read_text())


def failed_rules(folder: Path, severity: str) -> list[dict]:
    return [r for r in report_of(folder)["rules"] if not r["success"] and r["severity"] == severity]


@pytest.fixture(scope="module")
def all_damaged(good: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], str]:
    """What is found of all corruptions of TOGETHER at once, and what is said of it."""
    folder = tmp_path_factory.mktemp("together")
    dataset = Path(shutil.copytree(good, folder / "dataset"))
    for kind in TOGETHER:
        CRITICAL[kind][0](dataset)
    with pytest.raises(ValidationFailed) as stopped:
        validate(dataset=dataset, report=folder / "report", params=Params())
    return failed_rules(folder / "report", "critical"), str(stopped.value)


@pytest.fixture(scope="module")
def all_warned(good: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is reported of all that WARNED_TOGETHER names at once."""
    folder = tmp_path_factory.mktemp("warned")
    dataset = Path(shutil.copytree(good, folder / "dataset"))
    for change in dict.fromkeys(WARNINGS[kind][0] for kind in WARNED_TOGETHER):
        change(dataset)
    metrics = validate(dataset=dataset, report=folder / "report", params=Params(), previous=good)
    failed = failed_rules(folder / "report", "warning")
    assert metrics["warnings"] == len(failed) == len(WARNED_TOGETHER)
    return [rule["statement"] for rule in failed]


def test_generated_data_meets_every_expectation_also_against_itself(good: Path, tmp_path: Path) -> None:
    metrics = validate(dataset=good, report=tmp_path / "report", params=Params(), previous=good)

    assert metrics["warnings"] == 0
    assert metrics["expectations"] == len(report_of(tmp_path / "report")["rules"]) >= 45
    assert report_of(tmp_path / "report")["success"] is True


@pytest.mark.parametrize("kind", TOGETHER)
def test_of_many_corruptions_at_once_each_is_named_with_the_rows_that_it_damaged(
    kind: str, all_damaged: tuple[list[dict], str]
) -> None:
    (named,) = [r for r in all_damaged[0] if r["statement"].startswith(CRITICAL[kind][1])]
    assert named["unexpected"] == TOGETHER[kind]
    assert 1 <= len(named["samples"]) <= 5


def test_of_many_corruptions_the_message_names_three_and_counts_the_others(
    all_damaged: tuple[list[dict], str],
) -> None:
    failed, said = all_damaged
    assert len(failed) == len(TOGETHER)
    assert [rule["statement"] in said for rule in failed] == [True] * 3 + [False] * (len(failed) - 3)
    assert f"- and {len(failed) - 3} more." in said


@pytest.mark.parametrize("kind", [kind for kind in CRITICAL if kind not in TOGETHER])
def test_critical_corruption_is_stopped_with_the_expectation_named(kind: str, damaged: Path, tmp_path: Path) -> None:
    change, statement = CRITICAL[kind]
    change(damaged)

    with pytest.raises(ValidationFailed) as stopped:
        validate(dataset=damaged, report=tmp_path / "report", params=Params())

    assert stopped.value.exit_code == 3
    failed = failed_rules(tmp_path / "report", "critical")
    (named,) = [r for r in failed if r["statement"].startswith(statement)]
    assert named["unexpected"] > 0
    assert 1 <= len(named["samples"]) <= 5
    assert failed[0]["statement"] in str(stopped.value)
    assert failed[0]["elements"] == 1 or f"{failed[0]['unexpected']:,} of" in str(stopped.value)


@pytest.mark.parametrize("kind", WARNED_TOGETHER)
def test_of_several_warnings_at_once_each_is_reported_and_none_stops(kind: str, all_warned: list[str]) -> None:
    assert sum(said.startswith(WARNINGS[kind][1]) for said in all_warned) == 1


@pytest.mark.parametrize("kind", [kind for kind in WARNINGS if kind not in WARNED_TOGETHER])
def test_a_warning_is_reported_and_does_not_stop(kind: str, damaged: Path, good: Path, tmp_path: Path) -> None:
    change, statement = WARNINGS[kind]
    change(damaged)

    metrics = validate(dataset=damaged, report=tmp_path / "report", params=Params(), previous=good)

    failed = [r["statement"] for r in report_of(tmp_path / "report")["rules"] if not r["success"]]
    assert metrics["warnings"] == len(failed)
    assert any(said.startswith(statement) for said in failed)


YEN = {"validation": {"currencies": ["EUR", "JPY", "KWD"]}}


def in_currency(currency: str, minor: float) -> Change:
    """Every amount in another currency, each cent as so many of its minor units."""

    def change(folder: Path) -> None:
        for path in (folder / "transactions").glob("*"):
            edit(path, "amount_minor", lambda old: [int(v * minor) for v in old])
            edit(path, "currency", lambda old: [currency] * len(old))

    return change


@pytest.mark.parametrize(
    ("currency", "minor", "fits"),
    [("JPY", 7_000_000, True), ("JPY", 9_000_000, False), ("KWD", 15_000_000, True), ("KWD", 18_000_000, False)],
)
def test_the_largest_amount_is_the_same_money_in_every_currency(
    currency: str, minor: int, fits: bool, damaged: Path, tmp_path: Path
) -> None:
    """50,000 EUR are 8,064,516 yen and 16,666 dinars of 1,000 fils."""
    setting("currency", currency)(damaged)
    setting("amount_minor", minor)(damaged)
    given = {"dataset": damaged, "report": tmp_path / "report", "params": Params.parse(YEN, "test")}
    if fits:
        validate(**given)
    else:
        with pytest.raises(ValidationFailed, match="amount_minor, in the base currency"):
            validate(**given)


def test_the_same_money_in_another_currency_is_no_other_distribution_of_amounts(good, damaged, tmp_path) -> None:
    for currency, factor, moved in (("JPY", 1 / 0.62, False), ("JPY", 10.0, True)):
        other = Path(shutil.copytree(damaged, tmp_path / f"other{moved}"))
        in_currency(currency, factor)(other)
        validate(dataset=other, report=tmp_path / "report", params=Params.parse(YEN, "test"), previous=good)
        failed = [r["statement"] for r in report_of(tmp_path / "report")["rules"] if not r["success"]]
        assert any(said.startswith("psi_amount") for said in failed) == moved


def test_a_shorter_set_than_the_previous_version_is_reported_as_lost_days(good: Path, tmp_path: Path) -> None:
    shorter = dataset_of_days(tmp_path, *small_tables(), days=12)

    validate(dataset=shorter, report=tmp_path / "report", params=Params(), previous=good)

    failed = [r["statement"] for r in report_of(tmp_path / "report")["rules"] if not r["success"]]
    assert "no day of the previous version is lost" in failed


@pytest.mark.parametrize("now_too", [False, True], ids=["a first fraud", "no fraud, then and now"])
def test_frauds_where_there_were_none_are_a_change(now_too: bool, damaged: Path, good: Path, tmp_path: Path) -> None:
    no_label(damaged)

    validate(dataset=damaged if now_too else good, report=tmp_path / "report", params=Params(), previous=damaged)

    failed = {r["statement"]: r["samples"] for r in report_of(tmp_path / "report")["rules"] if not r["success"]}
    changed = [samples for statement, samples in failed.items() if statement.startswith("fraud_rate_change")]
    assert [each[0]["fraud_rate_change"] for each in changed] == ([] if now_too else ["inf"])


def test_the_message_gives_five_rows_by_their_id_and_only_the_values_that_fail(damaged: Path, tmp_path: Path) -> None:
    setting("currency", "XXX", 9)(damaged)
    setting("latitude", None, 9)(damaged)
    ids = pq.read_table(day_file(damaged))["transaction_id"].to_pylist()

    with pytest.raises(ValidationFailed) as stopped:
        validate(dataset=damaged, report=tmp_path / "report", params=Params())

    message = str(stopped.value)
    assert "(9 of " in message
    assert [line.strip() for line in message.splitlines() if "XXX" in line] == [f"{i}: currency=XXX" for i in ids[:5]]
    assert "latitude=null, longitude=" in message
    assert not re.search(r"nan|None|merchant_id", message)
    (rule,) = [r for r in report_of(tmp_path / "report")["rules"] if r["statement"].startswith("currency is one of")]
    assert rule["columns"] == ["currency"]
    assert set(rule["samples"][0]) == set(TRANSACTIONS.names)


def test_a_value_of_the_data_cannot_write_on_the_terminal_nor_fill_it(damaged: Path, tmp_path: Path) -> None:
    setting("currency", "\x1b[2J" + "X" * 500)(damaged)

    with pytest.raises(ValidationFailed) as stopped:
        validate(dataset=damaged, report=tmp_path / "report", params=Params())

    assert "\x1b" not in str(stopped.value)
    assert all(len(line) < 100 for line in str(stopped.value).splitlines() if "XXX" in line)


def test_a_source_that_never_had_devices_is_no_warning(damaged: Path, tmp_path: Path) -> None:
    no_device(damaged)

    for previous in (None, damaged):
        metrics = validate(dataset=damaged, report=tmp_path / "report", params=Params(), previous=previous)

        assert metrics["warnings"] == 0
        assert any("no devices" in r["statement"] for r in report_of(tmp_path / "report")["rules"])


def test_an_empty_folder_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "dataset.json").write_text("{}")

    with pytest.raises(DataError, match="no transaction"):
        validate(dataset=tmp_path / "dataset", report=tmp_path / "report", params=Params())


def test_the_report_page_stands_alone_and_escapes_what_it_shows(damaged: Path, tmp_path: Path) -> None:
    setting("channel", "<script>alert(1)</script>")(damaged)

    with pytest.raises(ValidationFailed):
        validate(dataset=damaged, report=tmp_path / "report", params=Params())

    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|src=", page)
    assert "&lt;script&gt;" in page
    assert "stopped: 1 critical expectation failed" in page
    assert "channel is one of" in page


def test_the_report_of_the_same_data_is_the_same_bytes(good: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        validate(dataset=good, report=tmp_path / name, params=Params())

    for file in ("validation.json", "index.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_day_list_of_the_good_set_has_no_hole(good: Path) -> None:
    found = days(good)
    assert (found[-1] - found[0]).days == len(found) - 1


@pytest.fixture
def versioned(good: Path, tmp_path: Path) -> Path:
    """A repository with the good set tagged `one`, and two days less in the workspace."""
    root = tmp_path / "repository"
    shutil.copytree(good, root / "data")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
    dvc = (sys.executable, "-m", "dvc")
    add, commit = (*dvc, "add", "-q", "data"), (*git, "commit", "-q", "-m", "one")
    for command in ((*git, "init", "-q"), (*dvc, "init", "-q"), add, (*git, "add", "."), commit, (*git, "tag", "one")):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    shutil.rmtree(root / "data")
    dataset_of_days(tmp_path / "shorter", *small_tables(), days=12).rename(root / "data")
    subprocess.run(add, cwd=root, check=True, capture_output=True)
    with warnings.catch_warnings():  # the first import of dvc warns
        warnings.simplefilter("ignore")
        for name in ("dvc.api", "dvc.repo"):
            importlib.import_module(name)
    return root


def test_the_previous_version_may_be_a_revision_of_the_repository(
    versioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(versioned)
    fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "dataset", params=Params())

    validate(dataset=tmp_path / "dataset", report=tmp_path / "report", params=against("one"))

    report = report_of(tmp_path / "report")
    assert report["compared_with_previous"] is True
    assert "no day of the previous version is lost" in [r["statement"] for r in report["rules"] if not r["success"]]
    with pytest.raises(UsageError, match="nowhere"):
        validate(dataset=tmp_path / "dataset", report=tmp_path / "report", params=against("nowhere"))


def test_a_revision_to_compare_with_needs_to_know_where_the_data_is_from(good: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not say where the data is from"):
        validate(dataset=good, report=tmp_path / "report", params=against("one"))


def against(revision: str) -> Params:
    return Params(validation=ValidateParams(previous=revision))
