"""The compiled pipeline beside its source is what the source compiles to, and says what a cluster needs."""

import pytest
import yaml

from pipelines.training import GOLDEN, compile_to


@pytest.fixture(scope="module")
def spec():
    return next(yaml.safe_load_all(GOLDEN.read_text()))


def executors(spec):
    return spec["deploymentSpec"]["executors"]


def tasks(spec):
    inner = next(c for name, c in spec["components"].items() if name.startswith("comp-exit-handler"))
    return inner["dag"]["tasks"]


def test_the_compiled_file_is_not_stale(tmp_path):
    compile_to(tmp_path / "training.yaml")
    fresh = (tmp_path / "training.yaml").read_text()
    assert fresh == GOLDEN.read_text(), "compile it again: python -m pipelines.training"


def test_every_task_asks_for_cpu_and_memory_and_has_a_limit(spec):
    for name, executor in executors(spec).items():
        resources = executor["container"]["resources"]
        for need in ("Cpu", "Memory"):
            assert resources[f"resource{need}Limit"], name
            assert resources[f"resource{need}Request"], name


def test_side_effects_are_never_cached_and_the_flaky_ones_are_tried_again(spec):
    for name, task in tasks(spec).items():
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        assert cached == (name not in {"fetch", "package", "register"}), name
        assert ("retryPolicy" in task) == (name in {"fetch", "register"}), name


def test_the_md5_of_the_data_is_in_the_cache_key_of_every_cached_task(spec):
    for name, task in tasks(spec).items():
        if name != "fetch":
            source = task["inputs"]["parameters"]["data_md5"]["taskOutputParameter"]
            assert source["producerTask"] == "fetch", name


def test_nothing_after_the_gate_starts_before_it(spec):
    needs = {name: set(task.get("dependentTasks", [])) for name, task in tasks(spec).items()}
    assert "gate" in needs["infra-validate"]
    assert {"gate", "infra-validate"} <= needs["package"]
    assert "package" in needs["register"]
    assert "validate" in needs["featurize"]


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


def test_no_registry_host_is_named(spec):
    for executor in executors(spec).values():
        assert "." not in executor["container"]["image"].split("/")[0]
