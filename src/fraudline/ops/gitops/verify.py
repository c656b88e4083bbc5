"""A proposed change of what is served, checked again by whoever is to merge it.

Rules and key come from the target branch, so that a pull request cannot change what it is judged by. The new text of
``rollout.yaml`` must be the one text of its state: nothing in it can be changed by hand.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudline.core.digest import sha256_file
from fraudline.core.documents import parse_yaml
from fraudline.core.errors import FraudlineError, PromotionRefused, UnavailableError, UsageError
from fraudline.core.files import local_path
from fraudline.model.artifact import MANIFEST, load_artifact
from fraudline.ops.gitops import transition
from fraudline.ops.gitops.change import BY_HAND, Change, check_revert
from fraudline.ops.gitops.evidence import Entry, Evidence, check_promotion, model_of
from fraudline.ops.gitops.params import Environment, RolloutParams
from fraudline.ops.gitops.proposal import PARAMETERS, with_champion
from fraudline.ops.gitops.repository import changes, git, read_at
from fraudline.ops.gitops.state import EVIDENCE, ROLLOUT, Rollout, parse, render

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s-]")
_FETCH_S = 900


@dataclass(frozen=True, slots=True)
class Verified:
    """What a change is: ``none`` when it touches nothing that is served."""

    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where artifacts come from: a folder of them, a command that fetches one, or the files of their address."""

    models: Path | None
    fetch: tuple[str, ...]
    scratch: Path

    def folder_of(self, digest: str, uri: str) -> Path:
        """The folder of an artifact, fetched where that is needed; what it holds is checked by nobody yet.

        Raises:
            UsageError: the address is no file, and no command was given; or the command does not say what to fetch.
            UnavailableError: the command failed.
        """
        if self.models:
            return self.models / digest
        if not self.fetch or uri.startswith("file:"):
            try:
                return local_path(uri)
            except UsageError as error:
                action = "Fetch it and name its parent folder with --models, or name a command with --fetch."
                raise UsageError(error.problem, action) from error
        if not {"{uri}", "{folder}"} <= set(self.fetch):
            raise UsageError("The command to fetch with lacks {uri} or {folder}.", "Give both, each as a word.")
        if not _ADDRESS.match(uri):
            raise UsageError(f"{uri} is no address.", "Register the model under a URI.")
        folder = self.scratch / digest
        words = {"{uri}": uri, "{folder}": str(folder)}
        _run([words.get(word, word) for word in self.fetch], uri)
        return folder


def _run(command: Sequence[str], uri: str) -> None:
    """Fetch; what the command prints goes to standard error, and its words, which may hold a token, nowhere."""
    try:
        done = subprocess.run(command, check=False, timeout=_FETCH_S, stdout=sys.stderr)
        why = done.returncode and f"ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        why = f"took more than {_FETCH_S} s"
    except OSError as error:
        why = f"does not run: {error.strerror}"
    if why:
        raise UnavailableError(f"{uri} was not fetched: {command[0]} {why}.", "See what the command printed.")


def verify(
    repo: Path, base: str, head: str, *, models: Path | None = None, fetch: Sequence[str] = ()
) -> list[Verified]:
    """Check what ``head`` would change on the target branch ``base``.

    Args:
        repo: a repository that has both revisions.
        base: the target branch.
        head: the proposal.
        models: folder of artifacts by digest; None: they are fetched from where the evidence says they are.
        fetch: command that brings a model from where it is served: ``{uri}`` and ``{folder}`` stand for the address in
            the signed evidence and for the folder to make.

    Returns:
        One result an environment that is touched; none when none is.

    Raises:
        PromotionRefused: the change is not what the rules of ``base`` allow.
        ArtifactError: the artifact is not what it says.
        UsageError: rules, key or state cannot be read.
    """
    common = git(repo, "merge-base", base, head).strip()
    files = tuple(git(repo, "diff", "--name-only", "-z", "--no-renames", common, head).split("\0")[:-1])
    rules = rules_at(repo, base)
    results = []
    for environment in rules.environments.values():
        mine = {f"{environment.overlay}/{name}" for name in (ROLLOUT, EVIDENCE)}
        if not mine & set(files):
            continue
        moved = git(repo, "diff", "--name-only", common, base, "--", *sorted(mine)).strip()
        if moved:
            raise PromotionRefused("The target branch has moved on since.", "Make the pull request again.")
        key = read_at(repo, base, rules.public_key).encode()
        if not key:
            raise UsageError(
                f"There is no {rules.public_key} on the target branch.",
                "Make a pair of keys: fraudline promotion keygen.",
            )
        with tempfile.TemporaryDirectory(prefix="fraudline-models-") as scratch:
            source = Source(models, tuple(fetch), Path(scratch))
            results.append(_check(Change(repo, base, common, head, environment, rules, key, files), source))
    return results


