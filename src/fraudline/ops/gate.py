"""The gate: rules from ``params.yaml`` against the figures of the evaluation, and the blessing that records each.

    gate:
      rules:
        - {metric: ap, min: 0.30}
        - {metric: ap, against: champion, direction: higher_is_better, min_change: -0.02, confidence: 0.9}

A change rule with paired resamples passes when at least the share ``confidence`` of them changes by ``min_change`` or
more in the good direction; without resamples the figures themselves are compared.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings
from fraudline.model.figure_words import with_key

FORMAT = 1
NO_CHAMPION = "not applicable: no champion"
UNKNOWN = "not applicable: it could not be measured"
_ABSENT = object()
OPTIONAL = ("suspicious_share",)
"""Figures that need more than the test rows: a rule about one that is missing or null does not apply."""


class GateRule(Settings):
    """A bound on a figure, or on its change against the champion.

    Attributes:
        metric: a figure's path in ``metrics.json``: ``ap``, ``recall_at_0.5pct``, ``kinds.card_testing.recall``.
        min: smallest figure that passes.
        max: largest figure that passes.
        against: ``champion`` for a rule about the change instead of the figure.
        direction: which way is good.
        min_change: smallest change in the good direction, below 0 where some loss passes.
        confidence: share of the resamples in which the change must be at least that.
    """

    metric: str = Field(min_length=1)
    min: float | None = None
    max: float | None = None
    against: Literal["champion"] | None = None
    direction: Literal["higher_is_better", "lower_is_better"] = "higher_is_better"
    min_change: float | None = None
    confidence: float = Field(default=0.9, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_kind_of_bound(self) -> Self:
        if self.against is None and (self.min is None) == (self.max is None):
            raise ValueError("a value rule has either min or max")
        if self.against is None and self.min_change is not None:
            raise ValueError("min_change needs against: champion")
        if self.against is not None and (self.min is not None or self.max is not None or self.min_change is None):
            raise ValueError("a rule against the champion has min_change, and neither min nor max")
        return self


DEFAULT_RULES = (
    GateRule(metric="ap", min=0.30),
    GateRule(metric="roc_auc", min=0.80),
    GateRule(metric="recall_at_0.5pct", min=0.20),
    GateRule(metric="frauds", min=30),
    GateRule(metric="ap", against="champion", min_change=-0.05, confidence=0.9),
    GateRule(metric="recall_at_0.5pct", against="champion", min_change=-0.10, confidence=0.9),
    GateRule(metric="suspicious_share", against="champion", direction="lower_is_better", min_change=-0.01),
)


class GateParams(Settings):
    """The rules that a candidate must all pass."""

    rules: tuple[GateRule, ...] = Field(
        default=DEFAULT_RULES, min_length=1, description="bounds on figures and on their change against the champion"
    )


class RuleResult(Settings):
    """What one rule found.

    Attributes:
        metric: the figure's name.
        bound: the rule in words.
        figure: the candidate's figure.
        reference: the champion's figure, for a change rule.
        value: what is compared with the bound: the figure, or the change that holds with the rule's confidence.
        margin: by how much the rule passes (positive) or fails (negative), in the figure's unit.
        passed: null where the rule does not apply.
        note: why it does not apply, or how it was decided.
    """

    metric: str
    bound: str
    figure: float | None
    reference: float | None = None
    value: float | None = None
    margin: float | None = None
    passed: bool | None = None
    note: str = ""


def judge(metrics: Mapping[str, Any], params: GateParams) -> list[RuleResult]:
    """Hold every rule against ``metrics`` (the content of ``metrics.json``).

    Raises:
        UsageError: a rule names a figure that was not measured.
    """
    return [
        _value_rule(metrics, rule) if rule.against is None else _change_rule(metrics, rule) for rule in params.rules
    ]


def blessed(results: Sequence[RuleResult]) -> bool:
    """Whether no rule failed and at least one applied."""
    return all(result.passed is not False for result in results) and any(result.passed for result in results)


def figure_at(metrics: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; a key may itself hold dots.

    Raises:
        UsageError: there is no such figure, or it has no value.
    """
    found = _walk(metrics, path)
    if found is None:
        raise UsageError(
            f"The gate's rule names {path!r}, which could not be measured on the test days.",
            "Widen split.test_days, or take the rule out of gate.rules.",
        )
    if not isinstance(found, int | float) or isinstance(found, bool):
        known = ", ".join(sorted(name for name, value in metrics.items() if isinstance(value, int | float)))
        raise UsageError(
            f"The gate's rule names {path!r}, which the evaluation did not measure.", f"Use one of: {known}."
        )
    return found


