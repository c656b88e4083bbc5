"""A rollout: the judge's verdict on the canary, and the pull request that follows from it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.core.errors import StateError, UsageError
from fraudline.core.log import get_logger
from fraudline.decide.outcomes import arms_of, read_outcomes
from fraudline.monitor.canary import judge
from fraudline.ops.gitops.back import back, withdraw
from fraudline.ops.gitops.forge import Forge, open_forge
from fraudline.ops.gitops.observe import Observed, Prometheus, observe
from fraudline.ops.gitops.proposal import Standing, Submitted, standing, step, step_branch, submit
from fraudline.ops.gitops.repository import Clone, address_of
from fraudline.ops.gitops.state import parse
from fraudline.ops.gitops.text import verdict_table
from fraudline.ops.registry import CHAMPION, Registry
from fraudline.steps.params import Params
from fraudline.steps.promote import environment_of

log = get_logger(__name__)

_CLOCKS_S = 600.0
"""Seconds that the clocks of two machines may differ by."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the judge looks.

    Attributes:
        prometheus: address of the Prometheus that scrapes the predictors.
        decisions: scored transactions (parquet, CSV, JSON lines), for precision and recall; None for none.
        dataset: data set with their labels.
    """

    prometheus: str
    decisions: Path | None = None
    dataset: Path | None = None


def judge_rollout(
    *, to: str, params: Params, repo: Path, sources: Sources, now: datetime, token: str = ""
) -> dict[str, Any]:
    """Judge the canary of an environment.

    Args:
        to: name of the environment.
        params: ``rollout.judge`` has the margins.
        repo: a repository that knows the remote.
        sources: where to look.
        now: the present.
        token: of the forge, for a remote over HTTP.

    Returns:
        The verdict of :func:`fraudline.monitor.canary.judge`, with ``canary``, ``champion``, ``percent`` and ``at``.

    Raises:
        UsageError: there is no rollout.
        StateError: its newest commit is of the future.
        UnavailableError: remote or Prometheus does not answer.
    """
    environment = environment_of(params.rollout, to)
    with Clone.of(address_of(params.rollout.forge.remote, repo), environment.branch, token) as clone:
        held = standing(clone, environment)
        return _judged(clone, held, params, sources, now)


def step_rollout(
    *,
    to: str,
    key: Path | None,
    params: Params,
    repo: Path,
    sources: Sources,
    now: datetime,
    token: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Judge, and propose what follows: the next share, the end of the rollout, or its revert. Safe to run at any time.

    Without a rollout the registry's champion is made to follow what is served.

    Args:
        to: name of the environment.
        key: that signs a step forward.
        params: ``rollout`` has rules and margins.
        repo: a repository that knows the remote; its files are not touched.
        sources: where the judge looks.
        now: the present.
        token: of the forge.
        dry_run: say what would be done.

    Returns:
        ``action`` (none, wait, ask, propose, merged), ``verdict``, and what :func:`~fraudline.steps.promote.promote`
        gives of a proposal; ``back``, the branch of a person's revert, which a step forward waits for.

    Raises:
        PromotionRefused: a branch is in the way.
        UnavailableError: remote, forge, registry or Prometheus does not answer.
    """
    rules = params.rollout
    environment = environment_of(rules, to)
    with Clone.of(address_of(rules.forge.remote, repo), environment.branch, token, rules.forge.commits) as clone:
        held = standing(clone, environment)
        if held.rollout.canary is None:
            return {"action": "none", "alias": "" if dry_run else follow(held, params)}
        verdict = _judged(clone, held, params, sources, now)
        result: dict[str, Any] = {"action": "wait", "verdict": verdict}
        if verdict["verdict"] == "inconclusive":
            if verdict["overdue"] and not dry_run:
                result |= _asked(open_forge(rules.forge, token, clone), held, verdict, to)
            return result
        back_branch = step_branch(held, held.rollout.canary, to, 0)
        if verdict["verdict"] == "successful" and clone.remote_branch(back_branch):
            return result | {"back": back_branch}
        proposal = step(held, verdict, to, rules, key)
        if dry_run:
            return result | {"action": "propose", "title": proposal.title, "body": proposal.body, "pushed": False}
        forge = open_forge(rules.forge, token, clone)
        done = submit(clone, proposal, forge)
        if verdict["verdict"] == "failed":
            withdraw(clone, held, to, rules)
        merged = done.request.state == "merged"
        if rules.forge.auto_merge and not merged:
            merged = forge.merge(done.request, done.revision)
        if merged:
            clone.run("fetch", "-q", "origin", environment.branch)
            result["alias"] = follow(standing(clone, environment), params)
        return result | _proposed(done, proposal.branch, merged)


