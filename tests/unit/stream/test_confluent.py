"""What the transport does around librdkafka's calls, where a broker cannot be made to do it on demand."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.stream.transport import Connection, FencedError, Output, Record

confluent_kafka = pytest.importorskip("confluent_kafka")

from fraudline.stream import confluent, librdkafka  # noqa: E402 - the client is optional


class Consumer:
    """Gives the offsets of a group and notes where it is sent."""

    def __init__(self, committed: dict[int, int]) -> None:
        self._committed = committed
        self.sought: dict[int, int] = {}

    def committed(self, places: list[Any], _timeout: float) -> list[Any]:
        return [confluent_kafka.TopicPartition(p.topic, p.partition, self._committed[p.partition]) for p in places]

    def seek(self, place: Any) -> None:
        self.sought[place.partition] = place.offset


def test_after_a_rebalance_within_a_poll_reading_goes_on_where_the_group_stands() -> None:
    transport = confluent.ConfluentTransport.__new__(confluent.ConfluentTransport)
    transport._topic, transport._assigned = "t", frozenset({0, 1, 2})
    transport._connection = Connection("127.0.0.1:1", "t", "g", "w")
    transport._consumer = Consumer({0: 40, 1: confluent_kafka.OFFSET_INVALID, 2: confluent_kafka.OFFSET_INVALID})
    transport._rewind(
        [Record("t", 0, 12, 0, b"k", b"v"), Record("t", 1, 7, 0, b"k", b"v"), Record("t", 1, 8, 0, b"", b"")]
    )
    assert transport._consumer.sought == {0: 40, 1: 7}


class Producer:
    """A queue of a few places, which a poll empties."""

    def __init__(self, places: int, code: int) -> None:
        self._places, self._code, self._queued = places, code, 0
        self.sent: list[tuple[str, bytes | None]] = []

    def produce_batch(self, topic: str, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if self._queued == self._places:
                message["_error"] = confluent_kafka.KafkaError(self._code)
            else:
                self._queued += 1
                self.sent.append((topic, message["value"]))

    def poll(self, _timeout: float) -> None:
        self._queued = 0


OUTPUTS = [Output("d", b"k", b"%d" % i) for i in range(10)]


def test_records_that_find_the_clients_queue_full_are_queued_when_there_is_room_in_their_order() -> None:
    producer = Producer(4, confluent_kafka.KafkaError._QUEUE_FULL)
    librdkafka.append(producer, OUTPUTS)
    assert producer.sent == [("d", output.value) for output in OUTPUTS]


def test_a_record_that_the_client_refuses_fails_the_transaction() -> None:
    producer = Producer(4, confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(UnavailableError, match="large"), librdkafka.translated():
        librdkafka.append(producer, OUTPUTS)


def test_a_batch_that_the_client_cannot_unpack_is_said_with_its_place() -> None:
    """It would be asked for again and again, and the partition would stand still without a word."""
    packed = confluent_kafka.KafkaError(confluent_kafka.KafkaError._BAD_COMPRESSION)
    told = confluent_kafka.Message(topic="transactions", partition=3, offset=7, error=packed)
    with pytest.raises(UnavailableError, match="transactions 3 has a batch at 7 that this client does not unpack"):
        librdkafka.records_of([told])


@pytest.mark.parametrize(("own", "found", "fenced"), [("A A", "B", True), ("A B", "B", False), ("A A", "A", False)])
def test_only_another_members_id_is_a_fence_and_not_the_one_that_this_member_was_given_meanwhile(
    monkeypatch: pytest.MonkeyPatch, own: str, found: str, fenced: bool
) -> None:
    ids = iter(own.split())
    transport = confluent.ConfluentTransport.__new__(confluent.ConfluentTransport)
    transport._connection, transport._fenced = Connection("127.0.0.1:1", "t", "g", "w"), False
    transport._consumer = SimpleNamespace(memberid=lambda: next(ids))
    monkeypatch.setattr(confluent, "member_of", lambda _: found)
    with pytest.raises(FencedError) if fenced else nullcontext():
        transport._refuse_the_fenced()


class Member:
    """Gives what it is told to, and notes what became of it."""

    def __init__(self, *given: Any) -> None:
        self._given = [*given]
        self.done: list[object] = []

    def memberid(self) -> str:
        return ""

    def consume(self, _count: int, _timeout: float) -> list[Any]:
        given, self._given = self._given, []
        return given

    def close(self) -> None:
        self.done.append("closed")

    def pause(self, _places: list[Any]) -> None:
        self.done.append("paused")

    def resume(self, _places: list[Any]) -> None:
        self.done.append("resumed")

    def seek(self, place: Any) -> None:
        self.done.append((place.partition, place.offset))


def fence() -> Any:
    """As librdkafka says it: once."""
    error = confluent_kafka.KafkaError(confluent_kafka.KafkaError._FATAL, "Static consumer fenced by other consumer")
    return confluent_kafka.Message(error=error)


@pytest.fixture
def fenced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A transport that was given ``w-1`` in its group, and whose client is told once that it is fenced."""
    monkeypatch.setattr(confluent, "open_producer", lambda _: None)
    monkeypatch.setattr(confluent.ConfluentTransport, "_open_consumer", lambda _: Member())
    transport = confluent.ConfluentTransport(Connection("127.0.0.1:1", "t", "g", "w"))
    transport._consumer, transport._member_ids = Member(fence()), {"w-1"}
    return transport


@pytest.mark.parametrize("found", ["w-1", ""])
def test_a_fence_is_none_where_the_place_is_the_members_own_or_nobodys(
    fenced: Any, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    monkeypatch.setattr(confluent, "member_of", lambda _: found)
    before, epoch = fenced._consumer, fenced.epoch
    assert fenced.poll(10, 0.0) == []
    assert (before.done, fenced._consumer is before, fenced.epoch, fenced.assignment()) == (
        ["closed"],
        False,
        epoch + 1,
        frozenset(),
    )


def test_a_fence_is_one_where_another_has_the_place(fenced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confluent, "member_of", lambda _: "w-2")
    with pytest.raises(FencedError):
        fenced.poll(10, 0.0)
    assert fenced._consumer.done == []


def test_a_fence_that_no_broker_explains_is_not_forgotten(fenced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the next poll, nor by a recovery, whose new producer would fence the other's."""
    fenced._producer = SimpleNamespace(purge=lambda: None)
    for found, error in ((None, UnavailableError), ("w-2", FencedError)):
        monkeypatch.setattr(confluent, "member_of", lambda _, found=found: found)
        for ask in (lambda: fenced.poll(10, 0.0), fenced.recover):
            with pytest.raises(error) as caught:
                ask()
            assert type(caught.value) is error


def test_a_fence_in_a_long_replay_is_heard_and_leaves_the_partitions_running(fenced: Any) -> None:
    with pytest.raises(FencedError), librdkafka.translated():
        fenced._stay()
    assert fenced._consumer.done == ["paused", "resumed"]


def test_a_record_that_a_long_replay_is_given_is_given_again(fenced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the group had committed nothing of its partition, the record after it was taken for the first."""
    told = confluent_kafka.Message("t", 1, 7, b"k", b"v", [], None, (1, 0))
    monkeypatch.setattr(confluent, "records_of", lambda _: [Record("t", 1, 7, 0, b"k", b"v")])
    fenced._consumer = Member(told)
    fenced._stay()
    assert fenced._consumer.done == ["paused", (1, 7), "resumed"]