def check_standing(repo: Path, revision: str, environment: Environment, rules: RolloutParams) -> Rollout:
    """Check what a revision serves by itself, without a change: every model has signed evidence.

    Args:
        repo: a repository that has the revision.
        revision: of the target branch.
        environment: whose state.
        rules: of the target branch.

    Returns:
        The state.

    Raises:
        PromotionRefused: a model is served without evidence, or with that of another.
        UsageError: the state or the key cannot be read.
    """
    text = read_at(repo, revision, f"{environment.overlay}/{ROLLOUT}") or read_at(repo, revision, environment.service)
    state, key = parse(text), read_at(repo, revision, rules.public_key).encode()
    evidence = Evidence.parse(read_at(repo, revision, f"{environment.overlay}/{EVIDENCE}"))
    if state.stable is None or evidence.stable is None:
        raise PromotionRefused("No model is served with evidence.", "Promote one first.")
    if not key:
        raise UsageError(f"There is no {rules.public_key}.", "Make a pair of keys: fraudline promotion keygen.")
    _same_models(state, evidence)
    for entry in (evidence.stable, evidence.canary):
        for signed in (entry.promotion, *entry.steps) if entry else ():
            signed.check(key)
    return state


def rules_at(repo: Path, revision: str) -> RolloutParams:
    """The section ``rollout`` of the parameters at a revision.

    Raises:
        UsageError: it cannot be read.
    """
    source = f"{PARAMETERS} of the target branch"
    values = parse_yaml(read_at(repo, revision, PARAMETERS), source, action="Correct it there.") or {}
    if not isinstance(values, dict):
        raise UsageError(f"{source} holds no sections.", "Correct it there.")
    return RolloutParams.parse(values.get("rollout") or {}, source)


def _check(change: Change, source: Source) -> Verified:
    overlay, service = change.environment.overlay, change.before(change.environment.service)
    text = change.before(f"{overlay}/{ROLLOUT}")
    old, new = parse(text or service), parse(change.after(f"{overlay}/{ROLLOUT}") or service)
    evidence = Evidence.parse(change.after(f"{overlay}/{EVIDENCE}"))
    kind = transition.classify(old, new, change.rules.steps, change.states() if old.canary is None else ())
    before = Evidence.parse(change.before(f"{overlay}/{EVIDENCE}"))
    _same_models(new, evidence)
    if kind == "revert":
        check_revert(change, old, new, before, evidence)
    else:
        _only_allowed_files(change, old, new, evidence)
        if change.after(f"{overlay}/{ROLLOUT}") != render(new, service, text):
            raise PromotionRefused(f"{ROLLOUT} holds more than the change of models.", BY_HAND)
        entry = evidence.stable if new.canary is None else evidence.canary
        if entry is None:
            raise PromotionRefused("There is no evidence for the model.", BY_HAND)
        _forward(change, kind, old, before, entry, source)
        if new.canary is not None and evidence.stable != before.stable:
            raise PromotionRefused("The champion's evidence was changed.", BY_HAND)
    return Verified(kind, f"{kind}: {transition.shown(old)} becomes {transition.shown(new)}")


