"""A stand-in for a server with a JSON API, on a free loopback port: a subclass says how it answers."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fraudline.ops.local.json_reply import reply
from tests.support.loopback import LoopbackServer

Answer = tuple[int, Any]


class JsonServer(LoopbackServer):
    """Runs for the length of a ``with`` block."""

    def __init__(self) -> None:
        super().__init__(_handler(self))

    def reply(self, method: str, path: str, query: dict[str, str], headers: Any, body: dict[str, Any]) -> Answer:
        """Status and body for a request; of a name that comes twice in the query, the first value."""
        raise NotImplementedError


def _fields(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _handler(server: JsonServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def do_PUT(self) -> None:
            self._reply("PUT")

        def do_DELETE(self) -> None:
            self._reply("DELETE")

        def _reply(self, method: str) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
            body = _fields(content.decode()) if form else json.loads(content or b"{}")
            query = _fields(parts.query)
            status, said = server.reply(method, parts.path, query, self.headers, body)
            reply(self, status, said)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
