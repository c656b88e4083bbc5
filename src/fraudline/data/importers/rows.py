"""Tables of the schema from imported columns; what a source does not know is null or a documented constant."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraudline.core.errors import SchemaError
from fraudline.core.masking import is_card_number
from fraudline.data.schema import LABELS, TRANSACTIONS

_LONG_NUMBER = r"^[0-9](?:[ -]?[0-9]){12,18}$"
UNKNOWN_CATEGORY = 5999
"""Category of transactions whose source knows none: miscellaneous retail."""


def build_transactions(
    *,
    transaction_id: pa.Array,
    event_time_us: npt.NDArray[np.int64],
    card_id: pa.Array,
    merchant_id: pa.Array,
    amount_minor: npt.NDArray[np.int64],
    channel: str | pa.Array,
    currency: str | pa.Array = "EUR",
    category: npt.NDArray[np.int16] | None = None,
    card_present: npt.NDArray[np.bool_] | None = None,
    optional: dict[str, pa.Array] | None = None,
) -> pa.Table:
    """A table of ``schema.TRANSACTIONS`` with n rows.

    Args:
        transaction_id: (n,) string.
        event_time_us: (n,) µs since the epoch.
        card_id: (n,) string.
        merchant_id: (n,) string.
        amount_minor: (n,) minor units.
        channel: one for all, or (n,) string.
        currency: one for all, or (n,) string.
        category: (n,); :data:`UNKNOWN_CATEGORY` when not given.
        card_present: (n,); by the channel when not given.
        optional: nullable columns that the source knows.

    Raises:
        SchemaError: the cards are card numbers, not tokens.
    """
    n = len(event_time_us)
    _refuse_card_numbers(card_id)
    channels = _repeat(channel, n)
    if card_present is None:
        names = channels.dictionary_encode()
        card_present = np.isin(names.dictionary.to_pylist(), ("pos", "contactless", "atm"))[names.indices.to_numpy()]
    columns = {
        "transaction_id": transaction_id,
        "event_time": pa.array(event_time_us).cast(pa.timestamp("us", tz="UTC")),
        "card_id": card_id,
        "merchant_id": merchant_id,
        "category": pa.array(np.full(n, UNKNOWN_CATEGORY, dtype=np.int16) if category is None else category),
        "amount_minor": pa.array(amount_minor),
        "currency": _repeat(currency, n),
        "channel": channels,
        "card_present": pa.array(card_present),
    }
    for field in TRANSACTIONS:
        if field.nullable:
            columns[field.name] = (optional or {}).get(field.name, pa.nulls(n, field.type))
    return pa.table(columns, schema=TRANSACTIONS)


def build_labels(*, transaction_id: pa.Array, label_time_us: npt.NDArray[np.int64], fraud_kind: pa.Array) -> pa.Table:
    """A table of ``schema.LABELS``: one row a fraud; ``fraud_kind`` may be null."""
    return pa.table(
        {
            "transaction_id": transaction_id,
            "label_time": pa.array(label_time_us).cast(pa.timestamp("us", tz="UTC")),
            "is_fraud": pa.array(np.ones(len(label_time_us), dtype=bool)),
            "fraud_kind": fraud_kind,
        },
        schema=LABELS,
    )


def _refuse_card_numbers(card_id: pa.Array) -> None:
    """Numbers whose Luhn checksum holds for most are card numbers; of other long numbers it holds for a tenth."""
    known = pc.unique(card_id)
    long = known.filter(pc.fill_null(pc.match_substring_regex(known, _LONG_NUMBER), False)).to_pylist()
    if 2 * sum(map(is_card_number, long)) > len(long):
        raise SchemaError(
            f"The cards are card numbers: {len(long)} of {len(known)} have their form.",
            "Replace them first: fraudline data tokenize FILE --column CARD --key-file KEYS -o OUT.",
        )


def _repeat(value: str | pa.Array, n: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(n, dtype=np.int64))) if isinstance(value, str) else value
