"""The forges' files: a real linter reads GitHub's, and every shell text of both is shell."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.binaries import need_go, program
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
