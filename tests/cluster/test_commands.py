"""The commands themselves against a real API server: `fraudline promote`, `rollout step`, and `promotion apply`."""

import json
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli import rollout as rollout_cli
from fraudline.cli.main import cli
from fraudline.core.errors import PromotionRefused, UnavailableError
from fraudline.ops.local.scraper import LocalScraper
from tests.cluster.binaries import program
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import known
from tests.cluster.test_gitops import shares
from tests.support.gitops import EVIDENCE, OVERLAY, Forge, git
from tests.support.kustomize import ROOT, build
from tests.support.rollout import JUDGE, Case


@pytest.fixture
def forge(fresh: ControlPlane, tmp_path: Path) -> Forge:
    """A remote with all manifests of this repository, that no cluster follows yet."""
    fresh.apply((ROOT / "manifests" / "namespace" / "namespace.yaml").read_text())  # a dry run wants it to be there
    forge = Forge(tmp_path, rules={"judge": JUDGE, "models_at": "pvc://fraudline-models"})
    for name in ("kserve", "manifests"):
        shutil.copytree(ROOT / name, forge.work / name, dirs_exist_ok=True)
    forge.land("manifests")
    return forge


def run(forge: Forge, *arguments: str | Path) -> dict[str, Any]:
    """A command of the command line, in the repository of a person."""
    where = ["--repo", forge.work, "--params", forge.work / "params.yaml", "--json"]
    result = CliRunner().invoke(cli, [str(part) for part in (*arguments, *where)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def promote(forge: Forge, artifact: Path) -> dict[str, Any]:
    found = run(forge, "promote", "--artifact", artifact, "--key", forge.key)
    forge.merge(found["branch"])
    return found


def follow(forge: Forge, cluster: ControlPlane) -> dict[str, int]:
    """Once around the loop of a GitOps controller; the shares that the API server then has."""
    forge.pull()
    documents = yaml.safe_load_all(build(forge.work / OVERLAY))
    cluster.apply([document for document in documents if known(document)])
    return served(cluster)


def served(cluster: ControlPlane) -> dict[str, int]:
    service = cluster.get("inferenceservice", "fraud")
    assert service is not None
    return shares(service["spec"])


def test_promote_and_step_move_what_the_cluster_serves(
    forge: Forge, cluster: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = forge.model(1)
    second = forge.model(2, champion=first.name)
    promote(forge, first)
    assert follow(forge, cluster) == {first.name: 100}
    promote(forge, second)
    assert follow(forge, cluster) == {first.name: 90, second.name: 10}

    case = Case(forge, first, second)
    monkeypatch.setattr(rollout_cli, "now", lambda: datetime.fromtimestamp(case.now + 1, UTC))
    case.minutes(60)
    with LocalScraper({}, samples=case.samples) as scraper:
        step = run(forge, "rollout", "step", "--key", forge.key, "--prometheus", scraper.url)
    assert step["verdict"]["verdict"] == "successful"
    assert "```mermaid" in step["body"]
    forge.merge(step["branch"])
    assert follow(forge, cluster) == {first.name: 75, second.name: 25}

    git(forge.work, "revert", "--no-edit", "-m", "1", "HEAD")
    git(forge.work, "push", "-q", "origin", "HEAD:main")
    assert follow(forge, cluster) == {first.name: 90, second.name: 10}


def test_apply_serves_by_server_side_apply_what_has_evidence_and_refuses_what_has_none(
    forge: Forge, cluster: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lend_kubectl(cluster, tmp_path / "bin", monkeypatch)
    _define_the_rest(cluster, forge.work / OVERLAY)
    first = forge.model(1)
    second = forge.model(2, champion=first.name)
    promote(forge, first)
    dry = run(forge, "promotion", "apply", "--dry-run")
    assert cluster.get("inferenceservice", "fraud") is None, "a dry run changed the cluster"
    assert any("inferenceservice.serving.kserve.io/fraud" in line for line in dry["applied"])

    run(forge, "promotion", "apply")
    assert served(cluster) == {first.name: 100}
    promote(forge, second)
    run(forge, "promotion", "apply")
    assert served(cluster) == {first.name: 90, second.name: 10}

    git(forge.work, "revert", "--no-edit", "-m", "1", "HEAD")
    git(forge.work, "push", "-q", "origin", "HEAD:main")
    run(forge, "promotion", "apply")
    assert served(cluster) == {first.name: 100}, "the canary's field was ours, so a commit without it takes it away"

    (forge.work / EVIDENCE).unlink()
    forge.land("by hand")
    with pytest.raises(PromotionRefused):
        run(forge, "promotion", "apply")
    assert served(cluster) == {first.name: 100}


def test_what_another_controller_owns_is_not_taken_from_it_and_the_conflict_is_named(
    forge: Forge, cluster: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lend_kubectl(cluster, tmp_path / "bin", monkeypatch)
    _define_the_rest(cluster, forge.work / OVERLAY)
    first = forge.model(1)
    promote(forge, first)
    run(forge, "promotion", "apply")
    budget = cluster.get("poddisruptionbudget", "fraudline-worker")
    assert budget is not None
    theirs = {key: budget[key] for key in ("apiVersion", "kind")} | {
        "metadata": {key: budget["metadata"][key] for key in ("name", "namespace")},
        "spec": budget["spec"] | {"maxUnavailable": 3},
    }
    take = ("apply", "--server-side", "--force-conflicts", "--field-manager=another", "-f", "-")
    cluster.kubectl(*take, text=yaml.safe_dump(theirs))
    try:
        with pytest.raises(UnavailableError, match='conflict with "another"'):
            run(forge, "promotion", "apply")
    finally:
        cluster.kubectl("delete", "poddisruptionbudget", "fraudline-worker", "-n", "fraudline")


def _lend_kubectl(cluster: ControlPlane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl on the path that comes in as administrator."""
    folder.mkdir()
    (folder / "kubectl").symlink_to(program("kubectl"))
    cluster.kubeconfig.chmod(stat.S_IRUSR | stat.S_IWUSR)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def _define_the_rest(cluster: ControlPlane, overlay: Path) -> None:
    """Definitions without a schema of the kinds whose own cannot be had: `apply` takes an overlay as a whole."""
    missing = {(d["apiVersion"], d["kind"]) for d in yaml.safe_load_all(build(overlay)) if not known(d)}
    made = []
    for address, kind in sorted(missing):
        group, version = address.split("/")
        plural = f"{kind.lower()}s"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        made.append(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{group}"},
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                    "versions": [
                        {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                    ],
                },
            }
        )
    if made:
        cluster.apply(made)
        names = [f"crd/{each['metadata']['name']}" for each in made]
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=300s", *names)
