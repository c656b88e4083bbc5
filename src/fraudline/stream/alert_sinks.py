"""Where alerts are sent, as a routing file says it; what sends them is in :mod:`fraudline.stream.alert_senders`.

A refusal is final and a failure worth another try: :class:`RefusedError` and ``UnavailableError``, of which
:class:`PartlyTakenError` is one where some have the event already. Passwords and keys
are read from a file or the environment each time they are needed: a changed one is taken without a restart.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fraudline.core.errors import FraudlineError, UnavailableError
from fraudline.core.settings import Settings
from fraudline.decide.routing import Rate


class RefusedError(FraudlineError):
    """The receiver will never take this event."""


class PartlyTakenError(UnavailableError):
    """Some have the event; another try under the same key reaches only those who may take it later.

    Attributes:
        refused: who has it not, each with the answer.
    """

    def __init__(self, problem: str, refused: tuple[str, ...]) -> None:
        super().__init__(problem)
        self.refused = refused


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


class HttpSink(_Sink):
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


class WebhookSink(HttpSink):
    """An endpoint that takes CloudEvents; signed by Standard Webhooks (HMAC-SHA256 over id, time and body)."""

    kind: Literal["webhook"]
    secret: Secret


class AlertmanagerSink(HttpSink):
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
            who was refused for good while others have it, each with the answer.

        Raises:
            PartlyTakenError: some may take it later, others have it.
            RefusedError: it will never be taken.
            UnavailableError: it may be taken later.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def send_once(sink: Sink, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The only try, or the last one: who may take the event later counts as refused.

    Raises:
        RefusedError: nobody will ever take it.
        UnavailableError: nobody has it.
    """
    try:
        return sink.send(event, key)
    except PartlyTakenError as error:
        return error.refused
