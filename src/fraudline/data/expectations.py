"""The expectation suite: what a data set must be (critical) and should be (warning).

    report = validate_dataset(Path("build/dataset"), ValidateParams(), previous=None)
    report.failed("critical")          # rules that stop the pipeline

It is run by Great Expectations on an ephemeral context, without network and without analytics.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fraudline.data.countries import COUNTRIES
from fraudline.data.params import ValidateParams
from fraudline.data.schema import CHANNELS, LABELS, TRANSACTIONS
from fraudline.data.validation_frames import AMOUNT, NO_RATES, Content, files_frame, make_frames, read_content

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["critical", "warning"]
SAMPLES = 5
_COLUMNS = {"transactions": tuple(TRANSACTIONS.names), "labels": tuple(LABELS.names)}


@dataclass(frozen=True)
class Rule:
    """One expectation: the table it looks at, what it says, and the Great Expectations class with its arguments."""

    table: str
    severity: Severity
    statement: str
    expectation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a rule: ``unexpected`` of ``elements`` rows did not fit; ``samples`` are the first of them."""

    table: str
    severity: Severity
    statement: str
    expectation: str
    success: bool
    elements: int
    unexpected: int
    samples: list[dict[str, str]] = field(default_factory=list)


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
        rules = [*transaction_rules(params), *label_rules(params), *set_rules(params, before)]
        for table, frame in make_frames(content, before, rates).items():
            outcomes += _run(source, table, frame, [rule for rule in rules if rule.table == table])
    return Report(tuple(outcomes), content.meta, before is not None)


FILE_RULES = [
    Rule(
        "files",
        "critical",
        "every file is readable, named by its day and has exactly the schema's columns and types",
        "ExpectColumnValuesToBeInSet",
        {"column": "difference", "value_set": [""]},
    )
]


def transaction_rules(params: ValidateParams) -> list[Rule]:
    """Rules over rows of the transactions."""
    table = "transactions"
    required = [f.name for f in TRANSACTIONS if not f.nullable]
    return [
        *(_not_null(table, name) for name in required),
        Rule(table, "critical", "transaction_id is unique", "ExpectColumnValuesToBeUnique", _on("transaction_id")),
        _true(table, "critical", "identifiers_have_text", "no identifier is blank"),
        _between(
            table,
            "critical",
            AMOUNT,
            0,
            params.max_amount_minor,
            setting="max_amount_minor",
            statement=f"amount_minor, in the base currency, is between 0 and {_shown(params.max_amount_minor)}",
        ),
        _between(table, "critical", "category", 0, 9999),
        _between(table, "critical", "latitude", -90, 90),
        _between(table, "critical", "longitude", -180, 180),
        _in_set(table, "critical", "currency", params.currencies, setting="currencies"),
        _in_set(table, "critical", "channel", CHANNELS),
        _in_set(table, "critical", "country", COUNTRIES),
        _true(table, "critical", "position_is_whole", "latitude and longitude are both there or both missing"),
        _true(table, "critical", "in_the_files_day", "event_time lies in the day of its file"),
        _true(table, "critical", "not_before_the_row_above", "rows are in time order"),
        _true(table, "critical", "is_not_a_copy", "no row repeats another under a new transaction_id"),
        _true(table, "warning", "presence_fits_the_channel", "card_present fits the channel"),
        _true(table, "warning", "position_only_where_the_card_is", "a card-not-present row has no position"),
        _true(table, "warning", "position_is_not_0_0", "no position is 0, 0"),
    ]


def label_rules(params: ValidateParams) -> list[Rule]:
    """Rules over rows of the labels."""
    table = "labels"
    return [
        *(_not_null(table, f.name) for f in LABELS if not f.nullable),
        Rule(table, "critical", "a transaction has one label", "ExpectColumnValuesToBeUnique", _on("transaction_id")),
        _true(table, "critical", "transaction_exists", "the label's transaction exists"),
        _true(table, "critical", "not_before_the_transaction", "label_time is not before event_time"),
        _true(table, "critical", "in_the_files_day", "label_time lies in the day of its file"),
        _between(table, "warning", "delay_days", 0, params.max_label_delay_days, setting="max_label_delay_days"),
    ]


