"""Reasons: the features with the largest shares of a score, in words.

The graph's contributions sum to the score exactly, so a share is a plain quotient and nothing is sampled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraudline.model.wording import Wording, wording_of

METHOD = "exact-shares"


class Reason(NamedTuple):
    """One feature's part in one score.

    Attributes:
        feature: its name in the feature spec.
        share: contribution / score; may exceed 1 where other features speak against the alert.
        value: the feature as observed, in its unit.
        expected: what the model expected, in the same unit.
        text: the same as a sentence.
    """

    feature: str
    share: float
    value: float
    expected: float
    text: str


def top_reasons(
    names: Sequence[str],
    contributions: NDArray[np.float32],
    values: NDArray[np.float32],
    expected: NDArray[np.float32],
    k: int = 3,
    *,
    wording: Wording | None = None,
) -> list[list[Reason]]:
    """The ``k`` largest positive contributions of each row, largest first.

    Args:
        names: d feature names.
        contributions: (n, d) float32 from the graph.
        values: (n, d) float32, the features scored.
        expected: (n, d) float32 from the graph.
        k: reasons a row; fewer are given where fewer features contribute.
        wording: how the features are spoken of; by their names, with the packaged units, when not given.

    Returns:
        One list a row.
    """
    words = wording or wording_of(tuple(names))
    k = min(k, len(names))
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :k]
    picked = np.take_along_axis(contributions, order, axis=1)
    total = contributions.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(picked, total, out=np.zeros(picked.shape), where=total > 0)
    observed, usual = np.take_along_axis(values, order, axis=1), np.take_along_axis(expected, order, axis=1)
    rows = zip(order.tolist(), picked.tolist(), shares.tolist(), observed.tolist(), usual.tolist(), strict=True)
    return [
        [
            Reason(names[j], share, value, normal, words.sentence(j, value, normal))
            for j, part, share, value, normal in zip(*row, strict=True)
            if part > 0
        ]
        for row in rows
    ]
