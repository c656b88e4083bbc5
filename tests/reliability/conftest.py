"""How large the reliability tests are, and where their figures go.

``FRAUDLINE_RELIABILITY``: ``fast`` (the default: what `make test` runs), ``short`` (CI) or ``long`` (the figures of
docs/reference/reliability.md). ``FRAUDLINE_FIGURES``: a folder that takes one JSON file a scenario.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fraudline.core.files import write_json
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.ops.local.kafka import LocalCluster
from tests.support.broker import CACHE, need_java

FORMS = ("fast", "short", "long")
FORM = os.environ.get("FRAUDLINE_RELIABILITY", "fast")
assert FORM in FORMS, f"FRAUDLINE_RELIABILITY is one of {', '.join(FORMS)}"

Figure = Callable[..., None]


def sized(fast: Any, short: Any, long: Any) -> Any:
    """The value for the form that runs."""
    return (fast, short, long)[FORMS.index(FORM)]


not_fast = pytest.mark.skipif(FORM == "fast", reason="runs in `make test-reliability`, short or long")


@pytest.fixture
def figure(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Figure:
    """Prints a scenario's figure and keeps it: ``figure("sentence", name=value, ...)``."""

    def keep(said: str, **values: Any) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}: {said}\n")
        folder = os.environ.get("FRAUDLINE_FIGURES")
        if folder:
            place = Path(str(request.node.path)).stem
            doc = (request.function.__doc__ or "").strip()
            content = {"file": place, "test": request.node.name, "what": doc, "said": said, "form": FORM, **values}
            write_json(Path(folder) / f"{place}.{request.node.name}.json", content)

    return keep


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
