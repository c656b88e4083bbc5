"""One change of what is served, as a branch with one commit, and as its pull request.

Made from the target branch alone: the same state and evidence give the same branch name, so that doing it twice, or
again after a kill anywhere, makes one branch and one pull request.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fraudline.core.errors import PromotionRefused, UsageError
from fraudline.core.log import get_logger
from fraudline.ops.gitops import text as texts
from fraudline.ops.gitops.evidence import Entry, Evidence, Signed, model_of, step_record
from fraudline.ops.gitops.forge import Forge
from fraudline.ops.gitops.forge_api import PullRequest
from fraudline.ops.gitops.params import Environment, RolloutParams
from fraudline.ops.gitops.repository import Clone
from fraudline.ops.gitops.state import EVIDENCE, ROLLOUT, Model, Rollout, parse, render
from fraudline.ops.gitops.transition import WHOLE, advanced, next_step, promoted, reverted

log = get_logger(__name__)

PARAMETERS = "params.yaml"
_CHAMPION = re.compile(r'^champion:[ \t]*("[^"\n]*"|[^\s#]*)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A branch with one commit, and the pull request for it.

    Attributes:
        branch: its name.
        title: of the commit and of the request.
        body: of both.
        files: path to text.
        when: time of the commit, seconds since 1970.
        same: files by which a branch that is there is known again; a step's evidence differs from look to look.
    """

    branch: str
    title: str
    body: str
    files: Mapping[str, str]
    when: int
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the target branch says is served in an environment, and why."""

    environment: Environment
    rollout: Rollout
    evidence: Evidence
    text: str
    service: str
    parameters: str
    revision: str
    since: int
    """When the newest change of the state was made, seconds since 1970; 0 before the first."""

    @property
    def rollout_path(self) -> str:
        """Where ``rollout.yaml`` lies in the repository."""
        return f"{self.environment.overlay}/{ROLLOUT}"

    @property
    def evidence_path(self) -> str:
        """Where ``evidence.json`` lies in the repository."""
        return f"{self.environment.overlay}/{EVIDENCE}"

    def files(self, rollout: Rollout, evidence: Evidence) -> dict[str, str]:
        """The files of another state, by path."""
        return {
            self.rollout_path: render(rollout, self.service, self.text),
            self.evidence_path: evidence.render(),
        }


def standing(clone: Clone, environment: Environment) -> Standing:
    """Read the state of an environment from the target branch.

    Raises:
        UsageError: there is no InferenceService, or the state cannot be read.
        PromotionRefused: the evidence cannot be read.
    """
    service = clone.read(environment.service)
    if not service:
        raise UsageError(
            f"{environment.service} is not on the branch {environment.branch}.", "Correct rollout.environments."
        )
    text = clone.read(f"{environment.overlay}/{ROLLOUT}")
    changed, since = clone.last_change(f"{environment.overlay}/{ROLLOUT}")
    return Standing(
        environment,
        parse(text or service),
        Evidence.parse(clone.read(f"{environment.overlay}/{EVIDENCE}")),
        text,
        service,
        clone.read(PARAMETERS),
        changed or clone.base,
        since,
    )


def promotion(held: Standing, entry: Entry, name: str, rules: RolloutParams, *, again: int = 0) -> Proposal:
    """Give a model its first traffic.

    Args:
        held: the target branch.
        entry: the model's signed evidence.
        name: of the environment.
        rules: of the repository.
        again: number of an earlier promotion of the same model that was reverted, 0 for none.

    Raises:
        PromotionRefused: another rollout is going on, or the model is served already.
    """
    state = promoted(held.rollout, model_of(entry), rules.steps)
    first = state.canary is None
    evidence = Evidence(entry) if first else Evidence(held.evidence.stable, entry)
    files = held.files(state, evidence)
    if first:
        files[PARAMETERS] = with_champion(held.parameters, str(entry.model["uri"]))
    record = entry.promotion.record
    return Proposal(
        f"promote/{name}/{entry.model['digest'][:12]}{f'-{again + 1}' if again else ''}",
        texts.promotion_title(entry, name, state.percent),
        texts.promotion_body(entry, held.evidence, held.rollout, name),
        files,
        int(datetime.fromisoformat(record["packaged_at"]).timestamp()),
        (held.rollout_path, held.evidence_path),
    )


def step(held: Standing, verdict: Mapping[str, Any], name: str, rules: RolloutParams, key: Path | None) -> Proposal:
    """What a successful or failed verdict asks for.

    Args:
        held: the target branch.
        verdict: of the judge.
        name: of the environment.
        rules: of the repository.
        key: that signs the verdict; a revert needs none.

    Raises:
        PromotionRefused: there is no rollout, or the verdict asks for nothing.
        UsageError: a step forward without a key.
    """
    state, entry = held.rollout, held.evidence.canary
    if state.canary is None or verdict["verdict"] not in ("successful", "failed"):
        raise PromotionRefused("There is nothing to change.", "Wait for a verdict.")
    if verdict["verdict"] == "failed":
        to, new, evidence = 0, reverted(state), Evidence(held.evidence.stable)
    else:
        if key is None:
            raise UsageError("A step forward is signed.", "Name the key with --key or FRAUDLINE_SIGNING_KEY.")
        if entry is None:
            raise PromotionRefused("The canary has no evidence.", "Revert it, and promote it with fraudline promote.")
        to, new = next_step(state, rules.steps), advanced(state, rules.steps)
        entry = entry.with_step(Signed.make(step_record(state, to, verdict, held.revision), key))
        evidence = Evidence(entry) if to == WHOLE else Evidence(held.evidence.stable, entry)
    files = held.files(new, evidence)
    if to == WHOLE and entry is not None:
        files[PARAMETERS] = with_champion(held.parameters, str(entry.model["uri"]))
    return Proposal(
        step_branch(held, state.canary, name, to),
        texts.step_title(state, to, name),
        texts.step_body(state, to, verdict),
        files,
        int(datetime.fromisoformat(verdict["at"]).timestamp()),
        (held.rollout_path,),
    )


def step_branch(held: Standing, model: Model, name: str, to: int) -> str:
    """The branch of a step to a share: 0 takes the model back, 100 makes it champion."""
    what = {0: "revert", WHOLE: "promoted"}.get(to, str(to))
    return f"rollout/{name}/{model.version}-{what}-{held.revision[:8]}"


def champion_of(parameters: str) -> str:
    """The champion as ``params.yaml`` writes it, quotes and all; empty when it has no line for one."""
    found = _CHAMPION.search(parameters)
    return found[1] if found else ""


def with_champion(parameters: str, uri: str) -> str:
    """``params.yaml`` with another champion, every other byte as it was.

    Raises:
        UsageError: it has no line for the champion.
    """
    changed, count = _CHAMPION.subn(lambda _: f'champion: "{uri}"', parameters, count=1)
    if count != 1:
        raise UsageError(f"{PARAMETERS} has no line `champion:`.", 'Add `champion: ""` to it.')
    return changed


@dataclass(frozen=True, slots=True)
class Submitted:
    """A proposal that is on the remote."""

    request: PullRequest
    revision: str
    title: str
    body: str
    pushed: bool


def submit(clone: Clone, proposal: Proposal, forge: Forge | None) -> Submitted:
    """Push the branch and open its pull request, each once.

    Args:
        clone: of the remote.
        proposal: the change.
        forge: opens the request; None to push and open nothing: the commit is then in the clone alone.

    Raises:
        PromotionRefused: the branch holds something else, or its pull request was closed by a person.
        UnavailableError: the remote or the forge does not answer or refuses.
    """
    tip, pushed = clone.remote_branch(proposal.branch), False
    planned = forge is None and not tip
    if not tip:
        revision = clone.commit(proposal.files, f"{proposal.title}\n\n{proposal.body}", proposal.when)
        pushed = forge is not None and clone.push(revision, proposal.branch)
        tip = revision if pushed or planned else clone.remote_branch(proposal.branch)
    if any(clone.read(path, tip) != proposal.files[path] for path in proposal.same):
        raise PromotionRefused(
            f"The branch {proposal.branch} holds another change.", f"Delete it: git push origin :{proposal.branch}"
        )
    title, body = (clone.run("log", "-1", f"--format={part}", tip).strip() for part in ("%s", "%b"))
    if clone.merged(tip):
        return Submitted(PullRequest(proposal.branch, "merged"), tip, title, body, pushed)
    if forge is None:
        return Submitted(PullRequest(proposal.branch, "planned" if planned else "open"), tip, title, body, pushed)
    request = forge.ensure(proposal.branch, title, body, anew=pushed)
    if request.state == "closed":
        raise PromotionRefused(
            f"The pull request {request.url} was closed without a merge.",
            f"Open it again, or delete its branch: git push origin :{proposal.branch}",
        )
    log.info("proposal.open", branch=proposal.branch, url=request.url, title=title)
    return Submitted(request, tip, title, body, pushed)
