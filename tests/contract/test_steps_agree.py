"""A step exists once: its function, its dvc stage and its Kubeflow component take and give the same things."""

import importlib
import inspect
import json
import shlex
from functools import cache
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import get_args, get_type_hints
from unittest.mock import Mock

import pytest
import yaml

from fraudline.core.errors import UsageError
from fraudline.core.files import write_text
from fraudline.steps import STEPS
from fraudline.steps.params import Params

ROOT = Path(__file__).parents[2]
PIPELINE_STEPS = [name for name in STEPS if name != "profiles"]  # featurize calls it; alone it serves the worker
VIEWS = {"system.Metrics", "system.ClassificationMetrics", "system.HTML", "system.Markdown"}
CACHE_KEY = "data_md5"  # what Kubeflow's cache key lacks: the content of the data


@cache
def dvc():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


@cache
def function(step):
    return getattr(importlib.import_module(f"fraudline.steps.{step}"), step)


@cache
def component(step):
    made = getattr(importlib.import_module(f"components.{step}.component"), step)
    return made.component_spec


def signature(step):
    """Name to (is a path, is required) of every parameter but ``params``."""
    hints = get_type_hints(function(step))
    found = {}
    for name, parameter in inspect.signature(function(step)).parameters.items():
        hint = hints[name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        found[name] = (Path in kinds, parameter.default is inspect.Parameter.empty)
    del found["params"]
    return found


def flags(step):
    words = shlex.split(dvc()["stages"][step]["cmd"])
    assert words[:3] == ["fraudline", "step", step]
    rest = words[3:]
    assert all(word.startswith("--") for word in rest[::2])
    return {flag.removeprefix("--").replace("-", "_"): value for flag, value in zip(rest[::2], rest[1::2], strict=True)}


def outs(step):
    return [next(iter(out)) if isinstance(out, dict) else out for out in dvc()["stages"][step]["outs"]]


def test_every_step_has_a_stage_and_a_component_folder_in_order():
    assert list(dvc()["stages"]) == PIPELINE_STEPS
    folders = {path.parent.name for path in (ROOT / "components").glob("*/component.py")}
    assert folders == {*PIPELINE_STEPS, "promote", "accept", "drift", "skew", "report_cost", "report_status", "rollout"}


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_stage_passes_what_the_function_requires_and_nothing_else(step):
    known = signature(step)
    required = {name for name, (_, needed) in known.items() if needed}
    assert required <= set(flags(step)) <= set(known)


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_stage_declares_what_it_reads_and_writes(step):
    stage = dvc()["stages"][step]
    for name, value in flags(step).items():
        if value in ("artifacts", "data.dvc"):  # the store is shared by all models; data.dvc's data is the dependency
            continue
        assert (value in stage["deps"]) != (value in outs(step)), name
    assert f"${{src}}/steps/{step}.py" in stage["deps"]


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_component_has_the_artifacts_of_the_stage(step):
    spec, known, written = component(step), signature(step), outs(step)
    artifacts = {n for n, i in (spec.inputs or {}).items() if i.is_artifact_list or "system." in i.type}
    values = set(spec.inputs or {}) - artifacts
    made = {n for n, o in (spec.outputs or {}).items() if "system." in o.type and o.type.split("@")[0] not in VIEWS}
    stage = flags(step)
    assert made == {name for name, value in stage.items() if value in written}
    paths = {name for name, (is_path, needed) in known.items() if is_path and needed}
    assert artifacts | made | (values & paths) == paths
    assert artifacts == {name for name, value in stage.items() if value.startswith("build/")} - made


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_component_takes_the_plain_parameters_of_the_function(step):
    values = {n for n, i in component(step).inputs.items() if "system." not in i.type}
    plain = {name for name, (is_path, _) in signature(step).items() if not is_path}
    extra = values - plain - {"params"}
    assert plain <= values
    assert extra <= {CACHE_KEY, *signature(step)}
    assert (CACHE_KEY in extra) == (step != "fetch")


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_component_hands_its_step_everything_that_it_was_given(step, monkeypatch, tmp_path):
    paths = {name: is_path for name, (is_path, _) in signature(step).items()}  # before the function is replaced
    seen = {}

    def stand_in(**arguments):
        seen.update(arguments)
        raise UsageError("Seen enough.")

    monkeypatch.setattr(importlib.import_module(f"fraudline.steps.{step}"), step, stand_in)
    made = getattr(importlib.import_module(f"components.{step}.component"), step)
    values = {n for n, i in component(step).inputs.items() if "system." not in i.type}
    given = {
        name: name if name in values else SimpleNamespace(path=str(tmp_path / name), metadata={})
        for name in inspect.signature(made.python_func).parameters
    }
    with pytest.raises(SystemExit, match="2"):
        made.python_func(**given | {"params": {"seed": 11}})
    assert seen.pop("params").seed == 11
    shared = given.keys() & paths.keys()
    assert seen == {n: (Path(n) if n in values else tmp_path / n) if paths[n] else n for n in shared}


@pytest.mark.parametrize(
    ("step", "kept", "shown"),
    [("validate", "report/index.html", "data_docs"), ("gate", "blessing/blessing.md", "blessing_page")],
)
def test_a_component_that_refuses_gives_its_page_and_its_reason(step, kept, shown, monkeypatch, tmp_path):
    """A task that fails gives Kubeflow nothing: its reason is a result, by which the next task fails."""
    from fraudline.steps.component import REFUSALS

    def stand_in(**_):
        write_text(tmp_path / kept, "why not")
        raise REFUSALS[step]("Not good enough.")

    monkeypatch.setattr(importlib.import_module(f"fraudline.steps.{step}"), step, stand_in)
    made = getattr(importlib.import_module(f"components.{step}.component"), step)
    given = {
        name: "" if name == CACHE_KEY else {} if name == "params" else Mock(path=str(tmp_path / name), metadata={})
        for name in inspect.signature(made.python_func).parameters
    }
    refusal = json.loads(made.python_func(**given))
    assert (refusal["step"], refusal["problem"]) == (step, "Not good enough.")
    assert (tmp_path / shown).read_text() == "why not"


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_component_installs_nothing_and_runs_in_the_one_image(step):
    from components.image import IMAGE

    container = component(step).implementation.container
    assert container.image == IMAGE
    assert "pip install" not in " ".join([*container.command, *container.args])


def test_the_parameters_that_stages_depend_on_exist():
    file = yaml.safe_load((ROOT / "params.yaml").read_text())
    fields = {field.alias or name for name, field in Params.model_fields.items()}
    named = {key for stage in dvc()["stages"].values() for key in stage.get("params", [])}
    assert named <= fields
    assert named <= set(file), "dvc refuses a stage whose parameters are not in params.yaml"


def test_every_section_that_changes_a_result_is_a_dependency_of_a_stage():
    fields = {field.alias or name for name, field in Params.model_fields.items()}
    named = {key for stage in dvc()["stages"].values() for key in stage.get("params", [])}
    unused = {"cost", "data", "lineage", "monitor", "renew", "rollout", "stream"}  # prices, generator, ...
    assert fields - named <= unused, "no stage runs again when it changes"


def test_the_parameters_in_the_repository_are_valid():
    Params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("folder", ["components", "pipelines"])
def test_components_and_pipelines_import_kfp_and_the_steps_only(folder):
    import ast
    import sys

    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                allowed = name.split(".")[0] in {"kfp", "components", "pipelines", *sys.stdlib_module_names}
                assert allowed or name.startswith("fraudline.steps"), f"{path.name} imports {name}"


@pytest.mark.parametrize("step", ["package", "register"])
def test_dvc_never_answers_a_stage_that_changes_the_store_or_the_registry_from_its_cache(step):
    """After `make clean` the cache still has build/package, but the artifact that it names is gone."""
    (out,) = dvc()["stages"][step]["outs"]
    assert next(iter(out.values())) == {"cache": False, "persist": True, "push": False}


@pytest.mark.parametrize("step", PIPELINE_STEPS)
def test_a_stage_runs_again_when_a_step_that_it_calls_changes(step):
    import ast

    deps = dvc()["stages"][step]["deps"]
    tree = ast.parse((ROOT / "src" / "fraudline" / "steps" / f"{step}.py").read_text())
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    called = {name.removeprefix("fraudline.steps.") for name in modules if name.startswith("fraudline.steps.")}
    for other in called & set(STEPS):
        assert f"${{src}}/steps/{other}.py" in deps
