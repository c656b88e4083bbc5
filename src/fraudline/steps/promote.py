"""Promotion: the blessed challenger as one commit on a branch, and as a pull request."""

from pathlib import Path
from typing import Any

from fraudline.core.documents import parse_yaml
from fraudline.core.errors import PromotionRefused, UsageError, without_passwords
from fraudline.core.files import local_path
from fraudline.core.log import get_logger
from fraudline.model.artifact import load_artifact
from fraudline.ops.gitops.cluster import apply
from fraudline.ops.gitops.evidence import Entry, Signed, check_promotion, promotion_record
from fraudline.ops.gitops.forge import open_forge
from fraudline.ops.gitops.params import Environment, RolloutParams
from fraudline.ops.gitops.proposal import PARAMETERS, Standing, promotion, standing, submit
from fraudline.ops.gitops.repository import Clone, address_of
from fraudline.ops.gitops.state import Model
from fraudline.ops.gitops.verify import check_standing, rules_at
from fraudline.ops.registry import CHALLENGER, CHAMPION, Registry
from fraudline.steps.params import Params

log = get_logger(__name__)


def with_address(params: Params, repo: Path) -> Params:
    """The parameters for a place without a repository, as a pod is: the forge's remote by its address.

    Args:
        params: ``rollout.forge.remote`` may be a name.
        repo: a repository that knows it.

    Raises:
        UsageError: it does not, and it is no address.
    """
    rules = params.rollout
    address = without_passwords(address_of(rules.forge.remote, repo))
    forge = rules.forge.model_copy(update={"remote": address})
    return params.model_copy(update={"rollout": rules.model_copy(update={"forge": forge})})


