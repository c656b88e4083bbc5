"""The surprises of a row inside the graph: decades of rarity of single right tails, and of pairs of features."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.joints import JointTable
from fraudline.model.tails import Tails

_SOFT = 1e-3  # decades; keeps the split of a pair steady where both are usual


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

    def __len__(self) -> int:
        return len(self.names)

    def values(self, features: tf.Tensor) -> tf.Tensor:
        """Decades, (n, k) float32, of raw features (n, d)."""
        columns = [ramps(features, self.tails)] if len(self.tails.columns) else []
        columns += [tf.gather(_flat(joint), self._cell(joint, features))[:, None] for joint in self.joints]
        return tf.concat(columns, axis=1)

    def spread(self, parts: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """Parts of the k surprises, (n, k), given to the d features behind them: (n, d) with the same sums.

        A pair's part is split by how rare each of its two values is by itself.
        """
        singles = len(self.tails.columns)
        identity = np.eye(self._width, dtype=np.float32)
        result = tf.zeros_like(features)
        if singles:
            result += tf.linalg.matmul(parts[:, :singles], identity[self.tails.columns])
        for index, joint in enumerate(self.joints, start=singles):
            part, share = parts[:, index : index + 1], self._share(joint, features)
            result += part * share * identity[joint.columns[0]]
            result += part * (1.0 - share) * identity[joint.columns[1]]
        return result

    def _cell(self, joint: JointTable, features: tf.Tensor) -> tf.Tensor:
        """Place in the flattened table, (n,) int32."""
        return _above(joint, features, 0) * joint.decades.shape[1] + _above(joint, features, 1)

    def _share(self, joint: JointTable, features: tf.Tensor) -> tf.Tensor:
        """The first feature's share of the pair, (n, 1): by the table's own margins."""
        first = tf.gather(_margin(joint.decades[:, 0]), _above(joint, features, 0))
        second = tf.gather(_margin(joint.decades[1]), _above(joint, features, 1))
        return ((first + _SOFT) / (first + second + 2 * _SOFT))[:, None]


def ramps(features: tf.Tensor, tails: Tails) -> tf.Tensor:
    """Decades of single features, (n, t): the piecewise-linear curves of ``tails``."""
    values = tf.expand_dims(tf.gather(features, tails.columns, axis=1), 2)
    rising = tf.clip_by_value((values - tails.edge) / tails.width, 0.0, 1.0) * tails.rise
    return tf.reduce_sum(rising, axis=2)


def _above(joint: JointTable, features: tf.Tensor, which: int) -> tf.Tensor:
    """Lines below the value, (n,) int32: a comparison with each, and their number."""
    value = features[:, joint.columns[which] : joint.columns[which] + 1] * joint.signs[which]
    lines = (joint.first, joint.second)[which][None, :]
    return tf.cast(tf.reduce_sum(tf.cast(value > lines, tf.float32), axis=1), tf.int32)


def _flat(joint: JointTable) -> NDArray[np.float32]:
    return joint.decades.reshape(-1)


def _margin(decades: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many decades a value adds to that of the least rare row inside the pair's limit."""
    inside: NDArray[np.float32] = np.maximum(decades - decades[1 if decades[0] == 0 else 0], 0).astype(np.float32)
    return inside
