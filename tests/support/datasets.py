"""Generated data sets for tests."""

from functools import cache
from pathlib import Path

import pyarrow as pa

from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.data.store import write_dataset

SMALL = GenerateParams(days=45, cards=300, merchants=200, seed=7, fraud_rate=0.01)


@cache
def small_tables() -> tuple[pa.Table, pa.Table]:
    """Transactions and labels of :data:`SMALL`: 45 days, 300 cards, about 14 k rows, every fraud kind."""
    return generate(SMALL)


def small_dataset(folder: Path, name: str = "dataset") -> Path:
    """Write :data:`SMALL` under ``folder``; the data set's folder comes back."""
    transactions, labels = small_tables()
    path = folder / name
    write_dataset(
        path, transactions, labels, {"name": "small", "currency": "EUR", "generator": SMALL.model_dump(mode="json")}
    )
    return path
