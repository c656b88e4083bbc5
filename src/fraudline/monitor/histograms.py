"""Histograms of every feature and of the score, by day and by time of the week: mergeable, whatever the order.

    count = Count(Bins.of(features_table, score_table))
    for times_us, matrix, scores in pieces: count.add(times_us, matrix, scores)
    histograms = count.done()

Rows are counted, never kept, so a file of any size takes the same memory. A day is the unit that repeats: within it
rows depend on each other (a card's windows overlap, a campaign makes many), between days hardly. The time of the week
is a stratum of its own, so that a window can be compared with the reference at the same hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, HOUR_US
from fraudline.core.errors import ArtifactError

SCORE = "score"
HOURS = 24
STRATA = 2 * HOURS
"""Hours of the day, first those of Monday to Friday, then those of the weekend (UTC)."""
_METADATA = {"strata": str(STRATA)}
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
_SATURDAY = 5


def strata_of(times_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stratum of each time.

    >>> strata_of(np.array([0, 2 * DAY_US + 23 * HOUR_US])).tolist()      # Thursday 00:00, Saturday 23:00
    [0, 47]
    """
    weekend = (times_us // DAY_US + _FIRST_WEEKDAY) % 7 >= _SATURDAY
    return np.asarray(times_us % DAY_US // HOUR_US + HOURS * weekend, np.int64)


@dataclass(frozen=True)
class Bins:
    """The bins of d features and of the score, laid out one after the other.

    Attributes:
        names: of the figures; the score, where there is one, comes last.
        edges: inner edges of each; a value that equals one lies above it.
        centres: mean of the reference's values in each bin, by figure.
        sds: standard deviation of the reference's values, by figure.
    """

    names: tuple[str, ...]
    edges: tuple[NDArray[np.float64], ...]
    centres: tuple[NDArray[np.float64], ...]
    sds: tuple[float, ...]

    @classmethod
    def of(cls, features: pa.Table, score: pa.Table | None) -> "Bins":
        """The bins of an artifact's ``reference/features.parquet`` and ``reference/score.parquet``."""
        found: dict[str, pa.Table] = {}
        feature = features["feature"].to_numpy(zero_copy_only=False)
        for name in dict.fromkeys(feature.tolist()):
            found[name] = features.filter(pa.array(feature == name))
        if score is not None:
            found[SCORE] = score
        edges = [table["lower"].to_numpy()[1:] for table in found.values()]
        centres = [table["centre"].to_numpy() for table in found.values()]
        return cls(tuple(found), tuple(edges), tuple(centres), tuple(map(_sd, found.values())))

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each figure's bins lie in a row of counts; the last bin of a figure counts what is no finite number."""
        sizes = [len(edges) + 2 for edges in self.edges]
        ends = np.cumsum(sizes)
        return tuple(slice(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True))

    @property
    def width(self) -> int:
        """Bins of all figures."""
        width: int = self.places[-1].stop
        return width


@dataclass(frozen=True)
class Histograms:
    """Counts by day, stratum and bin.

    Attributes:
        bins: of what.
        days: (b,) int64, day since the epoch, ascending.
        counts: (b, STRATA, width) int64.
        sums: (b, width) float64, sum of the values in each bin.
    """

    bins: Bins
    days: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(b, STRATA) rows counted."""
        return np.asarray(self.counts[:, :, self.bins.places[0]].sum(axis=2), np.int64)

    def __len__(self) -> int:
        total: int = self.rows.sum().item()
        return total

    def only(self, days: NDArray[np.bool_]) -> "Histograms":
        """Some of the days."""
        return Histograms(self.bins, self.days[days], self.counts[days], self.sums[days])

    def without_last(self) -> "Histograms":
        """The same without the last figure, for a window that has no score."""
        bins = Bins(self.bins.names[:-1], self.bins.edges[:-1], self.bins.centres[:-1], self.bins.sds[:-1])
        return Histograms(bins, self.days, self.counts[:, :, : bins.width], self.sums[:, : bins.width])

    def table(self) -> pa.Table:
        """What an artifact keeps as ``reference/days.parquet``: ``day``, ``stratum`` and ``counts``.

        The number of strata stands in its metadata.
        """
        block, stratum = np.nonzero(self.rows)
        flat = pa.array(self.counts[block, stratum].astype(np.int32).ravel())
        return pa.table(
            {
                "day": pa.array(self.days[block].astype(np.int32)).cast(pa.date32()),
                "stratum": pa.array(stratum.astype(np.int8)),
                "counts": pa.FixedSizeListArray.from_arrays(flat, self.bins.width),
            }
        ).replace_schema_metadata(_METADATA)

    @classmethod
    def read(cls, bins: Bins, table: pa.Table) -> "Histograms":
        """The inverse of :meth:`table`; its sums are those of the bins' centres.

        Raises:
            ArtifactError: the table is of another version, with other strata.
        """
        if (table.schema.metadata or {}).get(b"strata") != _METADATA["strata"].encode():
            raise ArtifactError(
                "The reference of the artifact is from before drift was measured by the hour.",
                "Train again (`dvc repro train`); the model itself stays as it is.",
            )
        days, block = np.unique(table["day"].cast(pa.int32()).to_numpy(), return_inverse=True)
        counts = np.zeros((len(days), STRATA, bins.width), np.int64)
        flat = table["counts"].combine_chunks().flatten().to_numpy()
        counts[block, table["stratum"].to_numpy()] = flat.reshape(-1, bins.width)
        centres = np.concatenate([np.append(each, 0.0) for each in bins.centres])
        return cls(bins, days.astype(np.int64), counts, counts.sum(axis=1) * centres)


class Count:
    """Adds rows up."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._sums: dict[int, NDArray[np.float64]] = {}

    def add(self, times_us: NDArray[np.int64], columns: Sequence[NDArray[np.floating]]) -> None:
        """Count rows.

        Args:
            times_us: (n,) int64, event time in µs since the epoch.
            columns: (n,) floats a figure, in the order of the bins' names.
        """
        days, block = np.unique(times_us // DAY_US, return_inverse=True)
        key = block * STRATA + strata_of(times_us)
        counts = np.zeros((len(days) * STRATA, self._bins.width), np.int64)
        sums = np.zeros((len(days), self._bins.width))
        for values, edges, place in zip(columns, self._bins.edges, self._bins.places, strict=True):
            size = place.stop - place.start
            finite = np.isfinite(values)
            at = np.searchsorted(edges.astype(values.dtype), values, side="right")
            if not finite.all():
                at[~finite] = size - 1
                values = np.where(finite, values, 0)  # noqa: PLW2901 - what can be summed
            counts[:, place] = np.bincount(key * size + at, minlength=len(counts) * size).reshape(-1, size)
            sums[:, place] = np.bincount(block * size + at, values, len(days) * size).reshape(-1, size)
        for number, day in enumerate(days.tolist()):
            part = counts[number * STRATA : (number + 1) * STRATA]
            self._counts[day] = self._counts[day] + part if day in self._counts else part
            self._sums[day] = self._sums[day] + sums[number] if day in self._sums else sums[number]

    def done(self) -> Histograms:
        """What has been counted."""
        days = sorted(self._counts)
        counts = np.array([self._counts[day] for day in days], np.int64).reshape(len(days), STRATA, self._bins.width)
        sums = np.array([self._sums[day] for day in days], np.float64).reshape(len(days), self._bins.width)
        return Histograms(self._bins, np.array(days, np.int64), counts, sums)


def _sd(table: pa.Table) -> float:
    if "sd" in table.column_names:
        return float(table["sd"][0].as_py())
    share, centre = table["share"].to_numpy(), table["centre"].to_numpy()
    mean = float(share @ centre)
    return float(np.sqrt(share @ (centre - mean) ** 2))
