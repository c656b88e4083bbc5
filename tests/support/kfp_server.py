"""A stand-in for the Kubeflow Pipelines API server: it keeps what a client posts, as v2beta1 does, and runs nothing.

with KfpServer() as server:
    PipelineServer(server.url).submit(...)
server.runs
"""

import json
import re
from typing import Any

from tests.support.json_server import Answer, JsonServer

PREFIX = "/apis/v2beta1"


class KfpServer(JsonServer):
    """Experiments, runs and recurring runs by id, on a free loopback port; ``refuse`` answers each that is posted."""

    def __init__(self, *, token: str = "") -> None:
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.refuse: int | None = None
        self._made = 0
        self._token = token
        super().__init__()

    def reply(self, method: str, path: str, query: dict[str, str], headers: Any, body: dict[str, Any]) -> Answer:
        if path.endswith("/healthz"):
            return 200, {"multi_user": False}
        if self.refuse and method == "POST":
            return self.refuse, {"error": "not today", "message": "not today"}
        if headers.get("authorization", "") != (f"Bearer {self._token}" if self._token else ""):
            return 401, {"error": "who are you?"}
        return self.answer(method, path.removeprefix(PREFIX), query, body)

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """Status and body for a call."""
        if (method, path) == ("GET", "/experiments"):
            (predicate,) = json.loads(query["filter"])["predicates"]
            found = [e for e in self.experiments.values() if e["display_name"] == predicate["stringValue"]]
            return 200, {"experiments": found, "total_size": len(found)}
        for kind, kept, answer in (("runs", self.runs, "runs"), ("recurringruns", self.recurring, "recurringRuns")):
            if (method, path) == ("GET", f"/{kind}"):
                (predicate,) = json.loads(query["filter"])["predicates"]
                return 200, {answer: [r for r in kept.values() if r["display_name"] == predicate["stringValue"]]}
        for kind, kept, name in (
            ("experiments", self.experiments, "experiment_id"),
            ("runs", self.runs, "run_id"),
            ("recurringruns", self.recurring, "recurring_run_id"),
        ):
            if (method, path) == ("POST", f"/{kind}"):
                self._made += 1
                made = {**body, name: f"{name}-{self._made}", "created_at": "2026-01-05T06:00:00Z"}
                kept[made[name]] = made
                return 200, made
        if method == "DELETE" and self.recurring.pop(path.removeprefix("/recurringruns/"), None):
            return 200, {}
        found = re.fullmatch(r"/runs/([^/]+)", path)
        if method == "GET" and found and found[1] in self.runs:
            return 200, self.runs[found[1]]
        return 404, {"error": f"{path} not found", "code": 5, "message": f"{path} not found"}
