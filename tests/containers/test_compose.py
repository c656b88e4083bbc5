"""compose.yaml's core on a real engine: it comes up, splits by weight, decides everything, and goes away."""

import json
import math
import threading
import time
from collections import Counter

import httpx
import pytest

from fraudline.core.files import read_json
from fraudline.ops.local.weights import UPSTREAM_HEADER
from tests.containers import engine
from tests.support.artifacts import tiny_artifact

REQUESTS = 2_000


@pytest.fixture(scope="module")
def smoke(stack):
    return json.loads(stack.make("smoke").strip().splitlines()[-1])


def ask(client):
    answer = client.get("/v2/models/fraud")
    assert answer.status_code == 200, answer.text
    return answer.headers[UPSTREAM_HEADER], answer.json()["versions"][0]


def split(client, count):
    """Who answered, and that each predictor serves one model."""
    seen = Counter(ask(client) for _ in range(count))
    assert len({version for _, version in seen}) == len(seen)
    return Counter({name: number for (name, _), number in seen.items()})


def within_the_binomial_interval(found, share):
    # 4 standard deviations: a false alarm once in 16,000 runs
    return abs(found - share * REQUESTS) <= 4 * math.sqrt(REQUESTS * share * (1 - share))


def test_the_producers_transactions_are_decided_exactly_once_through_the_split(smoke):
    assert smoke["decisions"] == 500
    assert set(smoke["requests"]) == {"champion", "canary"}


def test_2000_requests_are_split_by_weight_and_a_switch_costs_no_error(stack, smoke):
    with httpx.Client(base_url=stack.endpoint) as client:
        assert within_the_binomial_interval(split(client, REQUESTS)["canary"], 0.10)
        failed, stop = [], threading.Event()
        traffic = threading.Thread(target=keep_asking, args=(stack.endpoint, stop, failed))
        traffic.start()
        try:
            stack.weights(champion=50, canary=50)
            time.sleep(0.5)
        finally:
            stop.set()
            traffic.join()
        assert failed == []
        assert within_the_binomial_interval(split(client, REQUESTS)["canary"], 0.50)
        stack.weights(champion=0, canary=100)
        assert split(client, 100) == {"canary": 100}


def keep_asking(endpoint, stop, failed):
    with httpx.Client(base_url=endpoint) as client:
        while not stop.is_set():
            try:
                answer = client.get("/v2/models/fraud")
                if answer.status_code != 200:
                    failed.append(answer.status_code)
            except httpx.HTTPError as error:
                failed.append(error)


def test_the_containers_run_the_image_that_was_built(stack):
    built = (engine.ROOT / "build" / "images" / "serving.digest").read_text()
    for name in ("champion", "canary", "worker"):
        found = engine.docker("ps", "-q", "--filter", f"name={stack.project}[-_]{name}").strip()
        assert json.loads(engine.docker("inspect", found))[0]["Image"] == built


def test_nothing_listens_beyond_loopback(stack):
    lines = engine.docker("ps", "--filter", f"name={stack.project}", "--format", "{{.Names}} {{.Ports}}").splitlines()
    published = [line for line in lines if "->" in line]
    assert published
    assert all("0.0.0.0:" not in line and ":::" not in line for line in published)


def test_our_containers_cannot_write_outside_what_is_declared(stack):
    for name in ("champion", "worker"):
        found = engine.docker("ps", "-q", "--filter", f"name={stack.project}[-_]{name}").strip()
        host = json.loads(engine.docker("inspect", found))[0]["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert set(host["Tmpfs"]) == {"/tmp"}  # noqa: S108 - a path in the container
        assert host["CapDrop"] == ["ALL"]


def test_up_again_serves_the_folders_of_now_and_keeps_the_topics(stack, smoke):
    tiny_artifact(stack.sources / "champion", seed=7)
    stack.make("up")
    with httpx.Client(base_url=stack.endpoint) as client:
        stack.weights(champion=100, canary=0)
        digest = read_json(stack.sources / "champion" / "manifest.json")["digest"]
        assert client.get("/v2/models/fraud").json()["versions"] == [digest[:12]]
        stack.weights(champion=90, canary=10)
    found = engine.docker("ps", "-q", "--filter", f"name={stack.project}[-_]worker").strip()
    assert "profiles.json" in engine.docker("exec", found, "ls", "/mnt/profiles")
    assert json.loads(stack.make("smoke").strip().splitlines()[-1])["decisions"] == smoke["decisions"]
