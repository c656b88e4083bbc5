"""Evidence that may be looked at as often as one likes: e-processes for two arms and for one share.

An e-process is a non-negative process whose expectation is at most 1 at every stopping time while its null hypothesis
holds; so it passes 1/α with probability at most α, at whatever moment and however often one looks (Ville 1939;
Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference"). A mean of
e-processes is one under the intersection of their nulls, a minimum is one under the union.

*Two arms.* In a stratum (a minute, say) n of N = n + m trials fell to the first arm, and x of K = x + y events. Given
n, m and K, x follows Fisher's noncentral hypergeometric law f_ω with the arms' odds ratio ω, whatever the base rate
of that minute is. f_ω(x) = h(x) ω^x / Z(ω) is an exponential family with monotone likelihood ratio: for ω₁ > ω₀ the
ratio f_ω₁(x) / f_ω₀(x) = (ω₁/ω₀)^x Z(ω₀)/Z(ω₁) rises in x, so its mean under ω rises in ω and is 1 at ω = ω₀: it is
an e-value for every ω ≤ ω₀. Its product over strata is a test supermartingale for "ω ≤ ω₀ in every stratum"; so is a
mixture over ω₁. With ω₁ < ω₀ the same holds for "ω ≥ ω₀". Day and night, campaigns and changes of the weights cancel,
because each stratum is compared with itself. (Stratified as Cochran-Mantel-Haenszel, sequential as Turner, Ly &
Grünwald 2024, "Generic E-variables for exact sequential k-sample tests".) At ω = 1 it is also exact under the random
split alone: given which transactions came and which of them are events, a fair split draws x without replacement.

*Beginning anew.* A product over all strata remembers for ever: what was good for three days would have to be bad for
hours before evidence against it is back at 1. Products that begin at any stratum, 1 until then, are e-processes, too,
and so is their mean with weights that are fixed beforehand and sum to 1: half for the first stratum, 1 / 2k(k + 1) for
the one after k others. It costs a factor of two where a canary is bad at once. (The sum without weights is the
e-detector of Shin, Ramdas & Rinaldo 2023, which sooner or later alarms on an equal canary.)

*One share.* The likelihood ratio of Bernoulli trials, p₁ against p₀, is an e-value for p ≤ p₀ when p₁ > p₀, and for p
≥ p₀ when p₁ < p₀, by the same argument (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021; Waudby-Smith & Ramdas
2024).
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Side = Literal["above", "below"]

ABOVE = (1.1, 1.25, 1.5, 2.0, 3.0, 6.0, 20.0, 100.0)
BELOW = (0.9, 0.8, 0.7, 0.55, 0.4, 0.2)
"""Alternatives as multiples of the margin, mixed with equal weights."""

_BLOCK = 200_000
"""Terms of Z at once: what a processor keeps near it."""


def odds_steps(x: Counts, n: Counts, y: Counts, m: Counts, margin: float, side: Side) -> Floats:
    """What each stratum adds to the evidence on the odds ratio of two arms.

    Args:
        x: (..., T) events of the first arm.
        n: (..., T) its trials.
        y: (..., T) events of the second arm.
        m: (..., T) its trials.
        margin: ω₀.
        side: ``above`` gathers evidence against ω ≤ ω₀, ``below`` against ω ≥ ω₀.

    Returns:
        (A, ..., T) float64: logarithms of likelihood ratios, one row an alternative.
    """
    ratios = np.array(ABOVE if side == "above" else BELOW)
    shape = x.shape
    flat = [np.asarray(a, np.int64).ravel() for a in (x, n, y, m)]
    steps = np.empty((len(ratios), flat[0].size))
    size = np.minimum(flat[0] + flat[2], flat[1])  # of the law's support
    for rows in _blocks(np.argsort(size, kind="stable"), size):  # strata of a size share a block
        block = [a[rows] for a in flat]
        logs = np.log(margin) + np.concatenate([[0.0], np.log(ratios)])
        z = _log_z(block[1], block[3], block[0] + block[2], logs)
        steps[:, rows] = block[0] * np.log(ratios)[:, None] - z[1:] + z[0]
    return steps.reshape(len(ratios), *shape)


def share_steps(x: Counts, n: Counts, bound: float, side: Side) -> Floats:
    """What each stratum adds to the evidence on one arm's share of events.

    Args:
        x: (..., T) events.
        n: (..., T) trials.
        bound: p₀, in (0, 1).
        side: ``above`` gathers evidence against p ≤ p₀, ``below`` against p ≥ p₀.

    Returns:
        (A, ..., T) float64: logarithms of likelihood ratios, one row an alternative.
    """
    odds = bound / (1 - bound) * np.array(ABOVE if side == "above" else BELOW)
    shares = (odds / (1 + odds)).reshape(-1, *[1] * x.ndim)
    gain, loss = np.log(shares / bound), np.log((1 - shares) / (1 - bound))
    return np.asarray(x[None] * gain + (n - x)[None] * loss)


def renewed(steps: Floats) -> Floats:
    """The evidence of steps that may begin anew at each stratum, (..., T) logarithms.

    >>> steps = np.array([-1.0] * 100 + [15.0])
    >>> round(float(steps.sum()), 1), round(float(renewed(steps)[-1]), 1)
    (-85.0, 5.6)
    """
    strata = np.arange(steps.shape[-1])
    sums = np.cumsum(steps, axis=-1)
    going = sums + np.logaddexp.accumulate(_start(strata) - (sums - steps), axis=-1)
    return np.asarray(np.logaddexp(going, _left(strata)))


def renewed_by(going: Floats, step: Floats, stratum: int) -> tuple[Floats, Floats]:
    """The same a stratum at a time: what goes on to the next one, and the evidence.

    Args:
        going: (...) of the stratum before; -inf before the first.
        step: (...) of this stratum.
        stratum: its number.
    """
    going = np.logaddexp(going, _start(np.array(stratum))) + step
    return going, np.asarray(np.logaddexp(going, _left(np.array(stratum))))


def _start(strata: Counts) -> Floats:
    """Log weight of the product that begins with a stratum."""
    return np.asarray(-np.log(2 * np.maximum(strata, 1) * (strata + 1)))  # half for the first


def _left(strata: Counts) -> Floats:
    """Log weight of the products that begin after a stratum."""
    return np.asarray(-np.log(2 * (strata + 1)))


def mean_of(*processes: Floats) -> Floats:
    """The logarithm of the mean of e-processes: evidence against all of their nulls holding at once."""
    stacked = np.stack(processes)
    top = stacked.max(0)
    return np.asarray(top + np.log(np.exp(stacked - top).mean(0)))


def least_of(*processes: Floats) -> Floats:
    """The logarithm of the least of e-processes: evidence against each of their nulls."""
    return np.asarray(np.stack(processes).min(0))


def _log_z(n: Counts, m: Counts, k: Counts, log_odds: Floats) -> Floats:
    """Log Z(ω) = log Σ_u C(n, u) C(m, K - u) ω^u: one row an odds ratio, one column a stratum."""
    u = np.arange(int(np.minimum(n, k).max(initial=0)) + 1)
    ways = _log_choose(n[:, None], u) + _log_choose(m[:, None], k[:, None] - u)
    found = np.empty((len(log_odds), len(n)))
    for row, log_ratio in zip(found, log_odds, strict=True):
        terms = ways + u * log_ratio
        top = terms.max(1)
        row[:] = top + np.log(np.exp(terms - top[:, None]).sum(1))
    return found


def _log_choose(n: Counts, k: Counts) -> Floats:
    """Log C(n, k); -inf outside 0..n."""
    inside = (k >= 0) & (k <= n)
    table = _log_factorials(int(n.max(initial=0)).bit_length())
    kept = np.where(inside, k, 0)
    return np.where(inside, table[n] - table[kept] - table[n - kept], -np.inf)


@lru_cache(maxsize=32)
def _log_factorials(bits: int) -> Floats:
    """Log i! for every i of at most ``bits`` bits."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 1 << bits)))])


def _blocks(order: Counts, size: Counts) -> list[Counts]:
    blocks, start = [], 0
    while start < len(order):
        end = len(order)
        while end - start > 1 and (end - start) * (int(size[order[start:end]].max()) + 1) > _BLOCK:
            end = start + (end - start) // 2
        blocks.append(order[start:end])
        start = end
    return blocks
