"""A thousand rollouts of equal and of bad canaries, under the judge, a plain threshold rule and fixed checks.

    python -m benchmarks.rollout --json build/bench/rollout.json --page docs/reference/rollout.md

Traffic comes in strata of ten minutes with a daily wave and bursts of fraud that hit both arms. A rollout goes through
the steps of ``params.yaml``; every rule looks at the end of every stratum. The judge is the product's
(``fraudline.monitor.canary``), with its default margins. The rules beside it:

- *threshold*: after a minimum of rows at a step, a share of the canary beyond the margin is a failure (a ratio for
  alerts and slow answers, one per cent for errors, a difference of .1 for scores); otherwise the step succeeds. The
  *patient* one waits for ten times as many rows.
- *fixed checks*: the same conditions on each interval alone, as an analysis template of Argo Rollouts measures them:
  six measurements a step, more than ``failureLimit: 2`` failed ones of a metric fail it.

Precision needs labels, which come after days: its rollouts are simulated by the day, at the first step.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import run_command
from fraudline.core.files import atomic_file
from fraudline.monitor.canary import (
    DEFAULT_CHECKS,
    Arms,
    CheckParams,
    Evidence,
    JudgeParams,
    composed,
    gathered,
    thresholds,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLLOUTS = 1_000
STEPS = (10, 25, 50)
ROWS = 1_200
"""Rows a stratum, both arms: two transactions a second."""

STRATA = 288
"""Two days: what is undecided then is reported so."""

A_DAY = 144
ALERTS, SLOW = 0.005, 0.1
MINIMUM = JudgeParams().min_rows
LABEL_DELAY, LABEL_DAYS, PRECISION = 7, 60, 0.5
DAY_ROWS = 864_000
"""Rows a day where precision is simulated: ten transactions a second."""


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
        self._sums: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._rows = np.zeros(rollouts, np.int64)

    def look(self, drawn: Drawn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rollouts fail, and which succeed at this step, after another stratum."""
        against, good = thresholds(self.params)
        self._rows += next(iter(drawn.values())).n[:, 0, 0]
        failed = np.zeros(len(self._rows), bool)
        fine = self._rows >= self.params.min_rows
        for name, check in self.checks.items():
            found = self._sums.setdefault(name, {})
            for null, steps in gathered(drawn[name], check).items():
                found[null] = found.get(null, 0) + steps
            self.last[name] = evidence = composed(found, check)
            failed |= evidence.worse[:, 0] >= against
            fine &= evidence.fine[:, 0] >= good
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
                count = self._failures[name] = self._failures.get(name, 0) + bad.astype(np.int64)
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


def simulate(model: Model, rule: str, rollouts: int, seed: int) -> dict[str, Any]:
    """Roll a model out many times under one rule.

    Returns:
        Shares ``reverted``, ``promoted`` and ``undecided``, and quantiles of the ``exposed`` rows and of the ``hours``
        until the decision.
    """
    rng = np.random.default_rng(seed)
    checks = {name: check for name, check in DEFAULT_CHECKS.items() if check.role == "decide" and check.needed}
    plain = {"threshold": MINIMUM, "patient": 10 * MINIMUM, "fixed": 0}
    judge = Judge(rollouts, checks) if rule == "judge" else Plain(rollouts, fixed=rule == "fixed", minimum=plain[rule])
    place = np.zeros(rollouts, np.int64)
    state = np.full(rollouts, "going", dtype="<U9")
    exposed, ended = np.zeros(rollouts, np.int64), np.full(rollouts, STRATA)
    for stratum in range(STRATA):
        going = state == "going"
        if not going.any():
            break
        drawn = traffic(model, np.where(going, np.array(STEPS)[np.minimum(place, 2)], 0), stratum, rng)
        exposed += drawn["errors"].n[:, 0, 0]
        failed, fine = judge.look(drawn)
        state[going & failed] = "reverted"
        place[going & fine] += 1
        state[going & fine & (place == len(STEPS))] = "promoted"
        judge.begin(going & fine)
        ended[going & (state != "going")] = stratum + 1
    return _summary(state, exposed, ended / 6.0)


