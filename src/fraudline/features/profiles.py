"""Merchant tables: what is known about merchants at the moment from which a table holds, and nothing later.

    tables = build_profiles(transactions, labels, spec=spec, label_delay_days=7)
    write_profiles(folder, tables, spec=spec, label_delay_days=7)
    profiles = ProfileTable.load(folder, spec)        # a folder or a URI such as s3://bucket/profiles

There is one every ``profile_hours`` from midnight on (UTC). Its risks over w days cover the w days that ended one label
delay before it and use the labels that had arrived; its counts and means are of the days before. It also carries the
population: mean amount, squared coefficient of variation of one card's amounts, and fraud rate. Where a table is
missing, the latest one before it holds; before the first, every merchant is unknown and the population is the
specification's default.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import from_us, to_us
from fraudline.core.digest import digest_of, sha256_bytes, sha256_file
from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError, SchemaError, UnavailableError
from fraudline.core.files import atomic_folder, write_json
from fraudline.features.columns import hash64
from fraudline.features.merchant_history import KEY, POPULATION, SCHEMA, VALUES, build_profiles
from fraudline.features.spec import FeatureSpec, Parameters

__all__ = ["POPULATION", "VALUES", "ProfileTable", "build_profiles", "published_version", "write_profiles"]

_NAME_ONE = "Name what step featurize (`build/profiles`) or step profiles wrote."
_TOGETHER = 32
"""Tables whose merchants are looked through at once."""
_ONCE_A_DAY = 24
"""What a publication of format 1 has, which does not say."""


@dataclass(frozen=True, slots=True)
class ProfileTable:
    """All tables, ready for the kernel.

    Row ``d * (merchants + 1) + m`` of ``values`` is merchant ``m`` on table ``d``; ``m = merchants`` is the unknown
    merchant, and table 0 holds the defaults of the time before the first table.

    Attributes:
        version: digest of the files, 12 hex digits; ``none`` when there is no table.
        starts: ``(tables,)`` int64 µs since the epoch, ascending: from when each table holds.
        merchant_hash: ``(merchants,)`` uint64, ascending.
        values: ``((tables + 1) * (merchants + 1), len(VALUES))`` float32, columns :data:`VALUES`.
        population: ``(tables + 1, 3)`` float64, columns :data:`POPULATION`.
    """

    version: str
    starts: NDArray[np.int64]
    merchant_hash: NDArray[np.uint64]
    values: NDArray[np.float32]
    population: NDArray[np.float64]

    @classmethod
    def empty(cls, spec: FeatureSpec) -> "ProfileTable":
        """No table: all merchants unknown, the population by default."""
        return cls.of({}, spec, "none")

    @classmethod
    def of(cls, tables: Mapping[int, pa.Table], spec: FeatureSpec, version: str) -> "ProfileTable":
        """From tables by the moment from which they hold, µs since the epoch.

        Raises:
            SchemaError: a table has other columns than a profile.
        """
        return cls._of(sorted(tables), lambda start, names: _checked(tables[start], start).select(names), spec, version)

    @classmethod
    def _of(
        cls, starts: Sequence[int], read: Callable[[int, list[str]], pa.Table], spec: FeatureSpec, version: str
    ) -> "ProfileTable":
        """From what ``read`` gives of a table's columns; twice of each, so that only one need be there at a time."""
        texts = _distinct(read(start, ["merchant_id"])["merchant_id"] for start in starts)
        hashes = hash64(texts.to_pylist())
        by_hash = np.argsort(hashes)
        texts = texts.take(pa.array(by_hash))
        population = np.empty((len(starts) + 1, len(POPULATION)))
        population[0] = _default_population(spec.parameters)
        values = np.zeros((len(starts) + 1, len(texts) + 1, len(VALUES)), np.float32)
        values[0] = _unknown(population[0])
        for k, start in enumerate(starts, start=1):
            table = read(start, SCHEMA.names)
            population[k] = json.loads(table.schema.metadata[KEY])
            values[k] = _unknown(population[k])
            rows = pc.index_in(table["merchant_id"], texts).to_numpy()
            values[k, rows] = np.column_stack([table[name].to_numpy() for name in VALUES])
        return cls(version, np.array(starts, np.int64), hashes[by_hash], values.reshape(-1, len(VALUES)), population)

    @classmethod
    def load(cls, source: Path | str, spec: FeatureSpec, since: int | None = None) -> "ProfileTable":
        """Read a published folder.

        Args:
            source: a local folder, or a URI that pyarrow knows (``file://``, ``s3://``, ``gs://``).
            spec: the specification of the model that will use it: gives the defaults before the first table.
            since: µs; tables from before it are left out, except the latest one, which holds until the next.

        Raises:
            UnavailableError: a remote store does not answer.
            DataError: there is no profile at ``source``, a file cannot be read, or is not the one of ``profiles.json``
                (a publication under way, or a damaged one); or its tables come at other hours than the model's.
            SchemaError: a file is no profile.
        """
        with _readable(source) as (filesystem, root):
            index = _index(filesystem, root)
            _check_hours(index.get("profile_hours", _ONCE_A_DAY), spec.parameters.profile_hours, source)
            names = {to_us(datetime.fromisoformat(text).replace(tzinfo=UTC)): text for text in index["tables"]}
            starts = sorted(names)
            if since is not None:
                starts = starts[max(sum(start <= since for start in starts) - 1, 0) :]
            files = {start: _file(filesystem, root, f"{names[start]}.parquet", index["files"]) for start in starts}
            return cls._of(starts, lambda start, columns: _table(files[start], start, columns), spec, index["version"])

    def rows(
        self, event_time: NDArray[np.int64], merchant_code: NDArray[np.int32], merchant_hash: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each transaction its row of ``population`` and its row of ``values``, both ``(n,)`` int64."""
        known = len(self.merchant_hash)
        place = np.searchsorted(self.merchant_hash, merchant_hash)
        if known:
            found = self.merchant_hash[np.minimum(place, known - 1)] == merchant_hash
            place = np.where(found, place, known)
        table = np.searchsorted(self.starts, event_time, side="right").astype(np.int64)
        return table, table * (known + 1) + place.astype(np.int64)[merchant_code]


def published_version(source: Path | str) -> str:
    """The version that is published at ``source`` now.

    Raises:
        DataError: there is none, or it is damaged.
        UnavailableError: a remote store does not answer.
    """
    with _readable(source) as (filesystem, root):
        version: str = _index(filesystem, root)["version"]
    return version


def write_profiles(
    folder: Path, tables: Mapping[int, pa.Table], *, spec: FeatureSpec, label_delay_days: int
) -> dict[str, Any]:
    """Write tables and ``profiles.json`` in the place of ``folder``, atomically; the version is their digest.

    Returns:
        The content of ``profiles.json``.
    """
    with atomic_folder(folder) as temporary:
        names = {start: _name(start) for start in sorted(tables)}
        files = {}
        for start, name in names.items():
            path = temporary / f"{name}.parquet"
            pq.write_table(tables[start], path, compression="zstd")
            files[path.name] = sha256_file(path)
        index = {
            "format": 2,
            "version": digest_of(files)[:12],
            "spec": spec.version,
            "label_delay_days": label_delay_days,
            "profile_hours": spec.parameters.profile_hours,
            "tables": list(names.values()),
            "files": files,
        }
        write_json(temporary / "profiles.json", index)
    return index


@contextmanager
def _readable(source: Path | str) -> Iterator[tuple[Any, str]]:
    """The file system and folder of a publication.

    What goes wrong while it is read is a DataError, or where a remote store does not answer an UnavailableError.
    """
    try:
        yield _filesystem(source)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowInvalid) as error:
        problem = f"Merchant profiles at {source} cannot be read: {error}."
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and "://" in str(source):
            raise UnavailableError(problem, "Check the store's address and its credentials.") from error
        raise DataError(problem, _NAME_ONE) from error


def _index(filesystem: Any, root: str) -> dict[str, Any]:
    """What ``profiles.json`` says, its version verified."""
    index: dict[str, Any] = parse_json(_bytes(filesystem, path := f"{root}/profiles.json"), path, action=_NAME_ONE)
    if index["version"] != digest_of(index["files"])[:12]:
        raise ValueError("the version in profiles.json is not that of the files it lists")
    return index


def _check_hours(published: int, wanted: int, source: Path | str) -> None:
    if published != wanted:
        raise DataError(
            f"Merchant profiles at {source} come every {published} hours, the model learned with every {wanted}.",
            "Publish them for this model: fraudline step profiles --model FOLDER.",
        )


def _bytes(filesystem: Any, path: str) -> bytes:
    with filesystem.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def _file(filesystem: Any, root: str, file: str, files: Mapping[str, str]) -> bytes:
    """The content of one table, its digest verified."""
    content = _bytes(filesystem, f"{root}/{file}")
    if sha256_bytes(content) != files[file]:
        raise ValueError(f"{file} is not the file that profiles.json describes")
    return content


def _table(content: bytes, start: int, columns: list[str]) -> pa.Table:
    """Some columns of one table."""
    file = pq.ParquetFile(pa.BufferReader(content))
    _checked(file.schema_arrow.empty_table(), start)
    return file.read(columns, use_threads=False)


def _distinct(columns: Iterable[pa.ChunkedArray]) -> pa.Array:
    """The distinct texts of all columns, in the order in which they come; a few columns are there at a time."""
    known, waiting = pa.array([], pa.string()), list[pa.Array]()
    for number, column in enumerate(columns, start=1):
        waiting += column.chunks
        if number % _TOGETHER == 0:
            known, waiting = pa.chunked_array([known, *waiting]).unique(), []
    return pa.chunked_array([known, *waiting]).unique()


def _checked(table: pa.Table, start: int) -> pa.Table:
    if table.schema.names != SCHEMA.names or KEY not in (table.schema.metadata or {}):
        problem = f"The merchant table of {_name(start)} is no profile."
        raise SchemaError(problem, "Publish profiles with the step profiles.")
    return table


def _default_population(parameters: Parameters) -> tuple[float, float, float]:
    return parameters.default_mean_amount, parameters.default_amount_cv2, parameters.default_risk


def _unknown(population: Iterable[float]) -> NDArray[np.float32]:
    mean, _, risk = population
    values = np.zeros(len(VALUES), np.float32)
    values[2:6] = mean, risk, risk, risk
    return values


def _name(start: int) -> str:
    """The moment from which a table holds, to the hour, in UTC."""
    return f"{from_us(start):%Y-%m-%dT%H}"


def _filesystem(source: Path | str) -> tuple[Any, str]:
    if isinstance(source, str) and "://" in source:
        filesystem, root = pafs.FileSystem.from_uri(source)
        return filesystem, root.rstrip("/")
    return pafs.LocalFileSystem(), str(source)
