"""A card that is erased within a batch is forgotten at that place, and a checkpoint in writing stays whole."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from fraudline.core.card_keys import CardKeys, CardName
from fraudline.core.errors import UsageError
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.stream.batch import before_erasure, dead_letters
from fraudline.stream.dead_letter import dead_letter
from fraudline.stream.decoding import Decoder
from fraudline.stream.params import StreamParams, Topics
from fraudline.stream.partition import Advanced, PartitionState
from fraudline.stream.sealing import ERASE, Sealer, erased_card, erases, erasure, open_sealer
from fraudline.stream.transport import Output, Record
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_partition import SPEC, TRANSACTIONS

CARD = max({t.card_id for t in TRANSACTIONS}, key=[t.card_id for t in TRANSACTIONS].count)
HALF = len(TRANSACTIONS) // 2


def with_erasure(at: int = HALF) -> list[Record]:
    """The log with the record that erases CARD put in at a place."""
    output = erasure("transactions", CARD)
    first, rest = log_of(TRANSACTIONS[:at]), log_of(TRANSACTIONS[at:])
    marker = Record("transactions", 0, at, 0, output.key, output.value, output.headers)
    return [*first, marker, *(record._replace(offset=record.offset + at + 1) for record in rest)]


def state(log: list[Record]) -> PartitionState:
    return PartitionState(
        0,
        engines=lambda _: FeatureEngine(SPEC),
        decoder=Decoder(SPEC.currencies),
        transport=FakeTransport({0: log}),
        store=None,
    )


def expected() -> np.ndarray:
    """Everything before; after it the card alone begins anew."""
    whole, rest = FeatureEngine(SPEC), FeatureEngine(SPEC)
    after = TRANSACTIONS[HALF:]
    features = whole.advance(columns_from_messages(TRANSACTIONS))
    anew = rest.advance(columns_from_messages([t for t in after if t.card_id == CARD]))
    features[[n + HALF for n, t in enumerate(after) if t.card_id == CARD]] = anew
    return features


def test_the_card_begins_anew_and_no_other_notices_however_the_log_is_cut() -> None:
    log = with_erasure()
    for size in (len(log), 1, 7):
        one = state(log)
        parts = [one.advance(log[at : at + size]) for at in range(0, len(log), size)]
        assert np.concatenate([part.features for part in parts]).tobytes() == expected().tobytes()
        assert [erased_card(record) for part in parts for record in part.erasures] == [CARD]
        assert [bad for part in parts for bad in part.bad] == []


def test_a_batch_of_nothing_but_an_erasure_gives_nothing_and_moves_on() -> None:
    log = with_erasure()
    one = state(log)
    one.advance(log[:HALF])
    cards = one.cards
    gone = one.advance(log[HALF : HALF + 1])
    assert (len(gone.records), len(gone.features), gone.erasures) == (0, 0, [log[HALF]])
    assert (one.cards, one.next_offset) == (cards - 1, HALF + 1)


def test_a_checkpoint_that_is_being_written_stays_as_it_was_when_a_card_is_forgotten() -> None:
    engine = FeatureEngine(SPEC)
    engine.advance(columns_from_messages(TRANSACTIONS))
    before = engine.snapshot()
    frozen = engine.freeze()
    assert engine.forget([CARD, "nobody"]) == 1
    engine.advance(columns_from_messages(TRANSACTIONS[:5]))
    assert b"".join(frozen.pieces()) == before
    assert engine.forget(["nobody"]) == 0


def test_only_a_record_without_a_value_and_with_the_header_erases() -> None:
    record = with_erasure()[HALF]
    assert erases(record)
    assert not erases(record._replace(headers=()))
    assert not erases(record._replace(value=b"{}"))
    assert record.headers[0][0] == ERASE


def test_a_batch_of_two_thousand_erasures_forgets_each_card_and_no_other_at_its_place() -> None:
    cards = [CARD, *(f"nobody-{n}" for n in range(1_000))]
    log, gone = log_of(TRANSACTIONS[:HALF]), [erasure("transactions", card) for card in [*cards, *cards]]
    log += [Record("transactions", 0, 0, 0, output.key, output.value, output.headers) for output in gone]
    log += log_of(TRANSACTIONS[HALF:])
    one = state([])
    with mock.patch.object(FeatureEngine, "forget", autospec=True, side_effect=FeatureEngine.forget) as forget:
        found = one.advance([record._replace(offset=offset) for offset, record in enumerate(log)])
    assert found.features.tobytes() == expected().tobytes()
    assert list(map(erased_card, found.erasures)) == [*cards, *cards]
    assert one.next_offset == len(log)
    assert forget.call_count == 1, "erasures that follow one another are one pass over the state"


def test_a_card_that_is_not_there_is_forgotten_without_touching_the_others() -> None:
    engine = FeatureEngine(SPEC)
    engine.advance(columns_from_messages(TRANSACTIONS))
    before = engine._state
    assert engine.forget([f"nobody-{n}" for n in range(100)]) == 0
    assert engine._state is before
    assert engine.forget(["nobody", "äöü", "", CARD, CARD]) == 1
    assert engine.forget([CARD]) == 0
    assert engine.forget({transaction.card_id for transaction in TRANSACTIONS}) == 6
    assert engine.cards == 0


def stores(folder: Path) -> tuple[CardKeys, CardKeys]:
    """The store as a worker has it and as the command line has it."""
    (folder / "master").write_text("ab" * 32)
    return CardKeys(folder / "keys.db", folder / "master"), CardKeys(folder / "keys.db", folder / "master")


def sealed(keys: CardKeys, value: bytes, key: bytes | None = None) -> Output:
    return Sealer(keys).sealed(dead_letter("dlq", Record("transactions", 0, 5, 0, key, value), "value: expected JSON"))


def test_a_dead_letter_of_a_card_that_was_erased_meanwhile_gets_a_key_of_its_own(tmp_path: Path) -> None:
    worker, person = stores(tmp_path)
    old = worker.names(["card-1"])["card-1"].pseudonym
    person.erase("card-1", by="ada", why="request")
    letter = sealed(worker, b'{"card_id": "card-1", "oops"')
    assert letter.key.decode() not in {old, ""}
    assert worker.opened(letter.key.decode(), letter.value) == b'{"card_id": "card-1", "oops"'


def test_a_dead_letter_is_sealed_under_the_name_that_another_process_gave_its_card_after_it_was_erased(
    tmp_path: Path,
) -> None:
    worker, person = stores(tmp_path)
    worker.names(["card-1"])
    person.erase("card-1", by="ada", why="request")
    new = person.names(["card-1"])["card-1"].pseudonym
    assert sealed(worker, b'{"card_id": "card-1", "oops"').key.decode() == new


@pytest.mark.parametrize(
    ("value", "key", "card"),
    [
        (rb'{"card_id": "a\/b+c=", "oops"', None, "a/b+c="),
        (rb'{"card_id": "k\u00e9", "oops"', None, "k\u00e9"),
        (b'{"card_id": "\xff", "oops"', b"card-1", "card-1"),
    ],
    ids=["a slash that is escaped", "a letter that is escaped", "what is no text: the record's key"],
)
def test_a_dead_letter_is_gone_with_the_key_of_the_card_that_its_json_means(
    tmp_path: Path, value: bytes, key: bytes | None, card: str
) -> None:
    worker, person = stores(tmp_path)
    letter = sealed(worker, value, key)
    assert person.erase(card, by="ada", why="request")
    assert person.opened(letter.key.decode(), letter.value) is None


def test_a_record_that_anybody_wrote_makes_the_card_begin_anew_and_destroys_no_key(tmp_path: Path) -> None:
    worker, person = stores(tmp_path)
    named = worker.names([CARD])[CARD]

    def batch(proof: bytes) -> tuple[Advanced, list[CardName]]:
        output, log = erasure("transactions", CARD, proof), with_erasure()
        log[HALF] = log[HALF]._replace(headers=output.headers)
        found = state(log).advance(log)
        dead_letters("dlq", [found], Sealer(worker))
        return found, Sealer(worker).names(found.transactions, before_erasure([found], Sealer(worker)))

    for forged in (b"", b"1", person.proof_of_erasure("another card"), "é".encode()):
        found, names = batch(forged)
        assert found.features.tobytes() == expected().tobytes()
        assert worker.opened(*named) == CARD.encode()
        assert {name for name, each in zip(names, found.transactions, strict=True) if each.card_id == CARD} == {named}
    batch(person.proof_of_erasure(CARD))
    assert worker.opened(*named) is None


def test_a_second_group_that_would_come_to_an_erasure_later_needs_keys_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "master").write_text("ab" * 32)
    keys = {"card_keys": str(tmp_path / "keys.db"), "card_keys_master": str(tmp_path / "master")}
    live = StreamParams(group="live", **keys)
    shadow = live.model_copy(update={"group": "shadow", "mode": "shadow"})
    for _ in range(2):  # each worker of the group, and each start
        sealer = open_sealer(live)
        assert sealer is not None
        sealer.close()
    with pytest.raises(UsageError, match="are those of the group live, not of shadow"):
        open_sealer(shadow)
    for own in ({"card_keys": str(tmp_path / "own.db")}, {"topics": Topics(transactions="another")}):
        sealer = open_sealer(shadow.model_copy(update=own))
        assert sealer is not None
        sealer.close()
