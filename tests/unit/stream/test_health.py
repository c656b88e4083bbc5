import json
from collections.abc import Iterator
from contextlib import closing
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from fraudline.core.errors import UsageError
from fraudline.ops.local.process import free_port
from fraudline.stream.health import HealthServer, Readiness


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def port(readiness: Readiness) -> Iterator[int]:
    registry = CollectorRegistry()
    Counter("fraudline_things", "Things.", registry=registry).inc(3)
    port = free_port()
    with closing(HealthServer(registry, readiness, "127.0.0.1", port)):
        yield port


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_is_ready_when_no_part_of_it_waits(port: int, readiness: Readiness) -> None:
    assert ask(port, "/readyz")[0] == 200
    readiness.waits("endpoint", "status 503")
    readiness.waits("broker", "gone")
    readiness.goes_on("broker")
    status, body = ask(port, "/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "waiting": {"endpoint": "status 503"}})
    assert ask(port, "/livez")[0] == 200, "a worker that waits is alive"
    readiness.goes_on("endpoint")
    assert ask(port, "/readyz")[0] == 200


def test_metrics_are_there_and_nothing_else(port: int) -> None:
    assert "fraudline_things_total 3.0" in ask(port, "/metrics")[1]
    assert ask(port, "/etc/passwd")[0] == 404


def test_a_port_that_is_taken_is_wrong_usage(port: int, readiness: Readiness) -> None:
    with pytest.raises(UsageError, match=f"cannot bind 127.0.0.1:{port}"):
        HealthServer(CollectorRegistry(), readiness, "127.0.0.1", port)
