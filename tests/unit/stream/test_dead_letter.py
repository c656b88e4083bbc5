from contextlib import closing
from pathlib import Path

import pytest

from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import MessageError
from fraudline.stream.dead_letter import MOST_BYTES, REPLAYED, SMALL_BYTES, DeadLetter, dead_letter
from fraudline.stream.sealing import Sealer
from fraudline.stream.transport import Output, Record

SOURCE = Record("transactions", 3, 41, 1_767_225_600_000, b"card", b"\xff{", (("trace", b"1"), ("reason", b"theirs")))


def landed(output: Output, offset: int = 7) -> Record:
    return Record(output.topic, 1, offset, 1_767_225_600_999, output.key, output.value, output.headers)


def test_a_dead_letter_holds_the_record_as_it_came_and_where_it_came_from() -> None:
    letter = DeadLetter.parse(landed(dead_letter("transactions.dlq", SOURCE, "value: expected UTF-8")))
    assert (letter.key, letter.value, letter.headers) == (SOURCE.key, SOURCE.value, SOURCE.headers)
    assert (letter.reason, letter.topic) == ("value: expected UTF-8", "transactions")
    assert (letter.source_partition, letter.source_offset, letter.place) == (3, 41, "1:7")
    assert letter.cut_from is None


def test_a_replayed_letter_is_the_record_that_first_came_and_says_so_once() -> None:
    first = DeadLetter.parse(landed(dead_letter("transactions.dlq", SOURCE, "bad"))).replayed()
    assert (first.topic, first.key, first.value) == ("transactions", b"card", b"\xff{")
    assert first.headers == (*SOURCE.headers, (REPLAYED, b"1:7"))
    again = Record("transactions", 3, 90, 0, first.key, first.value, first.headers)
    second = DeadLetter.parse(landed(dead_letter("transactions.dlq", again, "bad"), 8)).replayed()
    assert second.headers == (*SOURCE.headers, (REPLAYED, b"1:8"))


def test_a_value_larger_than_the_producer_takes_is_cut_and_not_sent_again() -> None:
    record = SOURCE._replace(value=b"x" * (MOST_BYTES + 1))
    letter = DeadLetter.parse(landed(dead_letter("transactions.dlq", record, "too large")))
    assert letter.cut_from == MOST_BYTES + 1
    assert len(letter.value) < MOST_BYTES
    assert letter.headers == SOURCE.headers
    with pytest.raises(MessageError, match="only the beginning"):
        letter.replayed()


def test_a_card_number_across_the_cut_keeps_none_of_the_digits_that_are_masked_elsewhere() -> None:
    number = b'"4111111111111111"'
    value = b"x" * (SMALL_BYTES // 2 - 15) + number + b"x" * SMALL_BYTES
    output = dead_letter("transactions.dlq", SOURCE._replace(value=value), "bad", SMALL_BYTES)
    letter = DeadLetter.parse(landed(output))
    assert (letter.masked, letter.cut_from) == (True, len(value))
    assert b"41111111111" not in letter.value


@pytest.mark.parametrize("part", ["value", "key", "headers"])
def test_of_a_record_larger_than_the_topic_takes_the_beginning_is_kept_whatever_is_large(part: str) -> None:
    large = (("h", b"x" * (1 << 20)),) if part == "headers" else b"x" * (1 << 20)
    output = dead_letter("transactions.dlq", SOURCE._replace(**{part: large}), "bad", SMALL_BYTES)
    assert len(output.value) + len(output.key) + sum(len(content) for _, content in output.headers) <= SMALL_BYTES
    letter = DeadLetter.parse(landed(output))
    assert letter.cut_from == (1 << 20 if part == "value" else len(SOURCE.value))
    assert letter.value.startswith(b"xx" if part == "value" else b"\xff{")
    assert letter.key.startswith(b"xx" if part == "key" else b"card")
    assert (letter.topic, letter.source_partition, letter.source_offset) == SOURCE[:3]


def test_of_a_large_record_without_a_value_the_beginning_of_its_key_is_kept() -> None:
    record = SOURCE._replace(key=b"x" * (1 << 20), value=None)
    letter = DeadLetter.parse(landed(dead_letter("transactions.dlq", record, "bad", SMALL_BYTES)))
    assert (letter.value, letter.cut_from, letter.key[:2]) == (None, 0, b"xx")


def test_a_reason_that_quotes_a_long_value_is_cut() -> None:
    output = dead_letter("transactions.dlq", SOURCE, "channel: invalid enum value '" + "x" * 600_000)
    assert len(output.headers[0][1]) == 500


@pytest.mark.parametrize("name", ["cut", "masked", "sealed", "sealed-headers", "record-headers"])
def test_a_records_own_header_named_like_a_mark_is_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "master").write_text("ab" * 32)
    record = SOURCE._replace(headers=((name, b"5"), (name, b"6"), *SOURCE.headers))
    output = dead_letter("transactions.dlq", record, "bad")
    letter = DeadLetter.parse(landed(output))
    assert (letter.headers, letter.replayed().headers[:-1]) == (record.headers, record.headers)
    assert (letter.cut_from, letter.masked, letter.sealed_key) == (None, False, None)
    with closing(CardKeys(tmp_path / "keys.db", tmp_path / "master")) as keys:
        assert DeadLetter.parse(landed(Sealer(keys).sealed(output))).opened(keys).headers == record.headers


@pytest.mark.parametrize("place", [(), (b"x", b"41"), (b"3", b"-1"), (b"3", "²".encode())], ids=str)
def test_a_record_that_no_worker_wrote_is_no_dead_letter(place: tuple[bytes, ...]) -> None:
    written = dead_letter("transactions.dlq", SOURCE, "bad").headers
    headers = (*written[:2], ("partition", place[0]), ("offset", place[1])) if place else SOURCE.headers
    with pytest.raises(MessageError, match="no headers"):
        DeadLetter.parse(SOURCE._replace(headers=headers))


def test_a_sealed_letter_shows_nothing_of_its_record_until_it_is_opened_and_nothing_after_an_erasure(
    tmp_path: Path,
) -> None:
    (tmp_path / "master").write_text("ab" * 32)
    record = SOURCE._replace(headers=(("customer", b"card"), *SOURCE.headers, ("pan", b"4111111111111111")))
    with closing(CardKeys(tmp_path / "keys.db", tmp_path / "master")) as keys:
        sealed = Sealer(keys).sealed(dead_letter("transactions.dlq", record, "value: expected UTF-8"))
        assert b"card" not in b"".join([sealed.key, sealed.value, *(value for _, value in sealed.headers[4:-1])])
        assert {name for name, _ in sealed.headers}.isdisjoint(("customer", "trace", "pan"))
        letter = DeadLetter.parse(landed(sealed))
        assert (letter.reason, letter.source_offset, letter.masked) == ("value: expected UTF-8", 41, True)
        opened = letter.opened(keys)
        assert (opened.key, opened.value) == (record.key, record.value)
        assert opened.headers == (*record.headers[:-1], ("pan", b"************1111"))
        assert opened.replayed().headers[0] == ("customer", b"card")
        keys.forget("card")
        assert letter.opened(keys) == letter
        with pytest.raises(MessageError, match="sealed"):
            letter.opened(keys).replayed()
