"""The judge of a canary: is it worse than the champion by more than a margin, is it not, or is it too early to say?

    verdict = judge(counts, JudgeParams(), begin={"errors": 3}, rows=900, minutes=15)

Each check compares the share of some event (an error, an alert, a slow answer, a false alarm) between the arms,
stratum by stratum, and carries two e-processes: ``worse`` is evidence that the canary lies beyond ``worse_than``,
``fine`` that it lies within its margin. A rollout fails when ``worse`` of any deciding check passes checks/α; with a
canary that is not beyond it that has a probability of at most α over the whole rollout, however often the judge
looks. A step succeeds when ``fine`` of every check that it needs passes 1/β. Neither: inconclusive. The limits are
those of Argo Rollouts' analysis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fraudline.core.settings import Settings
from fraudline.monitor.sequential import Counts, Floats, least_of, mean_of, odds_steps, renewed, share_steps

SLOW_SHARE = 0.1
"""A slow answer takes longer than nine of ten of the champion's."""

MISSED = 100
"""Requests that a share must have brought to a canary before its silence counts: none of them by chance has e⁻¹⁰⁰."""

AGAINST = ("not worse", "not too few", "below the floor")
"""Nulls of what speaks against a canary, which may turn bad at any time; what speaks for it is of the whole rollout."""

Verdict = Literal["successful", "failed", "inconclusive"]


class CheckParams(Settings):
    """One comparison of the arms."""

    margin: float = Field(gt=1)
    """Odds ratio, canary to champion, below which the canary is as good."""

    worse_than: float | None = Field(default=None, gt=1)
    """Odds ratio beyond which it is worse; the margin where nothing is said. Nearer to 1 than the margin, both bad and
    good are told sooner, and a canary between the two that proves to be beyond it is taken back."""

    floor: float | None = Field(default=None, gt=0, lt=1)
    """A share below it is good whatever the champion's is."""

    both_sides: bool = False
    """Whether too few events are as bad as too many."""

    role: Literal["decide", "watch", "off"] = "decide"
    """``watch`` shows its evidence and decides nothing."""

    needed: bool = True
    """Whether a step waits for evidence that the canary is as good."""


DEFAULT_CHECKS = {
    "errors": CheckParams(margin=2.0, floor=0.005),
    "latency": CheckParams(margin=1.5),
    "alerts": CheckParams(margin=1.5, worse_than=1.2, both_sides=True),
    "scores": CheckParams(margin=1.5, both_sides=True),
    "reasons": CheckParams(margin=4.0, both_sides=True, role="watch", needed=False),
    "false_alarms": CheckParams(margin=1.25, worse_than=1.1, needed=False),
    "missed_frauds": CheckParams(margin=1.5, needed=False),
}


class JudgeParams(Settings):
    """When a canary is judged good or bad."""

    checks: dict[str, CheckParams] = Field(default=DEFAULT_CHECKS, min_length=1)
    """By name. A check without data (no labels yet) decides nothing; where it is needed, a step waits for it."""

    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Largest probability that a rollout of an equally good model is ever reverted."""

    beta: float = Field(default=0.05, gt=0, lt=1)
    """Largest probability that a check beyond its margin is ever taken for good."""

    stratum_s: float = Field(default=60.0, gt=0)
    """Length of a stratum, seconds: the arms are compared within each."""

    min_rows: int = Field(default=500, ge=1)
    """Rows that the canary scores at a step, at least."""

    min_minutes: float = Field(default=10.0, ge=0)
    """Minutes at a step since the canary's first row there, at least; one that is silent for longer goes no further."""

    silent_minutes: float = Field(default=30.0, gt=0)
    """Minutes without an answer after which a canary has failed, where its share should have brought 100 requests: it
    never became ready, crashed, or nothing routes to it. Longer than a node, an image and a model take to arrive."""

    failure_limit: int = Field(default=0, ge=0)
    """Failed looks that are tolerated."""

    consecutive_success_limit: int = Field(default=1, ge=1)
    """Successful looks in a row that a step needs."""

    inconclusive_minutes: float = Field(default=1440.0, gt=0)
    """Minutes at a step after which a person is asked."""


@dataclass(frozen=True, slots=True)
class Arms:
    """Events and trials of canary (x of n) and champion (y of m), each (..., J, T): J kinds of the event, T strata."""

    x: Counts
    n: Counts
    y: Counts
    m: Counts


