"""A tree ensemble as one table, whatever library grew it: what is exported, stored and explained.

A row goes left where its value is at or below the threshold; the score is the sum of the leaves it reaches minus the
sum's mean over the training rows, so that Shapley values sum to the score.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.errors import ArtifactError

FILE = "trees.parquet"
LEAF = -1
_SCHEMA = pa.schema(
    [
        ("tree", pa.int32()),
        ("feature", pa.int32()),
        ("threshold", pa.float32()),
        ("left", pa.int32()),
        ("right", pa.int32()),
        ("value", pa.float32()),
        ("cover", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class TreeTable:
    """Nodes of all trees, (k,) each; a tree's nodes stand together, its root first.

    Attributes:
        tree: int32, number of the tree.
        feature: int32 column of the features; -1 at a leaf.
        threshold: float32, the largest value that goes left.
        left: int32 row of the left child; -1 at a leaf.
        right: int32, likewise.
        value: float32, what a leaf adds to the score; 0 elsewhere.
        cover: float64 above 0, how many training rows reach the node.
    """

    tree: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    cover: NDArray[np.float64]

    @property
    def roots(self) -> NDArray[np.int64]:
        """Rows of the roots, (trees,)."""
        return np.flatnonzero(np.diff(self.tree, prepend=-1))

    @property
    def mean(self) -> float:
        """Sum over trees of the mean leaf, weighted by cover: what the score subtracts."""
        leaf = self.feature == LEAF
        share = self.cover[leaf] / self.cover[self.roots][self.tree[leaf]]
        return float(np.sum(share * self.value[leaf].astype(np.float64)))

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of (n, d) float32 rows, (n,) float64: what the graph computes, in NumPy."""
        total = np.full(len(rows), -self.mean)
        for leaf in self.reached(rows):
            total += self.value[leaf]
        return total

    def reached(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
        """For each tree the row of the leaf, (n,), that each of (n, d) float32 rows ends in."""
        every = np.arange(len(rows))
        for root in self.roots:
            at = np.full(len(rows), root)
            while True:
                inner = self.feature[at] != LEAF
                if not inner.any():
                    break
                column = np.where(inner, self.feature[at], 0)
                goes_left = rows[every, column] <= self.threshold[at]
                at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
            yield at

    def to_arrow(self) -> pa.Table:
        """The table as it stands in :data:`FILE`."""
        return pa.table({name: getattr(self, name) for name in _SCHEMA.names}, schema=_SCHEMA)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "TreeTable":
        """The inverse of :meth:`to_arrow`.

        Raises:
            ArtifactError: columns are missing, or a node leads outside its tree, back, or to no cover.
        """
        if table.schema.names != _SCHEMA.names:
            raise ArtifactError(f"{FILE} has other columns than {', '.join(_SCHEMA.names)}.", "Train again.")
        columns = {field.name: table[field.name].cast(field.type).to_numpy() for field in _SCHEMA}
        found = cls(**columns)
        found._check()
        return found

    def _check(self) -> None:
        rows, inner = np.arange(len(self.tree)), self.feature != LEAF
        children = np.stack([self.left[inner], self.right[inner]])
        inside = (children > rows[inner]) & (children < len(rows))
        together = len(rows) > 0 and self.tree[0] == 0 and bool(np.isin(np.diff(self.tree), (0, 1)).all())
        known = bool((self.feature >= LEAF).all() and (self.cover > 0).all() and np.isfinite(self.value).all())
        if not (together and known and inside.all() and (self.tree[children] == self.tree[inner]).all()):
            raise ArtifactError(f"{FILE} is no table of trees.", "Run the train step again.")


class Grower:
    """Collects nodes tree by tree; the libraries' own forms are read into it."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, float, int, int, float]] = []
        self._trees = 0

    def add(self, nodes: list[dict[str, Any]]) -> None:
        """Append one tree.

        Args:
            nodes: root first, each before its children: ``feature``, ``threshold`` (float32), ``left``, ``right``
                (positions in this list); or ``value`` for a leaf.
        """
        first = len(self._rows)
        for node in nodes:
            if "value" in node:
                self._rows.append((self._trees, LEAF, 0.0, LEAF, LEAF, node["value"]))
            else:
                left, right = first + node["left"], first + node["right"]
                self._rows.append((self._trees, node["feature"], node["threshold"], left, right, 0.0))
        self._trees += 1

    def table(self, rows: NDArray[np.float32]) -> TreeTable:
        """All trees, with the covers that (n, d) float32 training rows give them.

        A leaf that no training row reaches gets a little cover, so that its share is not 0 / 0.
        """
        columns = [np.array(column) for column in zip(*self._rows, strict=True)]
        columns.append(np.zeros(len(self._rows)))
        typed = [c.astype(field.type.to_pandas_dtype()) for c, field in zip(columns, _SCHEMA, strict=True)]
        table = TreeTable(*typed)
        cover = np.where(table.feature == LEAF, 1e-6 * len(rows), 0.0)
        for leaf in table.reached(rows):
            reached, counts = np.unique(leaf, return_counts=True)
            cover[reached] = counts
        for row in np.flatnonzero(table.feature != LEAF)[::-1]:  # children stand after their parents
            cover[row] = cover[table.left[row]] + cover[table.right[row]]
        return replace(table, cover=cover)


def at_most(threshold: float) -> np.float32:
    """The largest float32 that is not above ``threshold``: ``x <= threshold`` for every float32 x."""
    nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def below(threshold: float) -> np.float32:
    """The largest float32 under ``threshold``, so that ``<`` can be written as ``<=``."""
    return np.float32(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
