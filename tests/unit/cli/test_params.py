"""`fraudline params` says which settings hold, before a step or a worker does."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import UsageError
from fraudline.steps.params import Params


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "bank.yaml").write_text("seed: 7\nstream: {max_batch: 500, group: fraudline}\n")
    return tmp_path / "bank.yaml"


def said(*arguments: object) -> str:
    return CliRunner().invoke(cli, ["params", *map(str, arguments)], catch_exceptions=False).stdout


def test_what_a_file_leaves_out_is_printed_with_its_default_and_reads_back_as_the_same(file: Path) -> None:
    for printed in (yaml.safe_load(said("--params", file)), json.loads(said("--params", file, "--json"))):
        assert (printed["seed"], printed["stream"]["max_batch"]) == (7, 500)
        assert printed["label_delay_days"] == Params().label_delay_days
        assert Params.parse(printed, "printed") == Params.load(file)


def test_only_what_differs_from_the_defaults_is_printed_where_that_is_asked_for(file: Path) -> None:
    assert yaml.safe_load(said("--params", file, "--changed")) == {"seed": 7, "stream": {"max_batch": 500}}


def test_the_environments_address_of_mlflow_is_shown_without_its_password(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:hush@mlflow.example")
    for form in ((), ("--json",)):
        printed = said("--params", file, *form)
        assert "mlflow.example" in printed
        assert "hush" not in printed


def test_a_setting_that_there_is_not_is_named(file: Path) -> None:
    file.write_text("stream: {max_bach: 500}\n")
    with pytest.raises(UsageError, match=r"stream\.max_bach: there is no such setting \(perhaps max_batch\)"):
        said("--params", file)
