import shutil
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.stream.checkpoint import Checkpoint, CheckpointStore
from fraudline.stream.dead_letter import REPLAYED
from fraudline.stream.decoding import Decoder
from fraudline.stream.history import History
from fraudline.stream.messages import Transaction
from fraudline.stream.partition import PartitionState
from fraudline.stream.sealing import ERASE
from tests.unit.stream.fakes import GOOD, FakeTransport, log_of, record

SPEC = load_spec()


def some(count: int) -> list[Transaction]:
    return [
        msgspec.structs.replace(
            GOOD,
            transaction_id=f"t-{i}",
            card_id=f"c-{i % 7}",
            amount_minor=500 + 37 * (i % 11),
            event_time=GOOD.event_time + i * 1_000_000_000 - (i % 3) * 400_000_000,
        )
        for i in range(count)
    ]


TRANSACTIONS = some(60)
ORACLE = FeatureEngine(SPEC).advance(columns_from_messages(TRANSACTIONS))


def state(transport: FakeTransport, folder: Path | None = None, spec=SPEC) -> PartitionState:
    store = CheckpointStore(folder, group="g", topic="t") if folder else None
    return PartitionState(
        0, engines=lambda _: FeatureEngine(spec), decoder=Decoder(spec.currencies), transport=transport, store=store
    )


def test_records_in_pieces_give_the_features_of_one_batch() -> None:
    log = log_of(TRANSACTIONS)
    worker = state(FakeTransport({0: log}))
    worker.align(0)
    parts = [worker.advance(log[at : at + 7]).features for at in range(0, 60, 7)]
    assert np.concatenate(parts).tobytes() == ORACLE.tobytes()


def test_the_memory_of_a_state_counts_what_the_model_asks_it_to_remember_of_each_card() -> None:
    log = log_of(TRANSACTIONS)
    specs = SPEC, SPEC.with_history(["amount"], 5)
    plain, remembering = both = [state(FakeTransport({0: log}), spec=spec) for spec in specs]
    for each in both:
        each.align(len(log))
    assert remembering.nbytes - plain.nbytes == 7 * 5 * 4  # cards, rows, bytes of a float32


def test_a_new_owner_without_a_checkpoint_replays_the_log_and_goes_on_bit_for_bit() -> None:
    log = log_of(TRANSACTIONS)
    worker = state(FakeTransport({0: log}))
    worker.align(40)
    assert worker.advance(log[40:]).features.tobytes() == ORACLE[40:].tobytes()


def test_a_state_is_begun_knowing_the_first_transactions_also_where_an_erasure_is_before_them() -> None:
    log, given = log_of(TRANSACTIONS), []
    marker = record(0, None)._replace(headers=((ERASE, b"1"),))
    for records in (log, [marker, *log[1:]]):
        worker = state(FakeTransport({0: records}))
        worker._engines = lambda first: given.append(first[0].transaction_id) or FeatureEngine(SPEC)
        worker.align(0)
        worker.advance(records)
    assert given == ["t-0", "t-1"]


@pytest.mark.parametrize("value", [b"{}", None], ids=["bad", "erasure"])
def test_records_before_the_first_transaction_do_not_begin_the_state(tmp_path: Path, value: bytes | None) -> None:
    """A history begun without the first transactions would count them twice, and a checkpoint would keep that."""
    first = record(0, value)._replace(key=b"c-0", headers=() if value else ((ERASE, b"1"),))
    log = [first, *(each._replace(offset=1 + n) for n, each in enumerate(log_of(TRANSACTIONS)))]

    def past(known: Sequence[Transaction]) -> FeatureEngine:
        engine = FeatureEngine(SPEC)
        engine.advance(columns_from_messages(TRANSACTIONS[:30] if known else TRANSACTIONS))
        return engine

    expected = past(TRANSACTIONS)
    if value is None:
        expected.forget(["c-0"])
    worker = state(FakeTransport({0: log}), tmp_path)
    worker._engines = past
    worker.align(0)
    assert worker.advance(log[:1]).features.shape == (0, len(SPEC.names))
    worker.save()
    assert not list(tmp_path.iterdir())
    assert worker.advance(log[31:]).features.tobytes() == (
        expected.advance(columns_from_messages(TRANSACTIONS[30:])).tobytes()
    )


