"""The Katib experiment is the search space of this release, and every trial runs the pipeline's own image."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from components.image import IMAGE
from fraudline.cli.main import cli
from fraudline.model.search import load_space

GOLDEN = Path(__file__).parents[2] / "manifests" / "katib" / "experiment.yaml"


@pytest.fixture(scope="module")
def spec():
    return yaml.safe_load(GOLDEN.read_text())["spec"]


def pod(spec):
    return spec["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]


def test_the_golden_file_is_what_the_command_prints():
    printed = CliRunner().invoke(cli, ["tune", "--katib"], catch_exceptions=False).stdout
    assert printed == GOLDEN.read_text(), "write it again: fraudline tune --katib > manifests/katib/experiment.yaml"


def test_each_parameter_reaches_the_trial_under_its_name_in_the_parameters(spec):
    names = {entry["reference"]: entry["name"] for entry in spec["trialTemplate"]["trialParameters"]}
    assert set(names) == {entry["name"] for entry in spec["parameters"]}
    command = pod(spec)["containers"][0]["command"]
    settings = dict(re.fullmatch(r"--set=(.+)=\$\{trialParameters\.(\w+)\}", part).groups() for part in command[3:])
    assert list(settings) == [entry.name for entry in load_space().parameters]
    assert set(settings.values()) == set(names.values())


def test_ranges_and_choices_are_those_of_the_search_space(spec):
    found = {entry["name"]: entry for entry in spec["parameters"]}
    for entry in load_space().parameters:
        made = found[re.sub(r"[._]", "-", entry.name)]
        feasible = made["feasibleSpace"]
        if entry.kind == "choice":
            assert made["parameterType"] == "categorical"
            assert [yaml.safe_load(text) for text in feasible["list"]] == list(entry.values)
        else:
            assert (float(feasible["min"]), float(feasible["max"])) == (entry.low, entry.high)
            assert (feasible.get("distribution") == "logUniform") == entry.log


def test_a_value_stays_whole_when_it_is_put_into_the_template(spec):
    """Katib replaces the placeholder inside JSON text: a quote in a value would break it."""
    for entry in spec["parameters"]:
        for text in entry["feasibleSpace"].get("list", []):
            assert isinstance(text, str)
            assert not set(text) & set('"\\{}$')


def test_the_trial_prints_the_objective_that_the_collector_reads(spec):
    assert spec["objective"]["objectiveMetricName"] == "validation_ap"
    assert spec["metricsCollectorSpec"]["collector"]["kind"] == "StdOut"
    assert spec["trialTemplate"]["primaryContainerName"] == pod(spec)["containers"][0]["name"]


def test_every_container_is_the_pipeline_image_with_limits_and_no_privileges(spec):
    for container in [*pod(spec)["initContainers"], *pod(spec)["containers"]]:
        assert IMAGE.endswith(container["image"])  # the components' may have the address of a registry before it
        assert container["command"][0] == "fraudline"
        assert set(container["resources"]) == {"requests", "limits"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_no_proxy_of_a_mesh_keeps_a_trial_from_ending(spec):
    template = spec["trialTemplate"]["trialSpec"]["spec"]["template"]
    assert template["metadata"]["labels"] == {"sidecar.istio.io/inject": "false"}
