from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from fraudline.stream.partitioning import partitions_of


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 50))
def test_partitions_are_those_of_the_clients_own_hash(keys: list[bytes], partitions: int) -> None:
    assert partitions_of(keys, partitions) == [(murmur2(key) & 0x7FFFFFFF) % partitions for key in keys]
