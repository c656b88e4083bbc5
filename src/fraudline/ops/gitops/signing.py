"""Ed25519 signatures (RFC 8032) over JSON: who said it, and that nothing was changed since.

    signature = sign({"digest": "0f3c..."}, key_file)
    check({"digest": "0f3c..."}, signature, public_keys)

What is signed is the canonical text: keys sorted, no spaces, UTF-8. The file of public keys may hold several, and any
of them verifies: that is how a key is replaced while models that the one before signed are still served.
"""

import base64
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import PromotionRefused, UsageError
from fraudline.core.files import write_text

_PEM = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def make_keys(private: Path, public: Path) -> str:
    """Write a new pair of keys as PEM; an existing private key is never replaced, public ones are kept below the new.

    Returns:
        The public key's fingerprint.

    Raises:
        UsageError: there is a private key already.
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    shown = key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    private.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{private} is there already.", "Name another file; a key is never replaced.") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        write_text(public, shown.decode() + (public.read_text(encoding="utf-8") if public.is_file() else ""))
    except BaseException:  # half a pair would stand in the way of the next attempt
        private.unlink()
        raise
    return fingerprint(shown)


def sign(record: dict[str, Any], private: Path) -> str:
    """The signature of a record, in base64.

    Raises:
        UsageError: the key cannot be read.
    """
    return base64.b64encode(_private(private).sign(canonical(record))).decode()


def check(record: dict[str, Any], signature: str, public: bytes) -> None:
    """Verify a signature by any of the keys.

    Raises:
        PromotionRefused: the record was not signed with one of these keys, or was changed since.
        UsageError: a key cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    blocks = _PEM.findall(public) or [public]
    for key in [_public(block) for block in blocks]:
        with suppress(InvalidSignature, ValueError, TypeError):
            return key.verify(base64.b64decode(signature, validate=True), canonical(record))
    names = " or ".join(fingerprint(block) for block in blocks)
    raise PromotionRefused(
        f"The signature is not that of the key {names}, or what it signs was changed.",
        "Make it again with `fraudline promote`, with the key whose public half is on the target branch.",
    )


def fingerprint(public: bytes) -> str:
    """A short name of a public key."""
    return sha256_bytes(b"".join(public.split()))[:16]


def canonical(record: dict[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _private(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"The signing key {path} cannot be read: {error}.", "Make one: fraudline promotion keygen."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key.", "Make one: fraudline promotion keygen.")
    return key


def _public(content: bytes) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise UsageError("The public key cannot be read.", "Commit the one that keygen wrote.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("The public key is no Ed25519 key.", "Commit the one that keygen wrote.")
    return key
