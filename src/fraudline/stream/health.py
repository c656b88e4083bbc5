"""Whether the worker can decide now, and the port that says so: ``/readyz``, ``/livez`` and ``/metrics``.

readiness = Readiness()
readiness.waits("endpoint", "status 503")       # /readyz answers 503 and the reason
readiness.goes_on("endpoint")
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

from fraudline.core.errors import UsageError


class Readiness:
    """What the worker waits for, by the part that waits. Safe to ask from another thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}

    @property
    def waiting(self) -> dict[str, str]:
        """Reasons by part; empty when the worker can decide."""
        return dict(self._waiting)

    def waits(self, part: str, reason: str) -> None:
        """Say that ``part`` keeps the worker from deciding."""
        self._waiting = {**self._waiting, part: reason}

    def goes_on(self, part: str) -> None:
        """Say that ``part`` no longer does."""
        if part in self._waiting:
            self._waiting = {name: reason for name, reason in self._waiting.items() if name != part}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server's own also asks DNS for its name, which may take seconds
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class HealthServer:
    """Answers on ``host:port`` until closed.

    Args:
        registry: what ``/metrics`` shows.
        readiness: what ``/readyz`` shows: 200 when nothing is waited for, else 503, each with the reasons as JSON.
        host: address to bind.
        port: its port.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(self, registry: CollectorRegistry, readiness: Readiness, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = _answer(self.path.partition("?")[0], self.headers.get("Accept") or "")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are no events."""

        def _answer(path: str, accept: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                encoder, kind = choose_encoder(accept)
                return 200, kind, encoder(registry)
            if path == "/livez":
                return 200, "text/plain", b"ok\n"
            if path == "/readyz":
                waiting = readiness.waiting
                body = json.dumps({"ready": not waiting, "waiting": waiting}).encode()
                return (503 if waiting else 200), "application/json", body
            return 404, "text/plain", b"/metrics, /readyz or /livez\n"

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise UsageError(f"Metrics cannot bind {host}:{port}: {error.strerror}.", "Choose another port.") from error
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class HealthMetrics:
    """The metrics of a process, in a registry of their own, and the port that shows them.

    Args:
        ready: name of the gauge that says what ``/readyz`` says.
        about: its help.
    """

    def __init__(self, ready: str, about: str) -> None:
        self.registry = CollectorRegistry()
        self.readiness = Readiness()
        self._server: HealthServer | None = None
        gauge = Gauge(ready, about, registry=self.registry)
        gauge.set_function(lambda: float(not self.readiness.waiting))

    def serve(self, host: str, port: int) -> None:
        """Answer ``/metrics``, ``/readyz`` and ``/livez`` on ``host:port``; port 0 serves nothing.

        Raises:
            UsageError: the port is taken.
        """
        if port:
            self._server = HealthServer(self.registry, self.readiness, host, port)

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._server = None
