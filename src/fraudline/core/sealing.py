"""Files encrypted at rest: an envelope, so that a key service sees 32 bytes a file and never its content.

    keys = key_wrapper(Encryption(key_file="master.key"))
    with path.open("wb") as file, Sealer(file, keys, b"export") as sealed:
        sealed.write(content)
    content = b"".join(unsealed(path.open("rb"), keys, b"export"))

A file is a magic line, the length of a JSON header (4 bytes, little-endian), the header with the wrapped data key,
then chunks of 1 MiB, each under AES-256-GCM with a nonce of a random prefix, the chunk's number and whether it is the
last (STREAM: Hoang, Reyhanitabar, Rogaway, Vizar, "Online Authenticated-Encryption", 2015). So a chunk that is changed,
moved, missing or of another file is found. The header and a ``context`` (what the file is) are authenticated with it.
"""

import base64
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from pydantic import model_validator

from fraudline.core.aead import ACTION, cipher_of, decrypted, encrypted
from fraudline.core.documents import parse_json
from fraudline.core.errors import FraudlineError, StateError, UnavailableError, UsageError
from fraudline.core.keyfile import KEY_BYTES, read_keys
from fraudline.core.settings import Settings

MAGIC = b"FRAUDLINE-SEALED\n"
GROUP = "fraudline.key_wrappers"
"""Entry points of key services: each gives a :class:`KeyWrapper` when it is called."""

_LENGTH = struct.Struct("<I")
_NONCE = struct.Struct(">7sIB")
_CHUNK = 1 << 20
_TAG = 16
_MOST_HEADER = 64 << 10


