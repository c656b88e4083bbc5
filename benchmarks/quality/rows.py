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
from benchmarks.quality.sources import code_digest
from fraudline.core.digest import sha256_bytes, sha256_file
from fraudline.core.errors import DataError
from fraudline.core.files import atomic_folder, read_json, write_json
from fraudline.data import store
from fraudline.data.importers.handbook import import_handbook
from fraudline.model.evaluation import EvaluationRows
from fraudline.steps.params import Params

_TRUTH = ("event_time", "card_id", "merchant_id", "amount_minor", "is_fraud", "label_time", "fraud_kind")
OURS, BOOK = "ours", "book"


@dataclass(frozen=True)
class Week:
    """What a model is given: (·, d) float32 features of the rows of one week.

    Attributes:
        start: first day of the scored week.
        params: of the product, with the settings of this data set.
        columns: ``ours``, the feature specification's, or ``book``.
        normals: known normals to fit on.
        later_normals: known normals of the last training days.
        labelled: all training rows with a known label, ``normals`` and ``later_normals`` among them.
        frauds: (n,) bool, the labels of ``labelled``.
        test: rows to score.
    """

    start: date
    params: Params
    columns: str
    normals: NDArray[np.float32]
    later_normals: NDArray[np.float32]
    labelled: NDArray[np.float32]
    frauds: NDArray[np.bool_]
    test: NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """The whole file. ``digests`` names the content of each feature matrix."""

    truth: pa.Table
    matrices: Mapping[str, NDArray[np.float32]]
    digests: Mapping[str, str]
    first: date
    last: date
    params: Params

    def cut(self, start: date) -> Cut:
        """The masks of the week that begins on ``start``."""
        return cut(self.truth, split_of(self.first, self.last, start))

    def week(self, start: date, columns: str) -> Week:
        """The rows of a week with the features of one set."""
        masks, matrix = self.cut(start), self.matrices[columns]
        frauds = self.truth["is_fraud"].to_numpy(zero_copy_only=False)
        return Week(
            start,
            self.params,
            columns,
            matrix[masks.normal],
            matrix[masks.later_normal],
            matrix[masks.labelled],
            frauds[masks.labelled],
            matrix[masks.test],
        )

    def evaluation(self, start: date) -> EvaluationRows:
        """The truth of the scored rows of a week."""
        return EvaluationRows.of(self.truth.filter(pa.array(self.cut(start).test)))


def load_rows(file: Path, cache: Path, params: Params) -> Rows:
    """Read the rows from ``cache``; make them first where they are missing.

    Args:
        file: the Handbook's transactions.
        cache: a folder that may be thrown away.
        params: ``features`` names our features.

    Raises:
        DataError, SchemaError: the file cannot be read.
    """
    if not file.is_file():
        raise DataError(f"{file} is not there.", "Name the Handbook's transactions with --file.")
    folder = cache / f"rows-{_key(file, params)}"
    if not (folder / "index.json").is_file():
        _make(file, folder, params)
    index: dict[str, Any] = read_json(folder / "index.json")
    return Rows(
        pq.read_table(folder / "truth.parquet"),
        {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in (OURS, BOOK)},
        index["digests"],
        date.fromisoformat(index["first"]),
        date.fromisoformat(index["last"]),
        params,
    )


def _key(file: Path, params: Params) -> str:
    library = Path(fraudline.__file__).parent
    code = code_digest(library / "features", library / "data" / "importers", Path(book.__file__))
    return sha256_bytes(f"{sha256_file(file)} {params.features.resolve().version} {code}".encode())[:16]


def _make(file: Path, folder: Path, params: Params) -> None:
    from fraudline.steps.featurize import featurize

    with tempfile.TemporaryDirectory() as scratch, atomic_folder(folder) as target:
        made = Path(scratch)
        import_handbook(file, made / "dataset", label_delay_days=DELAY)
        days = store.days(made / "dataset")
        featurize(dataset=made / "dataset", features=made / "features", profiles=made / "profiles", params=params)
        table = pq.read_table(made / "features" / "features.parquet")
        names = params.features.resolve().names
        ours = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)
        matrices = {OURS: np.ascontiguousarray(ours), BOOK: book.book_features(table)}
        for name, matrix in matrices.items():
            np.save(target / f"{name}.npy", matrix, allow_pickle=False)
        pq.write_table(table.select(_TRUTH), target / "truth.parquet", compression="zstd")
        digests = {name: sha256_bytes(matrix.tobytes())[:12] for name, matrix in matrices.items()}
        spans = {"first": days[0].isoformat(), "last": days[-1].isoformat()}
        write_json(target / "index.json", {"digests": digests, **spans})