def test_a_state_that_a_checkpoint_gives_reads_no_history(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    first = state(FakeTransport({0: log}), tmp_path)
    first.advance(log[:30])
    first.save()
    history = History(tmp_path / "nothing is there", SPEC, None, 1)
    second = state(FakeTransport({0: log}), tmp_path)
    second._engines = partial(history.engine, 0)
    second.align(30)
    assert second.advance(log[30:]).features.tobytes() == first.advance(log[30:]).features.tobytes()


def test_a_new_owner_with_a_checkpoint_goes_on_bit_for_bit(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    first = state(transport, tmp_path)
    first.align(0)
    first.advance(log[:25])
    first.save()
    transport.begins = 24  # what came before the checkpoint is gone from the log: it must not be needed
    second = state(transport, tmp_path)
    second.align(40)
    assert second.advance(log[40:]).features.tobytes() == ORACLE[40:].tobytes()


def test_an_erasure_from_before_a_checkpoint_is_not_done_again_by_the_next_owner(tmp_path: Path) -> None:
    """It would forget what the card has done since then."""
    marker = record(0, None)._replace(key=b"c-0", headers=((ERASE, b"1"),))
    records = log_of(TRANSACTIONS)
    log = [each._replace(offset=n) for n, each in enumerate([*records[:10], marker, *records[10:]])]
    transport = FakeTransport({0: log})
    first = state(transport, tmp_path)
    first.align(0)
    first.advance(log[:30])
    first.save()
    expected = first.advance(log[30:]).features
    second = state(transport, tmp_path)
    second.align(40)
    assert second.advance(log[40:]).features.tobytes() == expected[10:].tobytes()


def test_a_state_ahead_of_the_committed_offset_is_built_again() -> None:
    log = log_of(TRANSACTIONS)
    worker = state(FakeTransport({0: log}))
    worker.align(0)
    worker.advance(log[:50])
    worker.align(30)
    assert worker.advance(log[30:]).features.tobytes() == ORACLE[30:].tobytes()


def test_the_same_transaction_again_gives_no_row_and_changes_no_feature() -> None:
    log = log_of([t for number, t in enumerate(TRANSACTIONS) for _ in range(3 if number % 10 == 0 else 1)])
    worker = state(FakeTransport({0: log}))
    worker.align(0)
    parts = [worker.advance(log[at : at + 5]) for at in range(0, len(log), 5)]
    assert [t for part in parts for t in part.transactions] == TRANSACTIONS
    assert np.concatenate([part.features for part in parts]).tobytes() == ORACLE.tobytes()
    assert sum(part.duplicates for part in parts) == 12
    assert len(worker.seen) == 60


def test_a_letter_that_was_sent_again_is_compared_with_letters_only() -> None:
    log = log_of([GOOD, GOOD, GOOD])
    again = [each._replace(headers=((REPLAYED, b"0:1"),)) for each in log[1:]]
    worker = state(FakeTransport({0: log}))
    worker.align(0)
    assert worker.advance(log[:1]).transactions == [GOOD]
    sent = worker.advance(again)
    assert (sent.transactions, sent.duplicates) == ([GOOD], 1), "its first copy may have been a dead letter then"


@pytest.mark.parametrize("checkpointed", [True, False], ids=["checkpoint", "replay"])
def test_a_transaction_seen_before_a_restart_gives_no_row_after_it(tmp_path: Path, checkpointed: bool) -> None:
    log = log_of([*TRANSACTIONS, *TRANSACTIONS[:9]])
    transport = FakeTransport({0: log})
    first = state(transport, tmp_path)
    first.align(0)
    first.advance(log[:40])
    if checkpointed:
        first.save()
        transport.begins = 39
    second = state(transport, tmp_path)
    second.align(40)
    after = second.advance(log[40:])
    assert after.transactions == TRANSACTIONS[40:]
    assert after.features.tobytes() == ORACLE[40:].tobytes()
    assert after.duplicates == 9


def test_bad_records_change_no_feature_before_or_during_a_replay() -> None:
    log = log_of(TRANSACTIONS)
    mixed = []
    for entry in log:
        mixed += [entry, entry._replace(value=b"{}")]
    mixed = [entry._replace(offset=i) for i, entry in enumerate(mixed)]
    worker = state(FakeTransport({0: mixed}))
    worker.align(61)
    result = worker.advance(mixed[61:])
    assert len(result.bad) == 30
    assert result.features.tobytes() == ORACLE[31:].tobytes()


def fails_to_align(worker: PartitionState, transport: FakeTransport, offset: int) -> None:
    """Align while the log cannot be read."""

    def away(*_: object) -> None:
        raise UnavailableError("the broker went away")

    with mock.patch.object(transport, "read", away), pytest.raises(UnavailableError):
        worker.align(offset)


def test_a_log_that_cannot_be_read_for_a_moment_does_not_make_the_checkpoint_forgotten(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    first = state(transport, tmp_path)
    first.align(0)
    first.advance(log[:25])
    first.save()
    transport.begins = 24  # without the checkpoint the past cannot be built again
    second = state(transport, tmp_path)
    fails_to_align(second, transport, 40)
    second.align(40)
    assert second.advance(log[40:]).features.tobytes() == ORACLE[40:].tobytes()


def test_a_state_that_was_ahead_is_of_no_use_when_it_could_not_be_built_again_at_once(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    transport.committed = {0: 30}
    saved = state(transport, tmp_path)
    saved.align(25)
    saved.save()
    ahead = state(transport, tmp_path)
    ahead.align(0)
    ahead.advance(log[:50])
    fails_to_align(ahead, transport, 30)
    ahead.align(30)
    assert ahead.advance(log[30:]).features.tobytes() == ORACLE[30:].tobytes()


def test_a_checkpoint_that_could_not_be_written_does_not_count_as_one(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    worker = state(transport, tmp_path)
    worker.align(0)
    worker.advance(log[:25])
    worker.save()
    saved = worker.saved_at_us
    shutil.rmtree(tmp_path / "g")
    (tmp_path / "g").write_text("a file where the folder was")
    with pytest.raises(OSError, match="g"):
        worker.save()
    assert worker.saved_at_us == saved


def test_a_loaded_checkpoint_has_the_age_of_its_writing(tmp_path: Path) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    first = state(transport, tmp_path)
    first.align(25)
    first.save()
    second = state(transport, tmp_path)
    second.align(40)
    assert second.saved_at_us == first.saved_at_us


@pytest.mark.parametrize("kind", ["ahead", "one ahead", "damaged", "damaged ids", "another log", "another spec"])
def test_a_checkpoint_that_does_not_fit_is_left_aside(tmp_path: Path, kind: str) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    transport.committed = {0: 40}
    spec = SPEC.without(["weekend"]) if kind == "another spec" else SPEC
    first = state(transport, tmp_path, spec)
    first.align(0)
    first.advance(log[: {"ahead": 50, "one ahead": 41}.get(kind, 20)])
    if kind == "damaged ids":
        first.seen.snapshot = lambda: b"damaged"  # its features can be restored, and then its ids cannot
    first.save()
    if kind == "damaged":
        path = next(tmp_path.rglob("*.checkpoint"))
        path.write_bytes(path.read_bytes()[:-7])
    if kind == "another log":
        transport.logs[0] = log = log_of(list(reversed(TRANSACTIONS)))
    oracle = FeatureEngine(SPEC).advance(columns_from_messages([Decoder(SPEC.currencies).decode(e.value) for e in log]))
    second = state(transport, tmp_path)
    second.align(40)
    assert second.advance(log[40:]).features.tobytes() == oracle[40:].tobytes()


def test_a_log_that_was_cut_and_has_grown_beyond_the_groups_place_again_is_said(tmp_path: Path) -> None:
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    transport.committed = {0: 40}
    first = state(transport, tmp_path)
    first.align(25)
    first.save()
    transport.logs[0] = log_of(TRANSACTIONS[:20] + list(reversed(TRANSACTIONS[20:])))
    with capture_logs() as said:
        state(transport, tmp_path).align(40)
    (refused,) = [each["problem"] for each in said if each["event"] == "checkpoint.refused"]
    assert "records before 40 may be undecided" in refused


@pytest.mark.parametrize("anew", [False, True])
def test_what_a_group_decided_is_not_decided_again_once_kafka_has_forgotten_the_group(
    tmp_path: Path, anew: bool
) -> None:
    """Offsets of a group without members are kept for days; a topic that was made anew has nothing that was decided."""
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    away = state(transport, tmp_path)
    away.align(0)
    away.advance(log[:25])
    away.save()
    if anew:
        transport.logs[0] = log_of(list(reversed(TRANSACTIONS)))
        state(transport, tmp_path).align(0)
        return
    with pytest.raises(UsageError, match="all before 25 is decided") as caught:
        state(transport, tmp_path).align(0)
    assert "--to-offset 25" in caught.value.action
    next(tmp_path.rglob("*.checkpoint")).unlink()
    state(transport, tmp_path).align(0)


def test_offsets_that_the_log_skips_are_no_gap() -> None:
    log = [record(3 * e.offset, e.value) for e in log_of(TRANSACTIONS)]
    worker = state(FakeTransport({0: log}))
    worker.align(3 * 40 - 2)
    assert worker.advance(log[40:]).features.tobytes() == ORACLE[40:].tobytes()


def test_a_partition_that_was_never_used_writes_no_checkpoint(tmp_path: Path) -> None:
    state(FakeTransport({0: []}), tmp_path).save()
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_a_checkpoint_written_while_the_stream_goes_on_is_of_the_moment_it_was_begun(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    transport = FakeTransport({0: log})
    first = state(transport, tmp_path)
    first.align(0)
    first.advance(log[:25])
    first.save(wait=False)
    first.advance(log[25:40])  # what comes meanwhile is not part of it
    first.settle()
    saved = CheckpointStore(tmp_path, group="g", topic="t").load(0)
    assert saved is not None
    assert saved.next_offset == 25
    second = state(transport, tmp_path)
    second.align(30)
    assert second.advance(log[30:]).features.tobytes() == ORACLE[30:].tobytes()


def test_a_slow_checkpoint_makes_the_stream_wait_for_no_other(tmp_path: Path) -> None:
    log, written, slow = log_of(TRANSACTIONS), [], threading.Event()
    worker = state(FakeTransport({0: log}), tmp_path)
    worker.align(0)
    worker.advance(log[:25])

    def save(_store: CheckpointStore, checkpoint: Checkpoint, _pieces: object) -> None:
        slow.wait(300)
        written.append(checkpoint.next_offset)

    with mock.patch.object(CheckpointStore, "save", save):
        worker.save(wait=False)
        worker.advance(log[25:])
        another = threading.Thread(target=worker.save, kwargs={"wait": False})
        another.start()
        another.join(120)
        waited = another.is_alive()
        slow.set()
        another.join()
        worker.settle()
    assert not waited
    assert written == [25], "the next one that is due holds the rest"


def test_a_folder_that_cannot_be_written_does_not_end_the_stream(tmp_path: Path) -> None:
    log = log_of(TRANSACTIONS)
    (tmp_path / "g").write_text("a file where the folder belongs")
    worker = state(FakeTransport({0: log}), tmp_path)
    worker.align(0)
    worker.advance(log[:25])
    before = worker.saved_at_us
    worker.save(wait=False)
    worker.settle()
    assert worker.saved_at_us == before
    with pytest.raises(OSError, match="g"):
        worker.save()
