"""Amounts of decided transactions: a decision has none, its transaction has.

From a data set by their ids, or from the topic of transactions by the partition and offset that decisions name.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.data.store import read_transactions_of
from fraudline.steps.matured import Decided, Known, own_amounts
from fraudline.steps.params import Params
from fraudline.stream.decoding import Decoder
from fraudline.stream.transaction_places import transactions_at

log = get_logger(__name__)


def amounts_by(
    params: Params, dataset: Path | None = None, *, on_topic: bool
) -> Callable[[Sequence[Decided]], Sequence[Known]]:
    """Finds the amounts of decisions: in a data set if there is one, on the topic, or in the decisions themselves."""
    if dataset is not None:
        return lambda rows: amounts_in(dataset, [each.transaction_id for each in rows])
    return amounts_on_topic(params) if on_topic else own_amounts


def amounts_in(dataset: Path, ids: Sequence[str]) -> list[Known]:
    """What a data set says of transactions; None of one that it has not.

    Raises:
        DataError: the folder is no data set.
    """
    rows = read_transactions_of(dataset, pa.array(ids, pa.string()))
    pairs = zip(rows["amount_minor"].to_pylist(), rows["currency"].to_pylist(), strict=True)
    return [None if minor is None else (minor, currency) for minor, currency in pairs]


def amounts_on_topic(params: Params) -> Callable[[Sequence[Decided]], list[Known]]:
    """Looks transactions up by the partition and offset that their decisions name, as far as the topic has them.

    Raises, when it is asked:
        UnavailableError: the broker does not answer.
    """

    def find(rows: Sequence[Decided]) -> list[Known]:
        decoder = Decoder(params.features.resolve().currencies)
        try:
            found, _ = transactions_at(params.stream, decoder, {(each.partition, each.offset) for each in rows})
        except UsageError as error:  # figures need no amounts, and not everybody may read transactions
            log.warning("labels.no_amounts", problem=error.problem)
            return [None] * len(rows)
        at = [(each.transaction_id, found.get((each.partition, each.offset))) for each in rows]
        return [(it.amount_minor, it.currency) if it and it.transaction_id == name else None for name, it in at]

    return find
