import threading
from itertools import count
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.stream.batch import BatchReport, Judge
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.endpoint import HeldError
from fraudline.stream.messages import Alert, BlockedCard, Decision
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.sealing import Sealer
from fraudline.stream.settling import Settling
from fraudline.stream.transport import FencedError, Record
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.workers import wait_for
from tests.unit.stream.fakes import FakeTransport, log_of, record
from tests.unit.stream.test_blocked import Log
from tests.unit.stream.test_partition import ORACLE, SPEC, TRANSACTIONS
from tests.unit.stream.test_sealing import stores


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("model") / "m", review=0.38, block=0.45))


@pytest.fixture
def blocking(tmp_path: Path) -> Artifact:
    """A model that blocks whatever it does not allow."""
    return load_artifact(tiny_artifact(tmp_path / "m", review=0.38, block=0.38))


class WithCards(FakeTransport):
    """The transactions of one card; the cards that a batch blocks come into a log of their own with its commit."""

    def __init__(self) -> None:
        super().__init__({0: log_of([msgspec.structs.replace(t, card_id="c-1") for t in TRANSACTIONS])})
        self.cards = Log()

    def transact(self, outputs, offsets) -> None:
        super().transact(outputs, offsets)
        for output in outputs:
            if output.topic == "blocked-cards":
                entry = msgspec.json.decode(output.value, type=BlockedCard)
                self.cards.append(0, entry.card_id, entry)


def run(
    artifact: Artifact,
    transport: FakeTransport,
    until: int,
    folder: Path | None = None,
    cards: BlockedCards | None = None,
    **changes: object,
):
    """Run a worker until ``until`` records are committed; gives its metrics and its reports."""
    worker, metrics = made(artifact, transport, folder, cards, **changes)
    stop, reports, seen = threading.Event(), [], [0]

    def on_batch(report: BatchReport) -> None:
        reports.append(report)
        seen[0] += report.records
        if seen[0] >= until:
            stop.set()

    worker.run(stop, on_batch)
    return metrics, reports


def made(
    artifact: Artifact,
    transport: FakeTransport,
    folder: Path | None = None,
    cards: BlockedCards | None = None,
    sealer: Sealer | None = None,
    **changes: object,
) -> tuple[Worker, StreamMetrics]:
    params = StreamParams(checkpoint_dir=str(folder or ""), max_batch=8, **changes)
    metrics = StreamMetrics("fraud")
    worker = Worker(
        params=params,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(SPEC),
        judge=Judge(artifact, InProcessScoring(artifact), params, "p1", Settling(params, SPEC, None, cards), sealer),
        transport=transport,
        metrics=metrics,
        cards=cards,
        sealer=sealer,
    )
    return worker, metrics


def decisions_of(transport: FakeTransport) -> list[Decision]:
    return [msgspec.json.decode(o.value, type=Decision) for o in transport.outputs if o.topic == "decisions"]


def features_of(decisions: list[Decision]) -> np.ndarray:
    return np.array([decision.features for decision in decisions], np.float32)


def test_each_transaction_gets_one_decision_with_the_batch_features(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    run(artifact, transport, 60)
    decisions = decisions_of(transport)
    assert [d.transaction_id for d in decisions] == [t.transaction_id for t in TRANSACTIONS]
    assert features_of(decisions).tobytes() == ORACLE.tobytes()
    assert transport.committed == {0: 60}
    first = decisions[0]
    assert (first.model_version, first.threshold_version) == (artifact.version, artifact.thresholds.version)
    assert (first.profile_version, first.spec_version, first.partition, first.offset) == ("p1", SPEC.version, 0, 0)


def test_a_log_that_begins_anew_under_a_worker_is_decided_as_after_a_restart(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS[:30])})
    worker, _ = made(artifact, transport)
    stop, decided = threading.Event(), []

    def anew(report: BatchReport) -> None:
        decided.append(report.records)
        if sum(decided) == 30:
            transport.logs, transport._positions = {0: log_of(TRANSACTIONS)}, {0: 0}
            transport.committed.clear()  # Kafka forgets them with the topic
        elif sum(decided) >= 30 + len(TRANSACTIONS):
            stop.set()

    worker.run(stop, anew)
    assert features_of(decisions_of(transport)[30:]).tobytes() == ORACLE.tobytes()


