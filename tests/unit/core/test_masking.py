"""Card numbers are masked wherever they stand, and what only looks like one is left alone."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.core import masking
from fraudline.core.errors import FraudlineError
from fraudline.core.log import configure, get_logger
from fraudline.core.masking import is_card_number, mask_bytes, mask_text, masked
from tests.support.card_numbers import found_in, synthetic, written

NUMBERS = synthetic(300)


@pytest.mark.parametrize(
    "frame", ["{}", "card {} refused", '{{"card": "{}"}}', "[{}]", "x{}y", "2025-01-01 {}", "{}=2512"]
)
def test_a_card_number_keeps_its_last_four_digits_only(frame: str) -> None:
    for i, number in enumerate(NUMBERS):
        text = frame.format(written(number, i))
        hidden = mask_text(text)
        assert found_in(hidden.encode(), NUMBERS) == [], text
        assert number[-4:] in hidden.replace(" ", "").replace("-", "")
        assert len(hidden) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "1735689600000000",
        "1735689600000",
        '{"event_time": 1735689600000008, "amount_minor": 4111}',
        "550e8400-e29b-41d4-a716-446655440000",
        "/runs/fraudline-training-2026-11-27-18-30-22-930384/validate",
        "0.4111111111111111",
        "52.41111111111111111e-3",
        "a" * 20 + "4111111111111111" + "b" * 28,
        "4111111111111112",
        "41111111111111112512",
        "0000000000000000",
        "411111111111",
    ],
)
def test_times_identifiers_fractions_and_other_numbers_are_left_alone(text: str) -> None:
    assert mask_text(text) == text


@given(st.uuids())
def test_no_uuid_is_ever_changed(value: uuid.UUID) -> None:
    assert mask_text(f"id {value}") == f"id {value}"


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_keep_their_length_and_are_masked_once(content: bytes) -> None:
    once = mask_bytes(content)
    assert len(once) == len(content)
    assert mask_bytes(once) == once


@given(st.text(max_size=60), st.sampled_from(NUMBERS), st.text(max_size=60))
def test_a_number_between_any_two_texts_is_hidden(before: str, number: str, after: str) -> None:
    hidden = mask_text(f"{before}|{number}|{after}")
    assert f"|{number}|" not in hidden


def test_plain_data_is_masked_in_texts_keys_and_whole_numbers() -> None:
    number = NUMBERS[0]
    value = {"a": [number, int(number), 1.5, None, True], number: (b"x" + number.encode(),)}
    hidden = "*" * (len(number) - 4) + number[-4:]
    assert masked(value) == {"a": [hidden, hidden, 1.5, None, True], hidden: (b"x" + hidden.encode(),)}
    assert masked({"n": 5, "t": "x"}) == {"n": 5, "t": "x"}
    assert masked([4111111111111111.0, -4111111111111111.0]) == ["************1111", "-************1111"]
    ordinary = [1.5, -0.0, 1e300, float("inf"), 1_764_000_000_000_000.0]
    assert masked(ordinary) == ordinary


def test_errors_and_logs_show_no_card_number(capsys: pytest.CaptureFixture[str]) -> None:
    number = NUMBERS[1]
    error = FraudlineError(f"The card {number} is unknown.", "Correct it.")
    assert number not in f"{error} {error.problem} {error!r}"
    configure(as_json=True)
    get_logger("t").warning("card.seen", card=number, nested={"n": [int(number)]})
    configure()
    get_logger("t").warning("card.seen", card=number)
    assert found_in(capsys.readouterr().err.encode(), [number]) == []


def test_the_checksum_is_that_of_the_standard() -> None:
    assert all(map(is_card_number, NUMBERS))
    assert is_card_number("4111111111111111")
    assert not any(is_card_number(f"411111111111111{last}") for last in "023456789")
    assert is_card_number(" 4111 1111 1111 1111 ")
    assert not is_card_number("x4111111111111111")


def test_what_is_left_of_a_card_number_is_no_card_number_with_the_digits_beside_it() -> None:
    once = mask_bytes(b"4111111111111111 506073869")
    assert b"4111" not in once
    assert mask_bytes(once) == once


@given(st.lists(st.sampled_from([*"0123456789", ".", "-", " ", "e", ",", "550e8400-e29b-41d4-a716-446655440000"])))
def test_what_is_left_alone_is_all_that_stands_whole_in_a_span_of_its_kind(pieces: list[str]) -> None:
    content = "".join([*pieces, " 4111111111111111 0.5555555555554444"]).encode()
    alone = [found.span() for found in masking._LEFT_ALONE.finditer(content)]
    for group in (found.span() for found in re.finditer(rb"\d+", content)):
        plainly = any(begin <= group[0] and group[1] <= end for begin, end in alone)
        assert masking._covered(group, alone) == plainly


def luhn(digits: bytes) -> bool:
    """Whether the checksum holds, as the standard says it."""
    doubled = [2 * digit - 9 * (digit > 4) for digit in range(10)]
    return (sum(d - 48 for d in digits[-1::-2]) + sum(doubled[d - 48] for d in digits[-2::-2])) % 10 == 0


@given(st.text("0123456789 -", min_size=13, max_size=60))
def test_where_nothing_is_masked_no_group_begins_a_number_whose_checksum_holds(text: str) -> None:
    if mask_text(text) != text:
        return
    for begin in re.finditer(r"(?<!\d)\d", text):
        for end in re.finditer(r"\d(?!\d)", text):
            part = text[begin.start() : end.end()]
            digits = re.sub(r"[ -]", "", part)
            if not 13 <= len(digits) <= 19 or re.search(r"[ -]{2}", part) or not digits.strip("0"):
                continue
            time = part == digits and len(digits) in (13, 16, 19) and digits.startswith("1")
            assert time or not luhn(digits.encode())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [b"4 ", b"4", b"4 " * 30 + b"x", b"1234567890123456-" * 5 + b","])
def test_a_record_made_to_keep_us_busy_loses_its_digits_within_the_time_of_a_poll(piece: bytes) -> None:
    content = piece * ((4 << 20) // len(piece))
    hidden = mask_bytes(content)
    assert len(hidden) == len(content)
    assert not re.search(rb"\d", hidden)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [b"0.1234567890123456,", b"550e8400-e29b-41d4-a716-446655440000,1234567890123,"])
def test_a_record_of_a_megabyte_of_numbers_is_masked_within_the_time_of_a_poll(piece: bytes) -> None:
    number = NUMBERS[0].encode()
    hidden = mask_bytes(piece * (1_000_000 // len(piece)) + number)
    assert hidden.endswith(b"*" * (len(number) - 4) + number[-4:])
    assert hidden.count(piece) == 1_000_000 // len(piece)


def test_card_numbers_that_come_to_light_one_after_the_other_are_masked() -> None:
    first, *rest = chain(3)
    hidden = mask_text(" ".join([first, *rest]))
    assert hidden == f"{'*' * 16} {'*' * 9} {'*' * 9} *****{rest[-1][-4:]}"


@pytest.mark.timeout(60)
def test_a_long_record_of_them_is_masked_within_the_time_of_a_poll() -> None:
    hidden = mask_bytes(f"1234 x {' '.join(chain(20_000))} y 5678".encode())
    assert not list(masking.card_numbers(hidden))
    assert hidden.startswith(b"1234 x ****************")
    assert hidden.endswith(b"* y 5678")


def chain(links: int) -> list[str]:
    """A card number, and groups that are one with the last four digits of the group before."""
    groups = ["4111111111111111", next(f"{n:09d}" for n in range(100_000_000, 100_000_099) if luhn(b"1111%d" % n))]
    for _ in range(links - 1):
        groups.append(next(f"{n:09d}" for n in range(100_000_000, 100_000_099) if chained(groups[-1], f"{n:09d}")))
    return groups


def chained(before: str, after: str) -> bool:
    """Whether the last four digits of one group and the next are a card number, and the two groups whole are none."""
    return luhn((before[-4:] + after).encode()) and not luhn((before + after).encode())