def set_rules(params: ValidateParams, before: Content | None) -> list[Rule]:
    """Rules over days, over the whole set, and over the change since the version ``before``."""
    rules = [
        _between("days", "critical", "rows", 1, None, "no day between the first and the last is missing"),
        _between(
            *("days", "warning", "share_of_median", params.day_volume_min, 1 / max(params.day_volume_min, 1e-9)),
            statement="each day has about as many rows as the median day",
            setting="day_volume_min",
        ),
        _between("dataset", "critical", "transactions_counted", 0, 0, "dataset.json counts the transactions right"),
        _between("dataset", "critical", "frauds_counted", 0, 0, "dataset.json counts the frauds right"),
        _between("dataset", "critical", "fraud_rate", 0, params.fraud_rate_max, setting="fraud_rate_max"),
        _between("dataset", "warning", "fraud_rate", 1e-9, None, "at least one fraud is labelled"),
        _between("dataset", "warning", "share_without_device", 0, params.max_null_device, setting="max_null_device"),
        _between("dataset", "warning", "share_of_zero_amounts", 0, 0.05),
    ]
    if before is not None and before.transactions.num_rows:
        volume, rate = params.volume_change_max, params.label_rate_change_max
        rules += [
            _between("dataset", "warning", "volume_change", -volume, volume, setting="volume_change_max"),
            _between("dataset", "warning", "fraud_rate_change", -rate, rate, setting="label_rate_change_max"),
            _between("dataset", "warning", "days_lost", 0, 0, "no day of the previous version is lost"),
        ]
        measures = ("psi_amount", "psi_category", "psi_channel", "psi_country")
        rules += [_between("dataset", "warning", name, 0, params.psi_max, setting="psi_max") for name in measures]
    return rules


def _on(column: str, **more: Any) -> dict[str, Any]:
    return {"column": column, **more}


def _not_null(table: str, column: str) -> Rule:
    return Rule(table, "critical", f"{column} is never null", "ExpectColumnValuesToNotBeNull", _on(column))


def _true(table: str, severity: Severity, column: str, statement: str) -> Rule:
    return Rule(table, severity, statement, "ExpectColumnValuesToBeInSet", _on(column, value_set=[True]))


def _in_set(table: str, severity: Severity, column: str, values: Iterable[str], setting: str = "") -> Rule:
    chosen = list(values)
    shown = ", ".join(chosen) if len(chosen) < 10 else f"the {len(chosen)} known codes"
    statement = f"{column} is one of {shown}{_by(setting)}"
    return Rule(table, severity, statement, "ExpectColumnValuesToBeInSet", _on(column, value_set=chosen))


def _between(
    table: str,
    severity: Severity,
    column: str,
    low: float,
    high: float | None,
    statement: str = "",
    setting: str = "",
) -> Rule:
    said = statement or f"{column} is between {_shown(low)} and {_shown(high or 0)}"
    arguments = _on(column, min_value=low, max_value=high)
    return Rule(table, severity, said + _by(setting), "ExpectColumnValuesToBeBetween", arguments)


def _shown(bound: float) -> str:
    return f"{bound:,.0f}" if bound == round(bound) else f"{bound:g}"


def _by(setting: str) -> str:
    """Where a bound is set, so that a reader can tell a wrong value from a bound that does not fit."""
    return f" (validation.{setting})" if setting else ""


def _context() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: it decides there
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _run(source: Any, table: str, frame: "pd.DataFrame", rules: list[Rule]) -> list[Outcome]:
    if not len(frame):
        return [Outcome(r.table, r.severity, r.statement, r.expectation, True, 0, 0) for r in rules]
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
    samples = [{str(key): str(value) for key, value in row.items()} for row in rows.to_dict("records")]
    return Outcome(
        rule.table,
        rule.severity,
        rule.statement,
        rule.expectation,
        bool(result.success),
        int(details.get("element_count", len(frame))),
        int(details.get("unexpected_count", 0 if result.success else len(frame))),
        samples,
    )
