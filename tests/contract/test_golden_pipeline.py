"""The compiled pipeline beside its source is what the source compiles to, and says what a cluster needs."""

import base64
import hashlib
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from components.image import IMAGE
from pipelines import monitoring, rollout
from pipelines.training import GOLDEN, MANIFEST, compile_to, manifest_to

ROOT = Path(__file__).parents[2]
VERDICTS = {"accept", "accept-2"}


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all(GOLDEN.read_text()))


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


@pytest.fixture(scope="module")
def platform(documents):
    """Executor label to its settings for Kubernetes."""
    return documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def executors(spec):
    return spec["deploymentSpec"]["executors"]


def tasks(spec):
    inner = next(c for name, c in spec["components"].items() if name.startswith("comp-exit-handler"))
    return {name: task for name, task in inner["dag"]["tasks"].items() if not name.startswith("condition")}


def test_the_compiled_file_is_not_stale(tmp_path):
    compile_to(tmp_path / "training.yaml")
    fresh = (tmp_path / "training.yaml").read_text()
    assert fresh == GOLDEN.read_text(), "compile it again: python -m pipelines.training"


def test_the_resources_are_not_stale_and_hold_the_same_pipeline(tmp_path, spec):
    manifest_to(tmp_path / "resources.yaml")
    assert (tmp_path / "resources.yaml").read_text() == MANIFEST.read_text(), "python -m pipelines.training"
    pipeline, version = yaml.safe_load_all(MANIFEST.read_text())
    assert {pipeline["apiVersion"], version["apiVersion"]} == {"pipelines.kubeflow.org/v2beta1"}
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
    assert version["spec"]["pipelineSpec"] == spec
    digest = hashlib.sha256(GOLDEN.read_bytes()).hexdigest()
    assert version["metadata"]["name"].endswith(f"-{digest[:12]}"), "a server takes no change of a version"


def test_the_file_passes_against_the_specification_of_pipelines_without_an_unknown_field(spec, platform):
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
    from kfp.pipeline_spec import pipeline_spec_pb2

    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    assert parsed.pipeline_info.name == "fraudline-training"
    for config in platform["exec-fetch"], platform["exec-package"]:
        json_format.ParseDict(config, kubernetes.KubernetesExecutorConfig(), ignore_unknown_fields=False)


def test_no_task_may_run_as_root(spec, platform):
    assert set(platform) == set(executors(spec))
    for label, config in platform.items():
        context = config["securityContext"]
        assert (context["runAsNonRoot"], int(context["runAsUser"])) == (True, 1000), label


def test_no_task_hangs_for_ever_and_with_it_the_schedule_that_runs_one_at_a_time(platform):
    others = (
        config
        for module in (monitoring, rollout)
        for config in list(yaml.safe_load_all(module.GOLDEN.read_text()))[1]["platforms"]["kubernetes"][
            "deploymentSpec"
        ]["executors"].values()
    )
    for config in (*platform.values(), *others):
        assert 0 < int(config["activeDeadlineSeconds"]) <= 24 * 3600


def test_a_run_that_is_started_in_the_interface_keeps_its_model_on_the_volume(spec, platform):
    store = spec["root"]["inputDefinitions"]["parameters"]["store"]["defaultValue"]
    (mounted,) = (mount["mountPath"] for mount in platform["exec-package"]["pvcMount"])
    assert store == mounted


def secrets(config):
    """What a task sees of secrets: the secret's name to the variables. Every secret must be optional."""
    found = config["secretAsEnv"]
    assert all(each["optional"] is True for each in found)
    return {each["secretName"]: {k["envVar"] for k in each["keyToEnv"]} for each in found}


def test_each_step_sees_the_secrets_that_it_needs_and_no_other(platform):
    services = {
        "fraudline-services": {
            "MLFLOW_TRACKING_USERNAME",
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_TOKEN",
            "REQUESTS_CA_BUNDLE",
            "FRAUDLINE_PUSHGATEWAY",
        }
    }
    data = secrets(platform["exec-fetch"]).pop("fraudline-data")
    assert data >= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GIT_CONFIG_COUNT", "GIT_CONFIG_VALUE_0"}
    assert "AWS_MAX_ATTEMPTS" in data, "the error of a store that hangs says to set it"
    assert "AWS_SESSION_TOKEN" in data, "credentials that end come with one, and are refused without"
    more = {
        "exec-fetch": {"fraudline-data": data},
        "exec-validate": {"fraudline-data": data},  # validation.previous is fetched there
        "exec-promote": {"fraudline-promotion": {"FRAUDLINE_FORGE_TOKEN"}},
    }
    for label, config in platform.items():
        assert secrets(config) == services | more.get(label, {}), label


def test_the_page_of_a_cluster_installs_a_server_that_knows_every_setting_of_the_compiled_file():
    """A server older than the compiler refuses the file for the first setting that it does not know."""
    page = (ROOT / "docs/how-to/kind.md").read_text()
    (server,) = re.findall(r"PIPELINE_VERSION=(\S+)", page)
    assert server.split(".")[:2] == metadata.version("kfp-kubernetes").split(".")[:2]


