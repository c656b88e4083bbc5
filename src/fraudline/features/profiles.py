"""Daily merchant tables: what is known about merchants at the midnight that begins a day, and nothing later.

    tables = build_profiles(transactions, labels, spec=spec, label_delay_days=7)
    write_profiles(folder, tables, spec=spec, label_delay_days=7)
    profiles = ProfileTable.load(folder, spec)        # a folder or a URI such as s3://bucket/profiles

The table of day D is made of transactions before D. Its risks over w days cover the events of the days [D - delay -
w, D - delay) and use labels that arrived before D. It also carries the population: mean amount, squared coefficient
of variation of one card's amounts, and fraud rate. Days without a table use the latest one before them; before the
first table, every merchant is unknown and the population is the specification's default.
"""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, EPOCH
from fraudline.core.digest import digest_of, sha256_bytes, sha256_file
from fraudline.core.errors import DataError, SchemaError
from fraudline.core.files import atomic_folder, write_json
from fraudline.features.columns import hash64
from fraudline.features.merchant_history import KEY, POPULATION, SCHEMA, VALUES, build_profiles
from fraudline.features.spec import FeatureSpec, Parameters

__all__ = ["POPULATION", "VALUES", "ProfileTable", "build_profiles", "write_profiles"]


@dataclass(frozen=True, slots=True)
class ProfileTable:
    """All daily tables, ready for the kernel.

    Row ``d * (merchants + 1) + m`` of ``values`` is merchant ``m`` on table ``d``; ``m = merchants`` is the unknown
    merchant, and table 0 holds the defaults of the time before the first table.

    Attributes:
        version: digest of the files, 12 hex digits; ``none`` when there is no table.
        days: ``(tables,)`` int64 day numbers since the epoch, ascending.
        merchant_hash: ``(merchants,)`` uint64, ascending.
        values: ``((tables + 1) * (merchants + 1), len(VALUES))`` float32, columns :data:`VALUES`.
        population: ``(tables + 1, 3)`` float64, columns :data:`POPULATION`.
    """

    version: str
    days: NDArray[np.int64]
    merchant_hash: NDArray[np.uint64]
    values: NDArray[np.float32]
    population: NDArray[np.float64]

    @classmethod
    def empty(cls, spec: FeatureSpec) -> "ProfileTable":
        """No table: all merchants unknown, the population by default."""
        return cls.of({}, spec, "none")

    @classmethod
    def of(cls, tables: Mapping[date, pa.Table], spec: FeatureSpec, version: str) -> "ProfileTable":
        """From tables by day.

        Raises:
            SchemaError: a table has other columns than a profile.
        """
        order = sorted(tables)
        names: dict[str, None] = {}
        for day in order:
            names.update(dict.fromkeys(_checked(tables[day], day)["merchant_id"].to_pylist()))
        texts = list(names)
        hashes = hash64(texts)
        by_hash = np.argsort(hashes)
        place = {texts[k]: i for i, k in enumerate(by_hash.tolist())}
        population = np.empty((len(order) + 1, len(POPULATION)))
        population[0] = _default_population(spec.parameters)
        values = np.zeros((len(order) + 1, len(texts) + 1, len(VALUES)), np.float32)
        values[0] = _unknown(population[0])
        for d, day in enumerate(order, start=1):
            population[d] = json.loads(tables[day].schema.metadata[KEY])
            values[d] = _unknown(population[d])
            rows = [place[name] for name in tables[day]["merchant_id"].to_pylist()]
            values[d, rows] = np.column_stack([tables[day][name].to_numpy() for name in VALUES])
        days = np.array([_day_number(day) for day in order], np.int64)
        return cls(version, days, hashes[by_hash], values.reshape(-1, len(VALUES)), population)

    @classmethod
    def load(cls, source: Path | str, spec: FeatureSpec, since: date | None = None) -> "ProfileTable":
        """Read a published folder.

        Args:
            source: a local folder, or a URI that pyarrow knows (``file://``, ``s3://``, ``gs://``).
            spec: the specification of the model that will use it: gives the defaults before the first table.
            since: days before it are left out, except the latest one, which is valid until the next.

        Raises:
            DataError: there is no profile at ``source``, a file cannot be read, or is not the one of ``profiles.json``
                (a publication under way, or a damaged one).
            SchemaError: a file is no profile.
        """
        try:
            filesystem, root = _filesystem(source)
            index = json.loads(_bytes(filesystem, f"{root}/profiles.json"))
            if index["version"] != digest_of(index["files"])[:12]:
                raise ValueError("the version in profiles.json is not that of the files it lists")
            days = [date.fromisoformat(text) for text in index["days"]]
            if since is not None:
                days = days[max(sum(day <= since for day in days) - 1, 0) :]
            tables = {day: _table(filesystem, root, day, index["files"]) for day in days}
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowInvalid) as error:
            raise DataError(
                f"Merchant profiles at {source} cannot be read: {error}.", "Publish them with the step profiles."
            ) from error
        return cls.of(tables, spec, index["version"])

    def rows(
        self, event_time: NDArray[np.int64], merchant_code: NDArray[np.int32], merchant_hash: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each transaction its row of ``population`` and its row of ``values``, both ``(n,)`` int64."""
        known = len(self.merchant_hash)
        place = np.searchsorted(self.merchant_hash, merchant_hash)
        if known:
            found = self.merchant_hash[np.minimum(place, known - 1)] == merchant_hash
            place = np.where(found, place, known)
        day_row = np.searchsorted(self.days, event_time // DAY_US, side="right").astype(np.int64)
        return day_row, day_row * (known + 1) + place.astype(np.int64)[merchant_code]


def write_profiles(
    folder: Path, tables: Mapping[date, pa.Table], *, spec: FeatureSpec, label_delay_days: int
) -> dict[str, Any]:
    """Write tables and ``profiles.json`` in the place of ``folder``, atomically; the version is their digest.

    Returns:
        The content of ``profiles.json``.
    """
    with atomic_folder(folder) as temporary:
        files = {}
        for day in sorted(tables):
            path = temporary / f"{day}.parquet"
            pq.write_table(tables[day], path, compression="zstd")
            files[path.name] = sha256_file(path)
        index = {
            "format": 1,
            "version": digest_of(files)[:12],
            "spec": spec.version,
            "label_delay_days": label_delay_days,
            "days": [day.isoformat() for day in sorted(tables)],
            "files": files,
        }
        write_json(temporary / "profiles.json", index)
    return index


def _bytes(filesystem: Any, path: str) -> bytes:
    with filesystem.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def _table(filesystem: Any, root: str, day: date, files: Mapping[str, str]) -> pa.Table:
    """One day's table, parsed after its digest is verified."""
    content = _bytes(filesystem, f"{root}/{day}.parquet")
    if sha256_bytes(content) != files[f"{day}.parquet"]:
        raise ValueError(f"{day}.parquet is not the file that profiles.json describes")
    return pq.read_table(io.BytesIO(content))


def _checked(table: pa.Table, day: date) -> pa.Table:
    if table.schema.names != SCHEMA.names or KEY not in (table.schema.metadata or {}):
        raise SchemaError(f"The merchant table of {day} is no profile.", "Publish profiles with the step profiles.")
    return table


def _default_population(parameters: Parameters) -> tuple[float, float, float]:
    return parameters.default_mean_amount, parameters.default_amount_cv2, parameters.default_risk


def _unknown(population: Iterable[float]) -> NDArray[np.float32]:
    mean, _, risk = population
    values = np.zeros(len(VALUES), np.float32)
    values[2:6] = mean, risk, risk, risk
    return values


def _day_number(day: date) -> int:
    return (day - EPOCH.date()).days


def _filesystem(source: Path | str) -> tuple[Any, str]:
    if isinstance(source, str) and "://" in source:
        filesystem, root = pafs.FileSystem.from_uri(source)
        return filesystem, root.rstrip("/")
    return pafs.LocalFileSystem(), str(source)
