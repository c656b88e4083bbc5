"""What sends alerts: to a webhook, Alertmanager, a mail server, a Kafka topic. Each sends or says why it cannot.

    sink = open_sink(WebhookSink(kind="webhook", url="https://...", secret={"file": "/run/secrets/hook"}), params)
    sink.send(event, "blocks:3f0c...")

The text of a receiver's answer is quoted, its redirections are not followed.
"""

import base64
import binascii
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from fraudline.core.clock import from_us, now
from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.stream.alert_events import CONTENT_TYPE, GROUP_TYPE, trace_headers
from fraudline.stream.alert_sinks import (
    AlertmanagerSink,
    EmailSink,
    HttpSink,
    PartlyTakenError,
    RefusedError,
    Sink,
    SinkSettings,
    TopicSink,
    WebhookSink,
)
from fraudline.stream.kafka_sender import KafkaPythonSender
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Output

_AGAIN = (408, 425, 429)
_NOT_ASKED = (421, b"the server hung up")
_SHOWN_BYTES = 200
_SUBJECT = 150
_STANDARD_SECRET = "whsec_"  # noqa: S105 - the prefix by which Standard Webhooks know a key


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

    def __init__(self, settings: HttpSink) -> None:
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
        body, at = json.dumps(event).encode(), int(now().timestamp())
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
        self._left: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        """Of the newest event that some have: who may take it later, and what those said who never will."""

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        to, gone = self._left.get(key, (self._settings.to, ()))
        try:
            answers = self._delivered(self._message(event, key), to)
        except smtplib.SMTPRecipientsRefused as error:
            if key not in self._left:
                codes = {code for code, _ in error.recipients.values()}
                raise self._failed(f"refuses every address: {sorted(codes)}", min(codes)) from error
            answers = {address: error.recipients.get(address, _NOT_ASKED) for address in to}
        except FraudlineError as error:
            if key not in self._left:
                raise
            raise PartlyTakenError(error.problem, (*gone, *(f"{each}: {error.problem}" for each in to))) from error
        said = {address: f"{address}: {code} {_text(text)}" for address, (code, text) in answers.items()}
        later = tuple(address for address, (code, _) in answers.items() if code < 500)
        gone += tuple(said[address] for address in answers if address not in later)
        self._left = {key: (later, gone)} if later else {}
        if later:
            problem = f"{self._settings.host}:{self._settings.port} does not take it for {', '.join(later)} yet."
            raise PartlyTakenError(problem, (*gone, *(said[address] for address in later)))
        return gone

    def _delivered(self, message: EmailMessage, to: tuple[str, ...]) -> Mapping[str, tuple[int, bytes]]:
        """Send it; the answers to those who are refused while others have it."""
        settings = self._settings
        try:
            with self._connect() as server:
                if settings.user and settings.password is not None:
                    server.login(settings.user, settings.password.read())
                return server.send_message(message, to_addrs=to)
        except smtplib.SMTPRecipientsRefused:
            raise
        except smtplib.SMTPResponseException as error:
            raise self._failed(f"answers {error.smtp_code} {_text(error.smtp_error)}", error.smtp_code) from error
        except (OSError, smtplib.SMTPException) as error:
            raise self._failed(f"does not answer: {error}", 0) from error

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
            params = self._params
            self._sender = KafkaPythonSender(params.bootstrap, params.tls, [self._topic], params.timeout_s)
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
