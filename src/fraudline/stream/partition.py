"""The state of one partition: its cards' features and the event ids it has seen.

It is restored from a checkpoint, replayed silently, and advanced in offset order.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from operator import attrgetter
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import now_us
from fraudline.core.errors import StateError, UsageError
from fraudline.core.log import get_logger
from fraudline.core.turns import short_turns
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.features.frozen import Frozen
from fraudline.features.profiles import ProfileTable
from fraudline.stream.checkpoint import Checkpoint, CheckpointStore, record_digest
from fraudline.stream.dead_letter import is_replayed, not_unpacked
from fraudline.stream.decoding import Decoder
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.messages import Transaction
from fraudline.stream.sealing import erased_card, erases
from fraudline.stream.transport import Record, Transport

log = get_logger(__name__)

_event_time, _transaction_id = attrgetter("event_time"), attrgetter("transaction_id")

_REPLAYED = np.uint64(0x5851F42D4C957F2D)
"""Sets the hashes of replayed dead letters apart from those of records that come for the first time."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """What records of one partition gave.

    Attributes:
        records: those that hold a transaction not seen before, in offset order.
        transactions: one a record of ``records``.
        features: (n, d) float32, one row a transaction.
        bad: records that hold none, each with the reason.
        duplicates: records that hold a transaction seen before: no decision, no change of state.
        erasures: records that erase a card, in offset order.
        moments: when decoding began, when features were begun, and when they were there (``time.monotonic``).
    """

    records: list[Record]
    transactions: list[Transaction]
    features: NDArray[np.float32]
    bad: list[tuple[Record, str]]
    duplicates: int = 0
    moments: tuple[float, float, float] = (0.0, 0.0, 0.0)
    erasures: Sequence[Record] = ()


class PartitionState:
    """State that contains exactly the records before ``next_offset``.

    Args:
        partition: of the topic ``transactions``.
        engines: makes the engine that the state begins with, given the first transactions that advance it; None where
            a checkpoint gives its state.
        decoder: the one that decides which records are bad.
        transport: reads the log for replays.
        store: where checkpoints are; None for none.
        memories: makes an empty memory of event ids.
        failed: told the partition and the error, by the thread that writes, when a checkpoint was not written that
            nobody waited for.
    """

    def __init__(
        self,
        partition: int,
        *,
        engines: Callable[[Sequence[Transaction] | None], FeatureEngine],
        decoder: Decoder,
        transport: Transport,
        store: CheckpointStore | None,
        memories: Callable[[], SeenIds] = SeenIds,
        failed: Callable[[int, Exception], None] = lambda *_: None,
    ) -> None:
        self.partition = partition
        self.next_offset = 0
        self.saved_at_us = now_us()
        self._engines = engines
        self._decoder = decoder
        self._transport = transport
        self._store = store
        self._memories = memories
        self._failed = failed
        self.seen = memories()
        self._engine: FeatureEngine | None = None
        self._begun = False  # a transaction of the log is in the engine
        self._erased: list[str] = []  # before that
        self._last: tuple[int, str] = (-1, "")
        self._last_value: bytes | None = None
        self._writing: Thread | None = None

    @property
    def cards(self) -> int:
        """Cards that it has state of."""
        return 0 if self._engine is None else self._engine.cards

    @property
    def nbytes(self) -> int:
        """Memory of their state."""
        return 0 if self._engine is None else self._engine.cards * self._engine.card_bytes

    def use_profiles(self, profiles: ProfileTable) -> None:
        """Take newer merchant tables from the next transaction on."""
        if self._engine is not None:
            self._engine.use_profiles(profiles)

    def align(self, offset: int) -> None:
        """Bring the state to ``offset``, the first record about to be processed, producing nothing.

        A state that is behind is replayed forward. One that is ahead took records of a batch that was not committed:
        it is dropped and built again from the checkpoint.

        Raises:
            UnavailableError: the log cannot be read.
            UsageError: Kafka has forgotten the group's place, and a checkpoint says that it was further on.
        """
        if self._engine is None or self.next_offset > offset:
            self._restore(offset)
        if self.next_offset < offset:
            self._replay(offset)

    def advance(self, records: Sequence[Record]) -> Advanced:
        """Decode records and advance the state by the good ones that are new, in order; forget erased cards."""
        values = [record.value for record in records]
        if None in values and any(map(erases, records)):
            return self._by_turns(records)
        begun = time.monotonic()
        good = list(records)
        transactions, refused = self._decoder.decode_all(values)
        bad = [(records[place], not_unpacked(records[place]) or problem) for place, problem in refused]
        for place, _ in reversed(refused):
            del good[place]
        engine = self._begun_with(transactions)
        new = self._first(good, transactions)
        duplicates = len(good) - int(new.sum())
        if duplicates:
            good = list(compress(good, new))
            transactions = list(compress(transactions, new))
        decoded = time.monotonic()
        features = engine.advance(columns_from_messages(transactions))
        last = records[-1]
        self.next_offset = last.offset + 1
        self._last = (last.offset, "")
        self._last_value = last.value
        return Advanced(good, transactions, features, bad, duplicates, (begun, decoded, time.monotonic()))

    def _by_turns(self, records: Sequence[Record]) -> Advanced:
        """Records that erase cards, and those between them, in their order."""
        parts: list[Advanced] = []
        erasures: list[Record] = []
        engine = self._begun_with(
            () if self._begun else self._decoder.decode_all([r.value for r in records if not erases(r)])[0]
        )
        for erasing, group in groupby(records, erases):
            run = list(group)
            if not erasing:
                parts.append(self.advance(run))
                continue
            engine.forget(list(map(erased_card, run)))
            self.next_offset, self._last, self._last_value = run[-1].offset + 1, (run[-1].offset, ""), None
            log.info("state.cards_erased", partition=self.partition, offset=run[0].offset, cards=len(run))
            erasures += run
        if not self._begun:
            self._erased += map(erased_card, erasures)
        nothing = np.empty((0, len(engine.spec.names)), np.float32)
        return Advanced(
            [each for part in parts for each in part.records],
            [each for part in parts for each in part.transactions],
            np.concatenate([part.features for part in parts] or [nothing]),
            [each for part in parts for each in part.bad],
            sum(part.duplicates for part in parts),
            parts[0].moments if parts else (0.0, 0.0, 0.0),
            erasures,
        )

    def _begun_with(self, transactions: Sequence[Transaction]) -> FeatureEngine:
        """The engine; where no transaction of the log is in it yet, one that was made knowing these.

        Records before the first good one are bad or erase cards: they must not decide where a history ends.
        """
        if self._engine is None or (transactions and not self._begun):
            self._engine = self._engines(transactions)
            if self._erased:
                self._engine.forget(self._erased)
            self._begun, self._erased = bool(transactions), []
        return self._engine

    def _first(self, records: Sequence[Record], transactions: Sequence[Transaction]) -> NDArray[np.bool_]:
        """Whether each comes for the first time, ``(n,) bool``; a dead letter sent again is compared with others only.

        Its first copy may be good to the specification of today, and then a state built again from the log has seen it.
        """
        times = np.fromiter(map(_event_time, transactions), np.int64, len(transactions))
        hashes = hash_ids(list(map(_transaction_id, transactions)))
        again = [i for i, record in enumerate(records) if record.headers and is_replayed(record)]
        hashes[again] ^= _REPLAYED
        return self.seen.first(hashes, times)

    def save(self, *, wait: bool = True) -> None:
        """Write a checkpoint of the state as it is now; call it only when ``next_offset`` is committed.

        Args:
            wait: until it is written. Otherwise the stream goes on meanwhile, ``saved_at_us`` says when it was
                written, and a checkpoint that is still being written makes this one do nothing.

        Raises:
            OSError: the folder cannot be written. That, and what the key service raises, comes only while waiting;
                otherwise ``failed`` hears of it.
        """
        if self._store is None or self._engine is None or not self._begun:
            return
        if not wait and self.writing:
            return
        self.settle()
        checkpoint, frozen = self._now(self._engine), self._engine.freeze()
        if wait:
            self._write(self._store, checkpoint, frozen)
        else:
            self._writing = Thread(target=self._try_write, args=(self._store, checkpoint, frozen), daemon=True)
            self._writing.start()

    @property
    def writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and self._writing.is_alive()

    def settle(self) -> None:
        """Wait for the checkpoint that is being written, if there is one."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None

    def _now(self, engine: FeatureEngine) -> Checkpoint:
        """What a checkpoint says of this moment, without the state of the cards."""
        offset, digest = self._last
        if offset >= 0 and not digest:
            self._last = (offset, record_digest(offset, self._last_value))
        return Checkpoint(
            partition=self.partition,
            next_offset=self.next_offset,
            last_offset=self._last[0],
            last_digest=self._last[1],
            spec_version=engine.spec.version,
            profile_version=engine.profile_version,
            written_at=now_us(),
            seen=self.seen.snapshot(),
        )

    def _write(self, store: CheckpointStore, checkpoint: Checkpoint, frozen: Frozen) -> None:
        store.save(checkpoint, frozen)
        self.saved_at_us = checkpoint.written_at

    def _try_write(self, store: CheckpointStore, checkpoint: Checkpoint, frozen: Frozen) -> None:
        try:
            with short_turns():
                self._write(store, checkpoint, frozen)
        except Exception as error:  # whatever the key service raises
            self._failed(self.partition, error)

    def _restore(self, limit: int) -> None:
        # No state until all of it is there: a log that cannot be read now must not make the checkpoint forgotten.
        self._engine, self.next_offset, self._last = None, 0, (-1, "")
        seen, checkpoint = self._memories(), self._checkpoint(limit)
        engine = self._engines(None) if checkpoint is not None else None
        if checkpoint is not None and engine is not None and not self._taken(checkpoint, engine, seen):
            checkpoint, engine, seen = None, None, self._memories()
        if checkpoint is not None:
            self.next_offset = checkpoint.next_offset
            self.saved_at_us = checkpoint.written_at
            self._last = (checkpoint.last_offset, checkpoint.last_digest)
            behind = limit - checkpoint.next_offset
            log.info("checkpoint.loaded", partition=self.partition, next_offset=self.next_offset, behind=behind)
        self._begun, self._erased = engine is not None, []
        self._engine, self.seen = engine, seen  # without a checkpoint the engine comes with the first record

    def _checkpoint(self, limit: int) -> Checkpoint | None:
        """The partition's checkpoint, where it belongs to this log and is not above ``limit``."""
        try:
            checkpoint = self._store.load(self.partition) if self._store is not None else None
            if checkpoint is not None:
                self._check(checkpoint, limit)
        except StateError as error:
            self._refuse(error)
            return None
        return checkpoint

    def _taken(self, checkpoint: Checkpoint, engine: FeatureEngine, seen: SeenIds) -> bool:
        """Put the checkpoint's state into ``engine`` and ``seen``; where that is not possible both are spoilt."""
        try:
            engine.restore(checkpoint.state)
            seen.restore(checkpoint.seen)
        except StateError as error:
            self._refuse(error)
            return False
        return True

    def _refuse(self, error: StateError) -> None:
        log.warning("checkpoint.refused", partition=self.partition, problem=error.problem)

    def _check(self, checkpoint: Checkpoint, limit: int) -> None:
        ahead = checkpoint.next_offset > limit
        if ahead and self._transport.group_offset(self.partition) is not None:
            problem = f"The checkpoint stands at {checkpoint.next_offset}, but only {limit} is committed."
            raise StateError(problem, "The state is built again from the log.")
        offset = checkpoint.last_offset
        if offset < self._transport.beginning(self.partition):
            return
        found = [r for records in self._transport.read(self.partition, offset, offset + 1) for r in records]
        if not found or record_digest(offset, found[0].value) != checkpoint.last_digest:
            cut = "" if ahead else f"; where that was cut and grew again, records before {limit} may be undecided"
            problem = f"The checkpoint's last record {offset} is not in this log{cut}."
            raise StateError(problem, "The state is built again from the log.")
        if ahead:
            self._forgotten(checkpoint.next_offset)

    def _forgotten(self, decided: int) -> None:
        """Refuse to decide again what a group decided whose place Kafka no longer knows."""
        problem = (
            f"Kafka knows no place of the group in partition {self.partition}, but its checkpoint says that all before "
            f"{decided} is decided: it would be decided again."
        )
        action = f"Set the group's offset to {decided} (kafka-consumer-groups --reset-offsets --to-offset {decided}), "
        raise UsageError(problem, f"{action}or delete the checkpoints to decide all again; then start the worker.")

    def _replay(self, end: int) -> None:
        start, count = self.next_offset, 0
        first = self._transport.beginning(self.partition)
        if first > start:
            log.warning("state.incomplete", partition=self.partition, wanted=start, log_begins=first)
        for records in self._transport.read(self.partition, start, end):
            self.advance(records)
            count += len(records)
        self.next_offset = end
        log.info("state.replayed", partition=self.partition, records=count, start=start, end=end)
