"""One encryption key a card: what is kept of a card elsewhere is erased by destroying its key.

    keys = CardKeys(Path("card-keys.db"), Path("card-keys.master"))
    name = keys.names(["4000"])["4000"]     # name.pseudonym in the card's place, name.sealed to find the way back
    keys.opened(name.pseudonym, name.sealed)    # b"4000", until
    keys.erase("4000", by="ada", why="request 17")      # None from then on

A key is 256 random bits, made when the card first appears and wrapped (AES-256-GCM) under a master key that lies in a
file of its own. Rows are found by an HMAC of the card under a key derived from the master key, so that the store itself
names no card. The pseudonym is an HMAC under the card's own key: it joins a card's records, and once the key is gone
nobody can compute it from the card any more.
"""

import base64
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fraudline.core.clock import now
from fraudline.core.errors import StateError, UsageError

NOBODY = ""
"""Stands for the card of a record that names none."""

_NONCE_BYTES = 12
_KEY_BYTES = 32
_CACHED = 200_000
_WAIT_S = 30.0
_ACTION = "Write one, readable by nobody else: openssl rand -hex 32 > FILE."
_ASKED = 500
_TABLES = """
CREATE TABLE IF NOT EXISTS keys (tag BLOB PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS erased (tag BLOB NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS readers (log TEXT PRIMARY KEY, reader TEXT NOT NULL);
"""


class CardName(NamedTuple):
    """What stands for a card: a pseudonym, and the card itself, encrypted under its key."""

    pseudonym: str
    sealed: str


