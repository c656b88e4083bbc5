"""Every benchmark can be started: what its modules name exists."""

import importlib
import pkgutil

import pytest

import benchmarks

PEERS = {"benchmarks.streaming.quix", "benchmarks.streaming.spark", "benchmarks.training_pyod"}
"""They run in the environment of the peers."""
NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not module.name.endswith("__main__") and module.name not in PEERS
)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_imports(name: str) -> None:
    assert importlib.import_module(name).__doc__
