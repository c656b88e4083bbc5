"""Both Kafka clients keep the same contract on a real broker."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import confluent_kafka
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream import confluent, kafka_batches, kafka_python
from fraudline.stream.assembly import connection
from fraudline.stream.dead_letter import dead_letter
from fraudline.stream.params import StreamParams
from fraudline.stream.partitioning import partition_of
from fraudline.stream.produce import produce
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import (
    TRANSPORTS,
    UNREADABLE_HEADERS,
    Connection,
    FencedError,
    Output,
    Record,
    Transport,
    open_sender,
    open_transport,
)
from tests.support.broker import CACHE, need_java, own_params, read_all
from tests.support.datasets import small_tables
from tests.support.records import RawName
from tests.support.until import until

pytestmark = pytest.mark.integration

OPEN = Callable[..., Transport]
only_kafka_python = pytest.mark.parametrize("params", ["kafka-python"], indirect=True)  # librdkafka needs no help here


@pytest.fixture(params=TRANSPORTS)
def params(request: pytest.FixtureRequest, kafka: LocalKafka, tmp_path: Path) -> StreamParams:
    params = own_params(tmp_path, kafka.bootstrap, transport=request.param, partitions=2)
    assert ensure_topics(params) == ensure_topics(params)
    return params


@pytest.fixture
def join(params: StreamParams) -> Iterator[OPEN]:
    opened: list[Transport] = []

    def open_one(worker_id: str = "w0", **changes: object) -> Transport:
        connection = Connection(
            params.bootstrap, params.topics.transactions, params.group, worker_id, session_timeout_s=6, **changes
        )
        opened.append(open_transport(params.transport, connection))
        return opened[-1]

    yield open_one
    for transport in opened:
        transport.close()


def send(params: StreamParams, count: int, *, transport: str = "", first: int = 0) -> None:
    with closing(open_sender(transport or params.transport, params.bootstrap)) as sender:
        for i in range(first, first + count):
            sender.send(Output(params.topics.transactions, b"card-%d" % (i % 20), b"%d" % i, (("h", b"x"),)))


def take(transport: Transport, count: int, *, most: int = 100, timeout_s: float = 120.0) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + timeout_s
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        records += transport.poll(most, 0.2)
    return records


def offsets_after(records: list[Record]) -> dict[int, int]:
    return {record.partition: record.offset + 1 for record in records}


@only_kafka_python
def test_a_join_that_outlasts_a_poll_is_finished_by_a_later_one(params: StreamParams, join: OPEN) -> None:
    send(params, 20)
    transport = join()
    transport.transact([], offsets_after(take(transport, 20)))
    coordinator = transport._consumer._coordinator  # type: ignore[attr-defined]
    coordinator._assignment_snapshot = {}  # the topic's metadata changed since this leader assigned it
    while not coordinator.rejoining:
        transport.poll(10, 0.001)
    time.sleep(1)  # its answer comes while nobody polls
    send(params, 20)
    assert len(take(transport, 20)) == 20


@only_kafka_python
def test_a_poll_gives_what_came_while_the_last_batch_was_worked_on(
    params: StreamParams, join: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_python, "_AT_ONCE_S", 0.25)  # a busy machine is slow, too
    monkeypatch.setattr(kafka_python, "_SINCE_MS", 250)
    transport, sizes = join(), []
    with closing(open_sender(params.transport, params.bootstrap)) as sender:

        def send_one() -> None:
            sender.send(Output(params.topics.transactions, b"card", b"value", ()))
            sender.flush()

        for _ in range(6):
            send_one()
            take(transport, 1)
            send_one()  # answers the fetch that the poll left behind
            send_one()  # came after that answer
            sizes.append(len(transport.poll(100, 0.5)))
            while transport.poll(100, 0.3):
                pass
    assert sizes.count(2) > len(sizes) / 2


@only_kafka_python
def test_a_client_that_never_finds_its_coordinator_is_opened_anew(
    params: StreamParams, join: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(params, 20)
    transport = join(timeout_s=2)
    stuck = transport._consumer._coordinator  # type: ignore[attr-defined]
    monkeypatch.setattr(stuck, "coordinator_unknown", lambda: True)
    monkeypatch.setattr(stuck, "ensure_coordinator_ready", lambda timeout_ms=None: False)
    assert len(take(transport, 20)) == 20


@only_kafka_python
def test_a_recovery_opens_the_client_anew_that_reads_the_log_again(
    params: StreamParams, join: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(params, 20)
    transport = join()
    assert transport.beginning(0) == 0

    def stuck(*_: object, **__: object) -> None:
        raise KafkaTimeoutError("Failed to get offsets by timestamps")

    monkeypatch.setattr(transport._reader, "beginning_offsets", stuck)  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError):
        transport.beginning(0)
    transport.recover()
    assert transport.beginning(0) == 0


def test_a_log_without_a_record_begins_and_ends_at_once(params: StreamParams, join: OPEN) -> None:
    transport = join()
    assert [(transport.beginning(each), transport.end(each)) for each in (0, 1)] == [(0, 0), (0, 0)]
    send(params, 20)
    take(transport, 20)
    assert all(transport.end(each) > transport.beginning(each) for each in (0, 1))


def test_records_come_in_offset_order_with_all_they_carry(params: StreamParams, join: OPEN) -> None:
    send(params, 300)
    records = take(join(), 300, most=64)
    assert sorted(int(record.value) for record in records) == list(range(300))
    for partition in (0, 1):
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(len(offsets)))
    assert all(
        record.headers == (("h", b"x"),) and abs(record.timestamp_ms / 1000 - time.time()) < 300 for record in records
    )


def test_a_header_without_a_value_has_an_empty_one(params: StreamParams, join: OPEN) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": params.bootstrap})  # the other client refuses to send it
    producer.produce(params.topics.transactions, b"{", b"card", headers=[("json_types", None), ("trace", b"1")])
    assert producer.flush(60) == 0
    (record,) = take(join(), 1)
    assert record.headers == (("json_types", b""), ("trace", b"1"))
    assert dead_letter(params.topics.dead_letters, record, "no JSON").headers[-2:] == record.headers


def test_a_record_with_a_header_whose_name_is_no_utf_8_comes_without_its_headers_and_stops_no_other(
    params: StreamParams, join: OPEN
) -> None:
    kept = [("h", b"x")]
    with closing(KafkaProducer(bootstrap_servers=params.bootstrap, metrics_enabled=False)) as producer:
        for number in range(300):
            broken = [(RawName(b"ger\xe4t"), b"1"), *kept] if number % 7 == 3 else kept
            producer.send(params.topics.transactions, b"%d" % number, b"card-%d" % number, broken)
    found = {int(record.value): (record.key, record.headers) for record in take(join(), 300, most=64)}
    assert found == {
        number: (b"card-%d" % number, UNREADABLE_HEADERS if number % 7 == 3 else tuple(kept)) for number in range(300)
    }


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_a_batch_is_read_however_its_producer_compressed_it(params: StreamParams, join: OPEN, codec: str) -> None:
    settings = {"bootstrap.servers": params.bootstrap, "compression.type": codec, "linger.ms": 50}
    producer = confluent_kafka.Producer(settings)
    for number in range(300):
        producer.produce(params.topics.transactions, b"%d" % number, b"card-%d" % (number % 20))
    assert producer.flush(60) == 0
    transport = join()
    records = take(transport, 300)
    assert sorted(int(record.value) for record in records) == list(range(300))
    assert [len(piece) for piece in transport.read(0, 0, 3)] == [3]


@only_kafka_python
def test_records_that_were_not_read_are_asked_for_again(
    params: StreamParams, join: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(params, 20)
    transport = join()
    with monkeypatch.context() as broken:
        broken.setattr(kafka_batches._Batch, "_read_msg", lambda _: int("no number"))
        deadline = time.monotonic() + 120
        for _ in range(2):
            with pytest.raises(UnavailableError, match="invalid record"):  # noqa: PT012 - joins first
                while time.monotonic() < deadline:
                    transport.poll(10, 0.2)
            transport.recover()
    assert len(take(transport, 20)) == 20


@only_kafka_python
def test_a_topic_that_is_made_anew_under_a_worker_is_refused(params: StreamParams, join: OPEN) -> None:
    send(params, 100)
    transport = join()
    transport.transact([], offsets_after(take(transport, 100)))
    with closing(KafkaAdminClient(bootstrap_servers=params.bootstrap)) as admin:
        admin.delete_topics([params.topics.transactions])
        until(lambda: params.topics.transactions not in admin.list_topics(), "deleted")
    ensure_topics(params)
    send(params, 300)
    transport._consumer.topics()  # type: ignore[attr-defined]  # what the client hears of itself within a minute
    with pytest.raises(UsageError, match="made anew under this worker"):
        transport.poll(10, 1.0)


def test_a_card_goes_where_the_other_client_sends_it(params: StreamParams, join: OPEN) -> None:
    for transport in TRANSPORTS:
        send(params, 40, transport=transport)
    for record in take(join(), 80):
        assert record.partition == partition_of(record.key, 2)


def test_outputs_and_offsets_are_committed_together(params: StreamParams, join: OPEN) -> None:
    send(params, 10)
    transport = join()
    records = take(transport, 10)
    transport.transact([Output(params.topics.decisions, b"k", b"v", (("a", b"b"),))], offsets_after(records))
    transport.close()
    seen = read_all(params.bootstrap, params.topics.decisions)
    assert [(r.key, r.value, list(r.headers)) for r in seen] == [(b"k", b"v", [("a", b"b")])]
    send(params, 1, first=99)
    assert [record.value for record in take(join(), 1)] == [b"99"]


def test_outputs_of_a_card_keep_their_order_whichever_have_headers(params: StreamParams, join: OPEN) -> None:
    send(params, 20)
    worker = join()
    records = take(worker, 20)
    context = (("traceparent", b"00-1-2-01"),)
    said = [(b"%d" % i, context if i % 3 == 1 else ()) for i in range(10)]
    worker.transact([Output(params.topics.decisions, b"card", *each) for each in said], offsets_after(records))
    kept = [(r.value, tuple(r.headers)) for r in read_all(params.bootstrap, params.topics.decisions)]
    assert kept == said


def test_a_rehearsal_commits_where_the_group_stands_and_moves_nothing(params: StreamParams, join: OPEN) -> None:
    transport = join()
    deadline = time.monotonic() + 120
    while len(transport.assignment()) < 2:
        assert time.monotonic() < deadline
        assert transport.poll(10, 0.1) == []
    transport.rehearse()
    send(params, 30)
    records = take(transport, 30)
    transport.transact([], offsets_after(records))
    transport.close()
    send(params, 10, first=30)
    again = join()
    while len(again.assignment()) < 2 and not (early := again.poll(10, 0.1)):
        assert time.monotonic() < deadline
    assert sorted(int(r.value) for r in early + take(again, 10 - len(early))) == list(range(30, 40))
    again.rehearse()  # nothing of the second part is committed: a successor reads it again
    assert [committed_place(params, partition).leader_epoch for partition in (0, 1)] == [0, 0]
    again.close()
    assert sorted(int(r.value) for r in take(join(), 10)) == list(range(30, 40))


def test_what_is_not_committed_is_read_again_after_a_recovery(params: StreamParams, join: OPEN) -> None:
    send(params, 50)
    transport = join()
    first = take(transport, 50)[:20]
    done = offsets_after(first)
    transport.transact([], done)
    epoch = transport.epoch
    transport.recover()
    assert transport.epoch > epoch
    again = take(transport, 50 - sum(done.values()))
    assert {(r.partition, r.offset) for r in again} == {
        (p, o) for p, end in offsets_after(take_all(params)).items() for o in range(done.get(p, 0), end)
    }
    transport.transact([Output(params.topics.decisions, b"k", b"after")], offsets_after(again))
    assert [r.value for r in read_all(params.bootstrap, params.topics.decisions)] == [b"after"]


class CutOff:
    """A producer whose records are in the log when it is cut off, once, at the first of its ``steps``."""

    def __init__(self, producer: object, *steps: str) -> None:
        self._producer = producer
        self._steps = steps

    def __getattr__(self, name: str) -> object:
        if name in self._steps:
            self._steps = ()
            self._producer.flush()
            raise UnavailableError("cut off")
        return getattr(self._producer, name)


@pytest.mark.parametrize("params", ["confluent"], indirect=True)  # kafka-python asks by a heartbeat, not for offsets
def test_a_recovery_from_a_transaction_in_doubt_is_not_held_up_by_it(params: StreamParams, join: OPEN) -> None:
    send(params, 20)
    transport = join(timeout_s=5.0)
    records = take(transport, 20)
    transport._producer = CutOff(transport._producer, "commit_transaction")
    with pytest.raises(UnavailableError, match="cut off"):
        transport.transact([Output(params.topics.decisions, b"k", b"lost")], offsets_after(records))
    transport.recover()
    assert len(take(transport, 20)) == 20
    transport.transact([Output(params.topics.decisions, b"k", b"kept")], offsets_after(records))
    assert [r.value for r in read_all(params.bootstrap, params.topics.decisions)] == [b"kept"]


def take_all(params: StreamParams) -> list[Record]:
    found = read_all(params.bootstrap, params.topics.transactions)
    return [Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value) for r in found]


def test_a_replay_reads_exactly_the_range_and_moves_nothing(params: StreamParams, join: OPEN) -> None:
    send(params, 200)
    transport = join()
    take(transport, 200)
    for partition in (0, 1):
        assert transport.beginning(partition) == 0
        pieces = list(transport.read(partition, 3, 40))
        assert [record.offset for piece in pieces for record in piece] == list(range(3, 40))
        assert list(transport.read(partition, 5, 5)) == []
    send(params, 1, first=500)
    assert [record.value for record in take(transport, 1)] == [b"500"]


def test_a_replay_that_takes_longer_than_a_member_may_be_silent_costs_no_partition(
    params: StreamParams, join: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it did, the batch after it was refused."""
    monkeypatch.setattr(confluent, "_STAY_S", 1.0)
    send(params, 50)
    if params.transport == "confluent":
        transport = join(extra={"max.poll.interval.ms": 6_000, "session.timeout.ms": 6_000})
    else:
        transport = join()
        transport._consumer._coordinator.heartbeat.config["max_poll_interval_ms"] = 6_000
    records = take(transport, 50)
    ends = offsets_after(records)
    begun = time.monotonic()
    while time.monotonic() - begun < 15:  # the interval, the session, and more
        for partition, end in ends.items():
            assert sum(map(len, transport.read(partition, 0, end))) == end
    transport.transact([Output(params.topics.decisions, b"k", b"v")], ends)
    assert {partition: transport.group_offset(partition) for partition in ends} == ends
    send(params, 10, first=50)
    assert sorted(int(record.value) for record in take(transport, 10)) == list(range(50, 60)), "some were polled unseen"


