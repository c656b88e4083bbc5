"""The transaction and label schemas: one place for names, types and the closed vocabularies.

On disk (parquet) and in memory a transaction is a row of :data:`TRANSACTIONS`; on the wire (Kafka) it is a JSON
object with the same field names, ``event_time`` as integer microseconds since the epoch.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

CHANNELS = ("pos", "contactless", "atm", "ecommerce", "recurring")
"""How the card was used."""

TRANSACTIONS = pa.schema(
    [
        pa.field("transaction_id", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("merchant_id", pa.string(), nullable=False),
        pa.field("category", pa.int16(), nullable=False),
        pa.field("amount_minor", pa.int64(), nullable=False),
        pa.field("currency", pa.string(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("card_present", pa.bool_(), nullable=False),
        pa.field("country", pa.string(), nullable=True),
        pa.field("latitude", pa.float32(), nullable=True),
        pa.field("longitude", pa.float32(), nullable=True),
        pa.field("device_id", pa.string(), nullable=True),
    ]
)
"""A transaction: ``category`` is the ISO 18245 merchant category code, ``amount_minor`` is in minor units of the
ISO 4217 ``currency``, ``country`` is ISO 3166 alpha-2, latitude and longitude are WGS 84 degrees; a card-not-present
transaction has no position, a card-present one usually no device."""

ORDER = [("event_time", "ascending"), ("transaction_id", "ascending")]
"""How transactions are sorted: as the engine sees them."""

LABELS = pa.schema(
    [
        pa.field("transaction_id", pa.string(), nullable=False),
        pa.field("label_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("is_fraud", pa.bool_(), nullable=False),
        pa.field("fraud_kind", pa.string(), nullable=True),
    ]
)
"""A label arrives at ``label_time``, days after its transaction. Only reported transactions have one: a transaction
without a label once its delay has passed is a known normal. ``fraud_kind`` is known for generated data only."""


def times_us(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Times in any form that files of decisions have, (n,) int64 µs since the epoch.

    Args:
        values: timestamps, whole microseconds since the epoch, or texts of either (ISO 8601).
    """
    if pa.types.is_string(values.type):
        first = (values[0].as_py() if len(values) else "") or ""
        values = values.cast(pa.int64() if first.lstrip("-").isdigit() else pa.timestamp("us", tz="UTC"))
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", tz="UTC"))
    return np.asarray(values.cast(pa.int64()).to_numpy(), np.int64)
