"""Transactions by partition and offset: what the topic no longer has, or never had, is left out."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from kafka import TopicPartition

from fraudline.stream import transaction_places
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.params import StreamParams
from tests.support.transactions import transaction

PLACE = TopicPartition("transactions", 0)


class Log:
    """A topic of one partition with the transactions t0 to t1999; counts what is read of it."""

    def __init__(self):
        self.records, self.read, self.at = (
            [encode(Transaction(**transaction(i, transaction_id=f"t{i}"))) for i in range(2_000)],
            0,
            0,
        )

    def partitions_for_topic(self, _):
        return {0}

    def end_offsets(self, places):
        return dict.fromkeys(places, len(self.records))

    def beginning_offsets(self, places):
        return dict.fromkeys(places, 100)

    def assign(self, _):
        pass

    def seek(self, _, offset):
        self.at = offset

    def position(self, _):
        return self.at

    def poll(self, timeout_ms, max_records):
        first, self.at = self.at, min(self.at + max_records, len(self.records))
        self.read += self.at - first
        return {PLACE: [
            SimpleNamespace(topic="transactions", partition=0, offset=offset, timestamp=0, key=None, headers=[],
                            value=self.records[offset]) for offset in range(first, self.at)
        ]}  # fmt: skip


@pytest.fixture
def log(monkeypatch):
    held = Log()
    monkeypatch.setattr(transaction_places, "open_consumer", contextmanager(lambda _: iter([held])))
    return held


def test_only_what_lies_near_the_wanted_ones_is_read_and_what_the_topic_has_not_is_left_out(log):
    wanted = {(0, 5), (0, 150), (0, 160), (0, 1_900), (0, 9_000), (7, 3)}
    found, count = transaction_places.transactions_at(StreamParams(timeout_s=1), Decoder(["EUR"]), wanted)
    assert {place: each.transaction_id for place, each in found.items()} == {
        (0, 150): "t150", (0, 160): "t160", (0, 1_900): "t1900",
    }, "5 was deleted, 9,000 is of an older topic"  # fmt: skip
    assert count < 1_000
