"""A stand-in for the Kubeflow Pipelines API server: it keeps what a client posts, as v2beta1 does, and runs nothing.

with KfpServer() as server:
    PipelineServer(server.url).submit(...)
server.runs
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PREFIX = "/apis/v2beta1"


class KfpServer:
    """Experiments, runs and recurring runs by id, on a free loopback port; ``refuse`` answers each that is posted."""

    def __init__(self, *, token: str = "") -> None:
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.refuse: int | None = None
        self._token = token
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body for a call."""
        if (method, path) == ("GET", "/experiments"):
            (predicate,) = json.loads(query["filter"][0])["predicates"]
            found = [e for e in self.experiments.values() if e["display_name"] == predicate["stringValue"]]
            return 200, {"experiments": found, "total_size": len(found)}
        for kind, kept, name in (
            ("experiments", self.experiments, "experiment_id"),
            ("runs", self.runs, "run_id"),
            ("recurringruns", self.recurring, "recurring_run_id"),
        ):
            if (method, path) == ("POST", f"/{kind}"):
                made = {**body, name: f"{name}-{len(kept) + 1}", "created_at": "2026-01-05T06:00:00Z"}
                kept[made[name]] = made
                return 200, made
        found = re.fullmatch(r"/runs/([^/]+)", path)
        if method == "GET" and found and found[1] in self.runs:
            return 200, self.runs[found[1]]
        return 404, {"error": f"{path} not found", "code": 5, "message": f"{path} not found"}

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's self is another
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply("GET")

            def do_POST(self) -> None:
                self._reply("POST")

            def _reply(self, method: str) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                status, said = 401, {"error": "who are you?"}
                if parts.path.endswith("/healthz"):
                    status, said = 200, {"multi_user": False}
                elif server.refuse and method == "POST":
                    status, said = server.refuse, {"error": "not today", "message": "not today"}
                elif self.headers.get("authorization", "") == (f"Bearer {server._token}" if server._token else ""):
                    path = parts.path.removeprefix(PREFIX)
                    status, said = server.answer(method, path, parse_qs(parts.query), body)
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