def simulate_precision(odds: float, rollouts: int, seed: int) -> dict[str, Any]:
    """The check of false alarms where it is needed: by the day, at the first step, with labels after their delay.

    Args:
        odds: of a false alarm, canary to champion.
        rollouts: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    check = DEFAULT_CHECKS["false_alarms"]
    judge = Judge(rollouts, {"false_alarms": check})
    wrong = odds * (1 - PRECISION) / (PRECISION + odds * (1 - PRECISION))
    state = np.full(rollouts, "going", dtype="<U9")
    ended = np.full(rollouts, LABEL_DAYS)
    for day in range(LABEL_DAYS):
        going = state == "going"
        alerts = rng.poisson(DAY_ROWS * ALERTS, rollouts)
        n = rng.binomial(alerts, STEPS[0] / 100)
        m = alerts - n
        drawn = (rng.binomial(n, wrong), n, rng.binomial(m, 1 - PRECISION), m)
        failed, fine = judge.look({"false_alarms": Arms(*(a[:, None, None] for a in drawn))})
        state[going & failed] = "reverted"
        state[going & fine] = "promoted"
        ended[going & (state != "going")] = day + 1 + LABEL_DELAY
    return _summary(state, ended * DAY_ROWS * STEPS[0] // 100, ended * 24.0)


def _summary(state: NDArray[Any], exposed: NDArray[np.int64], hours: NDArray[np.float64]) -> dict[str, Any]:
    decided = state != "going"
    chosen = decided if decided.any() else ~decided
    return {
        **{word: float((state == word).mean()) for word in ("reverted", "promoted")},
        "undecided": float((~decided).mean()),
        "exposed": [int(q) for q in np.quantile(exposed[chosen], [0.1, 0.5, 0.9])],
        "hours": [round(float(q), 2) for q in np.quantile(hours[chosen], [0.1, 0.5, 0.9])],
        "all_exposed": np.sort(exposed).tolist(),
    }


def run(rollouts: int, seed: int) -> dict[str, Any]:
    """Every model under every rule."""
    cells = {}
    for name, model in MODELS.items():
        for rule in RULES:
            cells[f"{name}/{rule}"] = simulate(model, rule, rollouts, seed)
            shown = {k: v for k, v in cells[f"{name}/{rule}"].items() if k != "all_exposed"}
            print(f"{name}, {rule}: {shown}", file=sys.stderr)
    for name, odds in (("equal precision", 1.0), ("precision 20 % worse", 1.5)):
        cells[name] = simulate_precision(odds, rollouts, seed)
        print(f"{name}: { {k: v for k, v in cells[name].items() if k != 'all_exposed'} }", file=sys.stderr)
    return {"rollouts": rollouts, "seed": seed, "cells": cells}


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    params = JudgeParams()
    lines = [
        "# Rollouts, simulated",
        "",
        "<!-- written by `make bench-rollout`: do not edit -->",
        "",
        f"{result['rollouts']:,} rollouts a line, {ROWS / 600:g} transactions a second with a daily wave and bursts of "
        f"fraud in both arms, an alert rate of {ALERTS:.1%}, steps of {', '.join(map(str, STEPS))} %, a look every ten "
        f"minutes, two days at most. The judge has its default margins and α = {params.alpha:g}; what the other rules "
        "are stands in `benchmarks/rollout.py`. Exposed: transactions that the canary scored until it was reverted or "
        "promoted, as 10 %, 50 % and 90 % points.",
        "",
        "| canary | rule | reverted | promoted | undecided | exposed: 10 / 50 / 90 % | hours: 10 / 50 / 90 % |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, model in MODELS.items():
        for rule, title in RULES.items():
            bold = "**" if rule == "judge" else ""
            cells = _cells(result["cells"][f"{name}/{rule}"])
            lines.append(f"| {model.title} | {bold}{title}{bold} | {' | '.join(cells)} |")
    lines += [
        "",
        "![Transactions that a bad canary scored before it was reverted](../assets/rollout/exposed.svg)",
        "",
        "An equal canary should be promoted and every other one reverted. A rule on shares reverts good models, "
        "because at a few hundred rows an alert rate of half a per cent is one alert or six; one that waits long "
        "enough to be trusted lets a failing model wait as long. The judge reverts what fails, is slow or scores "
        "constants within minutes; of a rate as low as that of alerts it needs more rows than a rule that is wrong "
        "about equal models, and it is the slowest to promote.",
        "",
        "## Precision",
        "",
        f"Whether alerts are right is known when labels have matured: {LABEL_DELAY} days. With `needed: true` on "
        "`false_alarms` a step waits for them; by default steps go on without, and a canary that proves imprecise "
        "afterwards is reverted only while its rollout lasts. "
        f"{DAY_ROWS // 86_400} transactions a second, the canary at {STEPS[0]} %, a champion's precision of "
        f"{PRECISION:.0%}, {LABEL_DAYS} days at most.",
        "",
        "| canary | reverted | succeeds | undecided | exposed: 10 / 50 / 90 % | days: 10 / 50 / 90 % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in ("equal precision", "precision 20 % worse"):
        cells = _cells(result["cells"][name])
        days = " / ".join(f"{hours / 24:.0f}" for hours in result["cells"][name]["hours"])
        lines.append(f"| {name} | {' | '.join(cells[:4])} | {days} |")
    return "\n".join(lines) + "\n"


def _cells(cell: Mapping[str, Any]) -> list[str]:
    shares = [f"{cell[word]:.1%}" for word in ("reverted", "promoted", "undecided")]
    exposed = " / ".join(f"{value:,}" for value in cell["exposed"])
    return [*shares, exposed, " / ".join(f"{value:.1f}" for value in cell["hours"])]


def draw(result: dict[str, Any]) -> "Figure":
    """How many transactions a bad canary scored, as a distribution."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fraudline"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure

    bad = [name for name in MODELS if name != "equal"]
    figure = Figure(figsize=(11, 2.8))
    colours = dict(zip(RULES, ("#0b6e4f", "#c8553d", "#d98e04", "#588b8b"), strict=True))
    for axes, name in zip(figure.subplots(1, len(bad), sharey=True), bad, strict=True):
        for rule, title in RULES.items():
            cell = result["cells"][f"{name}/{rule}"]
            values = cell["all_exposed"]
            axes.step(values, np.arange(1, len(values) + 1) / len(values), color=colours[rule], label=title)
        axes.set_title(MODELS[name].title, fontsize=9)
        axes.set_xscale("log")
        axes.set_xlabel("transactions scored", fontsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of rollouts decided", fontsize=8)
    figure.axes[-1].legend(fontsize=7)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write them as Markdown, with the picture")
    arguments = parser.parse_args(argv)

    def measured() -> dict[str, Any]:
        result = run(arguments.rollouts, arguments.seed)
        if arguments.page is not None:
            picture = arguments.page.parents[1] / "assets" / "rollout" / "exposed.svg"
            with atomic_file(picture) as temporary:
                draw(result).savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches="tight")
        for cell in result["cells"].values():
            del cell["all_exposed"]
        return result

    return run_command(measured, page, json=arguments.json, to=arguments.page)


if __name__ == "__main__":
    sys.exit(main())
