"""The master key of a store: it wraps what the store keeps, and lies in a file of its own."""

from pathlib import Path
from typing import Self

from fraudline.core.aead import cipher_of, decrypted, encrypted
from fraudline.core.errors import UsageError
from fraudline.core.keyfile import KEY_BYTES

_ACTION = "Write one, readable by nobody else: openssl rand -hex 32 > FILE."


class MasterKey:
    """Wraps keys (AES-256-GCM), each bound to what it belongs to, and derives others (HKDF, RFC 5869).

    Args:
        secret: 32 random bytes.

    Raises:
        UsageError: the library is not installed.
    """

    def __init__(self, secret: bytes) -> None:
        cipher_of(secret)  # says what is missing, before anything else is imported
        self._secret = secret
        self._cipher = cipher_of(self.derived(b"wrap"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file of 64 hexadecimal digits.

        Raises:
            UsageError: it cannot be read, or the library is not installed.
        """
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} is no master key.", _ACTION) from error
        if len(secret) != KEY_BYTES:
            raise UsageError(f"{path} has {len(secret)} bytes, not {KEY_BYTES}.", _ACTION)
        return cls(secret)

    def derived(self, purpose: bytes) -> bytes:
        """32 bytes for one purpose."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return bytes(HKDF(SHA256(), KEY_BYTES, None, b"fraudline card keys " + purpose).derive(self._secret))

    def wrapped(self, content: bytes, bound_to: bytes) -> bytes:
        """``content``, which only :meth:`unwrapped` of the same key and name gives back."""
        return encrypted(self._cipher, content, bound_to)

    def unwrapped(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """What was wrapped.

        Raises:
            StateError: by another key, or it was changed.
        """
        return decrypted(self._cipher, wrapped, bound_to)
