"""The surprises of a row inside the graph: decades of rarity of single right tails, and of pairs of features.

As everywhere inside the graph, a feature is a row of its tensor and a transaction a column.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.joints import JointTable
from fraudline.model.ladders import Ladders
from fraudline.model.tails import Tails

_SOFT = 1e-3  # decades; keeps the split of a pair steady where both are usual


class Found(NamedTuple):
    """What the graph found in n rows.

    Attributes:
        decades: (k, n), of each surprise: single features first, then pairs.
        shares: (p, n), how much of each pair is its first feature's doing, 0 to 1: by the table's own margins.
    """

    decades: tf.Tensor
    shares: tf.Tensor


class Surprises:
    """What :mod:`~fraudline.model.tails` and :mod:`~fraudline.model.joints` learned, as operations of the graph.

    Args:
        tails: of single features.
        joints: of pairs.
        names: of the d features.
    """

    def __init__(self, tails: Tails, joints: Sequence[JointTable], names: Sequence[str]) -> None:
        self.tails = tails
        self.joints = tuple(joints)
        self.names = (
            *(names[column] for column in tails.columns),
            *(" & ".join(names[column] for column in joint.columns) for joint in joints),
        )
        self._width = len(names)
        self._pairs = _Pairs(self.joints) if self.joints else None

    def __len__(self) -> int:
        return len(self.names)

    def of(self, features: tf.Tensor) -> Found:
        """The surprises of raw features (d, n)."""
        singles = ramps(features, self.tails) if len(self.tails.columns) else features[:0]
        if self._pairs is None:
            return Found(singles, features[:0])
        decades, shares = self._pairs.of(features)
        return Found(tf.concat([singles, decades], axis=0), shares)

    def spread(self, parts: tf.Tensor, found: Found) -> tf.Tensor:
        """Parts of the k surprises, (k, n), given to the d features behind them: (d, n) with the same sums."""
        owners = [*self.tails.columns, *(j.columns[0] for j in self.joints), *(j.columns[1] for j in self.joints)]
        ownership = np.eye(self._width, dtype=np.float32)[:, owners]
        if self._pairs is None:
            return tf.linalg.matmul(ownership, parts)
        singles, pairs = tf.split(parts, [len(self.tails.columns), len(self.joints)])
        first = pairs * found.shares
        return tf.linalg.matmul(ownership, tf.concat([singles, first, pairs - first], axis=0))


class _Pairs:
    """All pairs at once: the places of both values among the lines of their table, then one look into all tables.

    What stands of two features lies as all first ones, then all second ones; each frontier is found by the place of
    the other one.
    """

    def __init__(self, joints: Sequence[JointTable]) -> None:
        self._columns = _halves([joint.columns for joint in joints], np.int32)[:, 0]
        self._others = np.roll(np.arange(2 * len(joints)), len(joints))
        self._signs = _halves([joint.signs for joint in joints], np.float32)
        self._scales = _halves([joint.scales for joint in joints], np.float32)[self._others]
        self._ladders = Ladders([*(joint.first for joint in joints), *(joint.second for joint in joints)])
        tables = [joint.decades for joint in joints]
        margins = [*(_margin(table[:, 0]) for table in tables), *(_margin(table[1]) for table in tables)]
        frontiers = [joint.frontiers[half] for half in (0, 1) for joint in joints]
        self._decades, self._begins = _laid_out(tables)
        self._margins, self._margin_begins = _laid_out(margins)
        self._frontiers, _ = _laid_out(frontiers)
        self._strides = np.array([[table.shape[1]] for table in tables], np.int32)

    def of(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decades (p, n) and the first feature's share (p, n) of each pair."""
        values = tf.gather(features, self._columns) * self._signs
        places = self._ladders.below(values)
        rows, columns = tf.split(places, 2)
        cells = rows * self._strides + columns + self._begins
        first, second = tf.split(tf.gather(self._margins + _SOFT, places + self._margin_begins), 2)
        beyond = tf.gather(values, self._others) - tf.gather(self._frontiers, places + self._margin_begins)
        gaps = tf.split(tf.clip_by_value(beyond * self._scales, 0.0, 1.0), 2)
        return tf.gather(self._decades, cells) + tf.sqrt(gaps[0] * gaps[1]), first / (first + second)


def ramps(features: tf.Tensor, tails: Tails) -> tf.Tensor:
    """Decades of single features (d, n), (t, n): the piecewise-linear curves of ``tails``."""
    t, k = tails.rise.shape
    values = tf.gather(features, np.repeat(tails.columns, k))
    inverse = np.float32(1) / tails.width.reshape(-1, 1)  # as in network.scale
    risen = tf.clip_by_value((values - tails.edge.reshape(-1, 1)) * inverse, 0.0, 1.0)
    rises = np.repeat(np.eye(t, dtype=np.float32), k, axis=1) * tails.rise.ravel()
    return tf.linalg.matmul(rises, risen)


def _halves(of_pairs: Sequence[tuple[float, float]], dtype: type) -> NDArray[Any]:
    """(2 p, 1): what stands of the first feature of each pair, then of the second."""
    return np.array(of_pairs, dtype).T.reshape(-1, 1)


def _laid_out(tables: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Tables one after the other, flat, and where each begins: a column."""
    sizes = [table.size for table in tables]
    return np.concatenate([table.ravel() for table in tables]), np.cumsum([0, *sizes[:-1]], dtype=np.int32)[:, None]


def _margin(decades: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many decades a value adds to that of the least rare row inside the pair's limit."""
    inside: NDArray[np.float32] = np.maximum(decades - decades[1 if decades[0] == 0 else 0], 0).astype(np.float32)
    return inside
