"""A V2 inference service in this process that can be made to misbehave."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.decide.policy import DECISIONS, decide
from fraudline.model.artifact import load_artifact
from fraudline.model.scorer import Scorer
from fraudline.ops.local.process import Service, free_port
from fraudline.stream import v2


class InferenceService(Service):
    """Answers with the scores of an artifact, in a ``mode``: ``well``, ``slow``, ``refusing`` (503) or ``garbage``.

    Stopped and started again it has the same port.
    """

    def __init__(self, model: Path, *, slow_s: float = 3.0) -> None:
        self.artifact = load_artifact(model)
        self.mode = "well"
        self.requests = 0
        self._scorer = Scorer(self.artifact)
        self._slow_s = slow_s
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> "InferenceService":
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, content = service.answer(dict(self.headers.items()), body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # the worker did not wait

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        if self._server is None:
            return 503, {}, b"going down"  # a connection that was kept alive
        if self.mode == "slow":
            time.sleep(self._slow_s)
        if self.mode == "refusing":
            return 503, {}, b"no"
        if self.mode == "garbage":
            return 200, {}, [b"<html>", b"{}", b'{"outputs": []}', b"\xff" * 1000][self.requests % 4]
        cut = int(headers[v2.LENGTH_HEADER])
        shape = json.loads(body[:cut])["inputs"][0]["shape"]
        scores = self._scorer.score(np.frombuffer(body[cut:], "<f4").reshape(shape))
        return self._encoded(scores)

    def _encoded(self, scores: Any) -> tuple[int, dict[str, str], bytes]:
        thresholds = self.artifact.thresholds
        decisions = [DECISIONS[i].encode() for i in decide(scores.score, thresholds)]
        parts = {
            "score": ("FP32", scores.score.shape, scores.score.tobytes()),
            "decision": ("BYTES", [len(decisions)], b"".join(len(d).to_bytes(4, "little") + d for d in decisions)),
            "contributions": ("FP32", scores.contributions.shape, scores.contributions.tobytes()),
            "expected": ("FP32", scores.expected.shape, scores.expected.tobytes()),
        }
        head = {
            "model_name": "fraud",
            "model_version": self.artifact.version,
            "parameters": {
                "threshold_version": thresholds.version,
                "review": thresholds.review,
                "block": thresholds.block,
            },
            "outputs": [
                {"name": n, "datatype": t, "shape": list(s), "parameters": {"binary_data_size": len(raw)}}
                for n, (t, s, raw) in parts.items()
            ],
        }
        content = json.dumps(head).encode()
        raw = b"".join(raw for _, _, raw in parts.values())
        return 200, {v2.LENGTH_HEADER: str(len(content))}, content + raw
