"""AES-256-GCM: what is encrypted is authenticated with what it belongs to, and opens as nothing else."""

import base64
import os
from typing import Any

from fraudline.core.errors import StateError, UsageError

NONCE_BYTES = 12
ACTION = "Name the key that it was sealed with; what is damaged cannot be opened."


def cipher_of(key: bytes) -> Any:
    """The cipher of a key of 32 bytes.

    Raises:
        UsageError: the library is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise UsageError(
            "Encryption needs cryptography.", "Install the extra: fraudline[keys]; fraudline[serve] has it, too."
        ) from error
    return AESGCM(key)


def encrypted(cipher: Any, content: bytes, bound_to: bytes) -> bytes:
    """A fresh random nonce, and ``content`` encrypted."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + bytes(cipher.encrypt(nonce, content, bound_to))


def decrypted(cipher: Any, sealed: bytes | str, bound_to: bytes) -> bytes:
    """What :func:`encrypted` was given; text is base64 of what it gave.

    Raises:
        StateError: it was encrypted with another key or for something else, or was changed.
    """
    from cryptography.exceptions import InvalidTag

    try:
        content = base64.b64decode(sealed, validate=True) if isinstance(sealed, str) else sealed
        return bytes(cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], bound_to))
    except (InvalidTag, ValueError) as error:
        raise StateError("It was sealed with another key or as something else, or was changed.", ACTION) from error
