"""Settings that hold for every test."""

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

import fraudline  # noqa: F401 - before NumPy, whose kernels it names

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

settings.register_profile("unhurried", settings.default, deadline=None)  # a busy machine fails no property
settings.load_profile("unhurried")

pytest_plugins = ["tests.support.broker", "tests.support.decided", "tests.support.figures", "tests.support.served"]


@pytest.fixture(autouse=True)
def events_as_before() -> Iterator[None]:
    """A command sets which events are written, for its whole process; the next test hears what it heard before."""
    before, configured = structlog.get_config(), structlog.is_configured()
    yield
    structlog.configure(**before) if configured else structlog.reset_defaults()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.parent.name not in {"integration", "reliability", "security"})
