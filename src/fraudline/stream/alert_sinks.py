"""Where alerts are sent: a Kafka topic, a webhook, Alertmanager, e-mail. Each sends one event or says why it cannot.

    sink = open_sink(WebhookSink(kind="webhook", url="https://...", secret={"file": "/run/secrets/hook"}), params)
    sink.send(event, "blocks:3f0c...")

A refusal is final and a failure worth another try: :class:`RefusedError` and ``UnavailableError``. Passwords and keys
are read from a file or the environment each time they are needed: a changed one is taken without a restart.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from pydantic import Field, field_validator, model_validator

from fraudline.core.clock import from_us, now
from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.core.settings import Settings
from fraudline.decide.routing import Rate
from fraudline.stream.alert_events import CONTENT_TYPE, GROUP_TYPE, trace_headers
from fraudline.stream.kafka_python import KafkaPythonSender
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Output

_AGAIN = (408, 425, 429)
_SHOWN_BYTES = 200
_SUBJECT = 150
_STANDARD_SECRET = "whsec_"  # noqa: S105 - the prefix by which Standard Webhooks know a key


class RefusedError(FraudlineError):
    """The receiver will never take this event."""


class Secret(Settings):
    """A secret, by where it stands: a file, or a variable of the environment."""

    file: str = ""
    env: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.file) == bool(self.env):
            raise ValueError("give file or env")
        return self

    def read(self) -> str:
        """The secret itself, without the white space around it.

        Raises:
            UnavailableError: it is not there.
        """
        try:
            return Path(self.file).read_text(encoding="utf-8").strip() if self.file else os.environ[self.env]
        except (OSError, KeyError) as error:
            raise UnavailableError(
                f"The secret {self.file or self.env} is not there.", "Mount the file or set the variable."
            ) from error


class _Sink(Settings):
    """What all sinks have.

    Attributes:
        rate: what may be sent; None for no limit.
        attempts: tries of one event before it becomes a dead letter.
        first_wait_s: the longest wait before the second try; doubled from try to try.
        most_wait_s: the longest wait.
        timeout_s: how long to wait for an answer.
    """

    rate: Rate | None = None
    attempts: int = Field(default=8, ge=1, le=100)
    first_wait_s: float = Field(default=0.5, gt=0)
    most_wait_s: float = Field(default=60.0, gt=0)
    timeout_s: float = Field(default=10.0, gt=0, le=300)


class _Http(_Sink):
    """A sink by HTTP.

    Attributes:
        url: http or https.
        bearer: sent as ``Authorization: Bearer``.
        ca: file with the authorities that its certificate may come from; empty for the system's.
    """

    url: str
    bearer: Secret | None = None
    ca: str = ""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http or https address")
        if parts.username or parts.password:
            raise ValueError("a password does not belong into an address")
        return url


class WebhookSink(_Http):
    """An endpoint that takes CloudEvents; signed by Standard Webhooks (HMAC-SHA256 over id, time and body)."""

    kind: Literal["webhook"]
    secret: Secret


class AlertmanagerSink(_Http):
    """Alertmanager's API v2.

    Attributes:
        labels: beside ``alertname``, ``route``, ``decision`` and what a group has in common.
        hold_s: seconds until Alertmanager counts it as resolved.
    """

    kind: Literal["alertmanager"]
    labels: dict[str, str] = {"severity": "ticket", "role": "fraud"}
    hold_s: float = Field(default=300.0, gt=0)


class EmailSink(_Sink):
    """A mail server.

    Attributes:
        host: its name.
        port: 587 for STARTTLS, 465 for TLS from the beginning.
        security: ``none`` only on a network of your own.
        ca: file with the authorities that its certificate may come from; empty for the system's.
        user: to log in with; empty for no login.
        password: of the user.
        sender: address.
        to: addresses.
    """

    kind: Literal["email"]
    host: str
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca: str = ""
    user: str = ""
    password: Secret | None = None
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    to: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _login(self) -> Self:
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password belong together")
        if self.user and self.security == "none":
            raise ValueError("a password is not sent without TLS")
        return self


class TopicSink(_Sink):
    """A Kafka topic, on the same brokers."""

    kind: Literal["topic"]
    topic: str = Field(min_length=1)


SinkSettings = Annotated[WebhookSink | AlertmanagerSink | EmailSink | TopicSink, Field(discriminator="kind")]


class Sink(Protocol):
    """Anything that sends an event."""

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """Send one event.

        Args:
            event: a CloudEvent.
            key: the same for a repetition of the same event: the receiver may drop it.

        Returns:
            who was refused while others have it, each with the answer: to send it again would reach those others.

        Raises:
            RefusedError: it will never be taken.
            UnavailableError: it may be taken later.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_sink(settings: SinkSettings, params: StreamParams) -> Sink:
    """The sink that settings describe."""
    match settings:
        case WebhookSink():
            return _Webhook(settings)
        case AlertmanagerSink():
            return _Alertmanager(settings)
        case EmailSink():
            return _Email(settings)
        case TopicSink():
            return _Topic(settings, params)


