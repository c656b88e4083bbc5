"""How rare two values are together: the surprise of a pair that neither value alone explains.

A large amount after a quiet week is one thing, a large amount after a week of large amounts another. For a pair of
features the rarity of a row is

    −log₁₀ ((c + 1) / (n + 1)),  c = known normals that lie at least as far out in both features at once,

of n known normals; 0 where the first feature is not above the pair's own limit. The counts are held in a table over a
grid of the normals' own values: all of them where they are few, which is exact, else a choice that is dense in the
tail, and then a row is never rarer than the normals make it. A pair beyond every normal has log₁₀(n + 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.model.inputs import Joint

_LINES = 256
"""Lines of the grid in each direction at most."""


@dataclass(frozen=True, slots=True)
class JointTable:
    """The rarity of one pair.

    Attributes:
        columns: which two features.
        signs: −1 where a small value is suspicious, else 1.
        first: (a,) float32, ascending lines of the first feature times its sign.
        second: (b,) float32, the same for the second.
        decades: (a + 1, b + 1) float32; row and column count the lines below the value. Row 0 is 0.
    """

    columns: tuple[int, int]
    signs: tuple[float, float]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    decades: NDArray[np.float32]

    @classmethod
    def learn(cls, features: NDArray[np.float32], joint: Joint, names: Sequence[str]) -> "JointTable":
        """Count known normals, (n, d) float32 raw features."""
        columns = (names.index(joint.features[0]), names.index(joint.features[1]))
        sign = -1.0 if joint.tails[1] == "lower" else 1.0
        inside = features[:, columns[0]] > joint.above
        a = features[inside, columns[0]]
        b = features[inside, columns[1]] * np.float32(sign)
        first = np.unique(np.r_[np.float32(joint.above), _lines(a)]).astype(np.float32)
        second = _lines(b)
        counts = np.zeros((len(first) + 1, len(second) + 1))
        at = (np.searchsorted(first, a, side="left"), np.searchsorted(second, b, side="left"))
        np.add.at(counts, at, 1.0)
        beyond = counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
        decades = -np.log10((beyond + 1) / (len(features) + 1))
        decades[0] = 0.0
        return cls(columns, (1.0, sign), first, second, decades.astype(np.float32))

    def rarity(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decades, (n,) float32: what the graph computes, in NumPy."""
        rows = np.searchsorted(self.first, features[:, self.columns[0]], side="left")
        columns = np.searchsorted(self.second, features[:, self.columns[1]] * np.float32(self.signs[1]), side="left")
        found: NDArray[np.float32] = self.decades[rows, columns]
        return found


def learn_joints(
    features: NDArray[np.float32], joints: Sequence[Joint], names: Sequence[str]
) -> tuple[JointTable, ...]:
    """A table for each pair, from known normals, (n, d) float32 raw features."""
    return tuple(JointTable.learn(features, joint, names) for joint in joints)


def _lines(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of the normals, ascending: all distinct ones, or those at equal steps of rarity and of rank."""
    distinct = np.unique(values)
    if len(distinct) <= _LINES:
        return distinct
    ranked = np.sort(values)
    rarer = 1 - 10.0 ** -np.linspace(0, np.log10(len(ranked)), _LINES - _LINES // 4)
    levels = np.unique(np.r_[rarer, np.linspace(0, 1, _LINES // 4)])
    return np.unique(np.quantile(ranked, levels, method="lower")).astype(np.float32)
