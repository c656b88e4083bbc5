"""What a replay's file says: both decisions on each transaction, compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.data.store import read_transactions
from fraudline.decide.compare import compare_outcomes
from fraudline.decide.decisions import Decisions, read_decisions
from fraudline.decide.policy import ALLOW, DECISIONS
from fraudline.features.spec import FeatureSpec
from fraudline.steps.params import Params

_EXAMPLES = 20


@dataclass(frozen=True)
class _Sides:
    """Both decisions on each transaction, as indices into ``DECISIONS``, in the order of ``rows``."""

    rows: Decisions
    then: NDArray[np.int8]
    now: NDArray[np.int8]
    table: pa.Table


def compared(out: Path, dataset: Path | None, topic: bool, params: Params, spec: FeatureSpec) -> dict[str, Any]:
    """What would have changed: outcomes, transitions between decisions, and the largest examples.

    Args:
        out: the file that a replay wrote.
        dataset: where labels are looked up; None for none.
        topic: whether the transactions are of the topic, and may not be in the data set.
        params: ``evaluate`` for costs and bootstrap, ``label_delay_days``, ``seed``.
        spec: has the currencies' rates.
    """
    sides = _sides(out, dataset, topic, params, spec)
    evaluate = params.evaluate
    document = compare_outcomes(sides.rows, sides.then, sides.now, evaluate.cost, evaluate.bootstrap, seed=params.seed)
    counts = np.zeros((len(DECISIONS), len(DECISIONS)), np.int64)
    np.add.at(counts, (sides.then, sides.now), 1)
    document["transitions"] = {
        f"{was} -> {now}": int(counts[i, j]) for i, was in enumerate(DECISIONS) for j, now in enumerate(DECISIONS)
    }
    return document | {"examples": _examples(sides)}


def _sides(out: Path, dataset: Path | None, topic: bool, params: Params, spec: FeatureSpec) -> _Sides:
    table = pq.read_table(out)
    labelled = dataset
    if topic and dataset is not None:  # a log may have transactions that the data set has not: those have no label
        known = read_transactions(dataset)["transaction_id"]
        inside = pa.compute.is_in(table["transaction_id"], value_set=known.combine_chunks())
        labelled = dataset if pa.compute.all(inside).as_py() else None
    rows = read_decisions(out, dataset=labelled, label_delay_days=params.label_delay_days, spec=spec)
    then, now = (
        np.array([DECISIONS.index(word) for word in table[name].to_pylist()], np.int8)[rows.rows]
        for name in ("before_decision", "decision")
    )
    return _Sides(rows, then, now, table)


def _examples(sides: _Sides) -> list[dict[str, Any]]:
    """The largest amounts whose alert would have come or gone."""
    changed = np.flatnonzero((sides.then > ALLOW) != (sides.now > ALLOW))
    largest = changed[np.argsort(-sides.rows.amounts[changed], kind="stable")][:_EXAMPLES]
    shown = ("transaction_id", "before_score", "before_decision", "score", "decision", "amount_minor", "currency")
    found = []
    for at in largest.tolist():
        row = sides.table.select(shown).slice(int(sides.rows.rows[at]), 1).to_pylist()[0]
        label = "fraud" if sides.rows.fraud[at] else "normal" if sides.rows.known[at] else "unknown"
        found.append({**row, "label": label})
    return found
