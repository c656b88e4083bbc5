"""The tables that the expectation suite looks at, with flags for what no single column shows.

files         one row a file: how it differs from the schema, empty when it does not
transactions  one row a transaction, with flags
labels        one row a label, with flags
days          one row a calendar day from the first to the last
dataset       one row: figures of the whole, and of the change since the previous version
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudline.core.clock import DAY_US, EPOCH
from fraudline.core.errors import DataError
from fraudline.core.files import read_json
from fraudline.data.money import in_base
from fraudline.data.schema import LABELS, TRANSACTIONS
from fraudline.data.store import day_named, day_of

if TYPE_CHECKING:
    import pandas as pd

_FLOOR = 1e-4
"""Smallest share in a stability index: an empty class must not make it infinite."""
AMOUNT = "amount_in_base"
"""Column of the transactions: their amounts in minor units of the base currency."""
NO_RATES: Mapping[str, float] = {}
"""Every amount counts in minor units of its own currency."""


@dataclass(frozen=True)
class Content:
    """What could be read: both tables with columns ``file`` (index of the file's day), and differences by file."""

    transactions: pa.Table
    labels: pa.Table
    meta: Mapping[str, Any]
    differences: Mapping[str, str]

    @property
    def has_devices(self) -> bool:
        """Whether any transaction names a device."""
        devices = self.transactions["device_id"]
        return bool(devices.null_count < len(devices))


def read_content(folder: Path) -> Content:
    """Read a data set folder without trusting it; what cannot be read is a difference, not an error."""
    differences: dict[str, str] = {}
    transactions = _read_all(folder, "transactions", TRANSACTIONS, differences)
    labels = _read_all(folder, "labels", LABELS, differences)
    meta: Mapping[str, Any] = {}
    try:
        meta = read_json(folder / "dataset.json")
        differences["dataset.json"] = "" if isinstance(meta, dict) else "is no object"
    except (OSError, DataError) as error:
        differences["dataset.json"] = f"cannot be read: {error}"
    return Content(transactions, labels, meta, differences)


def make_frames(
    content: Content, previous: Content | None, rates: Mapping[str, float] = NO_RATES
) -> dict[str, "pd.DataFrame"]:
    """All tables but ``files``, by name; ``content`` must fit the schema.

    Args:
        content: the data set.
        previous: an earlier version of it.
        rates: by currency, minor units of the base currency for one of its own; 1 where none is given.

    Raises:
        DataError: there is no transaction.
    """
    if content.transactions.num_rows == 0:
        raise DataError("The data set has no transaction.", "Bring data: fraudline data generate, or data import.")
    frames = {
        "transactions": _transactions(content.transactions, rates),
        "labels": _labels(content.labels, content.transactions),
    }
    import pandas as pd

    frames["days"] = pd.DataFrame(_days(content.transactions))
    frames["dataset"] = pd.DataFrame({name: [value] for name, value in _figures(content, previous, rates).items()})
    return frames


def files_frame(content: Content) -> "pd.DataFrame":
    """The table ``files``."""
    import pandas as pd

    return pd.DataFrame({"file": list(content.differences), "difference": list(content.differences.values())})


def stability_index(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """Population stability index of two count vectors (classes,): Σ (q − p) ln(q / p); 0 when the shares are equal."""
    p = np.maximum(before / max(before.sum(), 1.0), _FLOOR)
    q = np.maximum(after / max(after.sum(), 1.0), _FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def _read_all(folder: Path, name: str, schema: pa.Schema, differences: dict[str, str]) -> pa.Table:
    tables = []
    for path in sorted((folder / name).glob("*")):
        key = f"{name}/{path.name}"
        try:
            day = (day_named(path) - EPOCH.date()).days
            table = pq.read_table(path, partitioning=None)
            differences[key] = _difference(table.schema, schema)
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            differences[key] = f"cannot be read: {error}"
            continue
        if not differences[key]:
            file = pa.array(np.full(table.num_rows, day))
            tables.append(table.select(schema.names).append_column("file", file))
    relaxed = pa.schema([pa.field(f.name, f.type) for f in schema] + [pa.field("file", pa.int64())])
    return pa.concat_tables([t.cast(relaxed) for t in tables]) if tables else relaxed.empty_table()


def _difference(found: pa.Schema, expected: pa.Schema) -> str:
    missing = [f"{name} is missing" for name in expected.names if name not in found.names]
    unknown = [f"{name} is unknown" for name in found.names if name not in expected.names]
    types = [
        f"{f.name} is {found.field(f.name).type}, not {f.type}"
        for f in expected
        if f.name in found.names and found.field(f.name).type != f.type
    ]
    return ", ".join(missing + unknown + types)


def _transactions(table: pa.Table, rates: Mapping[str, float]) -> "pd.DataFrame":
    time = _integers(table["event_time"])
    latitude, longitude = (table[name].is_valid().to_numpy() for name in ("latitude", "longitude"))
    present = pc.fill_null(table["card_present"], False).to_numpy()
    remote = pc.is_in(table["channel"], value_set=pa.array(["ecommerce", "recurring"])).to_numpy()
    file = table["file"].to_numpy()
    frame = _frame(table)
    frame[AMOUNT] = _in_base(table, rates)
    frame["in_the_files_day"] = time // DAY_US == file
    frame["not_before_the_row_above"] = (np.diff(time, prepend=time[:1]) >= 0) | (np.diff(file, prepend=-1) != 0)
    frame["position_is_whole"] = latitude == longitude
    frame["position_is_not_0_0"] = ~_null_island(table)
    frame["position_only_where_the_card_is"] = ~latitude | present
    frame["presence_fits_the_channel"] = present != remote
    frame["identifiers_have_text"] = np.logical_and.reduce([_has_text(table[n]) for n in _IDENTIFIERS])
    frame["is_not_a_copy"] = ~frame.duplicated(list(TRANSACTIONS.names[1:]), keep="first").to_numpy()
    return frame


_IDENTIFIERS = ("transaction_id", "card_id", "merchant_id")


def _labels(table: pa.Table, transactions: pa.Table) -> "pd.DataFrame":
    place = pc.index_in(table["transaction_id"], value_set=transactions["transaction_id"].combine_chunks())
    found = place.is_valid().to_numpy()
    event = _integers(transactions["event_time"])[pc.fill_null(place, 0).to_numpy()]
    label = _integers(table["label_time"])
    frame = _frame(table)
    frame["transaction_exists"] = found
    frame["not_before_the_transaction"] = (label >= event) | ~found
    frame["delay_days"] = np.where(found, (label - event) / DAY_US, 0.0)
    frame["in_the_files_day"] = label // DAY_US == table["file"].to_numpy()
    return frame


def _days(table: pa.Table) -> dict[str, list[Any]]:
    numbers = _integers(table["event_time"].drop_null()) // DAY_US
    first, last = int(numbers.min()), int(numbers.max())
    if last - first > 20_000:  # a wild time: its own expectations name it
        first, last = int(np.quantile(numbers, 0.01)), int(np.quantile(numbers, 0.99))
    rows = np.bincount(np.clip(numbers - first, 0, last - first), minlength=last - first + 1)
    median = float(np.median(rows[rows > 0]))
    return {
        "day": [day_of(number).isoformat() for number in range(first, last + 1)],
        "rows": rows.tolist(),
        "share_of_median": (rows / median).tolist(),
    }


def _figures(content: Content, previous: Content | None, rates: Mapping[str, float]) -> dict[str, Any]:
    table = content.transactions
    online = pc.equal(table["channel"], "ecommerce")
    devices = table["device_id"].filter(online)
    figures: dict[str, Any] = {
        "transactions_counted": table.num_rows - _counted(content, "transactions"),
        "frauds_counted": _frauds(content.labels) - _counted(content, "frauds"),
        "fraud_rate": _frauds(content.labels) / table.num_rows,
        "share_without_device": devices.null_count / max(len(devices), 1),
        "share_of_zero_amounts": pc.sum(pc.equal(table["amount_minor"], 0)).as_py() / table.num_rows
        if table["amount_minor"].null_count < table.num_rows
        else 0.0,
    }
    if previous is not None and previous.transactions.num_rows:
        figures |= _changes(content, previous, rates)
    return figures


def _counted(content: Content, name: str) -> int:
    """What dataset.json says of how many there are; -1 when it says nothing, or no number."""
    count = content.meta.get(name)
    return count if type(count) is int else -1


def _changes(content: Content, previous: Content, rates: Mapping[str, float]) -> dict[str, float]:
    now, before = content.transactions, previous.transactions
    volumes = [table.num_rows / len(table["file"].unique()) for table in (before, now)]
    fraud_rates = [_frauds(c.labels) / c.transactions.num_rows for c in (previous, content)]
    amounts = [(found := _in_base(table, rates))[~np.isnan(found)] for table in (before, now)]
    edges = np.unique(np.quantile(amounts[0], np.linspace(0.1, 0.9, 9)))
    counts = [np.bincount(np.searchsorted(edges, a), minlength=len(edges) + 1).astype(float) for a in amounts]
    result = {
        "volume_change": volumes[1] / volumes[0] - 1.0,
        "fraud_rate_change": _change(*fraud_rates),
        "psi_amount": stability_index(*counts),
        "days_lost": float(len(set(before["file"].unique().to_pylist()) - set(now["file"].unique().to_pylist()))),
    }
    for name in ("category", "channel", "country"):
        result[f"psi_{name}"] = stability_index(*_class_counts(before[name], now[name]))
    return result


def _change(before: float, now: float) -> float:
    """Relative change; beyond every bound where there was nothing and now is something."""
    if before:
        return now / before - 1.0
    return math.inf if now else 0.0


def _class_counts(before: pa.ChunkedArray, now: pa.ChunkedArray) -> list[npt.NDArray[np.float64]]:
    counts = [{v["values"]: v["counts"] for v in pc.value_counts(column).to_pylist()} for column in (before, now)]
    classes = sorted({*counts[0], *counts[1]}, key=str)
    return [np.array([c.get(value, 0) for value in classes], dtype=np.float64) for c in counts]


def _frauds(labels: pa.Table) -> int:
    return int(pc.sum(labels["is_fraud"]).as_py() or 0)


def _in_base(table: pa.Table, rates: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Amounts in minor units of the base currency, (n,) float64; NaN where there is none."""
    codes = pc.fill_null(table["currency"], "").combine_chunks()
    amounts = table["amount_minor"].cast(pa.float64(), safe=False).to_numpy()  # a null is NaN
    return in_base(amounts, codes, defaultdict(lambda: 1.0, rates))


def _integers(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    result: npt.NDArray[np.int64] = pc.fill_null(times.cast(pa.int64()), 0).to_numpy()
    return result


def _has_text(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = pc.fill_null(
        pc.not_equal(pc.utf8_trim_whitespace(column), pa.scalar("")), True
    ).to_numpy()
    return result


def _null_island(table: pa.Table) -> npt.NDArray[np.bool_]:
    zero = [pc.fill_null(pc.equal(table[name], 0), False).to_numpy() for name in ("latitude", "longitude")]
    result: npt.NDArray[np.bool_] = zero[0] & zero[1]
    return result


def _frame(table: pa.Table) -> "pd.DataFrame":
    frame: pd.DataFrame = table.drop_columns(["file"]).to_pandas()
    return frame
