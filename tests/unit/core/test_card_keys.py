"""A card's key opens what was sealed for it, until it is destroyed; the store names no card."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import StateError, UsageError


@pytest.fixture
def master(tmp_path: Path) -> Path:
    path = tmp_path / "master"
    path.write_text("ab" * 32 + "\n")
    return path


def test_what_is_sealed_is_opened_until_the_card_is_erased(tmp_path: Path, master: Path) -> None:
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        names = keys.names(["c1", "c2", "c1"])
        sealed = keys.sealed(names["c1"].pseudonym, b"a letter")
        assert keys.opened(*names["c1"]) == b"c1"
        assert keys.opened(names["c1"].pseudonym, sealed) == b"a letter"
        assert keys.known("c1") == names["c1"].pseudonym
        assert keys.erase("c1", by="ada", why="asked")
        assert keys.opened(*names["c1"]) is None
        assert keys.opened(names["c1"].pseudonym, sealed) is None
        assert keys.known("c1") == ""
        assert keys.opened(*names["c2"]) == b"c2"
        assert not keys.erase("c1", by="ada", why="again")
        assert keys.names(["c1"])["c1"].pseudonym != names["c1"].pseudonym  # who comes back is somebody new


def test_workers_that_share_a_store_give_a_card_one_name_and_the_store_does_not_hold_it(
    tmp_path: Path, master: Path
) -> None:
    cards = [f"card-{number:05d}" for number in range(1_200)]
    with (
        closing(CardKeys(tmp_path / "k" / "keys.db", master)) as one,
        closing(CardKeys(tmp_path / "k" / "keys.db", master)) as two,
    ):
        first = one.names(cards)
        second = two.names(cards)
        assert {card: name.pseudonym for card, name in first.items()} == {c: n.pseudonym for c, n in second.items()}
        assert len({name.pseudonym for name in first.values()}) == len(cards)
        assert two.opened(*first["card-00007"]) == b"card-00007"
    content = (tmp_path / "k" / "keys.db").read_bytes()
    assert b"card-0" not in content
    assert (tmp_path / "k" / "keys.db").stat().st_mode & 0o077 == 0


def test_an_erased_key_is_nowhere_in_the_file(tmp_path: Path, master: Path) -> None:
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        keys.names(["c1", "c2"])
        wrapped = keys._db.execute("SELECT wrapped FROM keys WHERE tag = ?", (keys._tag("c1"),)).fetchone()[0]
        assert wrapped in (tmp_path / "keys.db").read_bytes()
        keys.erase("c1", by="ada", why="asked")
    assert wrapped not in (tmp_path / "keys.db").read_bytes()
    assert [path.name for path in tmp_path.glob("keys.db*")] == ["keys.db"]  # no journal that still has it


def test_another_master_key_a_changed_content_and_a_wrong_file_are_refused(tmp_path: Path, master: Path) -> None:
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        name = keys.names(["c1"])["c1"]
        sealed = keys.sealed(name.pseudonym, b"a letter")
        with pytest.raises(StateError, match="was changed"):
            keys.opened(name.pseudonym, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        with pytest.raises(StateError, match="has no key"):
            keys.sealed("p0", b"x")
    other = tmp_path / "other"
    other.write_text("cd" * 32)
    with pytest.raises(StateError, match="another master key"):
        CardKeys(tmp_path / "keys.db", other)
    (tmp_path / "short").write_text("ab")
    for path in ("short", "none"):
        with pytest.raises(UsageError, match="openssl rand"):
            CardKeys(tmp_path / "keys.db", tmp_path / path)
    (tmp_path / "no.db").write_text("no store" * 100)
    with pytest.raises(StateError, match="cannot be used"):
        CardKeys(tmp_path / "no.db", master)


def _store_of_before(path: Path) -> None:
    """What a release made that kept no secrets of the store: tags and proofs are those of its master key."""
    with closing(sqlite3.connect(path)) as store:
        store.execute("DROP TABLE secrets")
        store.commit()


def test_a_store_that_has_no_secrets_yet_goes_on_with_its_own_master_key_and_with_no_other(
    tmp_path: Path, master: Path
) -> None:
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        name, proof = keys.names(["c1"])["c1"], keys.proof_of_erasure("c1")
    _store_of_before(tmp_path / "keys.db")
    other = tmp_path / "other"
    other.write_text("cd" * 32)
    with pytest.raises(StateError, match="another master key"):
        CardKeys(tmp_path / "keys.db", other)
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        assert (keys.known("c1"), keys.proof_of_erasure("c1")) == (name.pseudonym, proof)


def test_under_another_master_key_every_card_keeps_its_name_and_the_old_one_opens_nothing(
    tmp_path: Path, master: Path
) -> None:
    new = tmp_path / "new"
    new.write_text("cd" * 32)
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        names = keys.names(["c1", "c2"])
        proof, letter = keys.proof_of_erasure("c1"), keys.sealed(names["c1"].pseudonym, b"a letter")
        before = (tmp_path / "keys.db").read_bytes()
        wrapped = [row[0] for row in keys._db.execute("SELECT wrapped FROM keys")]
        assert all(each in before for each in wrapped)
        assert keys.rewrap(new) == 2
        assert keys.opened(*names["c1"]) == b"c1"
    assert not any(each in (tmp_path / "keys.db").read_bytes() for each in wrapped)
    with pytest.raises(StateError, match="another master key"):
        CardKeys(tmp_path / "keys.db", master)
    with closing(CardKeys(tmp_path / "keys.db", new)) as keys:
        assert [keys.known(card) for card in names] == [name.pseudonym for name in names.values()]
        assert keys.opened(names["c1"].pseudonym, letter) == b"a letter"
        assert keys.proof_of_erasure("c1") == proof
        assert keys.erase("c1", by="ada", why="asked")


def test_who_still_has_the_old_master_key_writes_nothing_that_the_next_one_could_not_read(
    tmp_path: Path, master: Path
) -> None:
    new = tmp_path / "new"
    new.write_text("cd" * 32)
    with (
        closing(CardKeys(tmp_path / "keys.db", master)) as worker,
        closing(CardKeys(tmp_path / "keys.db", master)) as person,
    ):
        worker.names(["c1"])
        assert person.rewrap(new) == 1
        for _ in range(2):
            with pytest.raises(StateError, match="was changed meanwhile"):
                worker.names(["c2"])
        assert person.known("c2") == ""
        assert person.names(["c2"])["c2"].pseudonym


def test_a_master_key_that_cannot_be_changed_leaves_the_store_as_it_was(tmp_path: Path, master: Path) -> None:
    new = tmp_path / "new"
    new.write_text("cd" * 32)
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        names = keys.names(["c1", "c2"])
        keys._db.execute("UPDATE keys SET wrapped = x'00' WHERE pseudonym = ?", (names["c2"].pseudonym,))
        with pytest.raises(StateError, match="cannot be used"):
            keys.rewrap(new)
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        assert keys.opened(*names["c1"]) == b"c1"


@pytest.mark.parametrize("sealed", ["%%%", "a", "ü", ""])
def test_what_is_no_base64_was_changed(tmp_path: Path, master: Path, sealed: str) -> None:
    with closing(CardKeys(tmp_path / "keys.db", master)) as keys:
        name = keys.names(["c1"])["c1"]
        with pytest.raises(StateError, match="was changed"):
            keys.opened(name.pseudonym, sealed)


def test_a_card_that_is_erased_while_it_gets_its_key_has_a_name_whose_key_is_gone(
    tmp_path: Path, master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(CardKeys(tmp_path / "keys.db", master)) as worker,
        closing(CardKeys(tmp_path / "keys.db", master)) as person,
    ):

        class Watched:
            """The worker's database; as soon as a key is committed, somebody erases the card."""

            def __init__(self) -> None:
                self._db = worker._db

            def __getattr__(self, name: str) -> Any:
                return getattr(self._db, name)

            def execute(self, query: str, *given: Any) -> Any:
                done = self._db.execute(query, *given)
                if query == "COMMIT":
                    person.erase("c1", by="ada", why="asked")
                return done

        monkeypatch.setattr(worker, "_db", Watched())
        assert worker.opened(*worker.names(["c1"])["c1"]) is None


def test_without_the_library_the_extra_is_named(tmp_path: Path, master: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(UsageError, match=r"fraudline\[keys\]"):
        CardKeys(tmp_path / "keys.db", master)
