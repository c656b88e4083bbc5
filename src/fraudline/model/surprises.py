"""The surprises of a row inside the graph: decades of rarity of single right tails, and of pairs of features."""

from collections.abc import Sequence
from typing import NamedTuple

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
        decades: (n, k), of each surprise: single features first, then pairs.
        shares: (n, p), how much of each pair is its first feature's doing, 0 to 1: by the table's own margins.
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
        """The surprises of raw features (n, d)."""
        singles = ramps(features, self.tails) if len(self.tails.columns) else features[:, :0]
        if self._pairs is None:
            return Found(singles, features[:, :0])
        decades, shares = self._pairs.of(features)
        return Found(tf.concat([singles, decades], axis=1), shares)

    def spread(self, parts: tf.Tensor, found: Found) -> tf.Tensor:
        """Parts of the k surprises, (n, k), given to the d features behind them: (n, d) with the same sums."""
        identity = np.eye(self._width, dtype=np.float32)
        singles = len(self.tails.columns)
        if self._pairs is None:
            return tf.linalg.matmul(parts, identity[self.tails.columns])
        first = parts[:, singles:] * found.shares
        owners = [*self.tails.columns, *(j.columns[0] for j in self.joints), *(j.columns[1] for j in self.joints)]
        return tf.linalg.matmul(
            tf.concat([parts[:, :singles], first, parts[:, singles:] - first], axis=1), identity[owners]
        )


class _Pairs:
    """All pairs at once: the places of both values among the lines of their table, then one look into all tables.

    What stands of two features lies as first, second, first, …; each frontier is found by the place of the other one.
    """

    def __init__(self, joints: Sequence[JointTable]) -> None:
        self._columns = np.array([joint.columns for joint in joints], np.int32).ravel()
        self._signs = np.array([joint.signs for joint in joints], np.float32).ravel()
        self._ladders = Ladders([lines for joint in joints for lines in (joint.first, joint.second)])
        tables = [joint.decades for joint in joints]
        margins = [margin for table in tables for margin in (_margin(table[:, 0]), _margin(table[1]))]
        self._decades, self._begins = _laid_out(tables)
        self._margins, self._margin_begins = _laid_out(margins)
        self._frontiers, _ = _laid_out([frontier for joint in joints for frontier in joint.frontiers])
        self._others = np.arange(2 * len(tables)) ^ 1
        self._scales = np.array([joint.scales for joint in joints], np.float32).ravel()[self._others]
        self._strides = np.array([[table.shape[1], 1] for table in tables], np.int32)

    def of(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decades (n, p) and the first feature's share (n, p) of each pair."""
        values = tf.gather(features, self._columns, axis=1) * self._signs
        places = self._ladders.below(values)
        cells = tf.reduce_sum(self._paired(places) * self._strides, axis=2) + self._begins
        halves = self._paired(tf.gather(self._margins, places + self._margin_begins)) + _SOFT
        beyond = tf.gather(values, self._others, axis=1) - tf.gather(self._frontiers, places + self._margin_begins)
        gaps = self._paired(tf.clip_by_value(beyond * self._scales, 0.0, 1.0))
        decades = tf.gather(self._decades, cells) + tf.sqrt(gaps[:, :, 0] * gaps[:, :, 1])
        return decades, halves[:, :, 0] / tf.reduce_sum(halves, axis=2)

    def _paired(self, values: tf.Tensor) -> tf.Tensor:
        """(n, 2 p) as (n, p, 2)."""
        return tf.reshape(values, (-1, *self._strides.shape))


def ramps(features: tf.Tensor, tails: Tails) -> tf.Tensor:
    """Decades of single features, (n, t): the piecewise-linear curves of ``tails``."""
    values = tf.expand_dims(tf.gather(features, tails.columns, axis=1), 2)
    rising = tf.clip_by_value((values - tails.edge) / tails.width, 0.0, 1.0) * tails.rise
    return tf.reduce_sum(rising, axis=2)


def _laid_out(tables: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Tables one after the other, flat, and where each begins."""
    sizes = [table.size for table in tables]
    return np.concatenate([table.ravel() for table in tables]), np.cumsum([0, *sizes[:-1]]).astype(np.int32)


def _margin(decades: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many decades a value adds to that of the least rare row inside the pair's limit."""
    inside: NDArray[np.float32] = np.maximum(decades - decades[1 if decades[0] == 0 else 0], 0).astype(np.float32)
    return inside
