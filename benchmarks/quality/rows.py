"""The rows of the whole file, made once: truth, our features and the book's, in a folder that later runs read.

The folder's name is a digest of the file, the feature specification and the feature code, so that what it holds is
never of another state.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import fraudline
from benchmarks.quality import book
from benchmarks.quality.protocol import DELAY, Cut, cut, split_of
from benchmarks.quality.settings import BOOK, PRODUCT, product_params
from benchmarks.quality.sources import code_digest
from fraudline.core.digest import sha256_bytes, sha256_file
from fraudline.core.errors import DataError
from fraudline.core.files import atomic_folder, read_json, write_json
from fraudline.data import store
from fraudline.data.importers.handbook import import_handbook
from fraudline.features.spec import FeatureSpec
from fraudline.model.evaluation import EvaluationRows
from fraudline.model.kinds import TrainingRows

_TRUTH = ("event_time", "card_id", "merchant_id", "amount_minor", "is_fraud", "label_time", "fraud_kind")


@dataclass(frozen=True)
class Week:
    """What a model is given: (·, d) float32 features of the rows of one week.

    Attributes:
        start: first day of the scored week.
        spec: names the d columns; None for the book's.
        normals: known normals to fit on.
        later_normals: known normals of the last training days.
        frauds: known frauds of all training days.
        test: rows to score.
    """

    start: date
    spec: FeatureSpec | None
    normals: NDArray[np.float32]
    later_normals: NDArray[np.float32]
    frauds: NDArray[np.float32]
    test: NDArray[np.float32]

    @property
    def learned(self) -> TrainingRows:
        """What may be learned from, as the product's models take it."""
        return TrainingRows(self.normals, self.later_normals, self.frauds)


@dataclass(frozen=True)
class Rows:
    """The whole file. ``digests`` names the content of each feature matrix."""

    truth: pa.Table
    matrices: Mapping[str, NDArray[np.float32]]
    digests: Mapping[str, str]
    first: date
    last: date

    def cut(self, start: date) -> Cut:
        """The masks of the week that begins on ``start``."""
        return cut(self.truth, split_of(self.first, self.last, start))

    def week(self, start: date, columns: str) -> Week:
        """The rows of a week with the features of one set."""
        masks, matrix = self.cut(start), self.matrices[columns]
        known = masks.labelled & self.truth["is_fraud"].to_numpy(zero_copy_only=False)
        spec = None if columns == BOOK else product_params(columns).features.resolve()
        parts = (masks.normal, masks.later_normal, known & ~masks.normal & ~masks.later_normal, masks.test)
        return Week(start, spec, *(matrix[part] for part in parts))

    def evaluation(self, start: date) -> EvaluationRows:
        """The truth of the scored rows of a week."""
        return EvaluationRows.of(self.truth.filter(pa.array(self.cut(start).test)))


def load_rows(file: Path, cache: Path) -> Rows:
    """Read the rows from ``cache``; make them first where they are missing.

    Args:
        file: the Handbook's transactions.
        cache: a folder that may be thrown away.

    Raises:
        DataError, SchemaError: the file cannot be read.
    """
    if not file.is_file():
        raise DataError(f"{file} is not there.", "Name the Handbook's transactions with --file.")
    folder = cache / f"rows-{_key(file)}"
    if not (folder / "index.json").is_file():
        _make(file, folder)
    index: dict[str, Any] = read_json(folder / "index.json")
    return Rows(
        pq.read_table(folder / "truth.parquet"),
        {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in (*PRODUCT, BOOK)},
        index["digests"],
        date.fromisoformat(index["first"]),
        date.fromisoformat(index["last"]),
    )


def _key(file: Path) -> str:
    library = Path(fraudline.__file__).parent
    code = code_digest(library / "features", library / "data" / "importers", Path(book.__file__))
    specs = [product_params(columns).features.resolve().version for columns in PRODUCT]
    return sha256_bytes(f"{sha256_file(file)} {specs} {code}".encode())[:16]


def _make(file: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, atomic_folder(folder) as target:
        made = Path(scratch)
        import_handbook(file, made / "dataset", label_delay_days=DELAY)
        days = store.days(made / "dataset")
        digests = {}
        for columns in PRODUCT:
            table, matrix = _features(made, columns)
            digests[columns] = _save(matrix, target / f"{columns}.npy")
        digests[BOOK] = _save(book.book_features(table), target / f"{BOOK}.npy")
        pq.write_table(table.select(_TRUTH), target / "truth.parquet", compression="zstd")
        spans = {"first": days[0].isoformat(), "last": days[-1].isoformat()}
        write_json(target / "index.json", {"digests": digests, **spans})


def _features(made: Path, columns: str) -> tuple[pa.Table, NDArray[np.float32]]:
    from fraudline.steps.featurize import featurize

    params = product_params(columns)
    featurize(dataset=made / "dataset", features=made / "features", profiles=made / "profiles", params=params)
    table = pq.read_table(made / "features" / "features.parquet")
    names = params.features.resolve().names
    return table, np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)


def _save(matrix: NDArray[np.float32], path: Path) -> str:
    content = np.ascontiguousarray(matrix)
    np.save(path, content, allow_pickle=False)
    return sha256_bytes(content.tobytes())[:12]