def promote(
    *,
    to: str,
    key: Path,
    params: Params,
    repo: Path,
    token: str = "",
    artifact: Path | None = None,
    again: int = 0,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Propose a blessed model for an environment; doing it twice, or again after a kill, proposes it once.

    Args:
        to: name of the environment.
        key: private key that signs the evidence.
        params: ``rollout`` has the rules, ``registry`` the challenger.
        repo: a repository that knows the remote; its files are not touched.
        token: of the forge.
        artifact: folder of a stored artifact, instead of the registry's challenger.
        again: how often this model was promoted and reverted before.
        dry_run: push and open nothing; give ``diff``, too.

    Returns:
        ``branch``, ``revision``, ``url``, ``title``, ``body``, ``digest``, ``percent``, ``state`` and ``pushed``.

    Raises:
        UsageError: there is no such environment, challenger or key.
        PromotionRefused: the model may not be promoted now.
        UnavailableError: registry, remote or forge does not answer.
    """
    rules = params.rollout
    environment = environment_of(rules, to)
    digest, uri, entry = _challenger(params) if artifact is None else _stored(artifact)
    with Clone.of(address_of(rules.forge.remote, repo), environment.branch, token, rules.forge.commits) as clone:
        held = standing(clone, environment)
        served_at = f"{rules.models_at.rstrip('/')}/{digest}" if rules.models_at else uri
        if Model(digest, served_at) in (held.rollout.stable, held.rollout.canary):
            return _served(held, digest)
        _not_before(clone, held, digest, again)
        record = promotion_record(entry, digest, uri, served_at, held.rollout)
        check_promotion(record, require_clean_code=rules.require_clean_code)
        proposal = promotion(held, Entry(Signed.make(record, key)), to, rules, again=again)
        done = submit(clone, proposal, None if dry_run else open_forge(rules.forge, token, clone))
        shown = {"diff": clone.diff(done.revision)} if dry_run else {}
    if again and done.request.state == "merged":
        raise PromotionRefused(
            f"--again {again} was used: {proposal.branch} was merged, and the model taken back since.",
            f"If it is meant, promote it with --again {again + 1}.",
        )
    first = held.rollout.stable is None
    return {
        "digest": digest,
        "branch": proposal.branch,
        "revision": done.revision,
        "state": done.request.state,
        "url": done.request.url,
        "title": done.title,
        "body": done.body,
        "percent": 100 if first else rules.steps[0],
        "pushed": done.pushed,
        **shown,
    }


def remote_params(remote: str, token: str = "") -> Params:
    """The parameters that a remote's branch main holds, with that remote as the place where proposals go.

    Raises:
        UsageError: they are not valid.
        UnavailableError: the remote does not answer.
    """
    with Clone.of(remote, "main", token) as clone:
        return params_in(clone)


def params_in(clone: Clone) -> Params:
    """The parameters that a clone's branch holds, with its remote as the place where proposals go.

    Raises:
        UsageError: they are not valid.
    """
    source = f"{PARAMETERS} of {clone.branch}"
    params = Params.parse(parse_yaml(clone.read(PARAMETERS), source, action="Correct it there.") or {}, source)
    forge = params.rollout.forge.model_copy(update={"remote": clone.url})
    return params.model_copy(update={"rollout": params.rollout.model_copy(update={"forge": forge})})


def apply_served(
    *, to: str, params: Params, repo: Path, token: str = "", context: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Make a cluster serve what the target branch says, for one that no GitOps controller looks after.

    Args:
        to: name of the environment.
        params: ``rollout`` names the remote.
        repo: a repository that knows the remote.
        token: of the forge.
        context: of kubectl's configuration.
        dry_run: let the server check it and change nothing.

    Returns:
        ``revision``, ``weights`` by digest, and ``applied``: kubectl's lines.

    Raises:
        PromotionRefused: a model is served without evidence of its own.
        UnavailableError: remote or cluster does not answer or refuses.
    """
    environment = environment_of(params.rollout, to)
    with Clone.of(address_of(params.rollout.forge.remote, repo), environment.branch, token) as clone:
        state = check_standing(clone.folder, clone.base, environment, rules_at(clone.folder, clone.base))
        clone.run("checkout", "-q", "--detach", clone.base)
        said = apply(clone.folder / environment.overlay, context=context, dry_run=dry_run)
        return {"revision": clone.base, "weights": state.weights(), "applied": said.splitlines()}


def environment_of(rules: RolloutParams, name: str) -> Environment:
    """The environment of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in rules.environments:
        raise UsageError(f"There is no environment {name}.", f"Use one of: {', '.join(sorted(rules.environments))}.")
    return rules.environments[name]


def _challenger(params: Params) -> tuple[str, str, Path]:
    registry = Registry(params.registry)
    model = registry.resolve(CHALLENGER)
    if model is None:
        first = registry.resolve(CHAMPION)
        if first is None or not first.bootstrap:
            raise UsageError("The registry has no challenger.", "Run the pipeline: it registers a blessed model.")
        model = first  # the first blessed model of an empty registry, which no commit has promoted yet
    return model.digest, model.uri, local_path(model.uri)


def _stored(artifact: Path) -> tuple[str, str, Path]:
    found = artifact.resolve()
    digest = load_artifact(found).digest
    if found.name != digest:
        raise UsageError(f"{artifact} is not in an artifact store.", "Name a folder that the package step stored.")
    return digest, found.as_uri(), found


def _not_before(clone: Clone, held: Standing, digest: str, again: int) -> None:
    """A model that was promoted and taken back needs somebody to say that it is meant again."""
    found = clone.run("log", "--format=%h", f"-S{digest}", f"origin/{clone.branch}", "--", held.evidence_path).split()
    if found and not again:
        raise PromotionRefused(
            f"The model {digest[:12]} was promoted in {found[-1]} and taken back in {found[0]}.",
            "If it is meant, promote it with --again 1 (2 the next time).",
        )


def _served(held: Standing, digest: str) -> dict[str, Any]:
    log.info("promote.served", digest=digest[:12])
    return {
        "digest": digest,
        "branch": "",
        "revision": held.revision,
        "state": "merged",
        "url": "",
        "title": f"Model {digest[:12]} is served already",
        "body": "",
        "percent": held.rollout.weights()[digest],
        "pushed": False,
    }
