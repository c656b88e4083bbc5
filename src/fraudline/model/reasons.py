"""Reasons: the features with the largest shares of a score, in words.

The graph's contributions sum to the score exactly, so a share is a plain quotient and nothing is sampled.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    meanings: Mapping[str, str] | None = None,
) -> list[list[Reason]]:
    """The ``k`` largest positive contributions of each row, largest first.

    Args:
        names: d feature names.
        contributions: (n, d) float32 from the graph.
        values: (n, d) float32, the features scored.
        expected: (n, d) float32 from the graph.
        k: reasons a row; fewer are given where fewer features contribute.
        meanings: words for a feature's name in the sentence; the name itself where absent.

    Returns:
        One list a row.
    """
    words = [(meanings or {}).get(name, name) for name in names]
    k = min(k, len(names))
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :k]
    picked = np.take_along_axis(contributions, order, axis=1)
    total = contributions.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(picked, total, out=np.zeros(picked.shape), where=total > 0)
    observed, usual = np.take_along_axis(values, order, axis=1), np.take_along_axis(expected, order, axis=1)
    rows = zip(order.tolist(), picked.tolist(), shares.tolist(), observed.tolist(), usual.tolist(), strict=True)
    return [
        [
            Reason(names[j], share, value, normal, sentence(words[j], value, normal))
            for j, part, share, value, normal in zip(*row, strict=True)
            if part > 0
        ]
        for row in rows
    ]


def sentence(word: str, value: float, expected: float) -> str:
    """One reason in words.

    >>> sentence("amount", 412.0, 12.5)
    'amount is 412, far above the 12.5 expected'
    """
    if value == expected:
        return f"{word} is {value:.4g}, as expected, but not together with the other features"
    side = "above" if value > expected else "below"
    gap, scale = abs(value - expected), max(abs(expected), 1e-9)
    degree = "far " if gap > 3 * scale else "slightly " if gap < 0.1 * scale else ""
    return f"{word} is {value:.4g}, {degree}{side} the {expected:.4g} expected"
