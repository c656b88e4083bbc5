"""The state that a stream begins with: what the cards did before the log's first record.

    history = History(Path("data"), spec, profiles, partitions=4)
    engine = history.engine(0)          # the cards of partition 0, with their past

Without it every card is new to the worker on its first day, however long it is known to the data set that the model was
trained on. The history is part of the state's definition: a state that is built again from the log begins with it.
"""

from pathlib import Path

import numpy as np

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.data.store import read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec
from fraudline.stream.partitioning import partitions_of

log = get_logger(__name__)


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

    def engine(self, partition: int) -> FeatureEngine:
        """An engine with the past of the partition's cards.

        Raises:
            DataError: the data set cannot be read.
            UsageError: the topic has more partitions than the history was divided by.
        """
        self.take()
        if partition >= self._partitions:
            problem = f"The topic has a partition {partition}, but the settings say {self._partitions} partitions."
            raise UsageError(problem, "Set stream.topics.partitions to what the topic has.")
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
        cards = table["card_id"].combine_chunks().dictionary_encode()
        keys = [card.encode() for card in cards.dictionary.to_pylist()]
        of_card = np.array(partitions_of(keys, self._partitions), np.int64)
        of_row = of_card[cards.indices.to_numpy()]
        snapshots = []
        for partition in range(self._partitions):
            engine = FeatureEngine(self._spec, self._profiles)
            engine.advance(columns_from_table(table.filter(of_row == partition)))
            snapshots.append(engine.snapshot())
        log.info("history.taken", folder=str(self._folder), transactions=table.num_rows, cards=len(of_card))
        return snapshots