def signature(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature`` of Standard Webhooks: ``v1,`` and the HMAC-SHA256 of ``id.timestamp.body``.

    Raises:
        UnavailableError: the secret is not what its prefix says.
    """
    standard = secret.startswith(_STANDARD_SECRET)
    try:
        raw = base64.b64decode(secret.removeprefix(_STANDARD_SECRET)) if standard else secret.encode()
    except binascii.Error as error:
        raise UnavailableError(
            f"The secret of a webhook begins with {_STANDARD_SECRET} and is no base64.", "Correct its file or variable."
        ) from error
    content = f"{key}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(raw, content, hashlib.sha256).digest()).decode()


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirection is an answer like any other: what is signed for one address goes to no other."""


class _Post:
    """Posts bodies to one address."""

    def __init__(self, settings: _Http) -> None:
        self._settings = settings
        self._opener = build_opener(_Stay, HTTPSHandler(context=_context(settings.ca)))

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        bearer = self._settings.bearer
        extra = {"Authorization": f"Bearer {bearer.read()}"} if bearer is not None else {}
        request = Request(url, body, {**headers, **extra}, method="POST")  # noqa: S310 - http or https, checked
        try:
            with self._opener.open(request, timeout=self._settings.timeout_s):
                pass
        except HTTPError as error:
            said = ""
            with error, suppress(OSError, HTTPException):  # the answer counts, also where its text does not come
                said = error.read(_SHOWN_BYTES).decode(errors="replace")
            problem = f"{url} answers {error.code}: {said}"
            if error.code >= 500 or error.code in _AGAIN:
                raise UnavailableError(problem) from error
            raise RefusedError(problem, "Look at what the receiver expects.") from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            raise UnavailableError(f"{url} does not answer: {getattr(error, 'reason', error)}.") from error


class _Webhook:
    def __init__(self, settings: WebhookSink) -> None:
        self._settings = settings
        self._post = _Post(settings)

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        body, at = json.dumps(event).encode(), int(time.time())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(self._settings.secret.read(), key, at, body),
            **trace_headers(event),
        }
        self._post(self._settings.url, body, headers)
        return ()

    def close(self) -> None:
        """Nothing is held."""


