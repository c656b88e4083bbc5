"""The states of the partitions that a worker owns: made and aligned when records come, saved, and let go."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from fraudline.core.clock import SECOND_US, now_us
from fraudline.core.log import get_logger
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact
from fraudline.stream import assembly
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.continuity import Continuity
from fraudline.stream.decoding import Decoder
from fraudline.stream.dedupe import SeenIds
from fraudline.stream.merchant_tables import MerchantTables
from fraudline.stream.messages import Transaction
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced, PartitionState
from fraudline.stream.transport import Record, Transport

log = get_logger(__name__)


class Partitions:
    """A state a partition.

    Args:
        params: where checkpoints go, how many event ids are remembered.
        artifact: whose currencies transactions may have.
        engines: makes the engine that a partition begins with, given the first transactions that advance it.
        transport: reads the log for replays.
        metrics: told of states and of checkpoints that were not written.
        tables: the merchant tables that new engines take; None for none.
        cards: the list of blocked cards that is aligned with each partition; None for none.
    """

    def __init__(
        self,
        params: StreamParams,
        artifact: Artifact,
        *,
        engines: Callable[[int, Sequence[Transaction] | None], FeatureEngine],
        transport: Transport,
        metrics: StreamMetrics,
        tables: MerchantTables | None = None,
        cards: BlockedCards | None = None,
    ) -> None:
        self._engines = engines
        self._transport = transport
        self._metrics = metrics
        self._tables = tables
        self._cards = cards
        self._continuity = Continuity(params.topics.transactions, transport, metrics.deleted_unread)
        self._states: dict[int, PartitionState] = {}
        self._aligned: set[int] = set()
        self._new_state = partial(
            PartitionState,
            decoder=Decoder(artifact.card_spec.currencies, tokens_only=params.tokens_only),
            transport=transport,
            store=assembly.open_store(params),
            memories=partial(SeenIds, params.dedupe_hours, params.dedupe_most),
            failed=self._not_saved,
        )
        self.saved_at = time.monotonic()

    @property
    def owned(self) -> set[int]:
        """Partitions that are aligned, and still this worker's."""
        return self._aligned & self._transport.assignment()

    def advance(self, partition: int, records: Sequence[Record]) -> Advanced:
        """Advance a partition's state by its next records, brought to the first of them if it does not stand there.

        Raises:
            UnavailableError: the log cannot be read.
            UsageError: the log has lost its end, or Kafka the group's place, and the client went back to its beginning.
        """
        state, first = self._state(partition), records[0].offset
        if partition in self._aligned and first >= state.next_offset:
            self._continuity.goes_on(partition, state.next_offset, first)
        else:  # it is new here, or its log was cut or made anew
            self._continuity.begins(partition, first)
            state.align(first)
            if self._cards is not None:
                self._cards.align(partition)
        self._aligned.add(partition)
        return state.advance(records)

    def look_for_places(self) -> None:
        """Call it before a rehearsal, which gives a group that Kafka knows no place of the log's beginning as one.

        Raises:
            UnavailableError: the broker does not answer.
            UsageError: Kafka has forgotten the group's place.
        """
        firsts = {
            partition: self._transport.beginning(partition)
            for partition in sorted(self._transport.assignment())
            if self._transport.group_offset(partition) is None
        }
        for partition, first in firsts.items():
            self._state(partition).align(first)
        self._continuity.has_no_place(firsts)

    def unalign(self) -> None:
        """States may have run ahead of what is committed, or behind: each is aligned when its next records come."""
        self._aligned.clear()

    def use_profiles(self, tables: ProfileTable) -> None:
        """Take newer merchant tables from the next transaction on."""
        for state in self._states.values():
            state.use_profiles(tables)

    def save(self, *, wait: bool = True) -> None:
        """Checkpoint the owned partitions whose state stands at a committed offset; forget the others.

        Without ``wait`` the checkpoints are written while the stream goes on.
        """
        self.saved_at = time.monotonic()
        owned = self._transport.assignment()
        self._states = {partition: state for partition, state in self._states.items() if partition in owned}
        self._aligned &= self._states.keys()
        for partition in self._aligned:
            try:
                self._states[partition].save(wait=wait)
            except Exception as error:  # of the folder, or whatever the key service raises
                self._not_saved(partition, error)

    def observe(self) -> None:
        """Tell the metrics how old the oldest checkpoint is, and how much is remembered."""
        states = [self._states[partition] for partition in self._aligned if partition in self._states]
        now = now_us()
        oldest = min((state.saved_at_us for state in states), default=now)
        self._metrics.checkpoint_age.set(max(0, now - oldest) / SECOND_US)
        self._metrics.seen_ids.set(sum(len(state.seen) for state in states))
        self._metrics.seen_bytes.set(sum(state.seen.nbytes for state in states))
        self._metrics.state_cards.set(sum(state.cards for state in states))
        self._metrics.state_bytes.set(sum(state.nbytes for state in states))

    def _state(self, partition: int) -> PartitionState:
        if partition not in self._states:
            self._states[partition] = self._new_state(partition, engines=partial(self._engine, partition))
        return self._states[partition]

    def _engine(self, partition: int, first: Sequence[Transaction] | None) -> FeatureEngine:
        """What a partition's state begins with before its first transactions, on the tables in use now."""
        engine = self._engines(partition, first)
        if self._tables is not None:
            engine.use_profiles(self._tables.current)
        return engine

    def _not_saved(self, partition: int, error: Exception) -> None:
        self._metrics.checkpoint_failures.inc()
        log.warning("checkpoint.not_written", partition=partition, problem=str(error))