class Truncated(FakeTransport):
    """Goes to the log's beginning when its place is beyond the end, as both clients do."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._positions[0] > len(self.logs[0]):
            self._positions[0] = 0
        return super().poll(max_records, timeout_s)


def test_a_log_that_lost_its_end_ends_the_worker_and_is_not_decided_again(artifact: Artifact) -> None:
    transport = Truncated({0: log_of(TRANSACTIONS[:30])})
    transport.committed, transport._positions = {0: 45}, {0: 45}
    worker, _ = made(artifact, transport)
    with pytest.raises(UsageError, match="lost its end"):
        worker.run(threading.Event())
    assert (transport.outputs, transport.committed) == ([], {0: 45})


@pytest.mark.parametrize("waiting", [False, True])
def test_a_group_that_kafka_has_forgotten_decides_nothing_again(
    artifact: Artifact, tmp_path: Path, waiting: bool
) -> None:
    """The rehearsal of a worker whom no records wait for would give such a group a place: the log's beginning."""
    before = FakeTransport({0: log_of(TRANSACTIONS)})
    run(artifact, before, 60, tmp_path)
    after = FakeTransport({0: log_of(TRANSACTIONS)})
    stop = threading.Event()
    if not waiting:
        after.poll = lambda *_: stop.set() or []
    worker, _ = made(artifact, after, tmp_path)
    with pytest.raises(UsageError, match="all before 60 is decided"):
        worker.run(stop, lambda _: stop.set())
    assert (after.outputs, after.committed, after.rehearsals) == ([], {}, 0)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_group_without_place_and_checkpoints_is_said_before_its_rehearsal_gives_it_one(
    artifact: Artifact, waiting: bool
) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    stop = threading.Event()
    if not waiting:
        transport.poll = lambda *_: stop.set() or []
    worker, _ = made(artifact, transport)
    with capture_logs() as said:
        worker.run(stop, lambda _: stop.set())
    assert [line["decides_from"] for line in said if line["event"] == "group.has_no_place"] == [{0: 0}]


def test_a_new_group_of_a_topic_without_records_is_not_warned(artifact: Artifact) -> None:
    transport = FakeTransport({0: []})
    stop = threading.Event()
    polled = transport.poll

    def poll(*given):
        if transport.rehearsals:
            transport.logs[0] = log_of(TRANSACTIONS[:30])
        return polled(*given)

    transport.poll = poll
    worker, _ = made(artifact, transport)
    with capture_logs() as said:
        worker.run(stop, lambda report: stop.set() if report and report.records else None)
    assert transport.rehearsals == 1
    assert transport.committed[0] > 0
    assert "group.has_no_place" not in {line["event"] for line in said}


def test_partitions_that_were_added_are_said(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS[:30])})
    worker, _ = made(artifact, transport)
    stop = threading.Event()

    def grown(_: BatchReport) -> None:
        if len(transport.logs) == 2:
            stop.set()
            return
        transport.logs[1] = log_of(TRANSACTIONS[30:], 1)
        transport.recover()

    with capture_logs() as said:
        worker.run(stop, grown)
    (line,) = [line for line in said if line["event"] == "worker.partitions_added"]
    assert (line["before"], line["now"], line["log_level"]) == (1, 2, "error")


def test_a_card_that_was_erased_while_another_worker_had_its_partition_has_no_decision_under_its_old_name(
    artifact: Artifact, tmp_path: Path
) -> None:
    worker, other = stores(tmp_path)
    log = log_of([msgspec.structs.replace(each, card_id="c-1") for each in TRANSACTIONS])
    transport = FakeTransport({0: log[:8]})
    one, _ = made(artifact, transport, sealer=Sealer(worker))
    stop = threading.Event()

    def elsewhere(_: BatchReport) -> None:
        if transport.epoch == 1:
            other.forget("c-1")  # as the owner of the partition does where it reads that the card is erased
            transport.logs = {0: log[:16]}
            transport.recover()
        else:
            stop.set()

    one.run(stop, elsewhere)
    names = [decision.card_id for decision in decisions_of(transport)]
    assert len(names) == 16
    assert len(set(names[:8])) == len(set(names[8:])) == 1
    assert names[0] != names[8] == other.known("c-1")


def test_a_worker_is_ready_when_it_has_partitions_and_has_rehearsed_a_transaction(artifact: Artifact) -> None:
    transport = FakeTransport({})
    params = StreamParams(checkpoint_dir="")
    worker = Worker(
        params=params,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(SPEC),
        judge=Judge(artifact, InProcessScoring(artifact), params, ""),
        transport=transport,
        metrics=StreamMetrics("fraud"),
    )
    stop, polls, ready = threading.Event(), [0], []

    def poll(max_records: int, timeout_s: float) -> list[object]:
        polls[0] += 1
        if polls[0] == 3:
            transport.logs = {0: []}
        if polls[0] == 6:
            stop.set()
        return []

    transport.poll, transport.lag = poll, lambda: 0
    worker.run(stop, on_ready=lambda: ready.append((polls[0], transport.rehearsals)))
    assert ready == [(3, 1)]
    assert transport.rehearsals == 1


