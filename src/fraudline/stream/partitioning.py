"""The partition of a key by Kafka's default partitioner, for many keys at once.

    partitions_of([b"c1", b"c2"], 4)        # [2, 0]

Java's producer, kafka-python and librdkafka's ``murmur2_random`` all put a key there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fraudline.features.compiling import cached

_SEED, _MULTIPLIER, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def _murmur2_each(content, ends, out):  # type: ignore[no-untyped-def]
    """MurmurHash2 (Austin Appleby, public domain), 32 bits with Kafka's seed, of each piece of ``content``."""
    begin = 0
    for i in range(len(ends)):
        end = ends[i]
        h = _SEED ^ (end - begin)
        at = begin
        while at + 4 <= end:
            k = content[at] | content[at + 1] << 8 | content[at + 2] << 16 | np.int64(content[at + 3]) << 24
            k = (k * _MULTIPLIER) & _MASK
            k ^= k >> 24
            h = ((h * _MULTIPLIER) & _MASK) ^ ((k * _MULTIPLIER) & _MASK)
            at += 4
        if at < end:
            for k in range(end - at):
                h ^= np.int64(content[at + k]) << (8 * k)
            h = (h * _MULTIPLIER) & _MASK
        h ^= h >> 13
        h = (h * _MULTIPLIER) & _MASK
        out[i] = h ^ (h >> 15)
        begin = end


_murmur2: Any = cached(_murmur2_each)


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key.

    Args:
        keys: of records.
        partitions: of their topic.
    """
    ends = np.cumsum(np.fromiter(map(len, keys), np.int64, len(keys)))
    hashes = np.empty(len(keys), np.int64)
    _murmur2(np.frombuffer(bytearray(b"".join(keys)), np.uint8), ends, hashes)
    found: list[int] = ((hashes & _POSITIVE) % partitions).tolist()
    return found


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of one key.

    Args:
        key: the record's key.
        partitions: of its topic.
    """
    return partitions_of([key], partitions)[0]
