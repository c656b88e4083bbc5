"""Any table as the features that the steps train on: ``import_matrix(source, folder, spec=..., test=...)``.

The folder gets what the steps between data and model would have made of cards:

    spec.yaml                   the specification, with categories and rarities learned from the normal training rows
    features/features.parquet   the matrix with keys and labels, as step featurize writes it
    dataset/fetch.json          the md5 of the source, as step fetch writes it
    params.yaml                 splits that fit, and a gate to begin with

A table has no clock: its rows are dealt to days in random order, those of a test file to the last days. A label is
known at once, so ``label_delay_days`` is 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, day_us
from fraudline.core.digest import md5_file
from fraudline.core.errors import SchemaError
from fraudline.core.files import atomic_folder, write_json, write_text
from fraudline.data.importers.source import read_source
from fraudline.data.params import GenerateParams
from fraudline.features.table import TableSpec

DAYS, VALIDATION_DAYS, TEST_DAYS = 54, 10, 14
"""Days that rows are dealt to: all, those that the threshold is chosen on, and those of the test."""
WEIGHTS = {"autoencoder_weight": 1.0, "tail_weight": 0.25}
"""A table names no pairs, so only the autoencoder sees what no column shows alone: it counts four times the tails. That
was best on the validation days of NSL-KDD's training file."""


def import_matrix(
    source: Path, folder: Path, *, spec: Path, test: Path | None = None, test_share: float = 0.3, seed: int = 0
) -> dict[str, Any]:
    """Encode a file by a table specification, ready for the steps from train on.

    Args:
        source: CSV or parquet with a label for each row.
        folder: folder to write, replaced as a whole.
        spec: the table specification, YAML.
        test: a file of the same columns for the test days; without it they get ``test_share`` of the rows.
        test_share: used without ``test``.
        seed: of the order in which rows are dealt to days.

    Returns:
        ``rows``, ``test_rows``, ``anomalies``, ``features``, ``spec_version`` and ``params`` (a path).

    Raises:
        UsageError: the specification is wrong.
        SchemaError: a column or value of a file is wrong, or there are too few normal rows.
    """
    given = TableSpec.load(spec)
    rng = np.random.default_rng(seed)
    table = _shuffled(read_source(source), rng)
    later = _shuffled(read_source(test), rng) if test is not None else None
    if later is None:
        cut = round(table.num_rows * (1 - test_share))
        table, later = table.slice(0, cut), table.slice(cut)
    days = _dealt(table.num_rows, 0, DAYS - TEST_DAYS)
    kinds = given.anomalies(table, source)
    normal = (kinds == "") & (days < DAYS - TEST_DAYS - VALIDATION_DAYS)
    if normal.sum() < 2 * len(given.columns):
        raise SchemaError(
            f"{source} has {int(normal.sum())} normal rows to train on.", "Correct label.normal, or bring more rows."
        )
    learned = given.learned(table.filter(pa.array(normal)), source)
    other = source if test is None else test
    early = _features(learned, table, kinds, days, source, 0)
    late_days = _dealt(later.num_rows, DAYS - TEST_DAYS, TEST_DAYS)
    late = _features(learned, later, learned.anomalies(later, other), late_days, other, table.num_rows)
    everything = pa.concat_tables([early, late])
    with atomic_folder(folder) as temporary:
        (temporary / "features").mkdir()
        pq.write_table(everything, temporary / "features" / "features.parquet", compression="zstd")
        (temporary / "dataset").mkdir()
        md5s = [md5_file(path) for path in (source, test) if path is not None]
        write_json(temporary / "dataset" / "fetch.json", {"md5": "-".join(md5s), "spec": learned.version})
        write_text(temporary / "spec.yaml", yaml.safe_dump(learned.model_dump(mode="json"), sort_keys=False))
        write_text(temporary / "params.yaml", yaml.safe_dump(_params(folder / "spec.yaml", seed), sort_keys=False))
    return {
        "rows": everything.num_rows,
        "test_rows": late.num_rows,
        "anomalies": int(np.count_nonzero(everything["is_fraud"].to_numpy(zero_copy_only=False))),
        "features": len(learned.names),
        "spec_version": learned.version,
        "params": str(folder / "params.yaml"),
    }


def _shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    if table.num_rows == 0:
        raise SchemaError("The table has no row.", "Give a file with rows.")
    return table.take(pa.array(rng.permutation(table.num_rows)))


def _dealt(rows: int, first: int, days: int) -> NDArray[np.int64]:
    """The day of each row, (n,) from ``first`` on, ascending, as many rows on each as on any other."""
    return first + np.arange(rows) * days // max(rows, 1)


def _features(
    spec: TableSpec, table: pa.Table, kinds: NDArray[np.object_], days: NDArray[np.int64], source: Path, first: int
) -> pa.Table:
    """Rows as step featurize writes them; a row is a card of its own and has no amount."""
    matrix = spec.encode(table, source)
    ids = pa.array([f"r{number:09d}" for number in range(first, first + len(days))])
    times = pa.array(day_us(GenerateParams().start) + days * DAY_US + np.arange(len(days)), pa.int64())
    times = times.cast(pa.timestamp("us", tz="UTC"))
    arrays: dict[str, Any] = {"transaction_id": ids, "event_time": times, "card_id": ids}
    arrays |= {"merchant_id": pa.array([""] * len(days)), "amount_minor": pa.array(np.zeros(len(days), np.int64))}
    arrays |= {name: pa.array(matrix[:, k]) for k, name in enumerate(spec.names)}
    arrays["is_fraud"] = pa.array(kinds != "", pa.bool_())
    arrays["label_time"] = times
    arrays["fraud_kind"] = pa.array([kind or None for kind in kinds], pa.string())
    return pa.table(arrays)


def _params(spec: Path, seed: int) -> dict[str, Any]:
    """Parameters that the steps take these features with."""
    return {
        "seed": seed,
        "label_delay_days": 0,
        "features": {"spec": str(spec)},
        "split": {"warmup_days": 0, "validation_days": VALIDATION_DAYS, "test_days": TEST_DAYS},
        "train": dict(WEIGHTS),
        "gate": {"rules": [{"metric": "roc_auc", "min": 0.7}]},
    }
