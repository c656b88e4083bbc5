"""What kafka-python does not read of a batch by itself; that its inner names are still those that are used here."""

import gzip
import struct
from collections.abc import Callable

import pyarrow as pa
import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from fraudline.core.errors import MessageError
from fraudline.stream import kafka_batches
from fraudline.stream.dead_letter import DeadLetter, dead_letter, not_unpacked
from fraudline.stream.kafka_batches import ENOUGH, MOST_UNPACKED
from fraudline.stream.kafka_client import record_of
from fraudline.stream.transport import NOT_UNPACKED, UNREADABLE_HEADERS, Record
from tests.support.records import RawName

HEADERS = [[("a", b"1"), ("b", None)], [("a", b"1"), (RawName(b"ger\xe4t"), b"2"), ("c", b"3")], []]
VALUES = [b"one" * 50_000, b"two", b""]


def batch() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for offset, (value, headers) in enumerate(zip(VALUES, HEADERS, strict=True)):
        assert builder.append(offset, 1_000 + offset, b"k%d" % offset, value, headers) is not None
    return bytes(builder.build())


def packed(codec: int, by: Callable[[bytes], bytes], whole: bytes = b"") -> bytes:
    """The batch as a producer that compresses would have sent it."""
    whole = whole or batch()
    head, body = whole[: DefaultRecordBatch.HEADER_STRUCT.size], whole[DefaultRecordBatch.HEADER_STRUCT.size :]
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
        packed(DefaultRecordBatch.CODEC_GZIP, gzip.compress),
        packed(DefaultRecordBatch.CODEC_LZ4, lambda content: pa.compress(content, "lz4", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_ZSTD, lambda content: pa.compress(content, "zstd", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_SNAPPY, lambda content: pa.compress(content, "snappy", asbytes=True)),
        packed(DefaultRecordBatch.CODEC_SNAPPY, xerial),
    ],
    ids=["plain", "gzip", "lz4", "zstd", "snappy", "snappy of Java"],
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


def zeros(*sizes: int, base: int = 0) -> bytes:
    """A batch of records that are nothing but zeros, from the offset ``base`` on."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
    for offset, size in enumerate(sizes):
        assert builder.append(offset, 1_000, b"k", bytes(size), []) is not None
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def pack(codec: str) -> Callable[[bytes], bytes]:
    return lambda content: pa.compress(content, codec, asbytes=True)


def fetched(content: bytes, start: int) -> Fetcher.PartitionRecords:
    """As the client has what a broker sent."""
    kafka_batches.read_them_all()
    return Fetcher.PartitionRecords(start, TopicPartition("transactions", 2), MemoryRecords(content), check_crcs=False)


@pytest.mark.parametrize(
    ("codec", "by"),
    [
        (DefaultRecordBatch.CODEC_GZIP, gzip.compress),
        (DefaultRecordBatch.CODEC_LZ4, pack("lz4")),
        (DefaultRecordBatch.CODEC_ZSTD, pack("zstd")),
        (DefaultRecordBatch.CODEC_SNAPPY, pack("snappy")),
        (DefaultRecordBatch.CODEC_SNAPPY, xerial),
    ],
    ids=["gzip", "lz4", "zstd", "snappy", "snappy of Java"],
)
def test_a_batch_that_would_fill_the_memory_is_one_dead_letter_and_the_next_batch_is_read(
    codec: int, by: Callable[[bytes], bytes]
) -> None:
    bomb = packed(codec, by, zeros(5, MOST_UNPACKED // 2, MOST_UNPACKED // 2, base=40))
    assert len(bomb) < MOST_UNPACKED // 10
    before = pa.total_allocated_bytes()
    found = [record_of(record) for record in fetched(bomb + zeros(7, base=43), 41).take(100)]
    assert pa.total_allocated_bytes() - before < MOST_UNPACKED
    assert [(r.offset, r.key, r.value) for r in found] == [(42, None, None), (43, b"k", bytes(7))]
    said = not_unpacked(found[0])
    assert f"unpack to more than {MOST_UNPACKED}: 3 records from offset 40 on" in said
    letter = dead_letter("transactions.dlq", found[0], said)
    kept = DeadLetter.parse(Record(letter.topic, 0, 9, 0, letter.key, letter.value, letter.headers))
    assert (kept.source_partition, kept.source_offset, kept.reason) == (2, 42, said)
    with pytest.raises(MessageError, match="not unpacked"):
        kept.replayed()


def test_many_batches_that_are_just_small_enough_are_not_unpacked_at_once() -> None:
    size = ENOUGH - 100
    one = [packed(DefaultRecordBatch.CODEC_ZSTD, pack("zstd"), zeros(size, base=base)) for base in range(6)]
    records = fetched(b"".join(one), 0)
    taken = []
    while records:
        taken.append([record.offset for record in records.take(2_000)])
        assert records.cut is (len(taken) < 4)
    assert taken == [[0, 1], [2, 3], [4, 5], []]


def test_a_producer_cannot_have_a_record_of_its_own_taken_for_such_a_batch() -> None:
    own = Record("transactions", 0, 1, 0, b"card", None, ((NOT_UNPACKED, b"never mind"),))
    assert not_unpacked(own) == ""
