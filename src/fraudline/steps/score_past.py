"""Engines that know what cards did before a file: from the history before it, or from a worker's checkpoints."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.errors import StateError
from fraudline.core.log import get_logger
from fraudline.core.sealing import key_wrapper
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec
from fraudline.steps.params import Params
from fraudline.steps.score_rows import all_transactions, ids
from fraudline.steps.score_source import chunks
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.partitioning import partitions_of

log = get_logger(__name__)

_CHECKPOINTS = "*.checkpoint"


def past_of(history: Path, own: pa.Array) -> pa.Table:
    """The history, up to the first row that is the file's own: a day of a data set comes after the days before it."""
    past = all_transactions(history)
    first = pc.index(pc.is_in(past["transaction_id"], value_set=own), True).as_py()
    if first < 0:
        return past
    say = log.info if first else log.warning  # nothing is left of it: every card is new
    say("score.history_cut", history=str(history), rows=first, left_out=past.num_rows - first)
    return past.slice(0, first)


class Engine(Protocol):
    """Features of transactions, in the order of the calls."""

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]:
        """(n, d) float32, one row a transaction; they count for those that come later."""
        ...


class OfHistory:
    """One engine, which has seen the history before the file.

    Args:
        spec: what is computed.
        profiles: the merchant tables; None for unknown merchants.
        history: a data set folder or a file of transactions; None where every card is new.
        file: whose rows end the history where it holds some of them.
    """

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None, history: Path | None, file: Path) -> None:
        self._engine = FeatureEngine(spec, profiles)
        if history is not None:
            named = [chunk for chunk in chunks(file, ["transaction_id"]) if chunk.names]
            own = pa.concat_arrays([ids(chunk) for chunk in named]) if named else pa.array([], pa.string())
            self._engine.advance(columns_from_table(past_of(history, own)))

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]:
        """See :class:`Engine`."""
        return self._engine.advance(columns_from_table(transactions))


class OfCheckpoint:
    """An engine a partition, each restored from its checkpoint when its first row comes.

    Args:
        spec: what is computed.
        profiles: the merchant tables; None for unknown merchants.
        folder: a worker's ``checkpoint_dir``, or in it the folder of the group.
        params: ``stream``: the group, the topic and its number of partitions.

    Raises:
        StateError: there are no checkpoints of the topic, or of more partitions.
    """

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None, folder: Path, params: Params) -> None:
        topics, keys = params.stream.topics, key_wrapper(params.stream.encryption)
        if any(folder.glob(_CHECKPOINTS)):  # the group's own folder
            self._store = CheckpointStore(folder.parent, group=folder.name, topic=topics.transactions, keys=keys)
        else:
            self._store = CheckpointStore(folder, group=params.stream.group, topic=topics.transactions, keys=keys)
        if not any(self._store.path(partition).exists() for partition in range(topics.partitions)):
            raise StateError(
                f"{folder} has no checkpoint of {topics.transactions}.", "Name the worker's checkpoint_dir."
            )
        if self._store.path(topics.partitions).exists():
            problem = f"{folder} has checkpoints beyond the {topics.partitions} partitions of params.yaml."
            raise StateError(problem, "Set stream.topics.partitions to the topic's number.")
        self._partitions = topics.partitions
        self._spec, self._profiles = spec, profiles
        self._engines: dict[int, FeatureEngine] = {}

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]:
        """See :class:`Engine`."""
        cards = transactions["card_id"].combine_chunks().dictionary_encode()
        keys = [card.encode() for card in cards.dictionary.to_pylist()]
        of_row = np.array(partitions_of(keys, self._partitions), np.int64)[cards.indices.to_numpy()]
        features = np.empty((transactions.num_rows, len(self._spec.names)), np.float32)
        for partition in np.unique(of_row).tolist():
            mine = of_row == partition
            engine = self._engines.get(partition) or self._restored(partition)
            features[mine] = engine.advance(columns_from_table(transactions.filter(pa.array(mine))))
        return features

    def _restored(self, partition: int) -> FeatureEngine:
        engine = self._engines[partition] = FeatureEngine(self._spec, self._profiles)
        saved = self._store.load(partition)
        if saved is not None:
            engine.restore(saved.state)
        return engine