def _walk(values: Any, path: str) -> Any:
    if not isinstance(values, Mapping):
        return _ABSENT
    if path in values:
        return values[path]
    for position in (i for i, letter in enumerate(path) if letter == "."):
        found = _walk(values.get(path[:position]), path[position + 1 :])
        if found is not _ABSENT:
            return found
    return _ABSENT


def _unknown(metrics: Mapping[str, Any], path: str) -> bool:
    return path in OPTIONAL and metrics.get(path) is None


def _value_rule(metrics: Mapping[str, Any], rule: GateRule) -> RuleResult:
    bound = f"at least {rule.min:g}" if rule.min is not None else f"at most {rule.max:g}"
    if _unknown(metrics, rule.metric):
        return RuleResult(metric=rule.metric, bound=bound, figure=None, note=UNKNOWN)
    figure = float(figure_at(metrics, rule.metric))
    margin = figure - rule.min if rule.min is not None else (rule.max or 0.0) - figure
    return RuleResult(
        metric=rule.metric,
        bound=bound,
        figure=figure,
        value=figure,
        margin=_rounded(margin),
        passed=_rounded(margin) >= 0,
    )


def _change_rule(metrics: Mapping[str, Any], rule: GateRule) -> RuleResult:
    least = rule.min_change or 0.0
    better = "higher" if rule.direction == "higher_is_better" else "lower"
    bound = f"change against the champion ({better} is better) at least {least:+g}, confidence {rule.confidence:g}"
    champion = metrics.get("champion")
    if _unknown(metrics, rule.metric) or (champion is not None and _unknown(champion, rule.metric)):
        return RuleResult(metric=rule.metric, bound=bound, figure=None, note=UNKNOWN)
    figure = float(figure_at(metrics, rule.metric))
    if champion is None:
        return RuleResult(metric=rule.metric, bound=bound, figure=figure, note=NO_CHAMPION)
    if champion.get("comparable") is False:
        return RuleResult(
            metric=rule.metric, bound=bound, figure=figure, passed=False, note=f"not comparable: {champion['reason']}"
        )
    reference = float(figure_at(champion, rule.metric))
    sign = 1.0 if rule.direction == "higher_is_better" else -1.0
    paired = champion.get("paired", {}).get(rule.metric) or []
    changes = sorted(_rounded(sign * change) for change in paired if change is not None and math.isfinite(change))
    if changes:
        # the change that at least the share `confidence` of the resamples reaches
        value = changes[len(changes) - math.ceil(_rounded(rule.confidence * len(changes)))]  # .55 of 100 are 55
        note = f"{sum(c >= least for c in changes)} of {len(changes)} paired resamples reach it"
    else:
        value, note = _rounded(sign * (figure - reference)), "the figures themselves are compared: no paired resamples"
    return RuleResult(
        metric=rule.metric,
        bound=bound,
        figure=figure,
        reference=reference,
        value=value,
        margin=_rounded(value - least),
        passed=value >= least,
        note=note,
    )


def blessing(
    results: Sequence[RuleResult], *, digest: str, champion: str | None, evaluation_sha256: str
) -> dict[str, Any]:
    """The blessing as it stands in ``blessing.json``: no times, so that the same figures give the same file."""
    return {
        "format": FORMAT,
        "blessed": blessed(results),
        "model": {"digest": digest, "version": digest[:12]},
        "champion": {"digest": champion} if champion else None,
        "evaluation_sha256": evaluation_sha256,
        "failed": sum(result.passed is False for result in results),
        "rules": [result.model_dump() for result in results],
    }


def blessing_markdown(record: Mapping[str, Any]) -> str:
    """The blessing as a page for people."""
    verdict = "blessed" if record["blessed"] else "not blessed"
    lines = [
        f"# Model {record['model']['version']}: {verdict}",
        "",
        f"Digest `{record['model']['digest']}`.",
        f"Compared with the champion `{record['champion']['digest']}`."
        if record["champion"]
        else "There is no champion.",
        "",
        "| figure | candidate | champion | bound | margin | result | note |",
        "|---|---:|---:|---|---:|---|---|",
    ]
    for rule in record["rules"]:
        result = {True: "pass", False: "**fail**", None: "n/a"}[rule["passed"]]
        cells = [_cell(rule["figure"]), _cell(rule["reference"]), rule["bound"], _cell(rule["margin"], sign=True)]
        lines.append(f"| {with_key(rule['metric'])} | {' | '.join(cells)} | {result} | {rule['note']} |")
    lines += ["", "The bounds are those of `gate.rules` in `params.yaml`."]
    return "\n".join(lines) + "\n"


def _cell(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.4g}" if sign else f"{value:.4g}"


def _rounded(value: float) -> float:
    """As many digits as ``metrics.json`` has, so that a figure on its bound passes."""
    return round(value, 6)