class KeyWrapper(Protocol):
    """Wraps a file's data key under a master key that it does not give away: a file of keys, or a key service."""

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """The master key's id, and the wrapped key; ``context`` is authenticated."""
        ...

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key.

        Raises:
            StateError: the master key or the context is another, or the wrapped key was changed.
        """
        ...


class Encryption(Settings):
    """What encrypts files at rest; nothing does where both are empty.

    Attributes:
        key_file: lines of ``KEYID HEX`` (32 bytes); the first seals, all open.
        service: name of an installed key service (an entry point of ``fraudline.key_wrappers``).
    """

    key_file: str = ""
    service: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.key_file and self.service:
            raise ValueError("key_file and service exclude each other")
        return self


def key_wrapper(settings: Encryption) -> KeyWrapper | None:
    """What wraps keys; None where nothing is to be encrypted.

    Raises:
        UsageError: the key file or the service is not there, or cryptography is not installed.
        UnavailableError: the service cannot be opened.
    """
    if settings.key_file:
        cipher_of(bytes(KEY_BYTES))
        return KeysOfFile(read_keys(Path(settings.key_file)))
    if not settings.service:
        return None
    known = entry_points(group=GROUP)
    if settings.service not in known.names:
        problem = f"There is no key service {settings.service!r}."
        raise UsageError(problem, f"Install it; known here: {', '.join(sorted(known.names)) or 'none'}.")
    with _answering(settings.service):
        return KeysOfService(settings.service, known[settings.service].load()())


class KeysOfFile:
    """Wraps with the first of several master keys, by AES-256-GCM."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """See the protocol."""
        key_id, key = next(iter(self._keys.items()))
        return key_id, encrypted(cipher_of(key), data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """See the protocol."""
        if key_id not in self._keys:
            raise StateError(f"It was sealed with the key {key_id!r:.20}, which is not in the key file.", ACTION)
        return decrypted(cipher_of(self._keys[key_id]), wrapped, context)


class KeysOfService:
    """Wraps by an installed key service. What it raises that is no error of ours says that it does not answer."""

    def __init__(self, name: str, service: KeyWrapper) -> None:
        self._name, self._service = name, service

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """See the protocol."""
        with _answering(self._name):
            return self._service.wrap(data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """See the protocol."""
        with _answering(self._name):
            return self._service.unwrap(key_id, wrapped, context)


@contextmanager
def _answering(service: str) -> Iterator[None]:
    try:
        yield
    except FraudlineError:
        raise
    except Exception as error:  # its client's own
        problem = f"The key service {service!r} does not answer: {type(error).__name__}: {error}."
        raise UnavailableError(problem, "Check its address, its settings and your credentials for it.") from error


class Sealer:
    """A writer that encrypts; close it, or leave its block well, or the file cannot be opened.

    Args:
        file: open for writing, in binary.
        keys: wraps the data key.
        context: what the file is; to open it the same is needed.
    """

    def __init__(self, file: IO[bytes], keys: KeyWrapper, context: bytes) -> None:
        data_key, prefix = os.urandom(KEY_BYTES), os.urandom(7)
        key_id, wrapped = keys.wrap(data_key, context)
        text = {"format": 1, "key_id": key_id, "wrapped": _text(wrapped), "prefix": _text(prefix), "chunk": _CHUNK}
        header = json.dumps(text, sort_keys=True).encode()
        self._file, self._aead, self._prefix = file, cipher_of(data_key), prefix
        self._about = context + b"\0" + header
        self._waiting = bytearray()
        self._number = 0
        file.write(MAGIC + _LENGTH.pack(len(header)) + header)

    def write(self, part: bytes) -> int:
        """Take some bytes."""
        self._waiting += part
        if len(self._waiting) > _CHUNK:
            with memoryview(self._waiting) as view:
                whole = (len(view) - 1) // _CHUNK * _CHUNK
                for at in range(0, whole, _CHUNK):
                    with view[at : at + _CHUNK] as chunk:  # released also on a full disk: closing writes, too
                        self._put(chunk, last=False)
            del self._waiting[:whole]
        return len(part)

    def close(self) -> None:
        """Write what waits; the file itself stays open."""
        self._put(memoryview(self._waiting), last=True)

    def _put(self, chunk: memoryview, *, last: bool) -> None:
        nonce = _NONCE.pack(self._prefix, self._number, last)
        self._file.write(self._aead.encrypt(nonce, chunk, self._about))
        self._number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is None:
            self.close()


def unsealed(file: IO[bytes], keys: KeyWrapper, context: bytes) -> Iterator[bytes]:
    """The content of a sealed file, in chunks; each is authentic, and all of them are when the iterator ends.

    Raises:
        StateError: it is not sealed, with another key or context, or was changed.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise StateError("It is not sealed.", "Seal it, or name no key.")
    header, about = _header(file)
    prefix, chunk = about["prefix"], about["chunk"]
    data_key = keys.unwrap(about["key_id"], about["wrapped"], context)
    if len(data_key) != KEY_BYTES:
        raise StateError("Its key cannot be unwrapped.", ACTION)
    cipher, bound = cipher_of(data_key), context + b"\0" + header
    number, piece = 0, file.read(chunk + _TAG)
    while True:
        following = file.read(chunk + _TAG)
        yield decrypted(cipher, _NONCE.pack(prefix, number, not following) + piece, bound)
        if not following:
            return
        number, piece = number + 1, following


def is_sealed(head: bytes) -> bool:
    """Whether content that begins so is sealed."""
    return head.startswith(MAGIC)


def _header(file: IO[bytes]) -> tuple[bytes, dict[str, Any]]:
    try:
        (size,) = _LENGTH.unpack(file.read(_LENGTH.size))
        header = file.read(min(size, _MOST_HEADER))
        text = parse_json(header, "Its header", wrong=StateError, action=ACTION)
        found = {
            "key_id": str(text["key_id"]),
            "wrapped": base64.b64decode(text["wrapped"], validate=True),
            "prefix": base64.b64decode(text["prefix"], validate=True),
            "chunk": text["chunk"],
        }
        whole = text["format"] == 1 and len(header) == size and len(found["prefix"]) == 7
        if not whole or type(found["chunk"]) is not int or not 0 < found["chunk"] <= 64 * _CHUNK:
            raise ValueError("header")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise StateError("Its header is damaged.", ACTION) from error
    return header, found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
