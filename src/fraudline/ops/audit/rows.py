"""A row of the audit trail, and the hash that ties it to the row before it.

    previous = FIRST
    previous = chained(previous, row)

A row's hash is SHA-256 over the hash before it, the record's place and time, and its key and value as they lie in
Kafka. The other columns only repeat what the value says, so that a table can be asked without decoding it.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

FIRST = bytes(32)
"""What stands before the first row of a trail."""

_PLACE = struct.Struct(">qqq")
_LENGTH = struct.Struct(">i")


class AuditRow(NamedTuple):
    """A record of the topic ``decisions`` as it lies there. ``appended_ms``: milliseconds since the epoch."""

    partition: int
    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes | None


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What a decision says that is worth a column of its own; what an older or a foreign record lacks is null."""

    transaction_id: str | None = None
    card_id: str | None = None
    event_time: int | None = None
    decided_at: int | None = None
    score: float | None = None
    threshold: float | None = None
    decision: str | None = None
    model_version: str | None = None
    threshold_version: str | None = None
    scored_by: str | None = None


SAID = _Said.__struct_fields__
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
SCHEMA = pa.schema(
    [
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("appended_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("hash", pa.binary(32)),
        *((field.name, _TYPES[field.type.__args__[0]]) for field in msgspec.structs.fields(_Said)),
    ]
)
"""The columns of an exported file."""

_said = msgspec.json.Decoder(_Said)
_NOTHING = _Said()


def chained(previous: bytes, row: AuditRow) -> bytes:
    """The hash of ``row`` behind a row whose hash is ``previous``, 32 bytes."""
    digest = hashlib.sha256(previous)
    digest.update(_PLACE.pack(*row[:3]))
    for part in row[3:]:
        digest.update(_LENGTH.pack(-1 if part is None else len(part)))
        digest.update(part or b"")
    return digest.digest()


def said(value: bytes | None) -> tuple[Any, ...]:
    """What the columns ``SAID`` hold for a record; nulls for one that is no decision."""
    try:
        found = _said.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _NOTHING
    return msgspec.structs.astuple(found)


def batch_of(rows: Sequence[AuditRow], previous: bytes) -> tuple[pa.RecordBatch, bytes]:
    """The rows as they are written, and the hash of the last one."""
    hashes = []
    for row in rows:
        previous = chained(previous, row)
        hashes.append(previous)
    columns = [*zip(*rows, strict=True), hashes, *zip(*(said(row.value) for row in rows), strict=True)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA), previous
