"""Promotion by commits: what a GitOps loop applies, commit after commit, moves the spec exactly as the steps say."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraudline.ops.gitops.params import RolloutParams
from fraudline.ops.gitops.state import ROLLOUT, Model, Rollout, render
from fraudline.ops.gitops.transition import advanced, promoted, reverted
from tests.cluster.control_plane import ControlPlane, eventually
from tests.cluster.definitions import known
from tests.support.kustomize import MANIFESTS, ROOT, build

OVERLAY = Path("manifests/overlays/standard")
STEPS = RolloutParams().steps
OLD, NEW = (Model(letter * 64, f"pvc://fraudline-models/{letter * 64}") for letter in "ab")


class Repository:
    """A remote with the manifests, whose target branch moves by commits of ``rollout.yaml``, and what follows it."""

    def __init__(self, folder: Path, cluster: ControlPlane) -> None:
        self._work, self._clone, self._cluster = folder / "work", folder / "clone", cluster
        for name in ("kserve", "manifests"):
            shutil.copytree(ROOT / name, self._work / name)
        self._git("init", "-q", "-b", "main")
        self.commit(Rollout(OLD))

    def commit(self, state: Rollout) -> None:
        """The text of a state, as a promotion and each step commit it."""
        path = self._work / OVERLAY / ROLLOUT
        service = (self._work / "kserve" / "inferenceservice.yaml").read_text()
        path.write_text(render(state, service, path.read_text()))
        self._git("add", "-A")
        self._git("commit", "-q", "-m", f"state {state.percent}")

    def revert(self) -> None:
        """The rollback: a revert of the newest commit."""
        self._git("revert", "--no-edit", "HEAD")

    def follow(self) -> dict[str, Any]:
        """Clone, build, apply: once around the loop. Gives the spec that the API server then has."""
        shutil.rmtree(self._clone, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", str(self._work), str(self._clone)], check=True)
        documents = yaml.safe_load_all(build(self._clone / OVERLAY))
        self._cluster.apply([document for document in documents if known(document)])
        service = self._cluster.get("inferenceservice", "fraud")
        assert service is not None
        spec: dict[str, Any] = service["spec"]
        return spec

    def _git(self, *arguments: str) -> None:
        who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
        subprocess.run(["git", "-C", str(self._work), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(fresh: ControlPlane, tmp_path: Path) -> Repository:
    return Repository(tmp_path, fresh)


def shares(spec: dict[str, Any]) -> dict[str, int]:
    """Share of the traffic by the digest that a predictor is told to expect."""
    canaries = {digest(entry["predictor"]): entry["trafficPercent"] for entry in spec.get("canary", [])}
    return {digest(spec["predictor"]): 100 - sum(canaries.values()), **canaries}


def digest(predictor: dict[str, Any]) -> str:
    (argument,) = [a for a in predictor["model"]["args"] if a.startswith("--expected_digest=")]
    found = argument.partition("=")[2]
    assert predictor["model"]["storageUri"].endswith(found)
    return str(found)


def deployed(cluster: ControlPlane, model: Model) -> dict[str, Any] | None:
    return cluster.get("deployment", f"fraud-{model.predictor}-predictor")


def test_each_commit_moves_the_spec_one_step_and_the_last_keeps_the_canarys_pods(
    cluster: ControlPlane, repository: Repository
) -> None:
    assert shares(repository.follow()) == {OLD.digest: 100}
    state = promoted(Rollout(OLD), NEW, STEPS)
    for percent in STEPS:
        repository.commit(state)
        assert shares(repository.follow()) == {OLD.digest: 100 - percent, NEW.digest: percent}
        state = advanced(state, STEPS)
    before = eventually(lambda: deployed(cluster, NEW))

    repository.commit(state)
    assert shares(repository.follow()) == {NEW.digest: 100}
    eventually(lambda: deployed(cluster, OLD) is None)
    eventually(lambda: cluster.get("hpa", f"fraud-{NEW.predictor}-predictor"))
    after = deployed(cluster, NEW)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["template"] == before["spec"]["template"], "its pods would restart"
    (container,) = cluster.get("statefulset", "fraudline-worker")["spec"]["template"]["spec"]["containers"]  # type: ignore[index]
    assert {"name": "FRAUDLINE_MODEL_DIGEST", "value": NEW.digest} in container["env"]


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_a_revert_of_any_step_restores_what_was_before(cluster: ControlPlane, repository: Repository, at: int) -> None:
    state = promoted(Rollout(OLD), NEW, STEPS)
    for _ in range(at):
        repository.commit(state)
        state = advanced(state, STEPS)
    before = repository.follow()
    repository.commit(state)
    assert repository.follow() != before
    repository.revert()
    assert repository.follow() == before
    if at == 0:
        eventually(lambda: deployed(cluster, NEW) is None)


def test_a_failed_verdict_takes_the_canary_away_and_leaves_the_stable_pods(
    cluster: ControlPlane, repository: Repository
) -> None:
    repository.follow()
    before = eventually(lambda: deployed(cluster, OLD))
    state = advanced(promoted(Rollout(OLD), NEW, STEPS), STEPS)
    repository.commit(state)
    repository.follow()
    eventually(lambda: deployed(cluster, NEW))
    repository.commit(reverted(state))
    assert shares(repository.follow()) == {OLD.digest: 100}
    eventually(lambda: deployed(cluster, NEW) is None)
    after = deployed(cluster, OLD)
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_the_overlay_in_this_repository_has_the_text_of_its_state() -> None:
    from fraudline.ops.gitops.state import parse

    text = (MANIFESTS / "overlays" / "standard" / ROLLOUT).read_text()
    service = (ROOT / "kserve" / "inferenceservice.yaml").read_text()
    assert render(parse(text), service, text) == text
