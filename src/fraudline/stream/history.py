"""The state that a stream begins with: what the cards did before the log's first record.

    history = History(Path("data"), spec, profiles, partitions=4)
    engine = history.engine(0)          # the cards of partition 0, with their past

Without it every card is new to the worker on its first day, however long it is known to the data set that the model was
trained on. The history is part of the state's definition: a state that is built again from the log begins with it.
A data set that grew by what was collected from the log ends, as history, where the log begins: nothing counts twice.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import to_us
from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.data.store import read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec
from fraudline.stream.messages import Transaction
from fraudline.stream.partitioning import partitions_of

log = get_logger(__name__)

_BACKLOG = 100
"""So many first transactions say by their times where the log begins; fewer may be live ones, late or wrong in time."""


class History:
    """Feature state at the end of a data set, one snapshot a partition; made once, by :meth:`take` or when asked for.

    Args:
        folder: the data set.
        spec: the feature specification.
        profiles: merchant tables.
        partitions: of the topic ``transactions``.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, profiles: ProfileTable | None, partitions: int) -> None:
        self._folder = folder
        self._spec = spec
        self._profiles = profiles
        self._partitions = partitions
        self._snapshots: list[bytes] = []
        self._ends = 0  # the newest event time, µs since the epoch

    def engine(self, partition: int, first: Sequence[Transaction] | None = ()) -> FeatureEngine:
        """An engine with the past of the partition's cards.

        Args:
            partition: of the topic.
            first: the first transactions that it will be advanced by; the history ends before the first that it holds,
                and where it holds none of a backlog, at the median of their times. None for an engine whose state a
                checkpoint gives: nothing is read for it.

        Raises:
            DataError: the data set cannot be read.
            UsageError: the topic has more partitions than the history was divided by.
        """
        if first is None:
            return FeatureEngine(self._spec, self._profiles)
        self.take()
        if partition >= self._partitions:
            problem = f"The topic has a partition {partition}, but the settings say {self._partitions} partitions."
            raise UsageError(problem, "Set stream.topics.partitions to what the topic has.")
        if any(each.event_time <= self._ends for each in first):
            return self._before(read_transactions(self._folder), partition, first)
        engine = FeatureEngine(self._spec, self._profiles)
        engine.restore(self._snapshots[partition])
        return engine

    def take(self) -> None:
        """Read the data set now, so that the first record need not wait for it.

        Raises:
            DataError: the data set cannot be read.
        """
        if not self._snapshots:
            self._snapshots = self._build()

    def _build(self) -> list[bytes]:
        table = read_transactions(self._folder)
        of_row = self._partition_of_row(table)
        snapshots = []
        for partition in range(self._partitions):
            engine = FeatureEngine(self._spec, self._profiles)
            engine.advance(columns_from_table(table.filter(of_row == partition)))
            snapshots.append(engine.snapshot())
        if table.num_rows:
            self._ends = to_us(pc.max(table["event_time"]).as_py())
        cards = pc.count_distinct(table["card_id"]).as_py()
        log.info("history.taken", folder=str(self._folder), transactions=table.num_rows, cards=cards)
        return snapshots

    def _before(self, table: pa.Table, partition: int, own: Sequence[Transaction]) -> FeatureEngine:
        """The state before the first row that is one of ``own``, or where a backlog of others begins."""
        part = table.filter(self._partition_of_row(table) == partition)
        ids = pa.array([each.transaction_id for each in own])
        first = pc.index(pc.is_in(part["transaction_id"], value_set=ids), True).as_py()
        if first < 0 and len(own) >= _BACKLOG:  # left out of the set, as blocked ones are, or older than it
            begun = int(np.median([each.event_time for each in own]))  # one absurd time says nothing
            first = pc.index(pc.greater(part["event_time"].cast(pa.int64()), begun), True).as_py()
        if first >= 0:
            log.info("history.cut", partition=partition, rows=first, left_out=part.num_rows - first)
            part = part.slice(0, first)
        engine = FeatureEngine(self._spec, self._profiles)
        engine.advance(columns_from_table(part))
        return engine

    def _partition_of_row(self, table: pa.Table) -> NDArray[np.int64]:
        cards = table["card_id"].combine_chunks().dictionary_encode()
        keys = [card.encode() for card in cards.dictionary.to_pylist()]
        of_card = np.array(partitions_of(keys, self._partitions), np.int64)
        of_row: NDArray[np.int64] = of_card[cards.indices.to_numpy()]
        return of_row
