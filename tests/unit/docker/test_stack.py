"""What `make smoke` tells of the containers: it fails where a predictor does not answer or the split is another."""

import importlib.util
import itertools
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.local.process import free_port
from fraudline.ops.local.weights import UPSTREAM_HEADER, read_weights, write_weights
from tests.support.loopback import LoopbackServer

STACK = Path(__file__).parents[3] / "docker" / "stack.py"


class Envoy(LoopbackServer):
    """Gives one request in ten to the canary, or in as many as it is told; the canary's status is its own."""

    def __init__(self, canary_every=10, canary_status=200):
        asked = itertools.count(1)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                canary = next(asked) % canary_every == 0
                self.send_response(canary_status if canary else 200)
                self.send_header(UPSTREAM_HEADER, "canary" if canary else "champion")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(Handler)
        self.port = self.url.rpartition(":")[2]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """stack.py as a script in a folder with a `.env` of those lines."""

    def module(*lines):
        (tmp_path / ".env").write_text("".join(f"{line}\n" for line in lines))
        monkeypatch.chdir(tmp_path)
        spec = importlib.util.spec_from_file_location("stack", STACK)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        monkeypatch.setattr(found, "_decided", lambda: found.TRANSACTIONS)
        return found

    return module


@pytest.fixture
def smoke(load, tmp_path):
    """Run `smoke` at an Envoy whose weights are 90 and 10."""
    write_weights(tmp_path / "stack" / "envoy", {"champion": 90, "canary": 10})

    def run(envoy):
        with envoy:
            load("FRAUDLINE_STACK=stack", f"FRAUDLINE_ENDPOINT_PORT={envoy.port}").smoke(None)

    return run


def test_a_split_as_the_weights_say_passes_at_the_port_of_the_env_file(smoke, capsys):
    smoke(Envoy())
    assert '"canary": 20' in capsys.readouterr().out


def test_a_predictor_that_answers_errors_fails(smoke):
    with pytest.raises(UnavailableError, match="canary answers 503"):
        smoke(Envoy(canary_status=503))


def test_a_split_that_the_weights_do_not_explain_fails(smoke):
    with pytest.raises(UnavailableError, match="champion answered 100 of 200 requests, but its weight is 90%"):
        smoke(Envoy(canary_every=2))


def test_weights_without_an_envoy_say_so(load, monkeypatch):
    stack = load("FRAUDLINE_STACK=stack", f"FRAUDLINE_ENVOY_ADMIN_PORT={free_port()}")
    monkeypatch.setattr(stack, "APPLIED_S", 0.0)
    options = stack._parser().parse_args(["weights", "champion=75", "canary=25"])
    with pytest.raises(UnavailableError, match="Envoy did not take the new weights"):
        stack.weights(options)


def test_the_environment_goes_before_the_env_file(load, monkeypatch):
    monkeypatch.setenv("FRAUDLINE_TRANSACTIONS", "70")
    assert load("FRAUDLINE_TRANSACTIONS=50", "FRAUDLINE_KAFKA_PORT=19092").TRANSACTIONS == 70


def test_a_folder_that_is_missing_changes_nothing(load, tmp_path):
    stack = load("FRAUDLINE_STACK=stack")
    (tmp_path / "artifact").mkdir()
    parser = stack._parser()
    with pytest.raises(UsageError, match="profiles"):
        stack.prepare(parser.parse_args(["prepare", "--champion", "artifact", "--canary", "artifact"]))
    assert not (tmp_path / "stack").exists()


def test_weights_are_read_as_they_were_written(tmp_path):
    write_weights(tmp_path, {"champion": 75, "canary": 25})
    assert read_weights(tmp_path) == {"champion": 75, "canary": 25}


def test_weights_that_were_never_written_are_asked_for(tmp_path):
    with pytest.raises(UsageError, match="no route table"):
        read_weights(tmp_path)
