"""The poisoning gate of a batch: what would count as normal from now on, before anything is trained on it.

A classifier learns known frauds from normals on the rows outside the batch, and says of each row of the batch without
a label how much it looks like a fraud. Where few cards hold far more such rows than all cards do on average, and these
are more than ``renew.poison_max`` of some day's rows, somebody teaches the model that fraud is normal: the batch is
refused, and its cards and days are named. A change of everybody's traffic raises the average, too, and is drift's
matter; labels that were lost everywhere are found by the training step and the gate.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import GateFailed
from fraudline.core.log import get_logger
from fraudline.monitor.poisoning import contamination, named
from fraudline.steps.labelled import LabelledRows, learned_spec, matrix_of
from fraudline.steps.params import Params

log = get_logger(__name__)

_DAY_ROWS = 200
"""A day with fewer rows counts as one with so many: the share of a handful says nothing."""
_USUAL = 0.01
"""Share of the earlier normals that look more like frauds than a row must to be suspicious."""
_CHANCE = 1e-4
"""Chance, over all cards together, that a card is called out although it is like the others."""
_FIT_ROWS = 20_000
_LEAST = 20
"""Frauds, and normals, outside the batch, below which nothing is said."""


def screen(*, features: Path, batch: pa.Array, params: Params) -> dict[str, Any]:
    """Look at some of the rows of a featurised data set.

    Args:
        features: folder of step featurize.
        batch: transaction ids of the rows.
        params: ``renew.poison_max``, ``features``, ``split`` and ``seed``.

    Returns:
        As :func:`screened`.

    Raises:
        GateFailed: the batch is poisoned; names cards and days.
        DataError: there are no features.
    """
    spec = learned_spec(features, params)
    rows = LabelledRows.read(features, spec, params, ("card_id", "transaction_id"))
    frauds = rows.table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
    cards = rows.table["card_id"].to_numpy(zero_copy_only=False)
    inside = pc.is_in(rows.table["transaction_id"], value_set=batch).to_numpy()
    return screened(matrix_of(rows.table, spec.names), frauds, cards, rows.times // DAY_US, inside, params)


def screened(
    matrix: NDArray[np.float32],
    frauds: NDArray[np.bool_],
    cards: NDArray[Any],
    days: NDArray[np.int64],
    batch: NDArray[np.bool_],
    params: Params,
) -> dict[str, Any]:
    """The same on arrays: (n, d) raw features, (n,) reported, (n,) card, (n,) day since the epoch, (n,) of the batch.

    Returns:
        ``share``: rows of the batch's concentrated cards on its worst day, of all normals of that day; ``suspicious``:
        of all rows of the batch; None where there are too few frauds or normals outside the batch. ``record``: of
        :func:`~fraudline.monitor.poisoning.contamination`.

    Raises:
        GateFailed: the batch is poisoned.
    """
    new, before = batch & ~frauds, ~batch
    known = min(np.count_nonzero(before & of) for of in (frauds, ~frauds))
    if known < _LEAST or not new.any():
        return {"share": None, "suspicious": None, "record": {}}
    chance, least = _likeness(matrix, frauds, before, new, params.seed)
    found = chance >= least
    concentrated = _concentrated(cards[new], found)
    first = int(days.min())
    normals = np.bincount(days[~frauds] - first)
    hits = np.bincount(days[new] - first, concentrated, len(normals))
    share = float((hits / np.maximum(normals, _DAY_ROWS)).max(initial=0.0))
    record = contamination(share=share, suspicious=concentrated, trimmed=False, cards=cards[new], days=days[new])
    suspicious = float(found.mean())
    log.info("screen.measured", share=round(share, 4), suspicious=round(suspicious, 4), rows=int(new.sum()))
    if share > params.renew.poison_max:
        raise GateFailed(
            f"The batch looks poisoned: on its worst day {share:.2%} of the rows look like frauds without a label and "
            f"are of a few cards. {named(record)}.",
            "Look at these cards. Wait for their labels, or name them in renew.leave_out and collect without them.",
        )
    return {"share": share, "suspicious": suspicious, "record": record}


def _likeness(
    matrix: NDArray[np.float32],
    frauds: NDArray[np.bool_],
    before: NDArray[np.bool_],
    new: NDArray[np.bool_],
    seed: int,
) -> tuple[NDArray[np.float64], float]:
    """How much each new row looks like a fraud of before, and from where on it is suspicious."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(before & ~frauds))
    held_out, fitted = normal[: len(normal) // 3], normal[len(normal) // 3 :][:_FIT_ROWS]
    known = np.flatnonzero(before & frauds)
    rows = np.concatenate([fitted, known])
    truth = np.arange(len(rows)) >= len(fitted)
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=20, learning_rate=0.15, max_bins=64, early_stopping=False,
        random_state=0,
    )  # fmt: skip
    with threadpool_limits(1):
        model.fit(matrix[rows], truth)
        usual = model.predict_proba(matrix[held_out])[:, 1]
        chance: NDArray[np.float64] = model.predict_proba(matrix[new])[:, 1]
    return chance, float(np.quantile(usual, 1 - _USUAL))


def _concentrated(cards: NDArray[Any], found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) suspicious rows of cards that have far more of them than their number of rows explains (Poisson)."""
    from scipy.stats import poisson

    names, card = np.unique(cards, return_inverse=True)
    hits, rows = np.bincount(card, found, len(names)), np.bincount(card, minlength=len(names))
    tail = poisson.sf(hits - 1, np.maximum(rows * found.mean(), 1e-9))
    return np.asarray(found & (tail < _CHANCE / len(names))[card])