def test_every_decision_other_than_allow_is_also_an_alert(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    run(artifact, transport, 60)
    alerts = [msgspec.json.decode(o.value, type=Alert) for o in transport.outputs if o.topic == "alerts"]
    wanted = [d for d in decisions_of(transport) if d.decision != "allow"]
    assert alerts
    assert [a.transaction_id for a in alerts] == [d.transaction_id for d in wanted]
    assert all(d.score >= np.float32(artifact.thresholds.review) for d in wanted)
    assert all(alert.reasons and alert.amount_minor and alert.currency == "EUR" for alert in alerts)


def test_a_bad_record_becomes_a_dead_letter_with_its_bytes_and_place(artifact: Artifact) -> None:
    log = log_of(TRANSACTIONS)[:5]
    log[2] = record(2, b'{"transaction_id": "\xff"}')
    transport = FakeTransport({0: log})
    run(artifact, transport, 5)
    letters = [output for output in transport.outputs if output.topic == "transactions.dlq"]
    assert [(letter.key, letter.value) for letter in letters] == [(b"key", b'{"transaction_id": "\xff"}')]
    headers = dict(letters[0].headers)
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"transactions", b"0", b"2")
    assert b"UTF-8" in headers["reason"]
    assert len(decisions_of(transport)) == 4


def test_the_same_event_three_times_gives_one_decision_and_is_counted(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of([t for t in TRANSACTIONS for _ in range(3)])})
    metrics, _ = run(artifact, transport, 180)
    assert [d.transaction_id for d in decisions_of(transport)] == [t.transaction_id for t in TRANSACTIONS]
    assert metrics.registry.get_sample_value("fraudline_duplicates_total") == 120


def test_a_batch_of_bad_records_alone_is_committed(artifact: Artifact) -> None:
    transport = FakeTransport({0: [record(0, b"x"), record(1, None)]})
    run(artifact, transport, 2)
    assert transport.committed == {0: 2}
    assert len(transport.outputs) == 2


@pytest.mark.parametrize("at", [0, 3])
def test_a_failed_transaction_changes_neither_decisions_nor_features(
    artifact: Artifact, tmp_path: Path, at: int
) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS), 1: log_of(TRANSACTIONS, 1)})
    original, calls = transport.transact, []

    def failing(outputs, offsets) -> None:
        calls.append(1)
        if len(calls) - 1 in {at, at + 1}:
            raise UnavailableError("the broker went away")
        original(outputs, offsets)

    transport.transact = failing
    metrics, _ = run(artifact, transport, 120, tmp_path, checkpoint_s=1e-6)
    decisions = decisions_of(transport)
    for partition in (0, 1):
        part = [decision for decision in decisions if decision.partition == partition]
        assert features_of(part).tobytes() == ORACLE.tobytes()
    assert transport.recoveries == 2
    assert metrics.registry.get_sample_value("fraudline_recoveries_total") == 2


