"""How a Kafka client proves who it is, and whom it believes: the section ``stream.tls`` of ``params.yaml``.

Certificates and passwords are files, as Strimzi writes them into secrets; a renewed one is read when the client starts
again, and a certificate by kafka-python at its next connection already. No secret stands in ``params.yaml``, on a
command line or in a message.
"""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings

log = get_logger(__name__)

PASSWORD_VARIABLE = "FRAUDLINE_KAFKA_PASSWORD"  # noqa: S105 - its name, not its value
BROKER = "Check the broker's address and that it runs."
RIGHTS = "Give this client's user the right (an ACL): docs/how-to/secure.md says which each command needs."
LOGIN = "Check stream.tls: username, password file and mechanism."
SLOW = "Look at the broker: it may be slow, starting, or no Kafka."
LOGIN_OR_BROKER = f"{LOGIN} Where they are right, look at the broker: it may be slow, starting, or no Kafka."
TOPICS = "Name it in stream.topics, or run once with --create-topics."
_PROBE_S = 3.0
_MOMENT_S = 2.5


@contextlib.contextmanager
def awaited(bootstrap: str) -> Iterator[None]:
    """Say that a broker is waited for, where a first connection takes longer than a moment."""
    word = threading.Timer(_MOMENT_S, log.warning, ["broker.awaited"], {"bootstrap": bootstrap})
    word.daemon = True
    word.start()
    try:
        yield
    finally:
        word.cancel()


class Tls(Settings):
    """Certificates as PEM files, and a user where the brokers ask for one. Without ``ca`` the connection is plain.

    Attributes:
        ca: of the authority that signed the brokers' certificates; their host names are checked.
        certificate: this client's own; the broker's rules are by its common name. Empty for none.
        key: the private key of ``certificate``.
        username: for SASL/SCRAM; empty for none. Needs ``ca``: a password never goes over a plain connection.
        password_file: its password; empty for that of the environment variable FRAUDLINE_KAFKA_PASSWORD.
        mechanism: how the password is proven.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    username: str = ""
    password_file: str = ""
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")
        if self.certificate and not self.ca:
            raise ValueError("a client's certificate needs ca: without it the connection is plain")
        if self.username and not self.ca:
            raise ValueError("username needs ca: without it the connection is plain")
        if self.password_file and not self.username:
            raise ValueError("password_file needs username")
        return self

    def password(self) -> str:
        """The password of ``username``.

        Raises:
            UsageError: there is none.
        """
        if not self.password_file:
            found = os.environ.get(PASSWORD_VARIABLE, "")
        else:
            try:
                found = Path(self.password_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problem = f"The password file {self.password_file} cannot be read: {type(error).__name__}."
                raise UsageError(problem, "Name the file of the secret in stream.tls.password_file.") from error
        if not found:
            problem = f"There is no password for the Kafka user {self.username}."
            raise UsageError(problem, f"Set stream.tls.password_file, or {PASSWORD_VARIABLE}.")
        return found

    def kafka_python(self) -> dict[str, Any]:
        """The settings by the names of kafka-python; empty for a plain connection."""
        if not self.ca:
            return {}
        own = {"ssl_certfile": self.certificate, "ssl_keyfile": self.key} if self.certificate else {}
        if self.username:
            own |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            own |= {"sasl_plain_password": self.password()}
        protocol = "SASL_SSL" if self.username else "SSL"
        return {"security_protocol": protocol, "ssl_cafile": self.ca, **own}

    def librdkafka(self) -> dict[str, Any]:
        """The settings by the names of librdkafka; empty for a plain connection."""
        if not self.ca:
            return {}
        own = {"ssl.certificate.location": self.certificate, "ssl.key.location": self.key} if self.certificate else {}
        if self.username:
            own |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username}
            own |= {"sasl.password": self.password()}
        protocol = "sasl_ssl" if self.username else "ssl"
        return {"security.protocol": protocol, "ssl.ca.location": self.ca, **own}

    def client(self, transport: str) -> dict[str, Any]:
        """The settings by the names of a transport's client."""
        return self.librdkafka() if transport == "confluent" else self.kafka_python()

    @contextlib.contextmanager
    def explained(self, bootstrap: str) -> Iterator[None]:
        """Say why a first connection failed, where the clients only say that it did.

        Args:
            bootstrap: ``host:port`` pairs, comma-separated.

        Raises:
            UnavailableError: as the block raised it, with the reason that a connection of our own found.
        """
        try:
            with awaited(bootstrap):
                yield
        except UnavailableError as error:
            if error.action in (RIGHTS, LOGIN, TOPICS):
                raise  # the broker has said it itself
            found = self._problem(bootstrap.split(",", maxsplit=1)[0])
            if found is None:
                raise
            raise type(error)(f"{bootstrap}: {found[0]} ({error.problem})", found[1]) from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca or None)
        if not self.ca:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def _problem(self, address: str) -> tuple[str, str] | None:  # noqa: PLR0911 - one a cause
        host, _, port = address.rpartition(":")
        try:
            context = self._context()
        except OSError as error:  # of ssl, too
            return f"the certificates of this client cannot be used: {error}.", "Look at the files of stream.tls."
        connected = False
        try:
            with socket.create_connection((host, int(port)), timeout=_PROBE_S) as plain:
                connected = True
                with context.wrap_socket(plain, server_hostname=host) as secure:
                    if not self.ca:
                        return "the broker speaks TLS, this client does not.", "Set stream.tls.ca."
                    with contextlib.suppress(TimeoutError):
                        secure.recv(1)  # a refusal of this client's certificate comes after the handshake
        except ssl.SSLCertVerificationError as error:
            return (
                f"the broker's certificate is refused: {error.verify_message}.",
                "Name its authority in stream.tls.ca.",
            )
        except ssl.SSLError as error:
            reason = (error.reason or "").replace("_", " ").lower()
            if "certificate" in reason:
                return f"the broker refuses this client's certificate: {reason}.", "Name one of its authority's."
            if self.ca:
                return (
                    f"the broker does not speak TLS: {reason}.",
                    "Name its TLS listener, or leave stream.tls.ca empty.",
                )
        except TimeoutError:
            if connected:
                return f"it takes connections, but answered nothing in {_PROBE_S:g} s.", SLOW
            return f"nothing answered there in {_PROBE_S:g} s.", BROKER
        except (OSError, ValueError) as error:
            return f"no connection: {error}.", "Check the broker's address, and the files of stream.tls."
        if self.username:  # kafka-python tries again and again, and never says what was answered, if anything was
            refused = f"refused the user or its password, or has no {self.mechanism}"
            return f"TLS works; after it the broker {refused}, or it did not answer in time.", LOGIN_OR_BROKER
        return None


PLAIN = Tls()
"""No TLS."""