class _Alertmanager:
    def __init__(self, settings: AlertmanagerSink) -> None:
        self._settings = settings
        self._url = f"{settings.url.rstrip('/')}/api/v2/alerts"
        self._post = _Post(settings)

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        data = event["data"]
        group = event["type"] == GROUP_TYPE
        decisions = data["decisions"] if group else {data["decision"]: 1}
        common = data["group"] if group else {"merchant_id": data["merchant_id"]}
        alert = {
            "labels": {
                "alertname": "FraudAlert",
                "route": event["route"],
                "decision": "block" if "block" in decisions else "review",
                **common,
                **self._settings.labels,
            },
            "annotations": {"summary": data["summary"], "event": key},
            "startsAt": from_us(data["first_decided_at"] if group else data["decided_at"]).isoformat(),
            "endsAt": from_us(int((now().timestamp() + self._settings.hold_s) * 1e6)).isoformat(),
        }
        headers = {"Content-Type": "application/json", **trace_headers(event)}
        self._post(self._url, json.dumps([alert]).encode(), headers)
        return ()

    def close(self) -> None:
        """Nothing is held."""


class _Email:
    def __init__(self, settings: EmailSink) -> None:
        self._settings = settings

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        settings = self._settings
        try:
            with self._connect() as server:
                if settings.user and settings.password is not None:
                    server.login(settings.user, settings.password.read())
                refused = server.send_message(self._message(event, key))
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise self._failed(f"refuses every address: {sorted(codes)}", min(codes)) from error
        except smtplib.SMTPResponseException as error:
            raise self._failed(f"answers {error.smtp_code} {_text(error.smtp_error)}", error.smtp_code) from error
        except (OSError, smtplib.SMTPException) as error:
            raise self._failed(f"does not answer: {error}", 0) from error
        return tuple(f"{address}: {code} {_text(said)}" for address, (code, said) in refused.items())

    def _failed(self, what: str, code: int) -> FraudlineError:
        problem = f"{self._settings.host}:{self._settings.port} {what}."
        # 5xx is final (RFC 5321, 4.2.1), except that a login may be refused by a password that is being changed
        if code >= 500 and not 530 <= code <= 538:
            return RefusedError(problem, "Look at the addresses and at what the server takes.")
        return UnavailableError(problem)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        context = _context(settings.ca)
        if settings.security == "tls":
            name = socket.gethostname()  # the library's own look-up asks DNS, which may take seconds
            return smtplib.SMTP_SSL(settings.host, settings.port, name, timeout=settings.timeout_s, context=context)
        server = smtplib.SMTP(settings.host, settings.port, socket.gethostname(), timeout=settings.timeout_s)
        if settings.security == "starttls":
            server.starttls(context=context)
        return server

    def _message(self, event: Mapping[str, Any], key: str) -> EmailMessage:
        data, message = event["data"], EmailMessage()
        summary = " ".join(data["summary"].split())
        message["Subject"] = f"[fraudline] {summary[:_SUBJECT]}"
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.to)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{key.replace(':', '.')}@fraudline>"
        ids = data.get("transaction_ids") or [data["transaction_id"]]
        listed = "\n".join(f"  {name}" for name in ids[:50])
        more = f"\n  and {len(ids) - 50:,} more in the attachment" if len(ids) > 50 else ""
        message.set_content(f"{summary}\n\nTransactions:\n{listed}{more}\n")
        content = json.dumps(event, indent=1).encode()
        message.add_attachment(content, maintype="application", subtype="cloudevents+json", filename="event.json")
        return message

    def close(self) -> None:
        """Nothing is held."""


class _Topic:
    def __init__(self, settings: TopicSink, params: StreamParams) -> None:
        self._topic = settings.topic
        self._params = params
        self._sender: KafkaPythonSender | None = None

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        if self._sender is None:
            self._sender = KafkaPythonSender(self._params.bootstrap, self._params.tls)
        named = {"content-type": CONTENT_TYPE, "idempotency-key": key, **trace_headers(event)}
        headers = tuple((name, text.encode()) for name, text in named.items())
        try:
            self._sender.send(Output(self._topic, event["subject"].encode(), json.dumps(event).encode(), headers))
            self._sender.flush()
        except UnavailableError:
            self._sender = None
            raise
        return ()

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise UsageError(f"{ca} holds no certificates: {error}.", "Name a PEM file.") from error
