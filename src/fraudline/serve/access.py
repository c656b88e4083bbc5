"""Who may ask, and by which connection: certificate, key and tokens, read again when they change."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

from fraudline.core.errors import UsageError
from fraudline.core.reread import Reread

RENEW_SECONDS = 10
"""Between two looks whether the certificate of REST has changed."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask, and what the connection is: files, read again when they change.

    Attributes:
        certificate: PEM file of the server's certificate; None for plain connections.
        key: PEM file of its private key.
        tokens: file of bearer tokens, one a line; None to ask for none.
    """

    certificate: Path | None = None
    key: Path | None = None
    tokens: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("A certificate and its key go together.", "Name both files, or neither.")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"There is no file {path}.", "Name the PEM file.")
        if self.certificate is not None and self.key is not None:
            _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.certificate, self.key)


OPEN = Access()
"""Everybody, over plain connections: behind a mesh or a gateway."""


async def renewing(context: ssl.SSLContext | None, access: Access) -> None:
    """Gives REST a changed certificate; gRPC reads its own at each handshake."""
    if context is None or access.certificate is None or access.key is None:
        return
    key = access.key

    def load(certificate: Path) -> None:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)  # a failure would leave half a pair
        _load_pair(context, certificate, key)

    pair = Reread(access.certificate, load, kept="serve.certificate_kept")
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        _ = pair.content


def credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    """Those of the files as they are at each handshake."""

    def fetch() -> Any:
        return grpc.ssl_server_certificate_configuration([(key.read_bytes(), certificate.read_bytes())])

    return grpc.dynamic_ssl_server_credentials(fetch(), fetch)


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password=str)  # none: OpenSSL would ask at the terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        problem = f"{certificate} and {key} cannot be loaded: {error}."
        raise UsageError(problem, "Name PEM files of a certificate and of its key, without a passphrase.") from error
