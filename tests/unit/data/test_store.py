"""The data set folder."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import DataError, SchemaError
from fraudline.data.store import days, read_labels, read_meta, read_transactions, write_dataset
from tests.support.datasets import SMALL, small_dataset, small_tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("store"))


def test_what_was_written_is_read_back(folder: Path) -> None:
    transactions, labels = small_tables()

    assert read_transactions(folder).equals(transactions)
    assert read_labels(folder).equals(labels)


def test_rows_may_be_written_in_any_order(tmp_path: Path) -> None:
    transactions, labels = small_tables()
    backwards = transactions.sort_by([("event_time", "descending")])

    write_dataset(tmp_path / "d", backwards, labels, {})

    assert read_transactions(tmp_path / "d").equals(transactions)


def test_ranges_of_days_are_half_open(folder: Path) -> None:
    part = read_transactions(folder, date(2026, 1, 10), date(2026, 1, 12))

    found = {moment.date() for moment in part["event_time"].to_pylist()}
    assert found == {date(2026, 1, 10), date(2026, 1, 11)}


def test_a_range_without_days_is_an_empty_table_of_the_schema(folder: Path) -> None:
    part = read_transactions(folder, date(2030, 1, 1))

    assert part.num_rows == 0
    assert part.schema == small_tables()[0].schema


def test_every_day_has_a_file_and_the_summary_counts_right(folder: Path) -> None:
    meta = read_meta(folder)

    assert len(days(folder)) == meta["days"] == SMALL.days
    assert meta["transactions"] == small_tables()[0].num_rows
    assert meta["frauds"] == small_tables()[1].num_rows
    assert meta["start"] == "2026-01-05"


def test_writing_the_same_rows_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = small_dataset(tmp_path)

    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_a_failed_write_leaves_the_earlier_set(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    transactions, labels = small_tables()
    nulls = transactions.set_column(2, "card_id", pa.nulls(transactions.num_rows, pa.string()))

    with pytest.raises(SchemaError, match="card_id has nulls"):
        write_dataset(folder, nulls, labels, {})

    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_set_that_begins_on_the_eve_of_the_epoch_keeps_its_first_day(tmp_path: Path) -> None:
    transactions, labels = small_tables()
    eve = pa.array([-1, 0], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    two = transactions.slice(0, 2)
    two = two.set_column(1, two.schema.field("event_time"), eve)

    write_dataset(tmp_path / "d", two, labels.slice(0, 0), {})

    assert days(tmp_path / "d") == [date(1969, 12, 31), date(1970, 1, 1)]


def test_a_table_without_a_column_is_refused_by_name(tmp_path: Path) -> None:
    transactions, labels = small_tables()

    with pytest.raises(SchemaError, match="currency"):
        write_dataset(tmp_path / "d", transactions.drop_columns(["currency"]), labels, {})


def test_a_table_of_wrong_types_is_refused(tmp_path: Path) -> None:
    transactions, labels = small_tables()
    texts = transactions.set_column(5, "amount_minor", pa.array(["many"] * transactions.num_rows))

    with pytest.raises(SchemaError, match="many"):
        write_dataset(tmp_path / "d", texts, labels, {})


def test_a_file_whose_column_has_another_type_is_refused_when_it_is_read(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    path = sorted((folder / "transactions").glob("*.parquet"))[0]
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("amount_minor")
    pq.write_table(table.set_column(at, "amount_minor", table["amount_minor"].cast(pa.float64())), path)

    with pytest.raises(SchemaError, match="amount_minor: double"):
        read_transactions(folder)


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    transactions, labels = small_tables()

    with pytest.raises(DataError, match="no transaction"):
        write_dataset(tmp_path / "d", transactions.slice(0, 0), labels, {})


def test_a_folder_that_is_no_data_set_is_named(tmp_path: Path) -> None:
    for read in (read_transactions, read_meta, days):
        with pytest.raises(DataError, match=str(tmp_path)):
            read(tmp_path)


@pytest.mark.parametrize("name", ["all", "NaT", "20260105", "2026-W02-1", "2026-02-30", "today", "2026-01"])
def test_a_file_that_is_not_named_by_a_day_is_refused(tmp_path: Path, name: str) -> None:
    folder = small_dataset(tmp_path)
    (folder / "transactions" / f"{name}.parquet").write_bytes(b"")

    with pytest.raises(DataError, match="not named by a day"):
        days(folder)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    (folder / "transactions" / "2026-01-06.parquet").write_bytes(b"PAR1")

    with pytest.raises(DataError, match="2026-01-06"):
        read_transactions(folder)


def test_a_file_with_other_columns_is_named(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    path = folder / "transactions" / "2026-01-06.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["country"]), path)

    with pytest.raises(SchemaError, match="2026-01-06.*country"):
        read_transactions(folder)
