"""A rule file on past decisions: what it would have changed, and what that is worth where the labels are known.

document = try_rules(rules, Path("decisions.jsonl"), spec, cost, dataset=Path("data"))
document["changes"]      # [{"from": "allow", "to": "block", "count": 12, "frauds": 9, ...}, ...]

Each row is settled anew from what its score alone gave. The list of blocked cards is no part of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.errors import SchemaError
from fraudline.data.importers import reading
from fraudline.data.importers.source import column
from fraudline.data.store import read_transactions_of
from fraudline.decide.decisions import Decisions, read_columns, read_decisions
from fraudline.decide.policy import ALLOW, DECISIONS
from fraudline.decide.rules import FIELDS, RuleSet, base_amounts, settle
from fraudline.features.spec import FeatureSpec
from fraudline.model import metrics
from fraudline.model.evaluation_params import CostParams


def try_rules(
    rules: RuleSet,
    file: Path,
    spec: FeatureSpec,
    cost: CostParams,
    *,
    dataset: Path | None = None,
    label_delay_days: int = 7,
) -> dict[str, Any]:
    """Settle past decisions again with a rule file.

    Args:
        rules: the file.
        file: parquet, CSV or JSON lines of decisions, as the topic has them: ``score``, ``decision`` and, where a rule
            asks for them, ``features`` and the transaction's fields.
        spec: of the features.
        cost: what an alert costs and what a caught fraud saves.
        dataset: data set with the transactions and their labels, for what the file lacks.
        label_delay_days: age from which a transaction without a label is a known normal.

    Returns:
        ``currency`` of the amounts, ``rows``, ``known`` and ``frauds``; ``before`` and ``after`` (decisions counted,
        figures on the known rows), ``changes`` by decision before and after, and ``rules`` (what each matched, and what
        changed because of it).

    Raises:
        SchemaError: a field that a rule asks for is nowhere.
        DataError: there is no row.
    """
    past = read_decisions(file, dataset=dataset, label_delay_days=label_delay_days, spec=spec)
    table = read_columns(file).take(pa.array(past.rows))
    matched = rules.match(_Columns(file, table, past, spec, dataset), len(past))
    before = np.array(column(file, table, "decision").values.to_pylist(), object)
    by_model = _by_model(table, before)
    after, cause = by_model.copy(), np.full(len(past), None, object)
    for row, found in matched.items():
        after[row], rule = settle(by_model[row], found)
        cause[row] = rule.id if rule is not None else None
    changed = before != after
    return {
        "rule_version": rules.version,
        "currency": spec.base_currency,
        "rows": len(past),
        "known": int(past.known.sum()),
        "frauds": int((past.fraud & past.known).sum()),
        "before": _side(past, before, cost),
        "after": _side(past, after, cost),
        "changes": [
            {"from": old, "to": new, **_sums(past, (before == old) & (after == new))}
            for old in DECISIONS
            for new in DECISIONS
            if old != new and ((before == old) & (after == new)).any()
        ],
        "rules": [
            {
                "id": rule.id,
                "verdict": rule.verdict,
                **_sums(past, _rows_of(rule.id, matched, len(past))),
                "changed": _sums(past, changed & (cause == rule.id)),
            }
            for rule in rules.rules
        ],
    }


def _by_model(table: pa.Table, decided: NDArray[Any]) -> NDArray[Any]:
    """What the score alone gave; for decisions of before that was written down, what was decided."""
    if "model_decision" not in table.column_names:
        return decided.copy()
    said = np.array(pc.fill_null(table["model_decision"], "").to_pylist(), object)
    return np.where(said == "", decided, said)


def _rows_of(rule: str, matched: dict[int, list[Any]], n: int) -> NDArray[np.bool_]:
    found = np.zeros(n, bool)
    found[[row for row, rules in matched.items() if any(each.id == rule for each in rules)]] = True
    return found


def _sums(past: Decisions, rows: NDArray[np.bool_]) -> dict[str, int]:
    known = rows & past.known
    frauds = known & past.fraud
    return {
        "count": int(rows.sum()),
        "amount_minor": int(past.amounts[rows].sum()),
        "known": int(known.sum()),
        "frauds": int(frauds.sum()),
        "fraud_amount_minor": int(past.amounts[frauds].sum()),
    }


def _side(past: Decisions, decision: NDArray[Any], cost: CostParams) -> dict[str, Any]:
    counts = {name: int((decision == name).sum()) for name in DECISIONS}
    alerted = (decision != DECISIONS[ALLOW]) & past.known
    sums = metrics.threshold_columns(past.fraud & past.known, alerted, past.amounts).sum(axis=0)[None]
    figures = metrics.threshold_figures(sums, cost.review_cost_minor, cost.recovered_share)
    return {**counts, **{name: float(figures[name][0]) for name in ("precision", "recall", "money_saved")}}


class _Columns:
    """Finds what a rule asks for: in the file, in its ``features``, in the data set."""

    def __init__(self, file: Path, table: pa.Table, past: Decisions, spec: FeatureSpec, dataset: Path | None) -> None:
        self._file, self._table, self._past = file, table, past
        self._spec, self._dataset = spec, dataset
        self._decided: pa.Table | None = None

    def __call__(self, name: str) -> Any:
        """The values of a name, one a row.

        Raises:
            SchemaError: nothing has it, or its values are of another type.
        """
        try:
            return self._values(name)
        except pa.ArrowException as error:
            raise SchemaError(
                f"{self._file} has other values in {name}, or in features, than a rule can compare: {error}.",
                "Give decisions as the topic has them.",
            ) from error

    def _values(self, name: str) -> Any:
        if name == "score":
            return pa.array(self._past.score.astype(np.float64))
        if name == "amount":
            if self._dataset is None and "amount_minor" not in self._table.column_names:
                return self._feature(name)
            minor, code = (self._field(each).to_pylist() for each in ("amount_minor", "currency"))
            return base_amounts(zip(minor, code, strict=True), self._spec)
        if name not in FIELDS:
            return self._feature(name)
        values = self._field(name)
        if FIELDS[name][0] == "string":
            return pc.fill_null(values.cast(pa.string()), "").combine_chunks()
        return values.cast(pa.int64() if FIELDS[name][0] == "int" else pa.bool_()).combine_chunks()

    def _field(self, name: str) -> pa.ChunkedArray:
        """What a transaction says of itself."""
        if name in self._table.column_names:
            return self._table[name]
        if self._dataset is None:
            raise SchemaError(
                f"{self._file} has no column {name}, which a rule asks for.", "Name the data set (--data)."
            )
        if self._decided is None:
            ids = reading.strings(column(self._file, self._table, "transaction_id"))
            self._decided = read_transactions_of(self._dataset, ids)
        return self._decided[name]

    def _feature(self, name: str) -> Any:
        if name in self._table.column_names:
            return _as_scored(self._table[name])
        place = self._spec.names.index(name)
        if "features" not in self._table.column_names:
            raise SchemaError(
                f"{self._file} has no feature {name}, which a rule asks for, and no column features.",
                "Score with --with-features, or give decisions of the topic.",
            )
        features = column(self._file, self._table, "features").values
        lengths = pc.unique(pc.list_value_length(features)).to_pylist()
        if lengths != [len(self._spec.names)]:
            raise SchemaError(
                f"{self._file} has decisions of {lengths} features, and the specification has {len(self._spec.names)}.",
                "Name the model that decided (--model).",
            )
        return _as_scored(pc.list_element(features, place))


def _as_scored(values: pa.ChunkedArray) -> Any:
    """The numbers that the worker compared: features are float32, whatever their text says."""
    return values.cast(pa.float32(), safe=False).cast(pa.float64()).combine_chunks()
