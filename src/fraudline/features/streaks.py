"""What confirmed frauds say of a merchant: how much, since when, and with how few clean transactions between.

A stolen terminal or a colluding merchant gives frauds one after the other, a busy honest one gives single frauds
between clean transactions. Each confirmed fraud weighs

    u = 1 / (1 + exp(slope · (max(z, population z) − centre)))

with z its amount against the card's habit and against the population: a fraud that its own amount explains says little
of the merchant. A *streak* is the unbroken run of frauds at the end of the merchant's outcomes; an *outbreak* is the
same with up to ``outbreak_clean_limit`` clean transactions between. Outcomes older than ``streak_memory_days`` do not
count. A merchant whose first transaction ever is a fraud, within ``streak_margin_days`` of the first day of the data,
was in a streak of unknown age when the data began: its frauds count from its first clean transaction on.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.features import parameters as q
from fraudline.features import state as s
from fraudline.features.compiling import cached, stamp
from fraudline.features.windows import amount_habit

STREAKS = 4
"""Columns of :func:`streaks_of`: streak weight, streak age, outbreak weight, outbreak age."""


def _weighing(sources: int) -> Any:
    """The loop of :func:`weights_of_frauds`, closed over the stamp of what it calls."""

    def _weights(card, cards, amount, population, p, slope, centre):  # type: ignore[no-untyped-def]
        assert sources  # noqa: S101 - a use, so that it belongs to the closure
        habits = np.zeros((cards, s.REAL))
        result = np.empty(len(card))
        for i in range(len(card)):
            mean, cv2, sd = population[i]
            _, z = amount_habit(habits[card[i]], amount[i], mean, cv2, p)
            z = max(z, (amount[i] - mean) / sd)
            result[i] = 1.0 / (1.0 + math.exp(min(slope * (z - centre), 50.0)))
        return result

    return _weights


_weights = cached(_weighing(stamp("windows.py", "state.py", "parameters.py")))


def weights_of_frauds(
    card: NDArray[np.int32],
    cards: int,
    amount: NDArray[np.float64],
    population: NDArray[np.float64],
    parameters: Any,
) -> NDArray[np.float64]:
    """What each transaction would weigh if it were a fraud, by what was known of its card before it.

    Args:
        card: (n,) card codes, rows in time order.
        cards: number of cards.
        amount: (n,) base units.
        population: (n, 3) mean amount, squared coefficient of variation within cards, sd of all amounts.
        parameters: of the specification.

    Returns:
        (n,) float64 between 0 and 1.
    """
    vector = np.array([getattr(parameters, name) for name in q.PARAMETERS], np.float64)
    slope, centre = parameters.fraud_weight_slope, parameters.fraud_weight_centre
    result: NDArray[np.float64] = _weights(card, cards, amount, population, vector, slope, centre)
    return result


@cached
def _streaks(period, merchant, known, weight, censored, first, last, table, clean_limit, out):  # type: ignore[no-untyped-def]
    """Replay the outcomes [first, last) of the merchants as they are known when period ``table`` begins."""
    start = np.zeros((len(out), 2), np.int64)
    state = np.zeros((len(out), 2), np.int64)  # clean transactions inside the outbreak; 1 while censored
    for i in range(first, last):
        m = merchant[i]
        if known[i] > table:
            state[m, 1] = 0
            out[m, 0] = 0.0
            if out[m, 2] > 0.0:
                state[m, 0] += 1
                if state[m, 0] > clean_limit:
                    out[m, 2] = 0.0
            continue
        if censored[i]:
            state[m, 1] = 1
        if state[m, 1] == 1:
            continue
        if out[m, 0] == 0.0:
            start[m, 0] = period[i]
        if out[m, 2] == 0.0:
            start[m, 1] = period[i]
            state[m, 0] = 0
        out[m, 0] += weight[i]
        out[m, 2] += weight[i]
    for m in range(len(out)):
        out[m, 1] = table - start[m, 0] if out[m, 0] > 0.0 else 0.0
        out[m, 3] = table - start[m, 1] if out[m, 2] > 0.0 else 0.0


def streaks_of(
    period: NDArray[np.int64],
    merchant: NDArray[np.int32],
    known: NDArray[np.int64],
    weight: NDArray[np.float64],
    censored: NDArray[np.bool_],
    *,
    merchants: int,
    table: int,
    delay: int,
    memory: int,
    clean_limit: int,
) -> NDArray[np.float64]:
    """Streaks and outbreaks of all merchants as known when period ``table`` begins.

    Args:
        period: (n,) period of each transaction, ascending.
        merchant: (n,) merchant codes.
        known: (n,) the period from whose beginning the fraud is known; more than any for what is no fraud.
        weight: (n,) of :func:`weights_of_frauds`.
        censored: (n,) whether this transaction, if a fraud, begins a streak of unknown age.
        merchants: number of merchants.
        table: outcomes of periods before ``table - delay`` count.
        delay: periods until a transaction without a label counts as clean.
        memory: periods that an outcome counts.
        clean_limit: clean transactions that an outbreak survives.

    Returns:
        (merchants, 4): streak weight, periods since it began, outbreak weight, periods since it began; zeros without
        one.
    """
    out = np.zeros((merchants, STREAKS))
    end = table - delay
    first, last = np.searchsorted(period, [end - memory, end])
    _streaks(period, merchant, known, weight, censored, first, last, table, clean_limit, out)
    return out
