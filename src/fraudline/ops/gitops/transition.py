"""From one state to the next: which changes of ``rollout.yaml`` there are, and what each needs.

promote    nobody new served yet  →  the canary at the first step (or, before there is a champion, stable at once)
advance    canary at a step       →  at the next one          needs a successful verdict
finish     canary at the last     →  stable                   needs a successful verdict
revert     canary at any step     →  no canary, or an earlier step, or (after finish) what was stable before
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from fraudline.core.errors import PromotionRefused
from fraudline.ops.gitops.state import Model, Rollout

Kind = Literal["promote", "advance", "finish", "revert"]
WHOLE = 100


def promoted(state: Rollout, model: Model, steps: Sequence[int]) -> Rollout:
    """What a promotion makes of a state.

    Raises:
        PromotionRefused: another rollout is going on, or the model is served already.
    """
    if state.canary is not None and state.canary != model:
        raise PromotionRefused(
            f"The rollout of {state.canary.version} is at {state.percent} %.",
            "Let it end, or revert it, before the next promotion.",
        )
    if model in (state.stable, state.canary):
        raise PromotionRefused(f"The model {model.version} is served already.", "There is nothing to promote.")
    if state.stable is None:
        return Rollout(model)
    return Rollout(state.stable, model, steps[0])


def next_step(state: Rollout, steps: Sequence[int]) -> int:
    """The per cent that follows: a step, or 100 after the last one."""
    return next((step for step in steps if step > state.percent), WHOLE)


def advanced(state: Rollout, steps: Sequence[int]) -> Rollout:
    """What a successful verdict makes of a state.

    Raises:
        PromotionRefused: there is no canary.
    """
    if state.canary is None:
        raise PromotionRefused("There is no rollout to move on.", "Promote a model first.")
    percent = next_step(state, steps)
    return Rollout(state.canary) if percent == WHOLE else replace(state, percent=percent)


def reverted(state: Rollout) -> Rollout:
    """What a failed verdict makes of a state."""
    return Rollout(state.stable)


def classify(old: Rollout, new: Rollout, steps: Sequence[int], before: Sequence[Rollout] = ()) -> Kind:
    """What a change of state is.

    Args:
        old: the state on the target branch.
        new: the state that is proposed.
        steps: of the target branch's rules.
        before: earlier states of the target branch.

    Raises:
        PromotionRefused: it is none that the rules allow.
    """
    if old.canary is None:
        return _without_canary(old, new, steps, before)
    if new.stable == old.stable and new.canary is None:
        return "revert"
    if new == advanced(old, steps):
        return "finish" if new.canary is None else "advance"
    if new.stable == old.stable and new.canary == old.canary and new.percent in steps and new.percent < old.percent:
        return "revert"
    expected = next_step(old, steps)
    raise PromotionRefused(
        f"{shown(old)} cannot become {shown(new)}.",
        f"Next is {f'{expected} %' if expected < WHOLE else 'the end of the rollout'}; a revert is always free.",
    )


def _without_canary(old: Rollout, new: Rollout, steps: Sequence[int], before: Sequence[Rollout]) -> Kind:
    if old.stable is None and new.stable is not None and new.canary is None:
        return "promote"
    if new.canary is not None and new.stable == old.stable and old.stable is not None:
        if new.percent == steps[0]:
            return "promote"
        raise PromotionRefused(f"A rollout begins at {steps[0]} %, not at {new.percent} %.", "Use fraudline promote.")
    served = {state.stable for state in before if state.stable is not None}
    undone = new.canary is None or (new.canary == old.stable and new in before)
    if new.stable in served and new.stable != old.stable and undone:
        return "revert"
    raise PromotionRefused(
        f"{shown(old)} cannot become {shown(new)}.", "A model gets traffic through fraudline promote only."
    )


def shown(state: Rollout) -> str:
    """A state in words."""
    stable = state.stable.version if state.stable else "nothing"
    return f"{stable} with {state.canary.version} at {state.percent} %" if state.canary else f"{stable} alone"
