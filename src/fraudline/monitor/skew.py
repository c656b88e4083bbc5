"""Serving against training on the same rows: which feature differs, from which transaction on, by how much.

    found = differences(spec.names, logged, offline)
    found[0].feature, found[0].first, found[0].hint

Both sides are the same kernel, so they agree bit for bit or something is wrong; there is no tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXPLAINS = 0.99
"""Share of the differing rows that a cause must explain to be named."""
_STEADY = 1e-3  # relative spread of a ratio that is a change of unit


@dataclass(frozen=True)
class Difference:
    """One feature that differs.

    Attributes:
        feature: its name.
        rows: rows that differ.
        first: index of the first of them.
        logged: what the stream logged there; ``offline`` what the same row gives offline.
        largest: largest absolute difference, in the feature's unit.
        onwards: share of the rows from the first on that differ: near 1 for a fault that stays.
        hint: what would explain it, "" where nothing simple does.
    """

    feature: str
    rows: int
    first: int
    logged: float
    offline: float
    largest: float
    onwards: float
    hint: str


def unequal(logged: NDArray[np.float32], offline: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where two arrays differ; what is not a number on both sides does not."""
    return np.asarray((logged != offline) & ~(np.isnan(logged) & np.isnan(offline)))


def differences(
    names: Sequence[str], logged: NDArray[np.float32], offline: NDArray[np.float32]
) -> tuple[Difference, ...]:
    """Compare (n, d) rows in the stream's order; the feature that differs first comes first."""
    differ = unequal(logged, offline)
    found = [
        _difference(names, index, differ[:, index], logged, offline)
        for index in np.flatnonzero(differ.any(axis=0)).tolist()
    ]
    return tuple(sorted(found, key=lambda each: (each.first, -each.rows)))


def _difference(
    names: Sequence[str],
    index: int,
    rows: NDArray[np.bool_],
    logged: NDArray[np.float32],
    offline: NDArray[np.float32],
) -> Difference:
    at = np.flatnonzero(rows)
    first = int(at[0])
    ours, theirs = logged[at, index].astype(np.float64), offline[at, index].astype(np.float64)
    gaps = np.abs(ours - theirs)
    return Difference(
        feature=names[index],
        rows=len(at),
        first=first,
        logged=float(ours[0]),
        offline=float(theirs[0]),
        largest=float(np.nanmax(gaps)) if np.isfinite(gaps).any() else float("nan"),
        onwards=len(at) / (len(rows) - first),
        hint=_hint(names, index, at, logged, offline),
    )


def _hint(
    names: Sequence[str],
    index: int,
    at: NDArray[np.intp],
    logged: NDArray[np.float32],
    offline: NDArray[np.float32],
) -> str:
    """The simplest cause that explains the differing rows."""
    ours = logged[at, index]
    if not np.isfinite(ours).any():
        return "it is missing"
    other = (offline[at] == ours[:, None]).mean(axis=0)
    other[index] = 0
    best = int(other.argmax())
    if other[best] >= _EXPLAINS and np.ptp(ours) > 0:
        return f"it is {names[best]}: columns are swapped"
    theirs = offline[at, index].astype(np.float64)
    both = np.isfinite(ours) & (theirs != 0) & (ours != 0)
    if both.mean() >= _EXPLAINS and both.sum() > 1:
        ratio = ours[both] / theirs[both]
        middle = float(np.median(ratio))
        steady = np.abs(ratio - middle) <= _STEADY * abs(middle)
        if steady.mean() >= _EXPLAINS:
            return f"it is {middle:.4g} times as large: another unit"
    if np.ptp(ours) == 0:
        return f"it stands still at {float(ours[0]):.4g}"
    return ""
