"""`fraudline artifact inspect` says what an artifact is, to people and to programs."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.features.spec import load_spec
from fraudline.features.table import TableColumn, TableSpec
from fraudline.model.artifact import load_artifact
from fraudline.serve.errors import RequestError
from fraudline.serve.payload import parse_instances
from tests.support.artifacts import tiny_artifact


@pytest.mark.parametrize("domain", ["cards", "a table"])
def test_an_artifact_names_its_inputs_with_units_its_data_its_seed_and_its_thresholds(
    domain: str, tmp_path: Path
) -> None:
    table = TableSpec(kind="table", name="pumps", columns=(TableColumn(name="heat", unit="kelvin"),))
    spec = load_spec() if domain == "cards" else table
    folder = tiny_artifact(tmp_path / "model", spec=spec, review=0.5, block=0.9)
    found = json.loads(CliRunner().invoke(cli, ["artifact", "inspect", str(folder), "--json"]).stdout)
    assert [each["name"] for each in found["inputs"]] == list(spec.names)
    assert found["inputs"][0]["unit"] == ("base currency" if domain == "cards" else "kelvin")
    assert (found["review"], found["block"], found["formats"]) == (0.5, 0.9, ["onnx"])
    meta = load_artifact(folder).meta
    assert (found["data_md5"], found["seed"]) == (meta.data_md5, meta.params["seed"])
    said = CliRunner().invoke(cli, ["artifact", "inspect", str(folder)]).stdout
    for each in found["inputs"]:
        assert f"  {each['name']:<28} {each['unit']}" in said
    for name in ("data_md5", "seed", "review", "formats"):
        assert f"{name:<14} " in said


def test_whoever_sends_an_unknown_feature_is_told_a_command_that_lists_those_there_are(tmp_path: Path) -> None:
    names = load_spec().names
    with pytest.raises(RequestError) as refused:
        parse_instances({"instances": [dict.fromkeys(names, 0.0) | {"colour": 1.0}]}, names)
    (command,) = re.findall("`fraudline (.*?)`", refused.value.action)
    listed = CliRunner().invoke(cli, [*command.split(), str(tiny_artifact(tmp_path / "model"))]).stdout
    assert [name for name in names if f"  {name} " not in listed] == []
