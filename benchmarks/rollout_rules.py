"""What is rolled out, and by which rule: traffic, canaries, the product's judge and two plain rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.monitor.canary import (
    AGAINST,
    DEFAULT_CHECKS,
    Arms,
    CheckParams,
    Evidence,
    JudgeParams,
    composed,
    gathered,
    thresholds,
)
from fraudline.monitor.sequential import renewed_by

STEPS = (10, 25, 50)
ROWS = 1_200
"""Rows a stratum, both arms: two transactions a second."""


A_DAY = 144
ALERTS, SLOW = 0.005, 0.1
MINIMUM = JudgeParams().min_rows


@dataclass(frozen=True)
class Model:
    """A canary: its shares of events, the champion's where nothing is said."""

    title: str
    errors: float = 0.0005
    alerts: float = ALERTS
    slow: float = SLOW
    above: tuple[float, float] = (0.5, 0.1)  # rows above the median and above nine of ten of the training scores


EQUAL = Model("equal to the champion")
MODELS = {
    "equal": EQUAL,
    "errors": Model("5 % of requests fail", errors=0.05),
    "slow": Model("twice as slow", slow=0.542),  # lognormal times, sigma .5: beyond the champion's 90 % point
    "alerts": Model("twice as many alerts", alerts=2 * ALERTS),
    "constant": Model("constant scores", alerts=0.0, above=(1.0, 0.0)),
}
RULES = {
    "judge": "fraudline's judge",
    "threshold": "threshold",
    "patient": "patient threshold",
    "fixed": "fixed checks",
}
Drawn = dict[str, Arms]


def traffic(model: Model, weights: NDArray[np.int64], stratum: int, rng: np.random.Generator) -> Drawn:
    """One stratum of every rollout; the last axis is the stratum's, of length one.

    Args:
        model: the canary.
        weights: (R,) per cent of the canary.
        stratum: number since the beginning.
        rng: draws.
    """
    wave = 1 + 0.5 * np.sin(2 * np.pi * stratum / A_DAY)
    rows = rng.poisson(ROWS * wave, len(weights))
    n = rng.binomial(rows, weights / 100)
    m = rows - n
    burst = rng.gamma(4, 0.25, len(weights)) * wave  # more fraud than usual, for both arms

    def pair(canary: Any, champion: Any) -> Arms:
        return Arms(*(a[:, None, None] for a in (rng.binomial(n, canary), n, rng.binomial(m, champion), m)))

    bands = [pair(model.above[j], EQUAL.above[j]) for j in range(2)]
    return {
        "errors": pair(model.errors, EQUAL.errors),
        "latency": pair(model.slow, EQUAL.slow),
        "alerts": pair(np.minimum(model.alerts * burst, 1), np.minimum(ALERTS * burst, 1)),
        "scores": Arms(*(np.concatenate([getattr(b, name) for b in bands], axis=1) for name in ("x", "n", "y", "m"))),
    }


class Judge:
    """The product's evidence, gathered stratum by stratum."""

    def __init__(self, rollouts: int, checks: Mapping[str, CheckParams]) -> None:
        self.params = JudgeParams()
        self.checks = checks
        self.last: dict[str, Evidence] = {}
        self._going: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._rows = np.zeros(rollouts, np.int64)
        self._strata = 0

    def look(self, drawn: Drawn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rollouts fail, and which succeed at this step, after another stratum."""
        against, good = thresholds(self.params)
        self._rows += next(iter(drawn.values())).n[:, 0, 0]
        failed = np.zeros(len(self._rows), bool)
        fine = self._rows >= self.params.min_rows
        for name, check in self.checks.items():
            going, found = self._going.setdefault(name, {}), {}
            for null, step in gathered(drawn[name], check).items():
                if null in AGAINST:
                    before = going.get(null, np.full(step.shape, -np.inf))
                    going[null], found[null] = renewed_by(before, step, self._strata)
                else:
                    going[null] = found[null] = going.get(null, 0) + step
            self.last[name] = evidence = composed(found, check)
            failed |= evidence.worse[:, 0] >= against
            fine &= evidence.fine[:, 0] >= good
        self._strata += 1
        return failed, fine & ~failed

    def begin(self, rollouts: NDArray[np.bool_]) -> None:
        """A new step of some of the rollouts."""
        self._rows[rollouts] = 0


class Plain:
    """A bound on each share, since the step began (threshold) or in each interval (fixed checks)."""

    def __init__(self, rollouts: int, *, fixed: bool, minimum: int = MINIMUM) -> None:
        self._fixed, self._minimum = fixed, minimum
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._failures: dict[str, NDArray[np.int64]] = {}
        self._looks = np.zeros(rollouts, np.int64)
        self._rows = np.zeros(rollouts, np.int64)

    def look(self, drawn: Drawn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """As :meth:`Judge.look`."""
        self._looks += 1
        self._rows += drawn["errors"].n[:, 0, 0]
        failed = np.zeros(len(self._looks), bool)
        for name, arms in drawn.items():
            now = np.stack([a[..., 0] for a in (arms.x, arms.n, arms.y, arms.m)]).astype(float)
            kept = self._sums[name] = now if self._fixed or name not in self._sums else self._sums[name] + now
            bad = _beyond(name, *kept).any(1)
            if self._fixed:
                count = self._failures[name] = self._failures.get(name, np.zeros(len(failed), np.int64)) + bad
                failed |= count > 2
            else:
                failed |= bad & (self._rows >= self._minimum)
        done = self._looks >= 6 if self._fixed else self._rows >= self._minimum
        return failed, done & ~failed

    def begin(self, rollouts: NDArray[np.bool_]) -> None:
        """As :meth:`Judge.begin`."""
        self._looks[rollouts] = 0
        self._rows[rollouts] = 0
        for sums in self._sums.values():
            sums[:, rollouts] = 0
        for count in self._failures.values():
            count[rollouts] = 0


def _beyond(name: str, x: Any, n: Any, y: Any, m: Any) -> NDArray[np.bool_]:
    canary, champion = x / np.maximum(n, 1), y / np.maximum(m, 1)
    if name == "errors":
        return np.asarray(canary > 0.01)
    if name == "scores":
        return np.asarray(np.abs(canary - champion) > 0.1)
    margin = DEFAULT_CHECKS[name].margin
    high = canary > margin * champion
    return np.asarray(high | (canary < champion / margin) if name == "alerts" else high)
