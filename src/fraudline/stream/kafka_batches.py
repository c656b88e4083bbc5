"""Batches of records that kafka-python 3 does not read by itself, for every consumer of this process.

    read_them_all()         # once, before the first consumer

Any producer may send them, and one batch that is not read stops its partition for good: batches compressed with lz4,
snappy or zstd, whose libraries are not installed with the client, and records with a header whose name is no UTF-8.
"""

import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from fraudline.stream.transport import UNREADABLE_HEADERS

_read = DefaultRecordBatch._read_msg  # noqa: SLF001 - nothing public reads a record
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16
_HEADERS_AT = 7
"""Number of the varint that counts a record's headers; the first gives the record's length."""


def _snappy(packed: bytes) -> bytes:
    """A raw snappy block begins with the size of what is in it."""
    size, shift = 0, 0
    for byte in packed:
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return bytes(pa.decompress(packed, size, codec="snappy", asbytes=True))


def _snappy_blocks(packed: bytes) -> bytes:
    """Java's producers cut what they compress into blocks, each behind its length; others send one block."""
    if not packed.startswith(_XERIAL):
        return _snappy(packed)
    at, blocks = _XERIAL_BYTES, []
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        blocks.append(_snappy(packed[at + 4 : at + 4 + size]))
        at += 4 + size
    return b"".join(blocks)


def _streamed(codec: str) -> Callable[[bytes], bytes]:
    return lambda packed: bytes(pa.CompressedInputStream(pa.BufferReader(packed), codec).read())


_UNPACKED: dict[int, Callable[[bytes], bytes]] = {
    DefaultRecordBatch.CODEC_SNAPPY: _snappy_blocks,
    DefaultRecordBatch.CODEC_LZ4: _streamed("lz4"),
    DefaultRecordBatch.CODEC_ZSTD: _streamed("zstd"),
}


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    def _maybe_uncompress(self: Any) -> None:
        unpacked = _UNPACKED.get(self.compression_type)
        if unpacked is not None and not self._decompressed:
            self._buffer, self._pos = bytearray(unpacked(bytes(self._buffer[self._pos :]))), 0
            self._decompressed = True
        DefaultRecordBatch._maybe_uncompress(self)  # noqa: SLF001 - gzip, or nothing to do

    def _read_msg(self) -> Any:
        try:
            return _read(self)
        except UnicodeDecodeError:
            record = _read(self, _Headless())
            record.headers.extend(UNREADABLE_HEADERS)
            return record


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
