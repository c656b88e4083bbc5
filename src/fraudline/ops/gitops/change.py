"""A proposed change beside the target branch and its history, and the change that is always free: a revert."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fraudline.core.errors import PromotionRefused, UsageError
from fraudline.ops.gitops.evidence import Evidence
from fraudline.ops.gitops.params import Environment, RolloutParams
from fraudline.ops.gitops.proposal import PARAMETERS, champion_of, with_champion
from fraudline.ops.gitops.repository import changes, read_at
from fraudline.ops.gitops.state import EVIDENCE, ROLLOUT, Rollout, parse, render

BY_HAND = "Make it with `fraudline promote` or `fraudline rollout step`; edit nothing in it."


@dataclass(frozen=True, slots=True)
class Change:
    """A proposed change of one environment: from ``common``, where it left the target branch ``base``, to ``head``."""

    repo: Path
    base: str
    common: str
    head: str
    environment: Environment
    rules: RolloutParams
    key: bytes
    files: tuple[str, ...]

    def before(self, name: str) -> str:
        """A file of the target branch."""
        return read_at(self.repo, self.base, name)

    def begun(self, name: str) -> str:
        """A file as it was where the proposal left the target branch: what a merge holds ``after`` against."""
        return read_at(self.repo, self.common, name)

    def after(self, name: str) -> str:
        """A file of the proposal."""
        return read_at(self.repo, self.head, name)

    def earlier(self, name: str) -> Iterator[str]:
        """Texts of a file on the target branch's own line, newest first."""
        for revision, _ in changes(self.repo, self.base, name):
            yield read_at(self.repo, revision, name)

    def states(self) -> list[Rollout]:
        """States that the target branch had before."""
        found = []
        for text in self.earlier(f"{self.environment.overlay}/{ROLLOUT}"):
            try:
                found.append(parse(text))
            except UsageError:
                continue
        return found


def check_revert(change: Change, old: Rollout, new: Rollout, before: Evidence, evidence: Evidence) -> None:
    """Taking traffic away needs no verdict; whatever is named afterwards still needs its signatures.

    Args:
        change: what is proposed.
        old: state of the target branch.
        new: state of the proposal.
        before: evidence on the target branch.
        evidence: of the proposal.

    Raises:
        PromotionRefused: it changes more than a revert may.
    """
    overlay = change.environment.overlay
    others = sorted(set(change.files) - {f"{overlay}/{ROLLOUT}", f"{overlay}/{EVIDENCE}", PARAMETERS})
    if others:
        raise PromotionRefused(f"A revert also changes {', '.join(others[:3])}.", "Make two pull requests of it.")
    text, was = change.after(f"{overlay}/{ROLLOUT}"), change.before(f"{overlay}/{ROLLOUT}")
    rendered = render(new, change.before(change.environment.service), was)
    if text and text != rendered and text not in change.earlier(f"{overlay}/{ROLLOUT}"):
        raise PromotionRefused(f"{ROLLOUT} holds more than the change of models.", BY_HAND)
    _signed(change, old, new, before, evidence)
    if PARAMETERS in change.files:
        _champion(change, evidence)


def _signed(change: Change, old: Rollout, new: Rollout, before: Evidence, evidence: Evidence) -> None:
    if new.stable == old.stable and evidence.stable != before.stable:
        raise PromotionRefused("The champion's evidence was changed.", BY_HAND)
    replaced = before.stable.promotion.record["replaces"] if before.stable else None
    if new.stable != old.stable and evidence.stable is None and (new.stable is None or new.stable.digest != replaced):
        raise PromotionRefused("There is no evidence for the model that comes back.", BY_HAND)
    for entry in (evidence.stable, evidence.canary):
        for signed in (entry.promotion, *entry.steps) if entry else ():
            signed.check(change.key)


def _champion(change: Change, evidence: Evidence) -> None:
    """The line of the champion may become the one of the evidence, or one that stood there: a person may write it."""
    text, begun = change.after(PARAMETERS), change.begun(PARAMETERS)
    address = str(evidence.stable.model["uri"]) if evidence.stable else ""
    if text == with_champion(begun, address):
        return
    known = champion_of(text) in map(champion_of, change.earlier(PARAMETERS))
    if not known or with_champion(text, "") != with_champion(begun, ""):
        raise PromotionRefused(f"{PARAMETERS} differs in more than the champion.", BY_HAND)
