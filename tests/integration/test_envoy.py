"""A real Envoy between two small HTTP servers: the split, its change, and what it refuses."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from fraudline.core.errors import UsageError
from fraudline.ops.local.envoy import LocalEnvoy
from fraudline.ops.local.weights import UPSTREAM_HEADER

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    servers = [_server(name) for name in ("champion", "canary")]
    yield servers[0].server_address[1], servers[1].server_address[1]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def envoy(ports: tuple[int, int]) -> Iterator[LocalEnvoy]:
    with LocalEnvoy([("champion", ports[0], 90), ("canary", ports[1], 10)]) as running:
        yield running


def test_a_split_of_90_to_10_is_observed_within_the_binomial_interval(envoy: LocalEnvoy) -> None:
    n = 1000
    with httpx.Client(base_url=envoy.url) as client:
        seen = Counter(client.post("/", json={}).json()["name"] for _ in range(n))
    # 4 standard deviations: a false alarm once in 16,000 runs
    assert abs(seen["canary"] - 0.1 * n) <= 4 * math.sqrt(n * 0.1 * 0.9)
    assert seen.total() == n
    assert envoy.counts() == dict(seen)


def test_a_change_of_weights_is_taken_over_without_a_failed_request(envoy: LocalEnvoy) -> None:
    statuses: list[int] = []
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=envoy.url) as client:
            while not stop.is_set():
                statuses.append(client.post("/", json={}).status_code)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for canary in (25, 50, 75, 100):
            envoy.set_weights({"champion": 100 - canary, "canary": canary})
            time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}
    with httpx.Client(base_url=envoy.url) as client:
        assert {client.post("/", json={}).json()["name"] for _ in range(100)} == {"canary"}


def test_a_weight_of_zero_sends_nothing_and_the_answer_names_its_upstream(envoy: LocalEnvoy) -> None:
    envoy.set_weights({"champion": 1, "canary": 0})
    with httpx.Client(base_url=envoy.url) as client:
        answers = [client.post("/", json={}) for _ in range(50)]
    assert {answer.headers[UPSTREAM_HEADER] for answer in answers} == {"champion"}


def test_proxy_and_admin_interface_listen_on_loopback_only(envoy: LocalEnvoy) -> None:
    dump = json.loads(httpx.get(f"http://127.0.0.1:{envoy.admin_port}/listeners?format=json").text)
    addresses = {item["local_address"]["socket_address"]["address"] for item in dump["listener_statuses"]}
    assert addresses == {"127.0.0.1"}


def test_no_envoy_is_left_behind_after_the_block(ports: tuple[int, int]) -> None:
    with LocalEnvoy([("champion", ports[0], 1)]) as running:
        assert running.child.running
    assert not running.child.running


@pytest.mark.parametrize(
    "weights", [{"champion": 100}, {"champion": 1, "canary": -1}, {"champion": 0, "canary": 0}, {"champion": 1, "x": 1}]
)
def test_weights_that_are_no_split_are_refused_and_the_old_ones_stay(
    envoy: LocalEnvoy, weights: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match=r"weights|Weights"):
        envoy.set_weights(weights)
    assert envoy.weights == {"champion": 90, "canary": 10}


def _server(name: str) -> ThreadingHTTPServer:
    body = json.dumps({"name": name}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet: else Nagle's algorithm waits 40 ms for each

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
