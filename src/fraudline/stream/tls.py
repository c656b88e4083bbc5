"""How a Kafka client proves who it is, and whom it believes: the section ``stream.tls`` of ``params.yaml``.

Certificates are files, as Strimzi writes them into secrets; a renewed one is read when the client starts again.
"""

from typing import Any, Self

from pydantic import model_validator

from fraudline.core.settings import Settings


class Tls(Settings):
    """Certificates as PEM files. Without ``ca`` the connection is plain.

    Attributes:
        ca: of the authority that signed the brokers' certificates; their host names are checked.
        certificate: this client's own; the broker's rules are by its common name. Empty for none.
        key: the private key of ``certificate``.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")
        if self.certificate and not self.ca:
            raise ValueError("a client's certificate needs ca: without it the connection is plain")
        return self

    def kafka_python(self) -> dict[str, Any]:
        """The settings by the names of kafka-python; empty for a plain connection."""
        if not self.ca:
            return {}
        own = {"ssl_certfile": self.certificate, "ssl_keyfile": self.key} if self.certificate else {}
        return {"security_protocol": "SSL", "ssl_cafile": self.ca, **own}

    def librdkafka(self) -> dict[str, Any]:
        """The settings by the names of librdkafka; empty for a plain connection."""
        if not self.ca:
            return {}
        own = {"ssl.certificate.location": self.certificate, "ssl.key.location": self.key} if self.certificate else {}
        return {"security.protocol": "ssl", "ssl.ca.location": self.ca, **own}

    def client(self, transport: str) -> dict[str, Any]:
        """The settings by the names of a transport's client."""
        return self.librdkafka() if transport == "confluent" else self.kafka_python()


PLAIN = Tls()
"""No TLS."""
