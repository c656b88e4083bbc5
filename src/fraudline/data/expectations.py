"""The expectation suite: what a data set must be (critical) and should be (warning).

    report = validate_dataset(Path("build/dataset"), ValidateParams(), previous=None)
    report.failed("critical")          # rules that stop the pipeline

It is run by Great Expectations on an ephemeral context, without network and without analytics.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudline.data.expectation_rules import FILE_RULES, Rule, Severity, label_rules, set_rules, transaction_rules
from fraudline.data.params import ValidateParams
from fraudline.data.schema import LABELS, TRANSACTIONS
from fraudline.data.validation_frames import NO_RATES, files_frame, make_frames, read_content

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 5
_COLUMNS = {"transactions": tuple(TRANSACTIONS.names), "labels": tuple(LABELS.names)}


@dataclass(frozen=True)
class Outcome:
    """What came of a rule: ``unexpected`` of ``elements`` rows did not fit.

    ``samples`` are the first of them, whole, a missing value as ``null``; ``columns`` are those that say why.
    """

    table: str
    severity: Severity
    statement: str
    expectation: str
    success: bool
    elements: int
    unexpected: int
    samples: list[dict[str, str]] = field(default_factory=list)
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The outcomes of all rules that were run, in their order."""

    outcomes: tuple[Outcome, ...]
    meta: Mapping[str, Any]
    compared: bool

    def failed(self, severity: Severity) -> list[Outcome]:
        """The rules of a severity that failed."""
        return [o for o in self.outcomes if o.severity == severity and not o.success]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return {
            "success": not self.failed("critical"),
            "critical": len(self.failed("critical")),
            "warnings": len(self.failed("warning")),
            "compared_with_previous": self.compared,
            "dataset": dict(self.meta),
            "rules": [asdict(outcome) for outcome in self.outcomes],
        }


def validate_dataset(
    folder: Path, params: ValidateParams, previous: Path | None = None, rates: Mapping[str, float] = NO_RATES
) -> Report:
    """Run the suite on a data set folder.

    Args:
        folder: the data set.
        params: its bounds.
        previous: the previous version of the data set, for the comparisons.
        rates: by currency, minor units of the base currency for one of its own; 1 where none is given.

    Raises:
        DataError: there is no transaction.
    """
    content = read_content(folder)
    source = _context().data_sources.add_pandas("fraudline")
    outcomes = _run(source, "files", files_frame(content), FILE_RULES)
    before = read_content(previous) if previous is not None else None
    if all(outcome.success for outcome in outcomes):
        rules = [*transaction_rules(params), *label_rules(params), *set_rules(params, content, before)]
        for table, frame in make_frames(content, before, rates).items():
            outcomes += _run(source, table, frame, [rule for rule in rules if rule.table == table])
    return Report(tuple(outcomes), content.meta, before is not None)


def _context() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: it decides there
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _run(source: Any, table: str, frame: "pd.DataFrame", rules: list[Rule]) -> list[Outcome]:
    if not len(frame):
        return [Outcome(r.table, r.severity, r.statement, r.expectation, True, 0, 0, columns=r.columns) for r in rules]
    import great_expectations as gx
    from great_expectations import expectations

    asset = source.add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name=table,
        expectations=[
            getattr(expectations, rule.expectation)(**rule.arguments, severity=rule.severity, meta={"rule": number})
            for number, rule in enumerate(rules)
        ],
    )
    wanted = {"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES}
    results = {r.expectation_config.meta["rule"]: r for r in batch.validate(suite, result_format=wanted).results}
    return [_outcome(rule, results[number], frame) for number, rule in enumerate(rules)]


def _outcome(rule: Rule, result: Any, frame: "pd.DataFrame") -> Outcome:
    details = result.result or {}
    columns = [*_COLUMNS.get(rule.table, frame.columns)]
    rows = frame.iloc[[int(i) for i in details.get("partial_unexpected_index_list", [])[:SAMPLES]]][columns]
    shown = {
        name: ["null" if missing else str(value) for value, missing in zip(cells.to_numpy(), cells.isna(), strict=True)]
        for name, cells in rows.items()
    }
    samples = [dict(zip(columns, row, strict=True)) for row in zip(*shown.values(), strict=True)]
    return Outcome(
        rule.table,
        rule.severity,
        rule.statement,
        rule.expectation,
        bool(result.success),
        int(details.get("element_count", len(frame))),
        int(details.get("unexpected_count", 0 if result.success else len(frame))),
        samples,
        rule.columns,
    )
