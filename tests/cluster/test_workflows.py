"""The forges' files: a real linter reads GitHub's, and every shell text of both is shell."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.binaries import need_go, program
from tests.support.gitops import git
from tests.support.kustomize import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
RESERVED = {"workflow", "variables"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_nothing_that_actionlint_minds(path: Path) -> None:
    need_go()
    done = subprocess.run([program("actionlint"), path], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_would_say_so(tmp_path: Path) -> None:
    need_go()
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("${{ github.ref }}", "${{ github.nothing.there }}"))
    assert subprocess.run([program("actionlint"), broken], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("job", sorted(set(GITLAB) - RESERVED))
def test_gitlabs_scripts_are_shell(job: str) -> None:
    steps: dict[str, Any] = GITLAB[job]
    assert steps["image"]
    for line in [*steps["script"], *steps.get("after_script", [])]:
        subprocess.run(["bash", "-n"], input=line, text=True, check=True)


@pytest.mark.parametrize("name", ["FORGE_TOKEN", "FRAUDLINE_FORGE_TOKEN"])
def test_the_job_of_gitlab_that_runs_a_merge_requests_code_refuses_to_see_a_token(name: str) -> None:
    check = next(line for line in GITLAB["pipeline"]["script"] if "FORGE_TOKEN" in line)
    for token, code in (("glpat-x", 1), ("", 0)):
        environment = {"PATH": os.environ["PATH"], name: token}
        done = subprocess.run(["bash", "-c", check], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == code
        assert ("Mark its variable as protected" in done.stderr) is bool(code)
    assert "TOKEN" not in str({key: value for key, value in GITLAB["pipeline"].items() if key != "script"})


def test_gitlab_shows_what_the_cluster_would_get_of_the_proposal_alone(tmp_path: Path) -> None:
    need_go()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(program("kubectl"))
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    overlay = clone / "manifests" / "overlays" / "standard"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("resources: [map.yaml]\n")
    found = []
    for share in ("10", "25"):
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: split}}\ndata: {{canary: '{share}'}}\n"
        (overlay / "map.yaml").write_text(text)
        git(clone, "add", ".")
        git(clone, "commit", "-q", "-m", share)
        if share == "10":
            git(clone, "push", "-q", "origin", "HEAD:main")
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "BASE": "origin/main",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_COMMIT_SHA": git(clone, "rev-parse", "HEAD"),
        }
        script = "set -eo pipefail\n" + "\n".join(GITLAB["rendered"]["script"])
        subprocess.run(["bash", "-c", script], env=environment, cwd=clone, check=True)
        lines = (clone / "rendered.diff").read_text().splitlines()
        found.append([line for line in lines if line[1:].startswith("  canary")])
        (clone / "rendered.diff").unlink()
    assert found == [[], ['-  canary: "10"', '+  canary: "25"']]
