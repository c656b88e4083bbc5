"""Real Prometheus and Alertmanager on loopback, and a webhook that keeps what it is sent."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx

from fraudline.ops.local.prometheus import ConfiguredServer
from tests.support.loopback import LoopbackServer
from tests.support.needed import lacks

NAMES = {"prometheus": ("prometheus",), "promtool": ("promtool",),
         "alertmanager": ("prometheus-alertmanager", "alertmanager")}  # fmt: skip


def binary(name: str) -> str:
    """Path of a program of Debian's packages prometheus and prometheus-alertmanager; without them: skip, in CI fail."""
    for candidate in NAMES[name]:
        if found := shutil.which(candidate):
            return found
    lacks(name, cure=".ci/run installs it")


def prometheus(folder: Path, config: dict[str, Any]) -> ConfiguredServer:
    """It, on ``folder/data``."""
    options = (f"--storage.tsdb.path={folder / 'data'}", "--query.lookback-delta=15m")
    return ConfiguredServer(binary("prometheus"), "prometheus", config, folder, *options)


def alertmanager(folder: Path, config: dict[str, Any]) -> ConfiguredServer:
    """It, alone."""
    options = (f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    return ConfiguredServer(binary("alertmanager"), "alertmanager", config, folder, *options)


def ask(address: str, query: str) -> list[dict[str, Any]]:
    """The samples of an instant query."""
    answer = httpx.get(f"{address}/api/v1/query", params={"query": query}, timeout=30, verify=False).json()  # noqa: S501 - loopback
    assert answer["status"] == "success", f"{query}: {answer.get('error')}"
    return list(answer["data"]["result"])


@contextmanager
def webhook() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An address, and the pairs of path and alert name that were posted to it."""
    received: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.extend((self.path.strip("/"), alert["labels"]["alertname"]) for alert in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with LoopbackServer(Handler) as server:
        yield server.url, received