def _only_allowed_files(change: Change, old: Rollout, new: Rollout, evidence: Evidence) -> None:
    overlay = change.environment.overlay
    allowed = {f"{overlay}/{ROLLOUT}", f"{overlay}/{EVIDENCE}"}
    if new.canary is None and new.stable != old.stable and evidence.stable is not None:
        allowed.add(PARAMETERS)
        if change.after(PARAMETERS) != with_champion(change.begun(PARAMETERS), str(evidence.stable.model["uri"])):
            raise PromotionRefused(f"{PARAMETERS} differs in more than the champion.", BY_HAND)
    others = sorted(set(change.files) - allowed)
    if others:
        raise PromotionRefused(f"A promotion also changes {', '.join(others[:3])}.", "Make two pull requests of it.")


def _same_models(state: Rollout, evidence: Evidence) -> None:
    for role in ("stable", "canary"):
        model, entry = getattr(state, role), getattr(evidence, role)
        if (model is None) != (entry is None) and not (role == "stable" and entry is None):
            raise PromotionRefused(f"{EVIDENCE} and {ROLLOUT} disagree on whether there is a {role}.", BY_HAND)
        if entry is not None and model_of(entry) != model:
            raise PromotionRefused(f"The {role}'s evidence is of another model or address.", BY_HAND)


def _forward(change: Change, kind: str, old: Rollout, before: Evidence, entry: Entry, source: Source) -> None:
    for signed in (entry.promotion, *entry.steps):
        signed.check(change.key)
    if kind == "promote":
        if entry.steps:
            raise PromotionRefused("A promotion has no steps yet.", BY_HAND)
        record = entry.promotion.record
        if record["replaces"] != (old.stable.digest if old.stable else None):
            raise PromotionRefused("The evidence is about replacing another champion.", "Promote it again.")
        check_promotion(record, require_clean_code=change.rules.require_clean_code)
        _artifact(record, change.rules, source)
        return
    known = before.canary
    if not entry.steps or known is None or entry.steps == known.steps:
        raise PromotionRefused("The step has no verdict.", BY_HAND)
    if known.promotion != entry.promotion or known.steps != entry.steps[:-1]:
        raise PromotionRefused("A step changes earlier evidence.", BY_HAND)
    path = f"{change.environment.overlay}/{ROLLOUT}"
    follows, _ = next(iter(changes(change.repo, change.base, path, most=1)), ("", 0))
    _step(entry.steps[-1].record, old, change.rules, follows)


def _step(record: Mapping[str, Any], old: Rollout, rules: RolloutParams, follows: str) -> None:
    to = transition.next_step(old, rules.steps)
    wanted: dict[str, Any] = {"canary": old.canary and old.canary.digest, "stable": old.stable and old.stable.digest}
    wanted |= {"from": old.percent, "to": to, "follows": follows}
    if {key: record.get(key) for key in wanted} != wanted:
        raise PromotionRefused(f"The signed verdict is not about the step from {old.percent} % to {to} %.", BY_HAND)
    if record["verdict"].get("verdict") != "successful":
        raise PromotionRefused(
            f"The verdict of the step is {record['verdict'].get('verdict')!r}.", "Wait for a successful one."
        )


def _artifact(record: Mapping[str, Any], rules: RolloutParams, source: Source) -> None:
    """Fetch the artifact and digest it anew; the manifest covers what the digest leaves out (SavedModel)."""
    model = record["model"]
    digest = str(model["digest"])
    if rules.models_at and model["served_at"] != f"{rules.models_at.rstrip('/')}/{digest}":
        raise PromotionRefused(f"{model['served_at']} is not below {rules.models_at}.", BY_HAND)
    folder = source.folder_of(digest, str(model["served_at" if source.fetch else "uri"]))
    try:
        artifact = load_artifact(folder, digest)
    except FraudlineError as error:
        raise PromotionRefused(f"The artifact is not what the evidence says: {error.problem}", error.action) from error
    if sha256_file(folder / MANIFEST) != model["manifest_sha256"] or artifact.meta.data_md5 != record["data_md5"]:
        raise PromotionRefused("The artifact's manifest or data is not what the evidence says.", BY_HAND)
