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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import run_command
from benchmarks.rollout_rules import ALERTS, MINIMUM, MODELS, ROWS, RULES, STEPS, Judge, Model, Plain, traffic
from fraudline.core.files import atomic_file
from fraudline.monitor.canary import DEFAULT_CHECKS, Arms, JudgeParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLLOUTS = 1_000
STRATA = 288
"""Two days: what is undecided then is reported so."""

LABEL_DELAY, LABEL_DAYS, PRECISION = 7, 60, 0.5
DAY_ROWS = 864_000
"""Rows a day where precision is simulated: ten transactions a second."""


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
    lines = [
        "# Rollouts, simulated",
        "",
        "<!-- written by `make bench-rollout`: do not edit -->",
        "",
        f"{result['rollouts']:,} rollouts a line, {ROWS / 600:g} transactions a second with a daily wave and bursts of "
        f"fraud in both arms, an alert rate of {ALERTS:.1%}, steps of {', '.join(map(str, STEPS))} %, a look every ten "
        f"minutes, two days at most. The judge has its default margins and α = {JudgeParams().alpha:g}; what the "
        "other rules are stands in `benchmarks/rollout_rules.py`. Exposed: transactions that the canary scored until "
        "it was reverted or "
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
    ]
    return "\n".join([*lines, *_precision(result["cells"])]) + "\n"


def _precision(cells: Mapping[str, Any]) -> list[str]:
    lines = [
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
        shown = _cells(cells[name])
        days = " / ".join(f"{hours / 24:.0f}" for hours in cells[name]["hours"])
        lines.append(f"| {name} | {' | '.join(shown[:4])} | {days} |")
    return lines


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
