"""The way back when a person asks for it: a canary loses its traffic, or the model before the champion serves again.

Nothing is judged and nothing is signed: the states that a revert may make were verified when they came.
"""

from fraudline.core.errors import PromotionRefused, UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.ops.gitops import text as texts
from fraudline.ops.gitops.evidence import Evidence
from fraudline.ops.gitops.params import RolloutParams
from fraudline.ops.gitops.proposal import PARAMETERS, Proposal, Standing, step_branch, with_champion
from fraudline.ops.gitops.repository import Clone
from fraudline.ops.gitops.state import Rollout, parse
from fraudline.ops.gitops.transition import next_step, reverted

log = get_logger(__name__)


def back(clone: Clone, held: Standing, name: str, because: str, when: int, *, champion: str = "") -> Proposal:
    """Propose to take back the canary, or a champion that is named: asked for twice, it takes back one.

    Args:
        clone: of the remote.
        held: the target branch.
        name: of the environment.
        because: what a person says to it.
        when: the present, seconds since 1970.
        champion: version or digest of the champion to take back; empty for the canary.

    Raises:
        PromotionRefused: there is no rollout, another champion is served, or none was served before it.
    """
    state, files = held.rollout, {}
    if champion:
        new, evidence = _before(clone, held, champion)
        if evidence.stable is not None:
            files[PARAMETERS] = with_champion(held.parameters, str(evidence.stable.model["uri"]))
        gone = state.stable
    else:
        new, evidence, gone = reverted(state), Evidence(held.evidence.stable), state.canary
    if gone is None or new.stable is None:
        raise PromotionRefused(
            "There is no rollout to take back.", "Name the champion with --champion to take it back instead."
        )
    return Proposal(
        step_branch(held, gone, name, 0),
        texts.back_title(state, name),
        texts.back_body(state, new, because),
        files | held.files(new, evidence),
        when,
        (held.rollout_path,),
    )


def withdraw(clone: Clone, held: Standing, name: str, rules: RolloutParams) -> None:
    """Delete the branch of a step forward that nobody merged yet: its verdict is older than what takes the canary back.

    A remote that keeps its branches is warned of and no more: the way back is proposed already.
    """
    state = held.rollout
    if state.canary is None:
        return
    branch = step_branch(held, state.canary, name, next_step(state, rules.steps))
    try:
        clone.delete(branch)
    except UnavailableError as error:
        log.warning("rollout.not_withdrawn", branch=branch, problem=error.problem)


def _before(clone: Clone, held: Standing, champion: str) -> tuple[Rollout, Evidence]:
    """All traffic for the model that the champion replaced, with its evidence of then."""
    state, entry = held.rollout, held.evidence.stable
    if state.canary is not None:
        raise PromotionRefused(
            f"The rollout of {state.canary.version} is at {state.percent} %.", "Take the canary back first."
        )
    served = state.stable.version if state.stable else "nothing"
    if state.stable is None or not (champion.startswith(served) and state.stable.digest.startswith(champion)):
        raise PromotionRefused(f"{served} is served, not {champion}.", "Name what is served with --champion.")
    replaced = entry.promotion.record["replaces"] if entry else None
    for revision, _ in clone.changes(held.rollout_path) if replaced else ():
        try:
            earlier = parse(clone.read(held.rollout_path, revision)).stable
        except UsageError:
            continue
        if earlier is not None and earlier.digest == replaced:
            return Rollout(earlier), Evidence(Evidence.parse(clone.read(held.evidence_path, revision)).stable)
    raise PromotionRefused(f"No model was served before {state.stable.version}.", "Promote one: fraudline promote.")
