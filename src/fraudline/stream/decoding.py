"""Reads transactions, and says what is wrong with a bad one.

    decoder = Decoder(spec.currencies)
    transaction = decoder.decode(b'{"transaction_id": "t1", ...}')

Whether a record is bad depends on its bytes and the feature spec alone, never on the clock, so that a replay takes the
same records as the first reading.
"""

import re
from collections.abc import Collection, Sequence
from operator import attrgetter

import msgspec

from fraudline.core.errors import MessageError
from fraudline.core.masking import is_card_number
from fraudline.stream.messages import TIME_MAX_US, TIME_MIN_US, Transaction

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises of bytes that are no message: of another shape, no UTF-8 in a text, nested without end."""

_NOT_A_NUMBER = re.compile(rb'"(\w{1,64})"\s*:\s*([+-]?(?:nan|inf(?:inity)?))', re.IGNORECASE)
_AT = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<field>[^`]*)`$", re.DOTALL)
_CARD, _CURRENCY, _COUNTRY = attrgetter("card_id"), attrgetter("currency"), attrgetter("country")
_MISSING = re.compile(r"^Object missing required field `(?P<field>\w+)`")
_TIME_BOUND = re.compile(rf"`int` (?:>= {TIME_MIN_US}|<= {TIME_MAX_US - 1})")
_SHOWN = 40
_ACTION = "Correct the producer and send the transaction again."


class Decoder:
    """Decodes transactions; a bad one gives an error that names the field and what was expected.

    Args:
        currencies: ISO 4217 codes that the feature spec can convert.
        tokens_only: refuse a ``card_id`` that is a card number.
    """

    def __init__(self, currencies: Collection[str], *, tokens_only: bool = True) -> None:
        self._currencies = frozenset(currencies)
        self._tokens_only = tokens_only
        self._decoder = msgspec.json.Decoder(Transaction)

    def decode(self, value: bytes | None) -> Transaction:
        """One transaction.

        Raises:
            MessageError: the value is not a transaction; ``problem`` is the reason of the dead letter.
        """
        if not value:
            raise MessageError("value: expected a JSON object, got nothing", _ACTION)
        try:
            transaction = self._decoder.decode(value)
        except UNREADABLE as error:
            raise MessageError(_reason(error, value), _ACTION) from error
        if transaction.currency not in self._currencies:
            problem = f"currency: expected one that the feature spec knows, got {transaction.currency!r}"
            raise MessageError(problem, _ACTION)
        if _too_long(transaction.country):
            raise MessageError(f"country: expected two capital letters, got {transaction.country!r}", _ACTION)
        if self._tokens_only and is_card_number(transaction.card_id):
            raise MessageError(
                "card_id: expected a token, got a card number", "Send what `fraudline data tokenize` makes."
            )
        return transaction

    def decode_all(self, values: Sequence[bytes | None]) -> tuple[list[Transaction], list[tuple[int, str]]]:
        """All transactions among ``values`` in their order, and the place and reason of each value that is none."""
        good: list[Transaction] = []
        bad: list[tuple[int, str]] = []
        rest = iter(values)
        while True:
            try:
                good.extend(map(self._decoder.decode, rest))  # type: ignore[arg-type]  # None fails as a bad value does
                break
            except (*UNREADABLE, TypeError):
                place = len(good) + len(bad)  # what came before the bad value stays in the list
                bad.append((place, self._problem(values[place])))
        numbers = self._tokens_only and any(map(is_card_number, map(_CARD, good)))
        countries = any(map(_too_long, set(map(_COUNTRY, good))))
        if not numbers and not countries and set(map(_CURRENCY, good)) <= self._currencies:
            return good, bad
        return self._one_by_one(values)

    def _one_by_one(self, values: Sequence[bytes | None]) -> tuple[list[Transaction], list[tuple[int, str]]]:
        good, bad = [], []
        for place, value in enumerate(values):
            try:
                good.append(self.decode(value))
            except MessageError as error:
                bad.append((place, error.problem))
        return good, bad

    def _problem(self, value: bytes | None) -> str:
        try:
            self.decode(value)
        except MessageError as error:
            return error.problem
        return "value: expected a transaction"


def _too_long(country: str | None) -> bool:
    """Whether a country has the newline at its end that Python's ``$``, and so the pattern, lets pass."""
    return country is not None and len(country) > 2


def _reason(error: Exception, value: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"value: expected UTF-8, got the byte {error.object[error.start]:#04x}"
    if isinstance(error, RecursionError):
        return "value: expected a flat JSON object, got one nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return _invalid(str(error))
    if odd := _NOT_A_NUMBER.search(value):
        return f"{odd[1].decode()}: expected a finite number, got {odd[2].decode()[:_SHOWN]}"
    return f"value: expected JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _invalid(text: str) -> str:
    if found := _MISSING.match(text):
        return f"{found['field']}: expected a value, it is missing"
    if found := _AT.match(text):
        return f"{found['field'] or 'value'}: {_lower(timed(found['what']))}"
    return f"value: {_lower(text)}"


def timed(text: str) -> str:
    """A decoder's complaint with the bounds of times in words: as digits both look like card numbers, and are masked.

    >>> timed("Expected `int` >= 946684800000000")
    'Expected microseconds since the epoch, from 2000 to 2100'
    """
    return _TIME_BOUND.sub("microseconds since the epoch, from 2000 to 2100", text)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "")
