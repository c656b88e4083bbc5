import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.core.errors import MessageError
from fraudline.data.schema import CHANNELS
from fraudline.features.spec import load_spec
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Transaction, encode
from tests.unit.stream.fakes import GOOD

DECODER = Decoder(load_spec().currencies)
ROW = json.loads(encode(GOOD))


def changed(**values: object) -> bytes:
    return json.dumps({**ROW, **values}).encode()


BAD = {
    "an empty value": (b"", "value: expected a JSON object, got nothing"),
    "no value": (None, "value: expected a JSON object, got nothing"),
    "text": (b"hello", "value: expected JSON"),
    "half a message": (encode(GOOD)[:-5], "value: expected JSON"),
    "a list": (b"[1, 2]", "value: expected object, got array"),
    "two messages in one": (encode(GOOD) * 2, "value: expected JSON"),
    "bytes that are not UTF-8": (changed(device_id="?").replace(b"?", b"\xff"), "UTF-8, got the byte 0xff"),
    "a nesting bomb": (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
    "a missing field": (json.dumps({k: v for k, v in ROW.items() if k != "card_id"}).encode(), "card_id: .* missing"),
    "an empty card": (changed(card_id=""), "card_id: expected str of length >= 1"),
    "a card of a megabyte": (changed(card_id="x" * 1_000_000), "card_id: expected str of length <= 128"),
    "an amount in words": (changed(amount_minor="ten"), "amount_minor: expected int, got str"),
    "a fractional amount": (changed(amount_minor=12.5), "amount_minor: expected int"),
    "a negative amount": (changed(amount_minor=-1), "amount_minor: expected int >= 0"),
    "an absurd amount": (changed(amount_minor=10**15), "amount_minor: expected int <= "),
    "an amount beyond 64 bits": (changed(amount_minor=10**30), "amount_minor: "),
    "NaN": (changed(latitude=float("nan")), "latitude: expected a finite number, got NaN"),
    "infinity": (changed(longitude=float("-inf")), "longitude: expected a finite number, got -Infinity"),
    "a number beyond doubles": (changed().replace(b"52.5", b"1e999"), "latitude: number out of range"),
    "a latitude off the globe": (changed(latitude=91), "latitude: expected float <= 90"),
    "a time in seconds": (changed(event_time=1_767_225_600), "event_time: expected microseconds .* 2000 to 2100"),
    "a time in nanoseconds": (changed(event_time=1_767_225_600_000_000_000), "event_time: expected microseconds"),
    "a time as text": (changed(event_time="2026-01-01T00:00:00Z"), "event_time: expected int, got str"),
    "an unknown currency": (changed(currency="XXQ"), "currency: expected one that the feature spec knows, got 'XXQ'"),
    "a long currency": (changed(currency="EURO"), "currency: expected str of length <= 3"),
    "an unknown channel": (changed(channel="pigeon"), "channel: invalid enum value 'pigeon'"),
    "a country in lower case": (changed(country="de"), "country: expected str matching regex"),
    "a country and a newline": (changed(country="KP\n"), r"country: expected two capital letters, got 'KP\\n'"),
    "a flag as a number": (changed(card_present=1), "card_present: expected bool, got int"),
    "a category of five digits": (changed(category=10_000), "category: expected int <= 9999"),
}


@pytest.mark.parametrize(("value", "reason"), BAD.values(), ids=BAD)
def test_a_bad_message_is_refused_with_the_field_and_what_was_expected(value: bytes | None, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        DECODER.decode(value)


def test_a_field_of_a_later_release_is_ignored() -> None:
    assert DECODER.decode(changed(terminal="x")) == GOOD


transactions = st.builds(
    Transaction,
    transaction_id=st.text(min_size=1, max_size=40),
    event_time=st.integers(946_684_800_000_000, 4_102_444_799_999_999),
    card_id=st.text(min_size=1, max_size=40),
    merchant_id=st.text(min_size=1, max_size=40),
    category=st.integers(0, 9999),
    amount_minor=st.integers(0, 10**12),
    currency=st.sampled_from(sorted(load_spec().currencies)),
    channel=st.sampled_from(CHANNELS),
    card_present=st.booleans(),
    country=st.none() | st.sampled_from(["DE", "FR"]),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
    device_id=st.none() | st.text(min_size=1, max_size=40),
)


@given(transactions)
def test_a_good_message_comes_back_as_it_was_sent(transaction: Transaction) -> None:
    assert DECODER.decode(encode(transaction)) == transaction


mutations = st.builds(
    lambda at, new: encode(GOOD)[:at] + new + encode(GOOD)[at:], st.integers(0, 200), st.binary(max_size=3)
)


@given(st.binary(max_size=200) | mutations)
def test_any_bytes_give_a_transaction_or_a_reason(value: bytes) -> None:
    try:
        found = DECODER.decode(value)
    except MessageError:
        return
    assert isinstance(found, Transaction)


@given(st.lists(st.sampled_from([encode(GOOD), *(value for value, _ in BAD.values()), changed(currency="XXX")])))
@settings(max_examples=60)
def test_a_batch_is_decoded_as_its_values_are_one_by_one(values: list[bytes | None]) -> None:
    wanted: list[tuple[int, str]] = []
    for place, value in enumerate(values):
        try:
            DECODER.decode(value)
        except MessageError as error:
            wanted.append((place, error.problem))
    good, bad = DECODER.decode_all(values)
    assert bad == wanted
    assert good == [GOOD] * (len(values) - len(wanted))


def test_hexadecimal_tokens_are_decoded_in_one_go_and_a_card_number_among_them_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = [changed(card_id=f"{number:032x}") for number in (7, 41111111111111, 0x1234567890ABCDEF)]
    for number in ("4111111111111111", " 4111 1111 1111 1111 "):
        good, bad = DECODER.decode_all([*tokens, changed(card_id=number)])
        assert len(good) == 3
        assert [place for place, _ in bad] == [3]
        assert "card number" in bad[0][1]
    monkeypatch.setattr(Decoder, "decode", lambda *_: pytest.fail("looked at one by one"))
    assert len(DECODER.decode_all(tokens)[0]) == 3