def test_the_pages_way_to_a_private_repository_keeps_a_long_token_in_one_line():
    """Git sends a header up to its first end of a line, and `base64` wraps what a long token makes."""
    page = (ROOT / "docs/how-to/kubeflow.md").read_text()
    (value,) = re.findall(r"GIT_CONFIG_VALUE_0=(\"Authorization: Basic .*\")", page)
    token = "a" * 93
    said = subprocess.run(
        ["bash", "-c", f"printf %s {value.replace('TOKEN', token)}"], capture_output=True, text=True, check=True
    ).stdout
    assert said == f"Authorization: Basic {base64.b64encode(f'user:{token}'.encode()).decode()}"


def test_the_cost_of_every_step_is_summed_at_the_end(spec):
    summed = tasks(spec)["report-cost"]
    sources = {a["taskOutputArtifact"]["producerTask"] for a in summed["inputs"]["artifacts"].values()}
    assert sources == set(tasks(spec)) - {"report-cost", *VERDICTS}


def test_every_task_asks_for_cpu_and_memory_and_has_a_limit(spec):
    for name, executor in executors(spec).items():
        resources = executor["container"]["resources"]
        for need in ("Cpu", "Memory"):
            assert resources[f"resource{need}Limit"], name
            assert resources[f"resource{need}Request"], name


def test_side_effects_are_never_cached_and_the_flaky_ones_are_tried_again(spec):
    for name, task in tasks(spec).items():
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        assert cached == (name not in {"fetch", "package", "register", "report-cost"}), name
        assert ("retryPolicy" in task) == (name in {"fetch", "register", "report-cost"}), name


@pytest.mark.parametrize("pipeline", [GOLDEN, monitoring.GOLDEN], ids=lambda path: path.stem)
def test_the_end_of_a_run_is_told_to_mlflow_again_where_it_was_away(pipeline):
    spec = next(yaml.safe_load_all(pipeline.read_text()))
    assert spec["root"]["dag"]["tasks"]["report-status"]["retryPolicy"]["maxRetryCount"] == 2


def test_the_md5_of_the_data_is_in_the_cache_key_of_every_cached_task(spec):
    for name, task in tasks(spec).items():
        if name not in {"fetch", "report-cost", *VERDICTS}:
            source = task["inputs"]["parameters"]["data_md5"]["taskOutputParameter"]
            assert source["producerTask"] == "fetch", name


def test_nothing_after_the_gate_starts_before_it(spec):
    needs = {name: set(task.get("dependentTasks", [])) for name, task in tasks(spec).items()}
    assert "accept-2" in needs["infra-validate"]
    assert {"gate", "infra-validate"} <= needs["package"]
    assert "package" in needs["register"]
    assert "accept" in needs["featurize"]


@pytest.mark.parametrize(
    ("name", "step", "shown"), [("accept", "validate", "data accepted"), ("accept-2", "gate", "model blessed")]
)
def test_a_refusal_is_a_task_of_its_own_because_kubeflow_keeps_no_page_of_one_that_fails(spec, name, step, shown):
    task = tasks(spec)[name]
    assert task["inputs"]["parameters"]["refusal"]["taskOutputParameter"]["producerTask"] == step
    assert task["taskInfo"]["name"] == shown


def test_a_promotion_is_proposed_after_the_registration_and_only_where_it_is_asked_for(spec):
    inner = next(c for name, c in spec["components"].items() if name.startswith("comp-exit-handler"))
    (condition,) = (task for name, task in inner["dag"]["tasks"].items() if name.startswith("condition"))
    assert condition["triggerPolicy"]["condition"].endswith("promote_to'] != ''")
    assert spec["root"]["inputDefinitions"]["parameters"]["promote_to"]["defaultValue"] == ""
    assert "register" in condition["dependentTasks"]
    promotion = next(c for name, c in spec["components"].items() if name.startswith("comp-condition"))
    (task,) = promotion["dag"]["tasks"].values()
    assert not task.get("cachingOptions", {}).get("enableCache", False)


def test_the_rollout_pipeline_is_not_stale_and_takes_one_uncached_look(tmp_path):
    rollout.compile_to(tmp_path / "rollout.yaml")
    assert (tmp_path / "rollout.yaml").read_text() == rollout.GOLDEN.read_text(), "python -m pipelines.rollout"
    compiled = next(yaml.safe_load_all(rollout.GOLDEN.read_text()))
    (task,) = compiled["root"]["dag"]["tasks"].values()
    assert not task.get("cachingOptions", {}).get("enableCache", False)


def test_the_end_of_a_run_is_reported_whatever_happened(spec):
    report = spec["root"]["dag"]["tasks"]["report-status"]
    assert report["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_pages_and_curves_have_the_types_that_the_interface_renders(spec):
    found = {
        (name.removeprefix("comp-"), output["artifactType"]["schemaTitle"])
        for name, component in spec["components"].items()
        for output in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    }
    assert {
        ("validate", "system.HTML"),
        ("evaluate", "system.HTML"),
        ("evaluate", "system.ClassificationMetrics"),
        ("evaluate", "system.Metrics"),
        ("train", "system.Model"),
        ("gate", "system.Markdown"),
        ("package", "system.HTML"),
    } <= found


def test_every_task_runs_in_the_one_image(spec):
    assert {executor["container"]["image"] for executor in executors(spec).values()} == {IMAGE}
