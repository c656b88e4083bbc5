"""The repository that the demo of a rollout and the simulated year work on."""

from pathlib import Path

import pytest

from fraudline.cli.demo.rollout import make_repository
from fraudline.ops.gitops.repository import Clone

SERVICE = Path(__file__).parents[4] / "kserve" / "inferenceservice.yaml"


def test_it_is_made_in_a_folder_of_the_current_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_repository(Path("build/year"), SERVICE, Path("build/key.pem"), {})
    with Clone.of("build/year/remote.git", "main") as clone:
        assert clone.read("kserve/inferenceservice.yaml") == SERVICE.read_text()
