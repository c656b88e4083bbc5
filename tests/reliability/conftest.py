"""Brokers and transactions that the scenarios share."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.ops.local.kafka import LocalCluster
from tests.support.broker import CACHE, need_java


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three brokers with three copies of everything; use topics of your own, and leave all of them running."""
    need_java()
    with LocalCluster(tmp_path_factory.mktemp("cluster"), brokers=3, cache=CACHE) as running:
        yield running


_tables: dict[int, pa.Table] = {}


@pytest.fixture(scope="session")
def transactions() -> Callable[[int], pa.Table]:
    """Generated transactions in time order, as many as asked for."""

    def some(rows: int) -> pa.Table:
        if rows not in _tables:
            days = 60 if rows <= 20_000 else 300
            table, _ = generate(GenerateParams(days=days, cards=400, merchants=200, seed=11, fraud_rate=0.01))
            assert table.num_rows >= rows, f"{table.num_rows} rows generated"
            _tables[rows] = table.slice(0, rows)
        return _tables[rows]

    return some
