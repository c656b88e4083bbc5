"""Transactions as columns of numbers: the kernel's input, equal for a table and for messages with the same rows.

    columns = columns_from_table(table)          # a pyarrow table with the columns of data.schema.TRANSACTIONS
    columns = columns_from_messages(messages)    # objects with the same attributes, event_time in integer microseconds

Strings become codes into their distinct values, in order of first appearance; distinct values are hashed once
(BLAKE2b, 64 bits), so that the state never depends on the order in which a process met them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.errors import MessageError, SchemaError
from fraudline.data.schema import TRANSACTIONS
from fraudline.features.spec import FeatureSpec

_FIELDS = (
    "event_time",
    "card_id",
    "merchant_id",
    "category",
    "amount_minor",
    "currency",
    "country",
    "latitude",
    "longitude",
    "device_id",
)
_read = attrgetter(*_FIELDS)
_HASHES_KEPT = 1 << 20
"""Distinct strings whose hash is remembered, about 150 bytes each; the memory is emptied when it is full."""


class _Hashes(dict[str, int]):
    def __missing__(self, text: str) -> int:
        if len(self) >= _HASHES_KEPT:
            self.clear()
        value = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1
        self[text] = value
        return value


_hashes = _Hashes()


def hash64(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Stable 64-bit hashes of strings: the same in every process and release, never 0."""
    return np.fromiter(map(_hashes.__getitem__, texts), np.uint64, len(texts))


