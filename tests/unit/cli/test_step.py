import inspect
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraudline.cli import step as module
from fraudline.cli.main import cli
from fraudline.cli.step import command_of, described
from fraudline.steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_a_step_command_has_one_flag_for_each_parameter_of_its_function(name):
    command = module.command_of(name)
    flags = {parameter.name for parameter in command.params} - {"params_file", "as_json", "pushgateway", "textfiles"}
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


def test_a_step_asks_the_broker_that_the_environment_names(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(
        module, "step_function", lambda _: lambda *, params: seen.update(at=params.stream.bootstrap) or {}
    )
    monkeypatch.setenv("FRAUDLINE_BOOTSTRAP", "broker:9092")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(cli, ["step", "profiles"], catch_exceptions=False)
    assert seen == {"at": "broker:9092"}


@pytest.mark.parametrize("name", list(STEPS))
def test_the_help_of_a_step_says_what_each_flag_means(name):
    command = command_of(name)
    assert command.help
    assert "Args:" not in command.help
    assert all(option.help for option in command.params)


def test_a_meaning_of_two_lines_is_one_text():
    from fraudline.steps.fetch import fetch

    summary, meanings = described(fetch)
    assert summary.endswith("every byte verified.")
    assert list(meanings) == ["data_dvc", "dataset", "params", "repo", "revision", "md5"]


def test_a_missing_path_is_a_usage_error():
    result = CliRunner().invoke(cli, ["step", "gate"])
    assert result.exit_code == 2
    assert "--evaluation" in result.stderr


def test_an_unknown_step_is_a_usage_error():
    assert CliRunner().invoke(cli, ["step", "fly"]).exit_code == 2