def test_a_broker_that_stays_away_ends_the_worker(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.failures = [UnavailableError("gone")] * 9
    with pytest.raises(UnavailableError, match="gone"):
        run(artifact, transport, 60, recoveries=2)
    assert transport.outputs == []


def test_as_many_failures_in_a_row_as_are_allowed_are_survived(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.failures = [UnavailableError("gone")] * 2
    run(artifact, transport, 60, recoveries=2)
    assert transport.committed == {0: 60}


def test_a_broker_that_is_away_for_hours_is_waited_for_as_often_as_is_allowed(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudline.stream.worker._BACKOFF_MOST_S", 0.0)
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.failures = [UnavailableError("gone")]
    original, away = transport.recover, [UnavailableError("still gone")] * 1_500

    def recover() -> None:
        if away:
            raise away.pop()
        original()

    transport.recover = recover
    run(artifact, transport, 60, recoveries=2_000)
    assert transport.committed == {0: 60}


def test_failures_between_which_batches_are_committed_do_not_add_up(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    original, calls = transport.transact, []

    def failing(outputs, offsets) -> None:
        calls.append(1)
        if len(calls) % 2:
            raise UnavailableError("gone")
        original(outputs, offsets)

    transport.transact = failing
    run(artifact, transport, 60, recoveries=2)
    assert transport.recoveries > 2
    assert transport.committed == {0: 60}


def test_an_endpoint_that_stays_away_is_waited_for_however_often_the_batch_is_read_again(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.failures = [HeldError("the endpoint is down")] * 3
    sizes = []
    poll = transport.poll
    transport.poll = lambda most, timeout_s: sizes.append(most) or poll(most, timeout_s)
    run(artifact, transport, 60, recoveries=1)
    assert (transport.recoveries, transport.committed) == (3, {0: 60})
    assert sizes[:4] == [8, 4, 2, 1], "it may be too large for a slow endpoint"


def test_a_batch_that_is_given_up_blocks_no_card_in_the_one_that_takes_its_place(blocking: Artifact) -> None:
    whole, broken = WithCards(), WithCards()
    broken.failures = [UnavailableError("gone")]
    for transport in (whole, broken):
        run(blocking, transport, 60, cards=BlockedCards(transport.cards), block_hours=1.0)
    assert [d.decision for d in decisions_of(broken)] == [d.decision for d in decisions_of(whole)]
    assert [d.decision for d in decisions_of(whole)[:4]] == ["allow", "allow", "allow", "block"]


def test_a_card_that_a_committed_batch_blocked_is_free_once_a_person_takes_it_off_the_list(blocking: Artifact) -> None:
    transport = WithCards()
    cards = BlockedCards(transport.cards)
    run(blocking, transport, 60, cards=cards, block_hours=1.0)
    assert cards.blocked(0, "c-1", TRANSACTIONS[0].event_time) is not None
    transport.cards.append(0, "c-1", None)
    cards.follow([0])
    assert cards.blocked(0, "c-1", TRANSACTIONS[0].event_time) is None


def test_a_worker_stopped_in_a_recovery_checkpoints_nothing_that_was_not_committed(
    artifact: Artifact, tmp_path: Path
) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    params = StreamParams(checkpoint_dir=str(tmp_path), max_batch=8)
    worker = Worker(
        params=params,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(SPEC),
        judge=Judge(artifact, InProcessScoring(artifact), params, ""),
        transport=transport,
        metrics=StreamMetrics("fraud"),
    )
    stop = threading.Event()

    def away(*_: object) -> None:
        stop.set()
        raise UnavailableError("the broker went away")

    transport.transact = transport.recover = away
    assert worker.run(stop) == 0
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_a_fenced_worker_ends_at_once(artifact: Artifact) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.failures = [FencedError()]
    with pytest.raises(FencedError):
        run(artifact, transport, 60)
    assert transport.recoveries == 0


def test_a_worker_stopped_and_started_again_goes_on_bit_for_bit(artifact: Artifact, tmp_path: Path) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    run(artifact, transport, 20, tmp_path)
    again = FakeTransport({0: log_of(TRANSACTIONS)})
    again.committed = dict(transport.committed)
    again.recover()
    again.begins = transport.committed[0] - 1  # the rest of the past lives in the checkpoint alone
    run(artifact, again, 60 - transport.committed[0], tmp_path)
    decisions = decisions_of(transport) + decisions_of(again)
    assert features_of(decisions).tobytes() == ORACLE.tobytes()


def test_a_partition_that_comes_back_has_caught_up(artifact: Artifact) -> None:
    """Another worker owned it for a while: its records are in the state, not in this worker's output."""
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    poll = transport.poll

    def poll_with_a_rebalance(max_records: int, timeout_s: float):
        records = poll(max_records, timeout_s)
        if records and records[0].offset == 16:
            transport.epoch += 1
            transport.committed[0] = 32
            transport._positions[0] = 32
            return poll(max_records, timeout_s)
        return records

    transport.poll = poll_with_a_rebalance
    run(artifact, transport, 60 - 16)
    decisions = decisions_of(transport)
    assert [d.offset for d in decisions] == [*range(16), *range(32, 60)]
    assert features_of(decisions).tobytes() == np.delete(ORACLE, np.s_[16:32], axis=0).tobytes()


def test_a_partition_that_leaves_and_comes_back_while_nothing_is_sent_goes_on_bit_for_bit(
    artifact: Artifact, tmp_path: Path
) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)[:8]})
    owners, poll, polls = [frozenset({0}), frozenset(), frozenset({0})], transport.poll, count()

    def poll_when_it_moves(max_records: int, timeout_s: float):
        at = next(polls)
        if at in (3, 5):
            owners.pop(0)
            transport.epoch += 1
        if at == 7:
            transport.logs[0] = log_of(TRANSACTIONS)
        return poll(max_records, timeout_s)

    transport.poll, transport.assignment = poll_when_it_moves, lambda: owners[0]
    run(artifact, transport, 60, tmp_path, checkpoint_s=1e-9)
    assert features_of(decisions_of(transport)).tobytes() == ORACLE.tobytes()


def test_a_partition_that_another_takes_before_a_checkpoint_is_no_checkpoint_that_failed(
    artifact: Artifact, tmp_path: Path
) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS), 1: log_of(TRANSACTIONS[:4], 1)})
    stop, owned = threading.Event(), {0, 1}

    def poll_and_lose(max_records: int, timeout_s: float):
        if not (found := FakeTransport.poll(transport, max_records, timeout_s)):
            owned.discard(1)  # the client knows of it at once, the worker from the next poll on
            stop.set()
        return found

    transport.poll, transport.assignment = poll_and_lose, lambda: frozenset(owned)
    worker, metrics = made(artifact, transport, tmp_path, checkpoint_s=1e-9)
    assert worker.run(stop) == 64
    assert metrics.registry.get_sample_value("fraudline_checkpoint_failures_total") == 0
    store = CheckpointStore(tmp_path, group=StreamParams().group, topic="transactions")
    assert store.load(0).next_offset == 60