def fragments(hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The 32 bits of a hash that a card remembers; never 0, which means missing or empty."""
    low = (hashes & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)
    low[low == 0] = 1
    return low


@dataclass(frozen=True, slots=True)
class TransactionColumns:
    """Transactions in the order in which they are to be seen; all arrays are ``(n,)`` unless said otherwise.

    Attributes:
        event_time: int64, microseconds since the epoch.
        card_code: int32, index into ``cards``.
        cards: distinct card ids.
        merchant_code: int32, index into ``merchant_hash``.
        merchant_hash: ``(distinct merchants,)`` uint64.
        category: int32, merchant category code.
        amount_minor: int64, minor units.
        currency_code: int32, index into ``currencies``.
        currencies: distinct currency codes.
        device: int32 fragment of the device's hash, 0 when missing.
        country: int32 fragment of the country's hash, 0 when missing.
        latitude: float32 degrees, NaN when missing.
        longitude: float32 degrees, NaN when missing.
        source: where the rows come from, which decides the kind of error that a bad value raises.
    """

    event_time: NDArray[np.int64]
    card_code: NDArray[np.int32]
    cards: list[str]
    merchant_code: NDArray[np.int32]
    merchant_hash: NDArray[np.uint64]
    category: NDArray[np.int32]
    amount_minor: NDArray[np.int64]
    currency_code: NDArray[np.int32]
    currencies: list[str]
    device: NDArray[np.int32]
    country: NDArray[np.int32]
    latitude: NDArray[np.float32]
    longitude: NDArray[np.float32]
    source: Literal["table", "messages"]

    def __len__(self) -> int:
        return len(self.event_time)


def base_amounts(columns: TransactionColumns, spec: FeatureSpec) -> NDArray[np.float64]:
    """Amounts in base units, ``(n,)`` float64, cleaned: within [0, amount_limit].

    Raises:
        SchemaError: a currency of a table has no rate in ``spec``.
        MessageError: the same for messages.
    """
    for code in columns.currencies:
        if code not in spec.currencies:
            kind = SchemaError if columns.source == "table" else MessageError
            raise kind(
                f"Currency {code!r} has no rate in the feature specification.",
                "Add it under currencies in the specification, or drop its transactions.",
            )
    factors = np.array([spec.currencies[code].factor for code in columns.currencies], np.float64)
    amounts = columns.amount_minor * factors[columns.currency_code]
    clipped: NDArray[np.float64] = np.clip(amounts, 0.0, spec.parameters.amount_limit)
    return clipped


def columns_from_messages(messages: Sequence[Any]) -> TransactionColumns:
    """Columns of objects that have the schema's field names as attributes, ``event_time`` in microseconds.

    Raises:
        MessageError: an attribute is missing or of another type.
    """
    try:
        rows = zip(*map(_read, messages), strict=True) if messages else ((),) * len(_FIELDS)
        time, card, merchant, category, amount, currency, country, latitude, longitude, device = rows
        card_code, cards = _codes_of_sequence(card, "card_id")
        merchant_code, merchants = _codes_of_sequence(merchant, "merchant_id")
        currency_code, currencies = _codes_of_sequence(currency, "currency")
        return TransactionColumns(
            event_time=np.array(time, np.int64),
            card_code=card_code,
            cards=cards,
            merchant_code=merchant_code,
            merchant_hash=hash64(merchants),
            category=np.array(category, np.int32),
            amount_minor=np.array(amount, np.int64),
            currency_code=currency_code,
            currencies=currencies,
            device=_fragments_of(*_codes_of_sequence(device)),
            country=_fragments_of(*_codes_of_sequence(country)),
            latitude=np.array(latitude, np.float32),
            longitude=np.array(longitude, np.float32),
            source="messages",
        )
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise MessageError(
            f"A message does not fit the transaction schema: {error}.", "Parse messages strictly before features."
        ) from error


def columns_from_table(table: pa.Table) -> TransactionColumns:
    """Columns of a table that has the columns of :data:`fraudline.data.schema.TRANSACTIONS` (others are ignored).

    Raises:
        SchemaError: a column is missing, of a type that cannot be cast, or null where the schema wants a value.
    """
    columns = {name: _column(table, name) for name in _FIELDS}
    card_code, cards = _codes_of_arrow(columns["card_id"])
    merchant_code, merchants = _codes_of_arrow(columns["merchant_id"])
    currency_code, currencies = _codes_of_arrow(columns["currency"])
    return TransactionColumns(
        event_time=np.array(columns["event_time"].cast(pa.int64()).to_numpy()),  # a copy: arrow's is read-only
        card_code=card_code,
        cards=cards,
        merchant_code=merchant_code,
        merchant_hash=hash64(merchants),
        category=columns["category"].to_numpy().astype(np.int32),
        amount_minor=columns["amount_minor"].to_numpy(),
        currency_code=currency_code,
        currencies=currencies,
        device=_fragments_of(*_codes_of_arrow(columns["device_id"])),
        country=_fragments_of(*_codes_of_arrow(columns["country"])),
        latitude=_floats(columns["latitude"]),
        longitude=_floats(columns["longitude"]),
        source="table",
    )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    field = TRANSACTIONS.field(name)
    if name not in table.column_names:
        raise SchemaError(f"Column {name} is missing.", "Give a table with the columns of the transaction schema.")
    column = table.column(name)
    if not pa.types.is_dictionary(column.type) and column.type != field.type:
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"Column {name} is {column.type}, not {field.type}: {error}.", "Cast it.") from error
    if column.null_count and not field.nullable:
        row = pc.index(pc.is_null(column), True).as_py()
        raise SchemaError(f"Column {name} has no value in row {row}.", "Fill it or drop the row.")
    return column


def _floats(column: pa.ChunkedArray) -> NDArray[np.float32]:
    return np.array(column.to_numpy(), np.float32)


def _codes_of_sequence(values: Sequence[str | None], required: str = "") -> tuple[NDArray[np.int32], list[str]]:
    """Codes, -1 for None, and distinct texts; ``required`` names a field that must not be None."""
    index: dict[str | None, int] = dict.fromkeys(values, -1)
    if required and None in index:
        raise TypeError(f"{required} is missing")
    index.pop(None, None)
    texts = [text for text in index if text is not None]
    "".join(texts)  # a TypeError for what is no text
    index.update(zip(texts, range(len(texts)), strict=True))
    index[None] = -1
    return np.fromiter(map(index.__getitem__, values), np.int32, len(values)), texts


def _codes_of_arrow(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = encoded.unify_dictionaries().combine_chunks() if encoded.num_chunks else encoded.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], encoded.type)
    codes = pc.fill_null(array.indices, -1).to_numpy().astype(np.int32, copy=False)
    return codes, array.dictionary.to_pylist()


def _fragments_of(codes: NDArray[np.int32], texts: list[str]) -> NDArray[np.int32]:
    # one extra entry at the end, so that code -1 (missing) finds 0
    known = np.zeros(len(texts) + 1, np.int32)
    known[:-1] = fragments(hash64(texts))
    return known[codes]
