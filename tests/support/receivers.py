"""Real receivers of alerts on loopback: an HTTP endpoint that says no as often as it is told, and a mail server."""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from fraudline.ops.local.process import free_port
from tests.support.loopback import LoopbackServer


@dataclass
class Hook:
    """What an endpoint was sent.

    Attributes:
        url: its address.
        answers: status of the next requests; 204 when there is none left.
        requests: headers and body of every request, and the status that it got.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes, int]] = field(default_factory=list)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The events that it took, each once, whatever was repeated."""
        found = {headers["idempotency-key"]: body for headers, body, status in self.requests if status < 300}
        return [json.loads(body) for body in found.values()]


@contextmanager
def hook() -> Iterator[Hook]:
    """An endpoint that takes posts."""
    kept = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = kept.answers.pop(0) if kept.answers else 204
            kept.requests.append(({name.lower(): value for name, value in self.headers.items()}, body, status))
            self.send_response(status)
            if status in (301, 302, 307, 308):
                self.send_header("location", f"{kept.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with LoopbackServer(Handler) as server:
        kept.url = f"{server.url}/hook"
        yield kept


def signed(headers: dict[str, str], body: bytes, secret: bytes) -> bool:
    """Whether a request is signed as Standard Webhooks say: written from their specification, not from our code."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(part, f"v1,{wanted}") for part in headers["webhook-signature"].split(" "))


@contextmanager
def mail_server(certificate: Path, key: Path, user: str, password: str) -> Iterator[tuple[int, list[EmailMessage]]]:
    """A mail server that wants STARTTLS and a login: its port, and what it was sent.

    It knows no address of ``nobody``, takes no mail for ``later`` yet, and for ``busy`` from the second time on.
    """
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult, LoginPassword

    received: list[EmailMessage] = []
    asked: set[str] = set()
    port = free_port()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    class Handler:
        async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
            self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
        ) -> str:
            refused = {"nobody": "550 5.1.1 No such user", "later": "450 4.2.0 Try again later"}
            if (answer := refused.get(address.partition("@")[0])) is not None:
                return answer
            if address.startswith("busy") and address not in asked:
                asked.add(address)
                return "451 4.7.1 Greylisted"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            if not session.authenticated:
                return "530 5.7.0 Authentication required"
            received.append(message_from_bytes(envelope.content, policy=policy.default))
            received[-1]["X-Reached"] = ", ".join(envelope.rcpt_tos)
            return "250 OK"

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=good, handled=False)  # so that the server says no itself

    controller = Controller(
        Handler(), hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True, authenticator=check,
        auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        yield port, received
    finally:
        controller.stop()
