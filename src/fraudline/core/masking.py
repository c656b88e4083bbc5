"""Card numbers made unreadable before they reach a log, a label, a dead letter or the tracker.

    mask_text("card 4111 1111 1111 1111 refused")      # "card ************1111 refused", digits counted

A card number is a run of 13 to 19 digits, also with single spaces or dashes between them, whose Luhn checksum holds
(ISO/IEC 7812-1, annex B). Its last four digits stay. Four kinds of run are left alone, because what they stand in
would break and no card number has their form: UUIDs and hexadecimal words of 32 digits or more, decimal fractions,
times since the epoch in milli-, micro- or nanoseconds (13, 16 or 19 digits that begin with 1: no issuer's numbers do),
and the time to the microsecond with dashes between, which kfp names the folder of a local run by.

Only what goes to such a place is scanned; a stream of good records costs nothing.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from operator import itemgetter
from typing import Any

_RUN = re.compile(rb"\d(?<!\d\d)(?:[ -]?\d){12,}")  # begins with the digit: the search skips to one
_GROUP = re.compile(rb"\d+")
_STARS = bytes.maketrans(b"0123456789", b"*" * 10)
_LEFT_ALONE = re.compile(
    rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32,}|(?<=\d)\.\d+(?:[eE][+-]?\d+)?"
    rb"|(?<!\d)(?<!\d[ -])20\d\d-(?:0[1-9]|1[0-2])-(?:[0-2]\d|3[01])-[0-2]\d-[0-5]\d-[0-5]\d-\d{6}(?![ -]?\d)"
)
_TIMES = frozenset((13, 16, 19))
_SHORTEST, _LONGEST, _SHOWN = 13, 19, 4
_WHOLE = re.compile(rf"\s*[0-9](?:[ -]?[0-9]){{{_SHORTEST - 1},{_LONGEST - 1}}}\s*")
"""The form of a text that is one card number: most texts are not of it, and are not looked at further."""

_PASSES = 4
"""What is left of a card number may be one with the digits beside it, and so on. A record made to go on for ever loses
every run of digits after so many."""

_LONG = re.compile(rb"\d(?<!\d\d)(?<!\d[ -]\d)(?:[ -]?\d){256,}")
"""A run that is not looked at, because only a record made to keep us busy has one: it loses all its digits."""

_MOST_GAPS = 1_000
"""Spaces and dashes within the runs of a text; with more, which no text but such a record has, all runs lose theirs."""

_ONE = ord("1")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def card_numbers(content: bytes) -> Iterator[tuple[int, int]]:
    """Places of card numbers in ``content``: begin and end of each, in order, not overlapping."""
    if _RUN.search(content) is None:
        return
    alone = [found.span() for found in _LEFT_ALONE.finditer(content)]
    for run in _RUN.finditer(content):
        groups = [(run.start() + group.start(), run.start() + group.end()) for group in _GROUP.finditer(run[0])]
        yield from _among([group for group in groups if not _covered(group, alone)], content)


def mask_bytes(content: bytes) -> bytes:
    """``content`` with all but the last four digits of each card number replaced by ``*``; its length stays.

    What is left of one may be a card number with the digits beside it: it is masked too, until there is none. The time
    grows with the length of ``content``, whatever it holds.
    """
    content = _LONG.sub(_hidden, content)
    if _gaps(content) > _MOST_GAPS and _gaps(_LEFT_ALONE.sub(b"x", content)) > _MOST_GAPS:
        return _RUN.sub(_hidden, content)
    for _ in range(_PASSES):
        places = list(card_numbers(content))
        if not places:
            return content
        masked = bytearray(content)
        for begin, end in places:
            digits = [at for at in range(begin, end) if 48 <= content[at] <= 57]
            for at in digits[:-_SHOWN]:
                masked[at] = 42
        content = bytes(masked)
    return _RUN.sub(_hidden, content)


def _gaps(content: bytes) -> int:
    return sum(run[0].count(b" ") + run[0].count(b"-") for run in _RUN.finditer(content))


def _hidden(run: re.Match[bytes]) -> bytes:
    return run[0].translate(_STARS)


def mask_text(text: str) -> str:
    """:func:`mask_bytes` of text."""
    content = text.encode("utf-8", "surrogatepass")
    masked = mask_bytes(content)
    return text if masked is content else masked.decode("utf-8", "surrogatepass")


def masked(value: Any) -> Any:
    """A value of plain data (what JSON holds) with its texts, keys and whole numbers masked, floats among them."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        return mask_bytes(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = mask_text(_digits(value))
        return value if "*" not in text else text
    if isinstance(value, dict):
        return {masked(name): masked(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(masked, value)) if not hasattr(value, "_fields") else [masked(item) for item in value]
    return value


def _digits(number: float) -> str:
    """A whole number that may be a card number, written out; a float with a fraction has no form of one."""
    if isinstance(number, int):
        return str(number)
    return f"{number:.0f}" if abs(number) < 10**_LONGEST and number.is_integer() else ""


def is_card_number(text: str) -> bool:
    """Whether the whole text is one card number."""
    if _WHOLE.fullmatch(text) is None:
        return False
    content = text.strip().encode("utf-8", "replace")
    return next(card_numbers(content), None) == (0, len(content))


def _among(groups: list[tuple[int, int]], content: bytes) -> Iterator[tuple[int, int]]:
    """Card numbers that begin and end with groups of digits; a group alone before groups together."""
    for first, past in _stretches(groups):
        yield from _in_stretch(groups[first:past], content)


def _stretches(groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Groups with at most one byte between: the first of them, and the one after the last."""
    first = 0
    for at in range(1, len(groups) + 1):
        if at == len(groups) or groups[at][0] - groups[at - 1][1] > 1:
            yield first, at
            first = at


def _in_stretch(groups: list[tuple[int, int]], content: bytes) -> Iterator[tuple[int, int]]:
    """The longest card number at each group, by Luhn sums of all the digits before each."""
    digits = b"".join([content[begin:end] for begin, end in groups])
    sums = [[0, *accumulate(_weighed(digits, even))] for even in (True, False)]
    ends = list(accumulate(end - begin for begin, end in groups))
    group_ending = {end: at for at, end in enumerate(ends)}
    at = 0
    while at < len(groups):
        begin, found = ends[at - 1] if at else 0, at
        for end in range(begin + _SHORTEST, min(begin + _LONGEST, len(digits)) + 1):
            last = group_ending.get(end)
            if last is None:
                continue
            total = sums[end % 2][end] - sums[end % 2][begin]
            time = last == at and end - begin in _TIMES and digits[begin] == _ONE
            if total and total % 10 == 0 and not time:  # no sum: nothing but zeros
                found = last + 1
        if found > at:
            yield groups[at][0], groups[found - 1][1]
        at = max(found, at + 1)


def _weighed(digits: bytes, even: bool) -> Iterator[int]:
    """What each digit adds to a Luhn sum in which those at even places are doubled, or those at odd ones."""
    return (_DOUBLED[digit - 48] if (at % 2 == 0) is even else digit - 48 for at, digit in enumerate(digits))


def _covered(group: tuple[int, int], alone: list[tuple[int, int]]) -> bool:
    """Whether one of the spans ``alone``, which are in order and apart, holds the whole group."""
    at = bisect_right(alone, group[0], key=itemgetter(0)) - 1
    return at >= 0 and group[1] <= alone[at][1]
