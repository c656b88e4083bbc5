"""Both images, built once; compose's core, up for the length of a module."""

from collections.abc import Iterator

import pytest

from tests.containers import engine
from tests.support.needed import lacks


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip where there is no engine; in CI a missing engine is a failure."""
    if not engine.available():
        lacks("a container engine that answers", cure=".ci/containers starts one")


@pytest.fixture(scope="session")
def serving(_engine: None) -> str:
    """The image of predictor and worker."""
    engine.run("make", "-s", "image-serving", DOCKER=engine.DOCKER, timeout=1200)
    return engine.SERVING


@pytest.fixture(scope="session")
def pipeline(_engine: None) -> str:
    """The image of every step."""
    engine.run("make", "-s", "image-pipeline", DOCKER=engine.DOCKER, timeout=1200)
    return engine.PIPELINE


@pytest.fixture(scope="module")
def stack(serving: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[engine.Stack]:
    """Kafka, two predictors behind Envoy, the worker and a producer, as ``make up`` starts them."""
    folder = tmp_path_factory.mktemp("stack")
    engine.stand_in_for_kafka(folder)
    engine.stand_in_for_envoy(folder)
    stack = engine.Stack(folder)
    stack.lay_out()
    try:
        stack.make("up")
        yield stack
    finally:
        stack.make("down")
