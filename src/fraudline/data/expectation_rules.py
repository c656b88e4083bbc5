"""The rules of the expectation suite: what each table must hold (critical) and should hold (warning).

rules = [*transaction_rules(params), *label_rules(params), *set_rules(params, content, before=None)]
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fraudline.data.countries import COUNTRIES
from fraudline.data.params import ValidateParams
from fraudline.data.schema import CHANNELS, LABELS, TRANSACTIONS
from fraudline.data.validation_frames import AMOUNT, Content

Severity = Literal["critical", "warning"]
_READ = {
    AMOUNT: ("amount_minor", "currency"),
    "identifiers_have_text": ("card_id", "merchant_id"),
    "position_is_whole": ("latitude", "longitude"),
    "position_is_not_0_0": ("latitude", "longitude"),
    "position_only_where_the_card_is": ("card_present", "latitude", "longitude"),
    "presence_fits_the_channel": ("channel", "card_present"),
    "not_before_the_row_above": ("event_time",),
    "is_not_a_copy": ("card_id", "event_time", "amount_minor"),
    "transaction_exists": ("is_fraud", "label_time"),
    "not_before_the_transaction": ("label_time",),
    "delay_days": ("label_time",),
    "difference": ("file", "difference"),
    "share_of_median": ("day", "rows"),
    "rows": ("day", "rows"),
}
"""What a reader wants to see of a row that fails, by the column that is held against the bounds; else that column."""
_READ_IN = {
    ("transactions", "transaction_id"): ("card_id", "event_time"),
    ("transactions", "in_the_files_day"): ("event_time",),
    ("labels", "transaction_id"): ("is_fraud", "label_time"),
    ("labels", "in_the_files_day"): ("label_time",),
}
"""The same where it depends on the table."""


@dataclass(frozen=True)
class Rule:
    """One expectation: the table it looks at, what it says, and the Great Expectations class with its arguments."""

    table: str
    severity: Severity
    statement: str
    expectation: str
    arguments: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values say why a row does not fit."""
        column = str(self.arguments["column"])
        return _READ_IN.get((self.table, column)) or _READ.get(column, (column,))


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


def set_rules(params: ValidateParams, content: Content, before: Content | None) -> list[Rule]:
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
        _devices(params, content, before),
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


def _devices(params: ValidateParams, content: Content, before: Content | None) -> Rule:
    """Devices lost on the way are news; a source that never had any is not, and only said."""
    column = "share_without_device"
    if content.has_devices or (before is not None and before.has_devices):
        return _between("dataset", "warning", column, 0, params.max_null_device, setting="max_null_device")
    return _between("dataset", "warning", column, 0, 1, "the source has no devices: its features of them stay constant")


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
