"""What `make demo-rollout` shows: real predictors and Envoy, Prometheus where it is installed, a bare Git remote."""

from pathlib import Path

import pytest

from fraudline.cli.demo.rollout import staged, tell
from fraudline.ops.gitops.repository import git
from tests.support.artifacts import tiny_artifact

pytestmark = pytest.mark.integration
SERVICE = Path(__file__).parents[2] / "kserve" / "inferenceservice.yaml"


def test_a_good_canary_becomes_champion_and_a_bad_one_goes_back_and_the_commits_tell_it(tmp_path):
    said = []
    with staged(tiny_artifact(tmp_path / "model"), tmp_path / "demo", SERVICE) as stage:
        tell(stage, said.append)
        lines, weights, counts = stage.history(), stage.weights, stage.envoy.counts()
        good, bad = (stage.models[role].name[:12] for role in ("good", "bad"))
        state = stage.follow()
    assert state.weights() == {stage.models["good"].name: 100}
    shares = [(w["champion"], w["good"], w["bad"]) for w in weights]
    assert shares[:5] == [(100, 0, 0), (90, 10, 0), (75, 25, 0), (50, 50, 0), (0, 100, 0)]
    assert shares[5] == (0, 90, 10)
    assert shares[-1] == (0, 100, 0)
    assert 0 < counts["bad"] < counts["good"]
    assert f"Make model {good} the champion of production" in lines[-3]
    assert f"Revert the rollout of model {bad} in production" in lines[-1]
    log = git(stage.remote, "log", "--format=%b", "main")
    assert "**failed** at 10 %" in log
    assert "alerts" in log
    assert any(line.startswith("failed after") for line in said)
