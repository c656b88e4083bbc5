"""What people do with thresholds between two models: compare two of them on the same traffic, and change them.

Every change is a line in a thresholds file (:mod:`fraudline.decide.threshold_log`): who, when, why, from what to what,
within which bounds.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import UsageError
from fraudline.core.files import locked, write_text
from fraudline.core.log import get_logger
from fraudline.decide.candidates import chosen_on, named, policy_of, thresholds_of
from fraudline.decide.compare import compare
from fraudline.decide.compare_page import compare_page
from fraudline.decide.decisions import Decisions, read_decisions
from fraudline.decide.dynamic import Adjustment, Move, adjust, bounds_of
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.thresholds import Thresholds
from fraudline.steps.params import Params

log = get_logger(__name__)

_NO_BUDGET = ("quantile", "cost")
"""Policies whose thresholds are not those that an alert budget asks for."""


def compare_thresholds(
    *,
    a: str,
    b: str,
    decisions: Path,
    params: Params,
    dataset: Path | None = None,
    choose_days: int | None = None,
    page: Path | None = None,
) -> dict[str, Any]:
    """Replay decisions under two thresholds or policies.

    Args:
        a: thresholds, a policy, a thresholds file or a model folder (see :mod:`fraudline.decide.candidates`).
        b: the other side.
        decisions: parquet, CSV or JSON lines of scored transactions.
        params: ``threshold`` (a policy's other figures), ``evaluate.cost`` and ``bootstrap``, ``label_delay_days``.
        dataset: amounts, cards, times and labels by transaction.
        choose_days: the first days, on which policies are chosen; the rest is replayed. Half of them when not given.
        page: an HTML page to write.

    Returns:
        The comparison, with ``names``, the ``currency`` of its money and, where a policy was chosen, ``chosen_on``.

    Raises:
        UsageError: a side names nothing, or the days do not suffice.
        SchemaError: the decisions have a wrong column or value.
    """
    spec = params.features.rates()
    rows = read_decisions(decisions, dataset=dataset, label_delay_days=params.label_delay_days, spec=spec)
    policies = [policy_of(text, params.threshold) for text in (a, b)]
    chosen: dict[str, Any] = {}
    earlier = rows
    if any(policies):
        earlier, rows = _cut(rows, choose_days)
        chosen = {"chosen_on": {"days": len(np.unique(earlier.days)), "rows": len(earlier)}}
    of_a, of_b = (
        thresholds_of(text) if policy is None else chosen_on(earlier, policy)
        for text, policy in zip((a, b), policies, strict=True)
    )
    document = compare(rows, of_a, of_b, params.evaluate.cost, params.evaluate.bootstrap, seed=params.seed)
    names = {"a": named(a), "b": named(b)}
    if names["a"] == names["b"]:
        names = {"a": f"A {names['a']}", "b": f"B {names['b']}"}
    document |= {"names": names, "currency": spec.base_currency, **chosen}
    if page is not None:
        write_text(page, compare_page(document))
    return document


def adjust_thresholds(
    *, decisions: Path | None, thresholds: Path, params: Params, by: str, model: Path, dry_run: bool = False
) -> dict[str, Any]:
    """Let the thresholds follow the newest scores, within bounds.

    Args:
        decisions: parquet, CSV or JSON lines of scored transactions, of which the newest ``threshold.dynamic.window``
            are taken; None for those of this model in the topic of decisions (``params.stream``).
        thresholds: the thresholds file; begun with what the model was packaged with when it is not there.
        params: ``threshold``: the budgets and ``dynamic``.
        by: who asks for it.
        model: the artifact.
        dry_run: say what would happen, write nothing.

    Returns:
        ``changed``, ``written``, the thresholds before and after, the bounds, and what decided for each threshold.

    Raises:
        UsageError: dynamic thresholds are off, or the model's policy keeps no alert budget.
        StateError: the thresholds file was changed by hand, or is of another model.
    """
    if not params.threshold.dynamic.enabled and not dry_run:
        raise UsageError(
            "Dynamic thresholds are off.", "Set threshold.dynamic.enabled in params.yaml, or look with --dry-run."
        )
    artifact = load_artifact(model)
    policy = artifact.thresholds.policy.get("name")
    if policy in _NO_BUDGET:
        raise UsageError(
            f"The model's thresholds follow the policy {policy}; an adjustment would move them to an alert budget.",
            "Set them by hand (fraudline threshold set), or train with the policy alert_budget.",
        )
    scores = _newest(decisions, params, artifact)
    with nullcontext() if dry_run else locked(thresholds):
        trail = _trail(thresholds, artifact, by)
        before = trail.newest.thresholds
        outcome = adjust(before, trail.packaged, scores, params.threshold)
        written, why = outcome.changed and not dry_run, outcome.why()
        if written:
            evidence = {
                "scores": outcome.scores,
                "review": _evidence(outcome.review),
                "block": _evidence(outcome.block),
            }
            trail = trail.then(outcome.thresholds, by=by, why=why, bounds=outcome.bounds, evidence=evidence)
            trail.write(thresholds)
    log.info("threshold.adjusted", written=written, old=before.version, new=outcome.thresholds.version, why=why)
    return {"changed": outcome.changed, "written": written, **_outcome(before, outcome)}


def set_thresholds(
    *, thresholds: Path, params: Params, by: str, why: str, model: Path, review: float | None, block: float | None
) -> dict[str, Any]:
    """Set thresholds by hand, within the bounds of ``threshold.dynamic``.

    Args:
        thresholds: the thresholds file; begun when it is not there.
        params: ``threshold.dynamic`` has the bounds.
        by: who.
        why: the reason.
        model: the artifact.
        review: the new review threshold; as it is when not given.
        block: the new block threshold; as it is when not given.

    Raises:
        UsageError: outside the bounds, or nothing to change.
        StateError: the thresholds file was changed by hand, or is of another model.
    """
    artifact = load_artifact(model)
    with locked(thresholds):
        trail = _trail(thresholds, artifact, by)
        before = trail.newest.thresholds
        bounds = bounds_of(trail.packaged, params.threshold.dynamic)
        wanted = {
            "review": before.review if review is None else review,
            "block": before.block if block is None else block,
        }
        for name, (low, high) in (("review", bounds.review), ("block", bounds.block)):
            if not low <= wanted[name] <= high:
                raise UsageError(
                    f"{name} {wanted[name]:g} lies outside its bounds, {low:.4g} to {high:.4g}.",
                    "Stay within them, widen threshold.dynamic.lowest and highest in params.yaml, or train again.",
                )
        if wanted["review"] > wanted["block"]:
            raise UsageError(f"review {wanted['review']:g} lies above block {wanted['block']:g}.", "Give both.")
        if (wanted["review"], wanted["block"]) == (before.review, before.block):
            raise UsageError("These thresholds hold already.", "Give --review or --block another value.")
        after = Thresholds.of(wanted["review"], wanted["block"], {"name": "by hand"})
        trail.then(after, by=by, why=why, bounds=bounds).write(thresholds)
    return {"before": before.model_dump(mode="json"), "after": after.model_dump(mode="json")}


def _newest(decisions: Path | None, params: Params, artifact: Artifact) -> NDArray[np.float32]:
    window = params.threshold.dynamic.window
    if decisions is not None:
        return read_decisions(decisions, spec=params.features.rates()).score[-window:]
    from fraudline.stream.decision_topic import newest_scores

    return newest_scores(params.stream, window, artifact.version)


def _trail(path: Path, artifact: Artifact, by: str) -> ThresholdLog:
    if path.exists():
        return ThresholdLog.read(path, artifact.digest)
    return ThresholdLog.begin(artifact.digest, artifact.thresholds, by=by)


def _cut(rows: Decisions, choose_days: int | None) -> tuple[Decisions, Decisions]:
    """The first days with the labels that were known when they ended, and the rest."""
    days = np.unique(rows.days)
    if len(days) < 2:
        raise UsageError(
            "A policy is chosen on earlier days than it is judged on; the decisions have one day.",
            "Give more days, with event_time, or a data set that has it (--data).",
        )
    count = len(days) // 2 if choose_days is None else choose_days
    if not 0 < count < len(days):
        raise UsageError(f"Of {len(days)} days {count} cannot be chosen on.", f"Give 1 to {len(days) - 1}.")
    earlier = rows.days < days[count]
    return rows.only(earlier).as_of(int(days[count]) * DAY_US), rows.only(~earlier)


def _evidence(move: Move) -> dict[str, Any]:
    figures = {name: getattr(move, name) for name in ("wanted", "rate", "rate_after", "budget")}
    return {**{name: round(value, 6) for name, value in figures.items()}, "why": move.why}


def _outcome(before: Thresholds, outcome: Adjustment) -> dict[str, Any]:
    return {
        "before": before.model_dump(mode="json"),
        "after": outcome.thresholds.model_dump(mode="json"),
        "bounds": outcome.bounds.model_dump(mode="json"),
        "scores": outcome.scores,
        "review": {"old": outcome.review.old, "new": outcome.review.new, **_evidence(outcome.review)},
        "block": {"old": outcome.block.old, "new": outcome.block.new, **_evidence(outcome.block)},
    }
