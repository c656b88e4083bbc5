"""How the worker proves itself to the endpoint, and which certificates it believes: files, never values."""

import ssl
from pathlib import Path

from fraudline.core.errors import UsageError
from fraudline.core.reread import Reread
from fraudline.stream.params import StreamParams


class BearerToken:
    """The first line of a file, read again when the file changes.

    Args:
        path: a Kubernetes secret's mount, for example; the server's own file of tokens has the same form.

    Raises:
        UsageError: the file cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._token = Reread(path, _token_of, kept="endpoint.token_kept")

    def header(self) -> str:
        """The value of ``Authorization``; what was known stays while the file is missing or broken."""
        return f"Bearer {self._token.content}"


def _token_of(path: Path) -> str:
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not ASCII"
        problem = f"The endpoint's token {path} cannot be read: {reason}."
        raise UsageError(problem, "Name a readable file in stream.endpoint_token_file.") from error
    if not words:
        raise UsageError(f"{path} holds no token.", "Write the endpoint's bearer token into it.")
    return words[0]


def bearer_of(params: StreamParams) -> BearerToken | None:
    """The token of ``endpoint_token_file``, if there is one.

    Raises:
        UsageError: it cannot be read, or would go over a plain connection.
    """
    if not params.endpoint_token_file:
        return None
    if not params.endpoint.lower().startswith("https://"):
        problem = f"The token of {params.endpoint_token_file} would go to {params.endpoint} over a plain connection."
        raise UsageError(problem, "Name an https:// endpoint, or leave stream.endpoint_token_file empty.")
    return BearerToken(Path(params.endpoint_token_file))


def trusted(params: StreamParams) -> ssl.SSLContext:
    """The authorities that the endpoint's certificate may be of: that of ``endpoint_ca``, or the system's.

    Raises:
        UsageError: ``endpoint_ca`` is no PEM file of certificates.
    """
    try:
        return ssl.create_default_context(cafile=params.endpoint_ca or None)
    except OSError as error:  # ssl.SSLError is one
        problem = f"The certificates of {params.endpoint_ca} cannot be read: {error.strerror or error}."
        raise UsageError(problem, "Name the authority's PEM file in stream.endpoint_ca.") from error
