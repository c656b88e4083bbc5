"""The Handbook's importer."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import SchemaError
from fraudline.data.importers.handbook import import_handbook
from fraudline.data.store import read_labels, read_transactions

HEAD = ",TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD"
ROWS = f"""{HEAD},TX_FRAUD_SCENARIO
0,0,2018-04-01 00:00:31,596,3156,57.16,31,0,0,0
1,1,2018-04-01 00:02:10,4961,3412,81.51,130,0,0,0
2,2,2018-04-02 00:07:56,2,1365,246.00,476,0,1,1
"""


def csv_of(folder: Path, text: str = ROWS) -> Path:
    path = folder / "handbook.csv"
    path.write_text(text)
    return path


def test_a_csv_becomes_transactions_and_delayed_labels(tmp_path: Path) -> None:
    summary = import_handbook(csv_of(tmp_path), tmp_path / "data")

    first, _, third = read_transactions(tmp_path / "data").to_pylist()
    (label,) = read_labels(tmp_path / "data").to_pylist()
    assert summary["transactions"] == 3
    assert summary["frauds"] == 1
    assert (first["card_id"], first["merchant_id"], first["amount_minor"]) == ("c00596", "m03156", 5716)
    assert first["event_time"].isoformat() == "2018-04-01T00:00:31+00:00"
    assert first["latitude"] is None
    assert third["amount_minor"] == 24600
    assert label["transaction_id"] == third["transaction_id"]
    assert label["fraud_kind"] == "scenario_1"
    assert (label["label_time"] - third["event_time"]).days == 7


def test_the_compact_form_gives_the_same_rows(tmp_path: Path) -> None:
    compact = pa.table(
        {
            "TX_TIME_SECONDS": pa.array([31, 130, 86400 + 476], pa.int32()),
            "CUSTOMER_ID": pa.array([596, 4961, 2], pa.int16()),
            "TERMINAL_ID": pa.array([3156, 3412, 1365], pa.int16()),
            "TX_FRAUD_SCENARIO": pa.array([0, 0, 1], pa.int8()),
            "TX_AMOUNT_CENTS": pa.array([5716, 8151, 24600], pa.int32()),
        }
    )
    pq.write_table(compact, tmp_path / "compact.parquet")

    import_handbook(csv_of(tmp_path), tmp_path / "one")
    import_handbook(tmp_path / "compact.parquet", tmp_path / "two")

    assert read_transactions(tmp_path / "one").equals(read_transactions(tmp_path / "two"))
    assert read_labels(tmp_path / "one").equals(read_labels(tmp_path / "two"))


def test_seconds_beyond_this_century_are_named_and_not_wrapped(tmp_path: Path) -> None:
    far = ROWS.replace("TX_DATETIME", "WRITTEN").replace(",130,", ",9000000000000000,")

    with pytest.raises(SchemaError, match="row 2, column TX_TIME_SECONDS: .*expected a time from 2000 to 2100"):
        import_handbook(csv_of(tmp_path, far), tmp_path / "data")


def test_the_labels_delay_is_a_parameter(tmp_path: Path) -> None:
    import_handbook(csv_of(tmp_path), tmp_path / "data", label_delay_days=0.5)

    (label,) = read_labels(tmp_path / "data").to_pylist()
    assert label["label_time"].isoformat() == "2018-04-02T12:07:56+00:00"


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("81.51", "a lot", "row 2, column TX_AMOUNT: found 'a lot', expected a number"),
        ("81.51", "", "row 2, column TX_AMOUNT: found nothing, expected a number"),
        ("81.51", "-1", "row 2, column TX_AMOUNT: found '-1', expected an amount that is not negative"),
        ("81.51", "nan", "row 2, column TX_AMOUNT: found 'nan', expected a finite number"),
        ("4961", "12.5", "row 2, column CUSTOMER_ID: found '12.5', expected a whole number"),
        ("2018-04-01 00:02:10", "yesterday", "row 2, column TX_DATETIME: found 'yesterday', expected a time"),
        ("476,0,1,1", "476,0,1,9", "row 3, column TX_FRAUD_SCENARIO: found '9', expected a scenario from 0 to 3"),
        ("1,1,2018", "1,0,2018", "row 2, column TRANSACTION_ID: found '0', expected a value that no earlier row has"),
        (
            "2018-04-01 00:02:10",
            "0001-01-01",
            "row 2, column TX_DATETIME: found '0001-01-01', expected a time from 2000",
        ),
        ("81.51", "1e300", "row 2, column TX_AMOUNT: found '1e300', expected an amount up to"),
        ("TX_TIME_DAYS", "TERMINAL_ID", "more than one column TERMINAL_ID"),
        ("130,0,0,0", "130,0,0", "row 2: found 9 fields, expected 10"),
        ("TERMINAL_ID", "SHOP", "no column TERMINAL_ID"),
    ],
)
def test_a_bad_value_is_named_by_row_and_column_and_the_folder_stays(
    found: str, replacement: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    import_handbook(csv_of(tmp_path), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}

    with pytest.raises(SchemaError) as error:
        import_handbook(csv_of(tmp_path, ROWS.replace(found, replacement, 1)), folder)

    assert message in str(error.value)
    assert "handbook.csv" in str(error.value)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_a_pickle_is_refused_and_the_way_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "2018-04-01.pkl").write_bytes(b"anything")

    with pytest.raises(SchemaError, match="to_parquet"):
        import_handbook(tmp_path / "2018-04-01.pkl", tmp_path / "data")


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no row"):
        import_handbook(csv_of(tmp_path, ROWS.splitlines()[0] + "\n"), tmp_path / "data")


def test_a_damaged_parquet_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")

    with pytest.raises(SchemaError, match=r"x\.parquet cannot be read"):
        import_handbook(tmp_path / "x.parquet", tmp_path / "data")
