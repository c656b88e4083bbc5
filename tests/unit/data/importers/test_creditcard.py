"""The ULB set's importer."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import SchemaError
from fraudline.data.importers.creditcard import COMPONENTS, import_creditcard
from fraudline.data.store import read_labels, read_transactions


def csv_of(folder: Path, last: str = '"1"') -> Path:
    head = ",".join(f'"{name}"' for name in ("Time", *COMPONENTS, "Amount", "Class"))
    components = ",".join(str(k / 10) for k in range(28))
    path = folder / "creditcard.csv"
    path.write_text(f'{head}\n0,{components},149.62,"0"\n1e+05,{components},0,{last}\n')
    return path


def test_every_row_is_a_card_of_its_own_and_the_components_lie_beside(tmp_path: Path) -> None:
    summary = import_creditcard(csv_of(tmp_path), tmp_path / "data")

    rows = read_transactions(tmp_path / "data")
    extra = pq.read_table(tmp_path / "data" / "extra" / "creditcard.parquet")
    assert summary["transactions"] == 2
    assert len(set(rows["card_id"].to_pylist())) == 2
    assert set(rows["merchant_id"].to_pylist()) == {"m00000"}
    assert rows["amount_minor"].to_pylist() == [14962, 0]
    assert rows["event_time"][1].as_py().isoformat() == "2013-09-02T03:46:40+00:00"
    assert extra.column_names == ["transaction_id", *COMPONENTS]
    assert extra["transaction_id"].to_pylist() == rows["transaction_id"].to_pylist()
    assert read_labels(tmp_path / "data")["fraud_kind"].to_pylist() == [None]


def test_a_wrong_class_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="row 2, column Class: found '2', expected 0 or 1"):
        import_creditcard(csv_of(tmp_path, "2"), tmp_path / "data")

    assert not (tmp_path / "data").exists()