def test_a_client_knows_where_its_group_stands(params: StreamParams, join: OPEN) -> None:
    send(params, 100)
    transport = join()
    ends = offsets_after(take(transport, 100))
    assert [transport.group_offset(partition) for partition in (0, 1)] == [None, None]
    transport.transact([], ends)
    assert {partition: transport.group_offset(partition) for partition in (0, 1)} == ends
    assert [committed_place(params, partition).leader_epoch for partition in (0, 1)] == [0, 0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_work_goes_on_after_all_brokers_were_down(transport: str, tmp_path: Path) -> None:
    need_java()
    with LocalKafka(tmp_path / "kafka", cache=CACHE) as broker:
        params = own_params(tmp_path, broker.bootstrap, transport=transport, partitions=1)
        ensure_topics(params)
        send(params, 20)
        with closing(open_transport(transport, connection(params))) as worker:
            worker.transact([], offsets_after(take(worker, 20)))
            broker.kill9()
            for _ in range(20):  # by then a client has tried every address that it knows
                with suppress(UnavailableError):
                    worker.poll(10, 0.2)
            broker.start()
            send(params, 20, transport="kafka-python")
            end = offsets_after(take(worker, 20))

            def commit() -> None:
                while worker.group_offset(0) != end[0]:
                    try:
                        worker.transact([], end)
                    except UnavailableError:  # a broker that has just begun may be slow
                        worker.recover()
                        take(worker, 20)

            working = threading.Thread(target=commit, daemon=True)
            working.start()
            working.join(300)
            assert not working.is_alive(), "the client waits for a coordinator without end"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_member_whose_broker_was_away_for_longer_than_its_session_has_no_rival(
    transport: str, tmp_path: Path
) -> None:
    """librdkafka forgets its member's id then, and the broker calls its next heartbeat fenced."""
    need_java()
    with LocalKafka(tmp_path / "kafka", cache=CACHE) as broker:
        params = own_params(tmp_path, broker.bootstrap, transport=transport, partitions=1)
        ensure_topics(params)
        send(params, 20)
        extra = {"reconnect.backoff.max.ms": 500} if transport == "confluent" else {}
        asked = replace(connection(params), session_timeout_s=6.0, extra=extra)
        with closing(open_transport(transport, asked)) as worker:
            worker.transact([], offsets_after(take(worker, 20)))
            broker.stop()
            time.sleep(8)  # nobody polls, as in a recovery
            broker.start()
            time.sleep(3)  # the heartbeat is answered before a poll
            send(params, 20, transport="kafka-python")
            until(lambda: recovers(worker), "recovered")
            again = take(worker, 20)
            assert sorted(int(record.value) for record in again) == list(range(20))
            worker.transact([], offsets_after(again))
            assert worker.group_offset(0) == 40


def committed_place(params: StreamParams, partition: int) -> OffsetAndMetadata:
    """What the group has committed, when no transaction is in doubt."""
    who = {"bootstrap_servers": params.bootstrap, "group_id": params.group, "enable_auto_commit": False}
    with closing(KafkaConsumer(**who, isolation_level="read_committed")) as asking:
        return asking.committed(TopicPartition(params.topics.transactions, partition), metadata=True)


@pytest.mark.parametrize("again", ["started", "recovered"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_log_that_lost_its_end_and_grew_beyond_the_groups_place_is_not_skipped(
    transport: str, again: str, tmp_path: Path
) -> None:
    """As after an unclean election: the leader's copy is set back while it is down, and records come after it."""
    need_java()
    with LocalKafka(tmp_path / "kafka", cache=CACHE) as broker, ExitStack() as closed:
        params = own_params(tmp_path, broker.bootstrap, transport=transport, partitions=1)
        ensure_topics(params)
        send(params, 10)
        broker.stop()
        log, copy = broker.folder / "data" / f"{params.topics.transactions}-0", tmp_path / "copy"
        shutil.copytree(log, copy)
        broker.start()
        send(params, 10, first=10)
        worker = closed.enter_context(closing(open_transport(transport, connection(params))))
        worker.transact([], offsets_after(take(worker, 20)))
        place = committed_place(params, 0)
        if again == "started":
            worker.close()
        broker.stop()
        shutil.rmtree(log)
        copy.rename(log)
        broker.start()
        send(params, 30, first=100)
        if again == "started":
            worker = closed.enter_context(closing(open_transport(transport, connection(params))))
            while not worker.assignment():
                worker.poll(10, 0.001)  # joins, and is given records by a later poll
        else:
            until(lambda: recovers(worker), "recovered")
        assert take(worker, 1)[0].offset == 10, "records that were never decided are skipped"
        assert (place.offset, place.leader_epoch > 0) == (20, True), "a later leader wrote the last record"


def recovers(worker: Transport) -> bool:
    with suppress(UnavailableError):
        worker.recover()
        return True
    return False


def test_a_client_knows_how_many_partitions_there_are(params: StreamParams, join: OPEN) -> None:
    assert join().partitions() == 2


def test_lag_counts_what_waits(params: StreamParams, join: OPEN) -> None:
    send(params, 100)
    transport = join()
    got = take(transport, 1, most=1)
    assert 0 < transport.lag() <= 100 - len(got)
    take(transport, 100 - len(got))
    assert transport.lag() == 0


def test_two_workers_share_and_one_inherits(params: StreamParams, join: OPEN) -> None:
    first, second = join("a"), join("b")
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [first.poll(10, 0.1) for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        deadline = time.monotonic() + 120
        while not (len(first.assignment()) == len(second.assignment()) == 1):
            assert time.monotonic() < deadline
            second.poll(10, 0.1)
        assert first.assignment() | second.assignment() == {0, 1}
    finally:
        stop.set()
        thread.join()
    first.close()  # a static member keeps its place for the session timeout, then its partitions move
    epoch = second.epoch
    deadline = time.monotonic() + 120
    while second.assignment() != {0, 1}:
        assert time.monotonic() < deadline
        second.poll(10, 0.2)
    send(params, 60)
    take(second, 60)
    assert second.epoch > epoch


def test_a_successor_of_the_same_name_fences_its_predecessor_and_is_not_fenced_in_return(
    params: StreamParams, join: OPEN
) -> None:
    send(params, 20)
    old = join("same")
    records = take(old, 20)
    new = join("same")
    take(new, 20)
    with pytest.raises((FencedError, UnavailableError)):
        old.transact([Output(params.topics.decisions, b"k", b"ghost")], offsets_after(records))
    with pytest.raises(FencedError):
        old.recover()
    new.transact([Output(params.topics.decisions, b"k", b"real")], offsets_after(records))
    assert [r.value for r in read_all(params.bootstrap, params.topics.decisions)] == [b"real"]


def test_a_worker_that_leaves_in_mid_transaction_keeps_no_reader_waiting(params: StreamParams, join: OPEN) -> None:
    send(params, 20)
    worker = join(transaction_timeout_s=600)
    records = take(worker, 20)
    worker._producer = CutOff(worker._producer, "_transaction_manager", "send_offsets_to_transaction")
    with pytest.raises(UnavailableError, match="cut off"):
        worker.transact([Output(params.topics.decisions, b"k", b"cut off")], offsets_after(records))
    worker.close()
    with closing(open_sender(params.transport, params.bootstrap)) as sender:
        sender.send(Output(params.topics.decisions, b"k", b"after"))
    assert [r.value for r in read_all(params.bootstrap, params.topics.decisions)] == [b"after"]


def test_a_fenced_worker_without_work_notices_it(params: StreamParams, join: OPEN) -> None:
    send(params, 20)
    old = join("same")
    take(old, 20)
    new = join("same")
    take(new, 20)
    deadline = time.monotonic() + 120
    with pytest.raises(FencedError):  # noqa: PT012 - a poll without work says nothing
        while time.monotonic() < deadline:
            old.poll(10, 0.2)


def test_a_topic_that_is_not_there_is_named(params: StreamParams) -> None:
    topics = params.topics
    for read, written in (("not-there", ()), (topics.transactions, (topics.decisions, "not-there"))):
        asked = Connection(params.bootstrap, read, params.group, "w", timeout_s=4.0, outputs=written)
        with pytest.raises(UnavailableError, match="There is no topic not-there") as caught:
            open_transport(params.transport, asked)
        assert "--create-topics" in caught.value.action


def test_a_producer_to_a_topic_that_is_not_there_says_so_as_a_worker_does(params: StreamParams) -> None:
    table = small_tables()[0].slice(0, 10)
    with pytest.raises(UnavailableError, match="There is no topic not-there") as caught:
        produce([table], bootstrap=params.bootstrap, topic="not-there", transport=params.transport, timeout_s=4.0)
    assert "--create-topics" in caught.value.action


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_broker_that_is_not_there_is_unavailable(name: str) -> None:
    # in a process of its own: kafka-python forgets the sockets of refused connections
    code = f"""
from fraudline.core.errors import UnavailableError
from fraudline.core.log import configure
from fraudline.stream.transport import Connection, open_transport
configure()  # on a slow machine it says that it waits: not on standard output
try:
    open_transport({name!r}, Connection("127.0.0.1:9", "t", "g", "w", timeout_s=0.5))
except UnavailableError as error:
    print("unavailable:", error.problem)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("unavailable:")
