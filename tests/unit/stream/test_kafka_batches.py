"""What kafka-python does not read of a batch by itself; that its inner names are still those that are used here."""

import struct
from collections.abc import Callable

import pyarrow as pa
import pytest
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from fraudline.stream import kafka_batches
from fraudline.stream.transport import UNREADABLE_HEADERS
from tests.support.records import RawName

HEADERS = [[("a", b"1"), ("b", None)], [("a", b"1"), (RawName(b"ger\xe4t"), b"2"), ("c", b"3")], []]
VALUES = [b"one" * 50_000, b"two", b""]


def batch() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for offset, (value, headers) in enumerate(zip(VALUES, HEADERS, strict=True)):
        assert builder.append(offset, 1_000 + offset, b"k%d" % offset, value, headers) is not None
    return bytes(builder.build())


def packed(codec: int, by: Callable[[bytes], bytes]) -> bytes:
    """The batch as a producer that compresses would have sent it."""
    head, body = batch()[: DefaultRecordBatch.HEADER_STRUCT.size], batch()[DefaultRecordBatch.HEADER_STRUCT.size :]
    fields = list(DefaultRecordBatch.HEADER_STRUCT.unpack(head))
    content = by(body)
    fields[1] += len(content) - len(body)
    fields[5] |= codec
    return DefaultRecordBatch.HEADER_STRUCT.pack(*fields) + content


def xerial(content: bytes) -> bytes:
    """As Java's snappy cuts it into blocks."""
    blocks = [pa.compress(content[at : at + 32_768], "snappy", asbytes=True) for at in range(0, len(content), 32_768)]
    return b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01" + b"".join(struct.pack(">i", len(b)) + b for b in blocks)


@pytest.mark.parametrize(
    "sent",
    [
        batch(),
        packed(DefaultRecordBatch.CODEC_LZ4, lambda content: pa.compress(content, "lz4", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_ZSTD, lambda content: pa.compress(content, "zstd", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_SNAPPY, lambda content: pa.compress(content, "snappy", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_SNAPPY, xerial),
    ],
    ids=["plain", "lz4", "zstd", "snappy", "snappy of Java"],
)
def test_every_record_of_a_batch_is_read_also_one_whose_headers_are_not(sent: bytes) -> None:
    kafka_batches.read_them_all()
    (found,) = MemoryRecords(sent)
    assert isinstance(found, kafka_batches._Batch)
    read = [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in found]
    assert read == [
        (0, 1_000, b"k0", VALUES[0], HEADERS[0]),
        (1, 1_001, b"k1", VALUES[1], list(UNREADABLE_HEADERS)),
        (2, 1_002, b"k2", VALUES[2], HEADERS[2]),
    ]