def revert_rollout(
    *,
    to: str,
    because: str,
    params: Params,
    repo: Path,
    now: datetime,
    champion: str = "",
    token: str = "",
    merge: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Propose to take the canary back, or a champion that is named, without a judge, a key or a registry.

    Args:
        to: name of the environment.
        because: why, for the pull request.
        params: ``rollout`` has the rules.
        repo: a repository that knows the remote; its files are not touched.
        now: the present.
        champion: version of the champion to take back; empty for the canary.
        token: of the forge.
        merge: merge it as well, where the forge's checks and reviews allow that.
        dry_run: show the change; push nothing.

    Returns:
        As :func:`step_rollout` gives of a proposal; with ``dry_run`` also its ``diff``.

    Raises:
        PromotionRefused: there is nothing to take back, or nothing to go back to.
        UnavailableError: remote or forge does not answer.
    """
    rules = params.rollout
    environment = environment_of(rules, to)
    with Clone.of(address_of(rules.forge.remote, repo), environment.branch, token, rules.forge.commits) as clone:
        held = standing(clone, environment)
        proposal = back(clone, held, to, because, int(now.timestamp()), champion=champion)
        forge = None if dry_run else open_forge(rules.forge, token, clone)
        done = submit(clone, proposal, forge)
        if not dry_run:
            withdraw(clone, held, to, rules)
        merged = done.request.state == "merged"
        if merge and forge is not None and not merged:
            merged = forge.merge(done.request, done.revision)
        shown = {"diff": clone.diff(done.revision)} if dry_run else {}
    return _proposed(done, proposal.branch, merged) | shown


def follow(held: Standing, params: Params) -> str:
    """Let the registry's champion be what is served; nothing happens while a canary has traffic.

    Returns:
        The version that became champion; empty when it was already, or there is no registry.

    Raises:
        UnavailableError: the registry does not answer.
    """
    stable = held.rollout.stable
    if not params.registry.tracking_uri or stable is None or held.rollout.canary is not None:
        return ""
    registry = Registry(params.registry)
    champion, model = registry.resolve(CHAMPION), registry.find(stable.digest)
    if model is None or (champion is not None and champion.digest == stable.digest):
        return ""
    registry.point(CHAMPION, model)
    return model.version


def _judged(clone: Clone, held: Standing, params: Params, sources: Sources, now: datetime) -> dict[str, Any]:
    state, settings = held.rollout, params.rollout.judge
    if state.canary is None or state.stable is None:
        raise UsageError("There is no rollout to judge.", "Promote a model first.")
    began, end = _began(clone, held), now.timestamp()
    if held.since - end > _CLOCKS_S:
        raise StateError(
            f"The rollout's last change in Git is dated {(held.since - end) / 60:,.0f} minutes after the present.",
            "Set the clock here, or revert that commit and merge it again where the clock is right.",
        )
    seen = observe(
        Prometheus(sources.prometheus),
        state.canary.version,
        state.stable.version,
        began,
        end,
        seconds=settings.stratum_s,
        series=held.environment.series,
    )
    counts = dict(seen.arms)
    if sources.decisions is not None:
        outcomes = read_outcomes(
            sources.decisions,
            dataset=sources.dataset,
            label_delay_days=params.label_delay_days,
            spec=params.features.rates(),
        )
        counts |= arms_of(outcomes, state.canary.version, state.stable.version)
    first = int(np.searchsorted(seen.ends, held.since, side="right"))
    scored = first + np.flatnonzero(seen.rows[first:])
    since = max(held.since, seen.starts[scored[0]]) if scored.size else held.since
    silent, missed = _silence(clone, held, seen, end, first)
    verdict = judge(
        counts,
        settings,
        begin=dict.fromkeys(seen.arms, first),
        rows=int(seen.rows[first:].sum()),
        minutes=max(end - since, 0.0) / 60,
        silent=silent,
        missed=missed,
    )
    verdict |= {
        "canary": state.canary.digest,
        "champion": state.stable.digest,
        "percent": state.percent,
        "at": now.astimezone(UTC).replace(microsecond=0).isoformat(),
    }
    log.info("rollout.judged", canary=state.canary.version, percent=state.percent, verdict=verdict["verdict"])
    return verdict


def _silence(clone: Clone, held: Standing, seen: Observed, end: float, first: int) -> tuple[float, float]:
    """Minutes since the canary's last row, and the requests that its share should have brought since, but did not.

    One that never scored a row should have begun when it was merged. A commit that came by fast-forward does not say
    when that was, and counts as no silence.
    """
    scored = np.flatnonzero(seen.rows)
    if not scored.size and not clone.is_merge(held.revision):
        return 0.0, 0.0
    last = int(scored[-1]) + 1 if scored.size else first
    since = seen.ends[last - 1] if scored.size else held.since
    came, champions = seen.requests[:, last:].sum(1)
    share = held.rollout.percent / 100
    return max(end - float(since), 0.0) / 60, 0.0 if came else float(champions) * share / (1 - share)


def _began(clone: Clone, held: Standing) -> float:
    """When this canary got its first traffic, seconds since 1970: the merge that brought it."""
    found = float(held.since)
    for revision, when in clone.changes(held.rollout_path):
        if parse(clone.read(held.rollout_path, revision) or held.service).canary != held.rollout.canary:
            break
        found = float(when)
    return found


def _asked(forge: Forge, held: Standing, verdict: dict[str, Any], to: str) -> dict[str, Any]:
    name = held.rollout.canary.version if held.rollout.canary else ""
    title = f"Rollout of {name} in {to} at {held.rollout.percent} % waits for a person"
    body = "\n".join(
        [
            f"After {verdict['minutes']:.0f} minutes: {verdict['reason']}",
            "",
            "Take it back (`fraudline rollout revert --because WHY`), or give it more time.",
            "",
            *verdict_table(verdict),
        ]
    )
    return {"action": "ask", "title": title, "body": body, "url": forge.ask(title, body)}


def _proposed(done: Submitted, branch: str, merged: bool) -> dict[str, Any]:
    return {
        "action": "merged" if merged else "propose",
        "branch": branch,
        "revision": done.revision,
        "state": "merged" if merged else done.request.state,
        "url": done.request.url,
        "title": done.title,
        "body": done.body,
        "pushed": done.pushed,
    }
