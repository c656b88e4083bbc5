"""Batches of records that kafka-python 3 does not read by itself, for every consumer of this process.

    read_them_all()         # once, before the first consumer

Any producer may send them, and one batch that is not read stops its partition for good: batches compressed with lz4,
snappy or zstd, whose libraries are not installed with the client, and records with a header whose name is no UTF-8.

A few kilobytes may unpack to gigabytes: a batch that unpacks to more than ``MOST_UNPACKED`` bytes is not unpacked, and
one record stands for it. A poll gives no more of a partition once its records are ``ENOUGH`` bytes.
"""

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa
from kafka.consumer.fetcher import Fetcher
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from fraudline.stream.transport import NOT_UNPACKED, UNREADABLE_HEADERS

MOST_UNPACKED = 32 << 20
"""Twice the largest record that a dead letter keeps whole. No setting: a replay reads what the first reading did."""

ENOUGH = 16 << 20
"""What one batch of any producer has, and what all batches of a fetch have that are not compressed, is less."""

_PIECE = 256 << 10
_read = DefaultRecordBatch._read_msg  # noqa: SLF001 - nothing public reads a record
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16
_HEADERS_AT = 7
"""Number of the varint that counts a record's headers; the first gives the record's length."""


class _TooMuch(Exception):
    """It unpacks to more than ``MOST_UNPACKED`` bytes."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _all_of(stream: _Stream) -> bytearray:
    unpacked = bytearray()
    while piece := stream.read(_PIECE):
        unpacked += piece
        if len(unpacked) > MOST_UNPACKED:
            raise _TooMuch
    return unpacked


def _snappy(packed: bytes, room: int = MOST_UNPACKED) -> bytes:
    """A raw snappy block begins with the size of what is in it."""
    size, shift = 0, 0
    for byte in packed:
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if size > room:
        raise _TooMuch
    return bytes(pa.decompress(packed, size, codec="snappy", asbytes=True))


def _snappy_blocks(packed: bytes) -> bytearray:
    """Java's producers cut what they compress into blocks, each behind its length; others send one block."""
    if not packed.startswith(_XERIAL):
        return bytearray(_snappy(packed))
    at, unpacked = _XERIAL_BYTES, bytearray()
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        unpacked += _snappy(packed[at + 4 : at + 4 + size], MOST_UNPACKED - len(unpacked))
        at += 4 + size
    return unpacked


def _streamed(codec: str) -> Callable[[bytes], bytearray]:
    return lambda packed: _all_of(pa.CompressedInputStream(pa.BufferReader(packed), codec))


_UNPACKED: dict[int, Callable[[bytes], bytearray]] = {
    DefaultRecordBatch.CODEC_GZIP: lambda packed: _all_of(gzip.GzipFile(fileobj=io.BytesIO(packed))),
    DefaultRecordBatch.CODEC_SNAPPY: _snappy_blocks,
    DefaultRecordBatch.CODEC_LZ4: _streamed("lz4"),
    DefaultRecordBatch.CODEC_ZSTD: _streamed("zstd"),
}


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    _instead: str = ""

    def _maybe_uncompress(self: Any) -> None:
        unpack = _UNPACKED.get(self.compression_type)
        if unpack is not None and not self._decompressed:
            packed = bytes(self._buffer[self._pos :])
            try:
                self._buffer = unpack(packed)
            except _TooMuch:
                self._instead = (
                    f"{len(packed)} bytes that unpack to more than {MOST_UNPACKED}: "
                    f"{self._num_records} records from offset {self.base_offset} on"
                )
                self._buffer, self._num_records = bytearray(), 1
            self._pos, self._decompressed = 0, True
        DefaultRecordBatch._maybe_uncompress(self)  # noqa: SLF001 - nothing to do, or a codec that nobody knows

    def _read_msg(self) -> Any:
        if self._instead:
            # at the last offset: what is committed after it never lies within the batch
            headers = [(NOT_UNPACKED, self._instead.encode())]
            stamps = self.last_offset, self.max_timestamp, self.timestamp_type
            return DefaultRecord(0, *stamps, None, None, headers)
        try:
            return _read(self)
        except UnicodeDecodeError:
            record = _read(self, _Headless())
            record.headers.extend(UNREADABLE_HEADERS)
            return record


class _Fetched(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Records are unpacked as they are taken: who takes fewer has fewer batches in memory."""

    cut = False
    record_iterator: Iterator[Any] | None

    def take(self, n: int | None = None) -> list[Any]:
        whole = self.record_iterator
        self.record_iterator = None if whole is None else self._until_enough(whole)
        try:
            taken: list[Any] = super().take(n)
        finally:
            if self.record_iterator is not None:  # None: there are no more
                self.record_iterator = whole
        return taken

    def _until_enough(self, records: Iterator[Any]) -> Iterator[Any]:
        self.cut = False
        most = self.bytes_read + ENOUGH
        for record in records:
            yield record
            if self.bytes_read > most:
                self.cut = True
                return


_append = Fetcher._append  # noqa: SLF001 - nothing public ends a poll


def _append_until_enough(self: Any, drained: Any, part: Any, most: int, update: bool) -> int:
    """What the client took of a partition; as if that were all it was asked for, where it is enough."""
    taken = int(_append(self, drained, part, most, update))
    return most if taken and part.cut else taken


class _Headless:
    """Reads the varints of a record, and says that it ends where its headers begin."""

    def __init__(self) -> None:
        self._read = self._end = 0

    def __call__(self, buffer: bytearray, at: int) -> tuple[int, int]:
        value, after = decode_varint(buffer, at)
        self._read += 1
        if self._read == 1:
            self._end = after + value
        return (0, self._end) if self._read == _HEADERS_AT else (value, after)


def read_them_all() -> None:
    """Have the client read them."""
    memory_records.DefaultRecordBatch = _Batch
    Fetcher.PartitionRecords = _Fetched
    Fetcher._append = _append_until_enough  # noqa: SLF001
