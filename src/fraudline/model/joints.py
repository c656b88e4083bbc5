"""How rare two values are together: the surprise of a pair that neither value alone explains.

A large amount after a quiet week is one thing, a large amount after a week of large amounts another. For a pair of
features the rarity of a row is

    −log₁₀ ((c + 1) / (n + 1)),  c = known normals that lie at least as far out in both features at once,

of n known normals; 0 where the first feature is not above the pair's own limit. The counts are held in a table over a
grid of the normals' own values: all of them where they are few, which is exact, else a choice that is dense in the
tail, and then a row is never rarer than the normals make it. A pair beyond every normal has log₁₀(n + 1), and goes on
from there with its distance to the normals' frontier,

    + √(g₁ g₂),  g = (value − the farthest of the normals that lie as far out in the other feature) / their whole range,

each g between 0 and 1: a decade at most, which orders what no count can tell apart. It begins at 0 on the frontier, and
grows with both features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.model.inputs import Joint

_LINES = 256
"""Lines of the grid in each direction at most."""
_NO_RANGE = 1e-30
"""Its inverse times a distance stays a float32."""


@dataclass(frozen=True, slots=True)
class JointTable:
    """The rarity of one pair.

    Attributes:
        columns: which two features.
        signs: −1 where a small value is suspicious, else 1.
        first: (a,) float32, ascending lines of the first feature times its sign.
        second: (b,) float32, the same for the second.
        decades: (a + 1, b + 1) float32; row and column count the lines below the value. Row 0 is 0.
        frontiers: how far out normals lie in the other feature: (a + 1,) float32 of the second feature by row, and
            (b + 1,) of the first by column.
        scales: 1 / range of the normals in the first and the second feature; 0 where they have none.
    """

    columns: tuple[int, int]
    signs: tuple[float, float]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    decades: NDArray[np.float32]
    frontiers: tuple[NDArray[np.float32], NDArray[np.float32]]
    scales: tuple[float, float]

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
        inhabited = beyond > 0
        frontiers = (_farthest(inhabited, second), _farthest(inhabited[1:].T, first[1:], first[0]))
        scales = (_scale(first), _scale(second))
        return cls(columns, (1.0, sign), first, second, decades.astype(np.float32), frontiers, scales)

    def rarity(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decades, (n,) float32: what the graph computes, in NumPy."""
        a = features[:, self.columns[0]]
        b = features[:, self.columns[1]] * np.float32(self.signs[1])
        rows, columns = np.searchsorted(self.first, a, side="left"), np.searchsorted(self.second, b, side="left")
        gaps = np.clip((a - self.frontiers[1][columns]) * self.scales[0], 0, 1)
        gaps *= np.clip((b - self.frontiers[0][rows]) * self.scales[1], 0, 1)
        found: NDArray[np.float32] = self.decades[rows, columns] + np.sqrt(gaps)
        return found.astype(np.float32, copy=False)


def learn_joints(
    features: NDArray[np.float32], joints: Sequence[Joint], names: Sequence[str]
) -> tuple[JointTable, ...]:
    """A table for each pair, from known normals, (n, d) float32 raw features."""
    return tuple(JointTable.learn(features, joint, names) for joint in joints)


def _farthest(
    inhabited: NDArray[np.bool_], lines: NDArray[np.float32], nobody: np.float32 | None = None
) -> NDArray[np.float32]:
    """Of each row of (r, len(lines) + 1) cells the line that bounds the last inhabited one; ``nobody`` without one.

    Without ``nobody`` it is the first line: the least of the normals.
    """
    if not len(lines):
        return np.full(len(inhabited), 0.0 if nobody is None else nobody, np.float32)
    last = inhabited.shape[1] - 1 - np.argmax(inhabited[:, ::-1], axis=1)
    found = lines[np.minimum(last, len(lines) - 1)]
    found = np.where(inhabited.any(axis=1), found, lines[0] if nobody is None else nobody)
    return found.astype(np.float32)


def _scale(lines: NDArray[np.float32]) -> float:
    """1 / their range; 0 where they have none to speak of."""
    extent = float(lines[-1] - lines[0]) if len(lines) else 0.0
    return 1 / extent if extent > _NO_RANGE else 0.0


def _lines(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of the normals, ascending: all distinct ones, or those at equal steps of rarity and of rank."""
    distinct = np.unique(values)
    if len(distinct) <= _LINES:
        return distinct
    ranked = np.sort(values)
    rarer = 1 - 10.0 ** -np.linspace(0, np.log10(len(ranked)), _LINES - _LINES // 4)
    levels = np.unique(np.r_[rarer, np.linspace(0, 1, _LINES // 4)])
    return np.unique(np.quantile(ranked, levels, method="lower")).astype(np.float32)
