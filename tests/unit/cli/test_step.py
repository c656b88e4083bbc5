import inspect
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraudline.cli import step as module
from fraudline.cli.main import cli
from fraudline.steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_a_step_command_has_one_flag_for_each_parameter_of_its_function(name):
    command = module.command_of(name)
    flags = {parameter.name for parameter in command.params} - {"params_file", "as_json"}
    assert flags == set(inspect.signature(module.step_function(name)).parameters) - {"params"}


def test_a_step_runs_with_the_paths_and_parameters_given(monkeypatch, tmp_path):
    seen = {}

    def gate(*, evaluation: Path, model: Path | None = None, params: object) -> dict[str, object]:
        """Decide."""
        seen.update(evaluation=evaluation, model=model, seed=params.seed)
        return {"blessed": True, "margin": 0.25}

    monkeypatch.setattr(module, "step_function", lambda _: gate)
    parameters = tmp_path / "p.yaml"
    parameters.write_text("seed: 5\n")
    result = CliRunner().invoke(
        cli, ["step", "gate", "--evaluation", "e", "--params", str(parameters), "--json"], catch_exceptions=False
    )
    assert seen == {"evaluation": Path("e"), "model": None, "seed": 5}
    assert json.loads(result.stdout) == {"blessed": True, "margin": 0.25}


def test_a_missing_path_is_a_usage_error():
    result = CliRunner().invoke(cli, ["step", "gate"])
    assert result.exit_code == 2
    assert "--evaluation" in result.stderr


def test_an_unknown_step_is_a_usage_error():
    assert CliRunner().invoke(cli, ["step", "fly"]).exit_code == 2
