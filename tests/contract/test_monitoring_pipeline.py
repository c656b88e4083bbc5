"""The monitoring pipeline: its golden file, and components that hand their steps everything that they were given."""

import importlib
import inspect
from types import SimpleNamespace

import pytest
import yaml

from fraudline.core.errors import DataError
from pipelines.monitoring import GOLDEN, compile_to


def test_the_compiled_file_is_not_stale(tmp_path):
    compile_to(tmp_path / "monitoring.yaml")
    assert (tmp_path / "monitoring.yaml").read_text() == GOLDEN.read_text(), "python -m pipelines.monitoring"


def test_no_task_is_answered_from_the_cache_or_runs_as_root():
    spec, platform = yaml.safe_load_all(GOLDEN.read_text())
    inner = next(c for name, c in spec["components"].items() if name.startswith("comp-exit-handler"))
    assert set(inner["dag"]["tasks"]) == {"drift", "skew"}
    assert not any(task["cachingOptions"].get("enableCache") for task in inner["dag"]["tasks"].values())
    for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        assert config["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("name", ["drift", "skew"])
def test_a_component_hands_its_step_everything_that_it_was_given(name, monkeypatch, tmp_path):
    module = importlib.import_module(f"fraudline.steps.{name}")
    wanted = set(inspect.signature(getattr(module, name)).parameters)
    seen = {}

    def stand_in(**arguments):
        seen.update(arguments)
        raise DataError("Seen enough.")

    monkeypatch.setattr(module, name, stand_in)
    component = getattr(importlib.import_module(f"components.{name}.component"), name)
    outputs = set(component.component_spec.outputs or {}) - {"Output"}
    given, handed = {}, {}
    for place, (parameter, about) in enumerate(inspect.signature(component.python_func).parameters.items()):
        if parameter in outputs:
            given[parameter], handed[parameter] = SimpleNamespace(path=str(tmp_path / parameter)), tmp_path / parameter
        else:  # each has a value that no other has
            given[parameter] = handed[parameter] = place if about.annotation is int else parameter
    with pytest.raises(SystemExit, match="3"):
        component.python_func(**given | {"params": {"seed": 11}})
    assert set(seen) == wanted
    assert seen.pop("params").seed == 11
    assert {key: str(value) for key, value in seen.items()} == {key: str(handed[key]) for key in seen}