@dataclass(frozen=True, slots=True)
class Evidence:
    """Logarithms of the two e-processes of a check, each (..., T)."""

    worse: Floats
    fine: Floats


def evidence(arms: Arms, check: CheckParams) -> Evidence:
    """What the counts say about one check."""
    found = gathered(arms, check).items()
    return composed({name: (renewed if name in AGAINST else _sums)(steps) for name, steps in found}, check)


def gathered(arms: Arms, check: CheckParams) -> dict[str, Floats]:
    """What each stratum adds to a check's evidence: (A, ..., J, T) logarithms, by the null that they speak against."""
    counts, beyond = (arms.x, arms.n, arms.y, arms.m), check.worse_than or check.margin
    found = {
        "not worse": odds_steps(*counts, beyond, "above"),
        "worse": odds_steps(*counts, check.margin, "below"),
    }
    if check.both_sides:
        found["not too few"] = odds_steps(*counts, 1 / beyond, "below")
        found["too few"] = odds_steps(*counts, 1 / check.margin, "above")
    if check.floor is not None:
        found["below the floor"] = share_steps(arms.x, arms.n, check.floor, "above")
        found["above the floor"] = share_steps(arms.x, arms.n, check.floor, "below")
    return found


def composed(sums: Mapping[str, Floats], check: CheckParams) -> Evidence:
    """The two e-processes of a check, from what :func:`gathered` came to so far: sums, :data:`AGAINST` renewed."""
    against = {name: mean_of(*alternatives) for name, alternatives in sums.items()}
    worse, fine = against["not worse"], against["worse"]
    if check.both_sides:
        worse, fine = mean_of(worse, against["not too few"]), least_of(fine, against["too few"])
    if check.floor is not None:
        worse, fine = least_of(worse, against["below the floor"]), mean_of(fine, against["above the floor"])
    kinds = range(worse.shape[-2])
    return Evidence(mean_of(*(worse[..., j, :] for j in kinds)), least_of(*(fine[..., j, :] for j in kinds)))


def thresholds(params: JudgeParams) -> tuple[float, float]:
    """What the logarithms of ``worse`` and ``fine`` must pass."""
    deciding = sum(check.role == "decide" for check in params.checks.values())
    return float(np.log(max(deciding, 1) / params.alpha)), float(-np.log(params.beta))


def judge(
    counts: Mapping[str, Arms],
    params: JudgeParams,
    *,
    begin: Mapping[str, int],
    rows: int,
    minutes: float,
    silent: float = 0.0,
    missed: float = 0.0,
    ended: int | None = None,
) -> dict[str, Any]:
    """The verdict after the last stratum.

    Args:
        counts: by check; all of the rollout's strata.
        params: margins and limits.
        begin: by check, its first stratum of the present step; 0 where none is given, as for labels, whose days are
            those of the whole rollout because they mature long after the step that they are of.
        rows: that the canary scored at the present step.
        minutes: that the present step lasts.
        silent: minutes since the canary last scored a row, or since it should have begun.
        missed: requests that its share should have brought in these minutes, where it got none.
        ended: strata to look at; default: all.

    Returns:
        ``verdict``, ``reason``, ``rows``, ``minutes``, ``overdue`` (a person should look), and ``checks``.
    """
    against, good = thresholds(params)
    checks, bad, waiting, streak = [], [], [], []
    for name, check in params.checks.items():
        if check.role == "off":
            continue
        arms = counts.get(name)
        found = None if arms is None or not arms.x.shape[-1] else evidence(arms, check)
        failed = 0 if found is None else int((found.worse[:ended] >= against).sum())
        looks = np.zeros(1, bool) if found is None else found.fine[begin.get(name, 0) : ended] >= good
        result = _result(check, failed > params.failure_limit, bool(looks.size and looks[-1]), found is None)
        checks.append(_shown(name, check, arms, found, result))
        if result == "failed":
            bad.append(name)
        if check.role == "decide" and check.needed:
            streak.append(_run(looks))
            if _run(looks) < params.consecutive_success_limit:
                waiting.append(name)
    verdict, reason = _said(bad, waiting, rows, minutes, params)
    if verdict != "failed" and silent >= params.silent_minutes and missed >= MISSED:
        verdict, reason = "failed", _silence(silent, missed)
    elif verdict == "successful" and silent > params.min_minutes + params.stratum_s / 60:
        verdict, reason = "inconclusive", f"the canary has scored nothing for {silent:.0f} minutes."
    return {
        "verdict": verdict,
        "reason": reason,
        "rows": rows,
        "minutes": round(minutes, 2),
        "overdue": verdict == "inconclusive" and minutes >= params.inconclusive_minutes,
        "alpha": params.alpha,
        "checks": checks,
    }


