"""What a client may ask of the server: who it is, how much it sends, and how long it takes.

:class:`Guard` stands before the application and hands it whole bodies only; :mod:`fraudline.serve.impatient` cuts
connections that dribble a request's head, let it grow without end or do not read their answer. Both answer for
themselves: KServe sees none of it.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.core.reread import Reread

log = get_logger(__name__)

_OPEN = ("/", "/v2/health/live", "/v2/health/ready")
_MIN_TOKEN = 16
_LONGEST_LENGTH = 18  # digits
_PIECE = 256 << 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take.

    Attributes:
        body_bytes: of one request; MAX_ROWS rows of named features in JSON fit several times.
        waiting_bytes: of all bodies that are not yet answered.
        head_bytes: of a request's line and headers, or of what follows a body in chunks; beyond what one read brings.
        head_s: seconds for a request's line and headers, and before it for the handshake of TLS and of gRPC.
        body_s: seconds for its body, or for a message of gRPC.
        values: of the JSON in one body: parsed they take thirty times its bytes, and nobody else is answered meanwhile.
        answer_s: seconds that an answer may wait for its reader.
        connections: open at once; uvicorn answers 503 beyond.
        calls: of gRPC at once; fewer where their messages could exceed waiting_bytes.
        message_bytes: of gRPC.
    """

    body_bytes: int = 32 << 20
    waiting_bytes: int = 256 << 20
    head_bytes: int = 64 << 10
    head_s: float = 5.0
    body_s: float = 10.0
    answer_s: float = 20.0
    connections: int = 4_096
    calls: int = 64
    message_bytes: int = 2 << 20
    values: int = 1 << 20


LIMITS = Limits()


class Tokens:
    """Bearer tokens of a file, one a line: two while one takes over from the other. A changed file is read again.

    Args:
        path: the file; a Kubernetes secret's mount, for example.

    Raises:
        UsageError: the file cannot be read, or holds no token of 16 characters.
    """

    def __init__(self, path: Path) -> None:
        self._hashes = Reread(path, _hashes_of, kept="serve.tokens_kept")

    def admit(self, header: str) -> bool:
        """Whether an ``Authorization`` header carries one of the tokens."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return False
        given = hashlib.sha256(token.strip().encode()).digest()
        return any([hmac.compare_digest(given, known) for known in self._hashes.content])


def _hashes_of(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The tokens of {path} cannot be read: {error}.", "Name a readable file.") from error
    if not lines or min(map(len, lines)) < _MIN_TOKEN:
        problem = f"{path} holds no token, or one of less than {_MIN_TOKEN} characters."
        raise UsageError(problem, "Make one: openssl rand -hex 32.")
    return [hashlib.sha256(line.encode()).digest() for line in lines]


class Guard:
    """ASGI middleware: 401 without a token, 413, 400, 408 and 429 to bodies too large, too full, too slow or too many.

    Args:
        app: what is guarded; it gets a body in one piece.
        limits: of bodies.
        tokens: who may ask; None for everybody. Health needs no token.
    """

    def __init__(self, app: ASGIApp, limits: Limits = LIMITS, tokens: Tokens | None = None) -> None:
        self._app = app
        self._limits = limits
        self._tokens = tokens
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _WANTED}
        if not self._admitted(scope["path"], headers.get(b"authorization", b"")):
            await _refuse(scope, receive, send, 401, "authorization", "a bearer token is needed, and not this one.")
            return
        length = headers.get(b"content-length", b"")
        if not length and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        declared = int(length[:_LONGEST_LENGTH]) if length.isdigit() else 0
        if declared > self._limits.body_bytes:
            await self._too_large(scope, receive, send)
            return
        if self._waiting + declared > self._limits.waiting_bytes:
            await _refuse(scope, receive, send, 429, "body", "too many bytes wait to be answered; try again.")
            return
        await self._with_body(scope, receive, send)

    def _admitted(self, path: str, header: bytes) -> bool:
        return self._tokens is None or path in _OPEN or self._tokens.admit(header.decode("latin-1"))

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces: list[bytes] = []
        size, most = 0, self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.body_s):
                more = True
                while more and size <= most and self._waiting <= self._limits.waiting_bytes:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    self._waiting += len(pieces[-1])
                    more = message.get("more_body", False)
        except TimeoutError:
            await _refuse(scope, receive, send, 408, "body", f"not whole after {self._limits.body_s:g} s.")
        else:
            if size > most:
                await self._too_large(scope, receive, send)
            elif more:
                await _refuse(scope, receive, send, 429, "body", "too many bytes wait to be answered; try again.")
            elif _many_values(body := b"".join(pieces), self._limits.values):
                problem = f"more than {self._limits.values} values in JSON. Split the request."
                await _refuse(scope, receive, send, 400, "body", problem)
            else:
                await self._app(scope, _replayed(body, receive), send)
        finally:
            self._waiting -= size

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = f"more than {self._limits.body_bytes} bytes. Split the request."
        await _refuse(scope, receive, send, 413, "body", problem)


_WANTED = frozenset((b"authorization", b"content-length", b"transfer-encoding"))


def _many_values(body: bytes, most: int) -> bool:
    """Whether JSON of this text could hold more than ``most`` values: all but the first come after one of these.

    Counted in pieces that a processor's cache holds: four times as fast as ``bytes.count``, and everybody waits for it.
    """
    if len(body) <= most:
        return False
    text, found = np.frombuffer(body, np.uint8), 0
    for at in range(0, len(text), _PIECE):
        piece = text[at : at + _PIECE]
        found += sum(int(np.count_nonzero(piece == mark)) for mark in b",[{")
        if found > most:
            return True
    return False


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending = True

    async def replayed() -> Message:
        nonlocal pending
        if pending:
            pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, field: str, problem: str) -> None:
    log.warning("serve.refused", path=scope["path"], status=status, error=f"{field}: {problem}")
    headers = {"connection": "close"} | ({"www-authenticate": "Bearer"} if status == 401 else {})
    headers |= {"retry-after": "1"} if status == 429 else {}
    answer = JSONResponse({"error": f"{field}: {problem}", "field": field}, status, headers)
    await answer(scope, receive, send)
