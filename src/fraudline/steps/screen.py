"""The poisoning gate of a batch: newest days against the days before, before anything is trained on them.

Rows that look like reported frauds and have no label are counted in both (:mod:`fraudline.model.trimming`). Where
their share on one of the newest days is larger than in all days before by more than ``renew.poison_max``, labels were
lost, or someone teaches the model that fraud is normal: the batch is refused, and its cards and days are named.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import GateFailed
from fraudline.core.log import get_logger
from fraudline.model.params import TrimParams
from fraudline.model.trimming import suspicious
from fraudline.monitor.poisoning import contamination, named
from fraudline.steps.labelled import LabelledRows, matrix_of
from fraudline.steps.params import Params

log = get_logger(__name__)

_DAY_ROWS = 200
"""A day with fewer rows counts as one with so many: the share of a handful says nothing."""


def screen(*, features: Path, since_day: int, params: Params) -> dict[str, Any]:
    """Look at the newest days of a featurised data set.

    Args:
        features: folder of step featurize.
        since_day: first day of the batch, days since the epoch.
        params: ``renew.poison_max``, ``train.trim``, ``features``, ``split`` and ``seed``.

    Returns:
        ``share`` and ``before``: suspicious rows of the batch's worst day and of the days before it, as shares; the
        record of :func:`~fraudline.monitor.poisoning.contamination` of the batch.

    Raises:
        GateFailed: the batch is poisoned; names cards and days.
        DataError: there are no features.
    """
    spec = params.features.resolve_model()
    rows = LabelledRows.read(features, spec.names, params, ("card_id",))
    frauds = rows.table["is_fraud"].to_numpy(zero_copy_only=False)
    cards = rows.table["card_id"].to_numpy(zero_copy_only=False)
    return screened(matrix_of(rows.table, spec.names), frauds, cards, rows.times // DAY_US, since_day, params)


def screened(
    matrix: NDArray[np.float32],
    frauds: NDArray[np.bool_],
    cards: NDArray[Any],
    days: NDArray[np.int64],
    since_day: int,
    params: Params,
) -> dict[str, Any]:
    """The same on arrays: (n, d) raw features, (n,) reported, (n,) card, (n,) day since the epoch."""
    trim: TrimParams = params.train.trim
    normal = ~frauds
    found = suspicious(matrix[normal], matrix[frauds], trim, params.seed)
    new = days[normal] >= since_day
    before = float(found.rows[~new].mean()) if not new.all() else 0.0
    day = days[normal][new] - since_day
    rows = np.bincount(day)
    share = float((np.bincount(day, found.rows[new]) / np.maximum(rows, _DAY_ROWS)).max(initial=0.0))
    record = contamination(
        share=share if found.share is not None else None,
        suspicious=found.rows[new],
        trimmed=False,
        cards=cards[normal][new],
        days=days[normal][new],
    )
    log.info("screen.measured", share=round(share, 4), before=round(before, 4), rows=int(new.sum()))
    if found.share is not None and share - before > params.renew.poison_max:
        raise GateFailed(
            f"The batch looks poisoned: on its worst day {share:.2%} of the rows look like frauds without a label, "
            f"{before:.2%} in the days before. {named(record)}.",
            "Look at these cards; leave the days out, or wait for their labels.",
        )
    return {"share": share, "before": before, "record": record}