def slow(canary: Counts, champion: Counts) -> Arms:
    """Slow answers from histograms of times.

    In each stratum the bound is the first edge that at most a tenth of the champion's earlier answers passed: it is
    known before the stratum begins, as an e-process asks.

    Args:
        canary: (T, B) answers by bucket, not cumulative.
        champion: (T, B) the same of the champion.
    """
    past = np.cumsum(champion, axis=0) - champion
    total = past.sum(1)
    over = total[:, None] - np.cumsum(past, axis=1)  # (T, B) slower than each edge
    edge = np.argmax(over <= SLOW_SHARE * total[:, None], axis=1)
    known = total > 0
    later = np.arange(champion.shape[1])[None] > edge[:, None]
    x, y = ((side * later).sum(1) * known for side in (canary, champion))
    n, m = (side.sum(1) * known for side in (canary, champion))
    return Arms(*(np.asarray(a, np.int64)[None] for a in (x, n, y, m)))


def bands(canary: Counts, champion: Counts) -> Arms:
    """Rows beyond each inner edge, from histograms by band.

    Args:
        canary: (T, B) rows by band of the score.
        champion: (T, B) the same of the champion.
    """
    x, y = (np.cumsum(side[:, ::-1], axis=1)[:, ::-1][:, 1:].T for side in (canary, champion))
    n, m = (np.broadcast_to(side.sum(1), x.shape) for side in (canary, champion))
    return Arms(x, n.astype(np.int64), y, m.astype(np.int64))


def _sums(steps: Floats) -> Floats:
    return np.cumsum(steps, axis=-1)


def _run(looks: NDArray[np.bool_]) -> int:
    """How many of the last looks were successful in a row."""
    wrong = np.flatnonzero(~looks)
    return int(len(looks) - 1 - wrong[-1]) if len(wrong) else len(looks)


def _result(check: CheckParams, failed: bool, fine: bool, missing: bool) -> str:
    if missing:
        return "no data"
    word = "failed" if failed else "successful" if fine else "inconclusive"
    return f"{word} (watched)" if check.role == "watch" else word


def _shown(name: str, check: CheckParams, arms: Arms | None, found: Evidence | None, result: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "margin": check.margin, "floor": check.floor, "result": result}
    shown |= {"canary": None, "champion": None, "events": 0, "e_worse": None, "e_fine": None}
    if arms is None or found is None:
        return shown
    one = tuple(int(a[0].sum()) for a in (arms.x, arms.n, arms.y, arms.m))
    return shown | {
        "canary": round(one[0] / one[1], 6) if one[1] else None,
        "champion": round(one[2] / one[3], 6) if one[3] else None,
        "events": int(arms.x.sum() + arms.y.sum()),
        "e_worse": _e(found.worse.max()),
        "e_fine": _e(found.fine[-1]),
    }


def _e(log: Any) -> float:
    """An e-value with four digits, at most 10¹²."""
    return float(f"{np.exp(min(float(log), np.log(1e12))):.4g}")


def _said(bad: list[str], waiting: list[str], rows: int, minutes: float, params: JudgeParams) -> tuple[Verdict, str]:
    if bad:
        return "failed", f"worse than the champion by more than the margin: {', '.join(bad)}."
    if rows < params.min_rows or minutes < params.min_minutes:
        return "inconclusive", (
            f"{rows:,} of {params.min_rows:,} rows and {minutes:.1f} of {params.min_minutes:g} minutes at this step."
        )
    if waiting:
        return "inconclusive", f"not yet shown to be as good as the champion: {', '.join(waiting)}."
    return "successful", "every check that is needed is within its margin."


def _silence(minutes: float, missed: float) -> str:
    return (
        f"the canary has answered nothing for {minutes:.0f} minutes, in which its share should have brought "
        f"{missed:,.0f} requests: it is not ready, nothing routes to it, or Prometheus does not scrape it."
    )