class CardKeys:
    """A store of keys in one SQLite file, which the workers of a group share as they share their checkpoints.

    Args:
        path: the store; made where it is not there.
        master: file of 64 hexadecimal digits, kept apart from the store and its backups.

    Raises:
        StateError: the store is another master key's, or damaged.
        UsageError: the master key cannot be read, or the library is not installed.
    """

    def __init__(self, path: Path, master: Path) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise UsageError("Card keys need cryptography.", "Install the extra: fraudline[keys].") from error
        self._aead: Any = AESGCM
        secret = _master(master)
        self._wrap, self._tags = (AESGCM(_derived(secret, b"wrap")), _derived(secret, b"tags"))
        self._erasures = _derived(secret, b"erasures")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._names: dict[str, CardName] = {}
        try:
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        path.chmod(0o600)

    def names(self, cards: Iterable[str]) -> dict[str, CardName]:
        """What stands for each card; one that has no key gets one, which is stored before this returns.

        Raises:
            StateError: the store cannot be read or written.
        """
        wanted = set(cards)
        missing = wanted - self._names.keys()
        if missing:
            if len(self._names) + len(missing) > _CACHED:
                self._names = {}
                missing = wanted
            self._names |= self._look_up(sorted(missing))
        return {card: self._names[card] for card in wanted}

    def closed_name(self, card: str) -> CardName:
        """A name of the card whose key nobody keeps."""
        return self._named(card, os.urandom(_KEY_BYTES))

    def look_anew(self) -> None:
        """Take no name from memory that was looked up before now: another process may have destroyed its key."""
        self._names = {}

    def sealed(self, pseudonym: str, content: bytes) -> bytes:
        """``content`` encrypted under the key of the card that a pseudonym stands for.

        Raises:
            StateError: that card has no key.
        """
        key = self._key_of(pseudonym)
        if key is None:
            raise StateError(f"{pseudonym} has no key.", "Ask for the card's name first.")
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + bytes(self._aead(key).encrypt(nonce, content, pseudonym.encode()))

    def opened(self, pseudonym: str, sealed: bytes | str) -> bytes | None:
        """What was sealed; None once the card is erased.

        Raises:
            StateError: the content was changed.
        """
        key = self._key_of(pseudonym)
        if key is None:
            return None
        return self._decrypted(self._aead(key), sealed, pseudonym.encode())

    def known(self, card: str) -> str:
        """The pseudonym of a card; empty where it has no key.

        Raises:
            StateError: the store cannot be read.
        """
        try:
            row = self._db.execute("SELECT pseudonym FROM keys WHERE tag = ?", (self._tag(card),)).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return "" if row is None else str(row[0])

    def erase(self, card: str, *, by: str, why: str, pseudonym: str | None = None) -> bool:
        """Destroy a card's key, and note who asked for it; whether there was one.

        Args:
            card: its identifier.
            by: who asks for it.
            why: the reason.
            pseudonym: what the key's pseudonym must be: a key that the card has got since stays. None for any.

        Raises:
            StateError: the store cannot be written.
        """
        tag = self._tag(card)
        self._names.pop(card, None)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            query = "DELETE FROM keys WHERE tag = ? AND pseudonym = ifnull(?, pseudonym)"
            there = self._db.execute(query, (tag, pseudonym)).rowcount > 0
            self._db.execute(
                "INSERT INTO erased VALUES (?, ?, ?, ?)", (tag, now().isoformat(timespec="seconds"), by, why)
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return there

    def proof_of_erasure(self, card: str) -> bytes:
        """What only who has the master key can say of a card: that it is to be erased. Hexadecimal digits."""
        return _hmac(self._erasures, card.encode()).hex().encode()

    def forget(self, card: str) -> None:
        """Destroy the key that a card may have got again after it was erased."""
        self._names.pop(card, None)
        try:
            self._db.execute("DELETE FROM keys WHERE tag = ?", (self._tag(card),))
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def claim(self, log: str, reader: str) -> str:
        """Who reads a log with the keys of this store: ``reader``, where nobody else was named before.

        One that comes to an erasure later than another would destroy the key that the card has got since.

        Raises:
            StateError: the store cannot be written.
        """
        try:
            self._db.execute("INSERT OR IGNORE INTO readers VALUES (?, ?)", (log, reader))
            return str(self._db.execute("SELECT reader FROM readers WHERE log = ?", (log,)).fetchone()[0])
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _look_up(self, cards: list[str]) -> dict[str, CardName]:
        tags = {self._tag(card): card for card in cards}
        try:
            keys = self._stored(tags)
            new = {tag: os.urandom(_KEY_BYTES) for tag in tags.keys() - keys.keys()}
            if new:
                self._db.execute("BEGIN IMMEDIATE")
                rows = [(tag, _pseudonym(key), self._wrapped(tag, key)) for tag, key in new.items()]
                self._db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", rows)
                keys |= self._stored(dict.fromkeys(new, ""))  # another worker may have been quicker
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return {card: self._named(card, keys[tag]) for tag, card in tags.items()}

    def _stored(self, tags: dict[bytes, str]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        asked = list(tags)
        for begin in range(0, len(asked), _ASKED):
            part = asked[begin : begin + _ASKED]
            marks = ",".join("?" * len(part))
            query = f"SELECT tag, wrapped FROM keys WHERE tag IN ({marks})"  # noqa: S608 - question marks alone
            found |= {tag: self._unwrapped(tag, wrapped) for tag, wrapped in self._db.execute(query, part)}
        return found

    def _named(self, card: str, key: bytes) -> CardName:
        pseudonym, nonce = _pseudonym(key), os.urandom(_NONCE_BYTES)
        sealed = nonce + bytes(self._aead(key).encrypt(nonce, card.encode(), pseudonym.encode()))
        return CardName(pseudonym, base64.b64encode(sealed).decode())

    def _key_of(self, pseudonym: str) -> bytes | None:
        try:
            query = "SELECT tag, wrapped FROM keys WHERE pseudonym = ?"
            row = self._db.execute(query, (pseudonym,)).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return None if row is None else self._unwrapped(*row)

    def _wrapped(self, tag: bytes, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + bytes(self._wrap.encrypt(nonce, key, tag))

    def _unwrapped(self, tag: bytes, wrapped: bytes) -> bytes:
        return self._decrypted(self._wrap, wrapped, tag)

    def _decrypted(self, cipher: Any, sealed: bytes | str, bound_to: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            content = base64.b64decode(sealed, validate=True) if isinstance(sealed, str) else sealed
            return bytes(cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], bound_to))
        except (InvalidTag, ValueError) as error:
            raise StateError(
                f"{self._path}: what is sealed was changed, or the master key is another.",
                "Name the key it was sealed by.",
            ) from error

    def _tag(self, card: str) -> bytes:
        return _hmac(self._tags, card.encode())

    def _damaged(self, error: sqlite3.Error) -> StateError:
        return StateError(f"{self._path} cannot be used: {error}.", "Restore the store of card keys, or name another.")


def _master(path: Path) -> bytes:
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no master key.", _ACTION) from error
    if len(secret) != _KEY_BYTES:
        raise UsageError(f"{path} has {len(secret)} bytes, not {_KEY_BYTES}.", _ACTION)
    return secret


def _derived(secret: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return bytes(HKDF(SHA256(), _KEY_BYTES, None, b"fraudline card keys " + purpose).derive(secret))


def _pseudonym(key: bytes) -> str:
    return "p" + _hmac(key, b"pseudonym").hex()[:32]


def _hmac(key: bytes, content: bytes) -> bytes:
    import hmac

    return hmac.digest(key, content, "sha256")
