"""The forges' workflows: what runs is pinned, what is checked is what it is said of, no right is there for nothing."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gitops import ROOT, git

WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
STEPS = [(name, step) for name, flow in WORKFLOWS.items() for job in flow["jobs"].values() for step in job["steps"]]
USED = [(name, step) for name, step in STEPS if "uses" in step]


@pytest.mark.parametrize(("name", "step"), USED, ids=[f"{name}-{step['uses']:.24}" for name, step in USED])
def test_an_action_is_named_by_its_commit_which_nobody_can_move(name: str, step: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_no_checkout_leaves_the_token_where_what_is_built_can_read_it() -> None:
    checkouts = [step for _, step in USED if step["uses"].startswith("actions/checkout@")]
    assert len(checkouts) >= len(WORKFLOWS)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_python_that_the_package_claims_is_tried() -> None:
    claimed = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    jobs = WORKFLOWS["ci"]["jobs"]
    alone = [step["with"]["python-version"] for step in jobs["ci"]["steps"] if "setup-python" in step.get("uses", "")]
    assert sorted([*alone, *jobs["pythons"]["strategy"]["matrix"]["python"]]) == sorted(claimed)


def test_no_job_that_runs_a_proposal_may_write() -> None:
    rights = [
        set(job.get("permissions", flow["permissions"]).values())
        for flow in WORKFLOWS.values()
        for job in flow["jobs"].values()
        if any("make" in step.get("run", "") or ".ci/" in step.get("run", "") for step in job["steps"])
    ]
    assert rights
    assert all(each == {"read"} for each in rights)


def test_a_promotion_that_is_aimed_at_another_branch_is_checked_again() -> None:
    trigger = WORKFLOWS["promotion"][True]  # YAML 1.1 reads `on` so
    assert set(trigger["pull_request_target"]["types"]) >= {"opened", "synchronize", "reopened", "edited"}


@pytest.mark.parametrize("gone", [False, True])
def test_a_promotion_is_checked_at_the_revision_that_the_result_is_shown_on(tmp_path: Path, gone: bool) -> None:
    remote, work, clone = tmp_path / "remote.git", tmp_path / "work", tmp_path / "clone"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    git(tmp_path, "clone", "-q", str(remote), str(work))
    revisions = []
    for text in ("main", "shown", "later"):
        (work / "file").write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", text)
        revisions.append(git(work, "rev-parse", "HEAD"))
        if text == "main":
            git(work, "push", "-q", "origin", "HEAD:main")
        elif gone and text == "shown":
            git(work, "reset", "-q", "--hard", revisions[0])  # and "later" takes its place
    git(work, "push", "-q", "origin", "HEAD:refs/pull/7/head")
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    steps = WORKFLOWS["promotion"]["jobs"]["verify"]["steps"]
    (fetching,) = [step for step in steps if "refs/pull" in step.get("run", "")]
    event = {"number": "7", "head.sha": revisions[1]}
    asked = re.compile(r"\$\{\{ github\.event\.pull_request\.([\w.]+) \}\}")
    given = {name: event[asked.fullmatch(text)[1]] for name, text in fetching["env"].items()}
    done = subprocess.run(["bash", "-e", "-c", fetching["run"]], cwd=clone, env={**os.environ, **given}, check=False)
    assert (done.returncode != 0) is gone
    if not gone:
        assert git(clone, "rev-parse", "proposal") == revisions[1]


def test_gitlabs_runner_gets_a_shell_of_our_image_and_its_user_may_read_the_clone(tmp_path: Path) -> None:
    jobs = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
    ours = [job for job in jobs.values() if "$IMAGE" in str(job.get("image"))]
    assert ours
    repository = tmp_path / "builds"
    git(tmp_path, "init", "-q", str(repository))
    for job in ours:
        assert job["image"] == {"name": "$IMAGE", "entrypoint": [""]}
        asked = {key: str(value).replace("$CI_PROJECT_DIR", str(repository)) for key, value in job["variables"].items()}
        for given, refused in (({}, True), (asked, False)):
            environment = {"PATH": os.environ["PATH"], "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", **given}
            command = ["git", "-C", str(repository), "status"]
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            assert (done.returncode != 0) is refused
