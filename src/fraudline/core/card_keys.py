"""One encryption key a card: what is kept of a card elsewhere is erased by destroying its key.

    keys = CardKeys(Path("card-keys.db"), Path("card-keys.master"))
    name = keys.names(["4000"])["4000"]     # name.pseudonym in the card's place, name.sealed to find the way back
    keys.opened(name.pseudonym, name.sealed)    # b"4000", until
    keys.erase("4000", by="ada", why="request 17")      # None from then on

A key is 256 random bits, made when the card first appears and wrapped under a master key that lies in a file of its
own. Rows are found by an HMAC of the card under a secret of the store, so that the store itself names no card. The
pseudonym is an HMAC under the card's own key: it joins a card's records, and once the key is gone nobody can compute it
from the card any more. The store's secrets, one for rows and one for proofs of erasure, were derived from its first
master key and lie wrapped in it: under another one (:meth:`CardKeys.rewrap`) rows and proofs are as before.
"""

import base64
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fraudline.core.aead import cipher_of, decrypted, encrypted
from fraudline.core.clock import now
from fraudline.core.errors import StateError
from fraudline.core.keyfile import KEY_BYTES
from fraudline.core.master_key import MasterKey

NOBODY = ""
"""Stands for the card of a record that names none."""

_FORMAT = 1
"""SQLite's ``user_version``; a store of the time before it has 0, and the same tables."""

_CACHED = 200_000
_WAIT_S = 30.0
_ASKED = 500
_PURPOSES = ("tags", "erasures")
_SECRETS = "SELECT purpose, wrapped FROM secrets"
_TABLES = """
CREATE TABLE IF NOT EXISTS keys (tag BLOB PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS erased (tag BLOB NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS readers (log TEXT PRIMARY KEY, reader TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS secrets (purpose TEXT PRIMARY KEY, wrapped BLOB NOT NULL);
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
        self._master = MasterKey.read(master)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._names: dict[str, CardName] = {}
        try:
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._check_format()
            self._db.executescript(_TABLES)
            path.chmod(0o600)
            self._secrets = self._kept_secrets()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        self._tags, self._erasures = (self._checked(self._secrets[name], name.encode()) for name in _PURPOSES)

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
        return self._named(card, os.urandom(KEY_BYTES))

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
        return encrypted(cipher_of(key), content, pseudonym.encode())

    def opened(self, pseudonym: str, sealed: bytes | str) -> bytes | None:
        """What was sealed; None once the card is erased.

        Raises:
            StateError: the content was changed.
        """
        key = self._key_of(pseudonym)
        if key is None:
            return None
        return decrypted(cipher_of(key), sealed, pseudonym.encode())

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

    def rewrap(self, master: Path) -> int:
        """Wrap everything under another master key, all of it or nothing; the number of cards.

        Whoever has the store open with the old one is refused from then on, before anything is written under it.

        Args:
            master: file of the other key, as the first one's.

        Raises:
            StateError: the store cannot be written.
            UsageError: the file is no master key.
        """
        old, new = self._master, MasterKey.read(master)

        def anew(name: bytes | str, wrapped: bytes) -> bytes:
            bound_to = name.encode() if isinstance(name, str) else name
            return new.wrapped(old.unwrapped(wrapped, bound_to), bound_to)

        try:
            self._db.create_function("anew", 2, anew)
            self._db.execute("BEGIN IMMEDIATE")
            self._check_master()
            cards = self._db.execute("UPDATE keys SET wrapped = anew(tag, wrapped)").rowcount
            self._db.execute("UPDATE secrets SET wrapped = anew(purpose, wrapped)")
            self._db.execute("COMMIT")
            self._master, self._secrets = new, self._kept_secrets()
        except sqlite3.Error as error:
            self._db.rollback()
            raise self._damaged(error) from error
        return cards

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _check_format(self) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > _FORMAT:
            self._db.close()
            problem = f"{self._path} is of format {found}, and this release knows {_FORMAT}."
            raise StateError(problem, "Go back to the release that wrote it, or to a later one.")
        if found < _FORMAT:
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")

    def _kept_secrets(self) -> dict[str, bytes]:
        """The store's secrets, wrapped; a store that has none yet gets those of its master key."""
        found = dict(self._db.execute(_SECRETS))
        if not found:
            self._db.execute("BEGIN IMMEDIATE")
            for tag, wrapped in self._db.execute("SELECT tag, wrapped FROM keys LIMIT 1").fetchall():
                self._checked(wrapped, tag)
            named = [(name, name.encode()) for name in _PURPOSES]
            rows = [(name, self._master.wrapped(self._master.derived(text), text)) for name, text in named]
            self._db.executemany("INSERT OR IGNORE INTO secrets VALUES (?, ?)", rows)
            found = dict(self._db.execute(_SECRETS))
            self._db.execute("COMMIT")
        return found

    def _checked(self, wrapped: bytes, bound_to: bytes) -> bytes:
        try:
            return self._master.unwrapped(wrapped, bound_to)
        except StateError as error:
            self._db.close()
            problem = f"{self._path} was made with another master key."
            raise StateError(problem, "Name that key in stream.card_keys_master.") from error

    def _check_master(self) -> None:
        """Refuse to write what the next one could not read, inside a transaction."""
        if dict(self._db.execute(_SECRETS)) != self._secrets:
            self._db.execute("ROLLBACK")
            problem = f"The master key of {self._path} was changed meanwhile."
            raise StateError(problem, "Name the new one in stream.card_keys_master, and start again.")

    def _look_up(self, cards: list[str]) -> dict[str, CardName]:
        tags = {self._tag(card): card for card in cards}
        try:
            keys = self._stored(tags)
            new = {tag: os.urandom(KEY_BYTES) for tag in tags.keys() - keys.keys()}
            if new:
                self._db.execute("BEGIN IMMEDIATE")
                self._check_master()
                rows = [(tag, _pseudonym(key), self._master.wrapped(key, tag)) for tag, key in new.items()]
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
            found |= {tag: self._master.unwrapped(wrapped, tag) for tag, wrapped in self._db.execute(query, part)}
        return found

    def _named(self, card: str, key: bytes) -> CardName:
        pseudonym = _pseudonym(key)
        sealed = encrypted(cipher_of(key), card.encode(), pseudonym.encode())
        return CardName(pseudonym, base64.b64encode(sealed).decode())

    def _key_of(self, pseudonym: str) -> bytes | None:
        try:
            query = "SELECT tag, wrapped FROM keys WHERE pseudonym = ?"
            row = self._db.execute(query, (pseudonym,)).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return None if row is None else self._master.unwrapped(row[1], row[0])

    def _tag(self, card: str) -> bytes:
        return _hmac(self._tags, card.encode())

    def _damaged(self, error: sqlite3.Error) -> StateError:
        return StateError(f"{self._path} cannot be used: {error}.", "Restore the store of card keys, or name another.")


def _pseudonym(key: bytes) -> str:
    return "p" + _hmac(key, b"pseudonym").hex()[:32]


def _hmac(key: bytes, content: bytes) -> bytes:
    import hmac

    return hmac.digest(key, content, "sha256")