def test_a_partition_that_was_away_while_nothing_came_keeps_the_checkpoint_that_another_wrote(
    artifact: Artifact, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, group=StreamParams().group, topic="transactions")
    run(artifact, FakeTransport({0: log_of(TRANSACTIONS)[:16]}), 16, tmp_path)
    newer = store.path(0).read_bytes()
    store.path(0).unlink()
    transport, stop = FakeTransport({0: log_of(TRANSACTIONS)[:8]}), threading.Event()
    worker, _ = made(artifact, transport, tmp_path)

    def poll(max_records: int, timeout_s: float):
        if not (found := FakeTransport.poll(transport, max_records, timeout_s)):
            store.path(0).write_bytes(newer)
            transport.epoch += 1
            stop.set()
        return found

    transport.poll = poll
    assert worker.run(stop) == 8
    assert store.load(0).next_offset == 16


@pytest.mark.parametrize("error", [PermissionError("no right"), RuntimeError("the key service is away")])
def test_a_checkpoint_that_is_not_written_is_counted_while_the_worker_runs_and_does_not_keep_it_from_ending(
    artifact: Artifact, tmp_path: Path, error: Exception
) -> None:
    transport, stop = FakeTransport({0: log_of(TRANSACTIONS)}), threading.Event()
    worker, metrics = made(artifact, transport, tmp_path, checkpoint_s=1e-9)

    def failures() -> float:
        return metrics.registry.get_sample_value("fraudline_checkpoint_failures_total") or 0.0

    def poll(max_records: int, timeout_s: float):
        if not (found := FakeTransport.poll(transport, max_records, timeout_s)):
            wait_for(failures, "a failure while it runs", interval=0.001)
            stop.set()
        return found

    transport.poll = poll
    with mock.patch.object(CheckpointStore, "save", side_effect=error):
        assert worker.run(stop) == 60
        running = failures()
        worker._states.save()
    assert failures() == running + 1, "the last one counts too, for which the worker waits"


def test_metrics_count_what_was_committed(artifact: Artifact) -> None:
    log = log_of(TRANSACTIONS)
    log[5] = record(5, b"bad")
    metrics, reports = run(artifact, FakeTransport({0: log}), 60)
    labels = {"model": "fraud", "version": artifact.version}
    value = metrics.registry.get_sample_value
    assert value("fraudline_transactions_total") == 60
    assert value("fraudline_dead_letters_total") == 1
    assert value("fraudline_decisions_total", labels) == 59
    assert value("fraudline_alerts_total", labels) == sum(len(report.alerts) for report in reports)
    assert value("fraudline_decision_latency_seconds_count", labels) == 59
    assert value("fraudline_score_count", labels) == 59
    assert value("fraudline_batch_records_sum") == 60


def test_every_metric_has_the_prefix_and_labels_with_few_values() -> None:
    metrics = StreamMetrics("fraud")
    metrics.decided(["v1", "v2"], np.array([0.1, 0.9]), ["allow", "block"], np.array([0.01, 0.02]))
    for family in metrics.registry.collect():
        assert family.name.startswith("fraudline_")
        for sample in family.samples:
            assert set(sample.labels) <= {"model", "version", "le", "stage", "decision", "field", "problem"}
