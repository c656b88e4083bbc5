"""The rows of the whole file: truth and each set of features, made when first asked for, in folders for later runs.

A folder's name is a digest of the file, of the code that makes it and of the feature specification, so that what it
holds is never of another state.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import fraudline
from benchmarks.quality import book
from benchmarks.quality.protocol import DELAY, Cut, cut, split_of
from benchmarks.quality.settings import BOOK, PRODUCT, product_params
from benchmarks.quality.sources import code_digest
from fraudline.core.clock import DAY_US
from fraudline.core.digest import sha256_bytes, sha256_file
from fraudline.core.errors import DataError
from fraudline.core.files import atomic_folder, write_text
from fraudline.data import store
from fraudline.data.importers.handbook import import_handbook
from fraudline.data.schema import ORDER
from fraudline.data.store import day_of
from fraudline.features.spec import FeatureSpec
from fraudline.model.evaluation import EvaluationRows
from fraudline.model.kinds import TrainingRows

_KEYS = ("event_time", "card_id", "merchant_id", "amount_minor")
_LIBRARY = Path(fraudline.__file__).parent


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
class FeatureSet:
    """Features of the whole file, (n, d) float32, and twelve hex digits over them."""

    matrix: NDArray[np.float32]
    digest: str


@dataclass(frozen=True)
class Rows:
    """The whole file: its truth in time order, and the sets of features by name."""

    truth: pa.Table
    sets: Mapping[str, FeatureSet]
    first: date
    last: date

    def cut(self, start: date) -> Cut:
        """The masks of the week that begins on ``start``."""
        return cut(self.truth, split_of(self.first, self.last, start))

    def week(self, start: date, columns: str) -> Week:
        """The rows of a week with the features of one set."""
        masks, matrix = self.cut(start), self.sets[columns].matrix
        known = masks.labelled & self.truth["is_fraud"].to_numpy(zero_copy_only=False)
        spec = None if columns == BOOK else product_params(columns).features.resolve()
        parts = (masks.normal, masks.later_normal, known & ~masks.normal & ~masks.later_normal, masks.test)
        return Week(start, spec, *(matrix[part] for part in parts))

    def evaluation(self, start: date) -> EvaluationRows:
        """The truth of the scored rows of a week."""
        return EvaluationRows.of(self.truth.filter(pa.array(self.cut(start).test)))


def load_rows(file: Path, cache: Path) -> Rows:
    """Read the rows from ``cache``; what is missing there is made.

    Args:
        file: the Handbook's transactions.
        cache: a folder that may be thrown away.

    Raises:
        DataError, SchemaError: the file cannot be read.
    """
    if not file.is_file():
        raise DataError(f"{file} is not there.", "Name the Handbook's transactions with --file.")
    name = f"{sha256_file(file)} {code_digest(_LIBRARY / 'data' / 'importers', Path(__file__))}"
    folder = cache / f"truth-{sha256_bytes(name.encode())[:16]}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as scratch, atomic_folder(folder) as target:
            import_handbook(file, Path(scratch) / "dataset", label_delay_days=DELAY)
            pq.write_table(_truth(Path(scratch) / "dataset"), target / "truth.parquet", compression="zstd")
    truth = pq.read_table(folder / "truth.parquet")
    times = pc.cast(truth["event_time"], pa.int64()).to_numpy()
    first, last = (day_of(int(moment) // DAY_US) for moment in (times[0], times[-1]))
    return Rows(truth, _Sets(file, cache, truth), first, last)


class _Sets(Mapping[str, FeatureSet]):
    """Sets of features, read or made when they are first asked for."""

    def __init__(self, file: Path, cache: Path, truth: pa.Table) -> None:
        self._file, self._cache, self._truth = file, cache, truth
        self._found: dict[str, FeatureSet] = {}

    def __getitem__(self, columns: str) -> FeatureSet:
        if columns not in self._found:
            folder = self._cache / f"{columns}-{self._key(columns)}"
            if not folder.is_dir():
                matrix = book.book_features(self._truth) if columns == BOOK else _product_features(self._file, columns)
                with atomic_folder(folder) as target:
                    np.save(target / "features.npy", np.ascontiguousarray(matrix), allow_pickle=False)
                    write_text(target / "digest", sha256_bytes(np.ascontiguousarray(matrix).tobytes())[:12])
            kept = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
            self._found[columns] = FeatureSet(kept, (folder / "digest").read_text(encoding="utf-8"))
        return self._found[columns]

    def __iter__(self) -> Iterator[str]:
        return iter((*PRODUCT, BOOK))

    def __len__(self) -> int:
        return len(PRODUCT) + 1

    def _key(self, columns: str) -> str:
        code = [_LIBRARY / "data" / "importers", Path(__file__)]
        if columns == BOOK:
            name = code_digest(*code, Path(book.__file__))
        else:
            version = product_params(columns).features.resolve().version
            name = f"{code_digest(*code, _LIBRARY / 'features')} {version}"
        return sha256_bytes(f"{sha256_file(self._file)} {name}".encode())[:16]


def _truth(dataset: Path) -> pa.Table:
    """Keys and labels of all transactions in the order in which their features are made."""
    transactions, labels = store.read_transactions(dataset).sort_by(ORDER), store.read_labels(dataset)
    place = pc.index_in(transactions["transaction_id"], labels["transaction_id"].combine_chunks())
    found = {name: labels[name].take(place) for name in ("is_fraud", "label_time", "fraud_kind")}
    found["is_fraud"] = pc.fill_null(found["is_fraud"], False)
    return pa.table({**{name: transactions[name] for name in _KEYS}, **found})


def _product_features(file: Path, columns: str) -> NDArray[np.float32]:
    from fraudline.steps.featurize import featurize

    params = product_params(columns)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        import_handbook(file, made / "dataset", label_delay_days=DELAY)
        featurize(dataset=made / "dataset", features=made / "features", profiles=made / "profiles", params=params)
        table = pq.read_table(made / "features" / "features.parquet")
    names = params.features.resolve().names
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)
