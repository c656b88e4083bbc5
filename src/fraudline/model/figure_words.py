"""What a figure of ``metrics.json`` is called in words, on every page and in every table."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from fraudline.data import money
from fraudline.model.page import percent

_WORDS = {
    "ap": "average precision",
    "roc_auc": "ROC-AUC",
    "precision": "precision at the threshold",
    "recall": "recall at the threshold",
    "f1": "F1 at the threshold",
    "alerts": "alerts at the threshold",
    "alert_rate": "share of transactions alerted",
    "money_saved": "fraud losses saved, net of reviews",
    "money_saved_share": "share of fraud losses saved, net of reviews",
    "suspicious_share": "share of the training set that is suspicious",
}
_PATTERNS = (
    (re.compile(r"cp(\d+)"), "card precision at {}"),
    (re.compile(r"recall_at_([\d.]+)pct"), "recall at an alert rate of {} %"),
    (re.compile(r"kinds\.(\w+)\.(.+)"), "{1} ({0})"),
    (re.compile(r"segments\.(\w+)\.([\w-]+)\.(.+)"), "{2} ({0} {1})"),
)


def said(name: str) -> str:
    """A figure's name in words; one that is not known, as it is.

    >>> said("cp100"), said("recall_at_0.5pct")
    ('card precision at 100', 'recall at an alert rate of 0.5 %')
    >>> said("kinds.card_testing.recall")
    'recall at the threshold (card testing)'
    >>> said("segments.card.new.recall")
    'recall at the threshold (card new)'
    """
    for pattern, words in _PATTERNS:
        if found := pattern.fullmatch(name):
            return words.format(*(said(part).replace("_", " ") for part in found.groups()))
    return _WORDS.get(name, name)


def with_key(name: str) -> str:
    """A figure in words and, as code in Markdown, its key: for a rule that names it in ``params.yaml``.

    >>> with_key("ap"), with_key("frauds")
    ('average precision (`ap`)', '`frauds`')
    """
    words = said(name)
    return f"`{name}`" if words == name else f"{words} (`{name}`)"


def resampled(bootstrap: Mapping[str, Any]) -> str:
    """What an interval is, as the beginning of a sentence."""
    return (
        f"Intervals are the central {percent(bootstrap['confidence'], 0)} of "
        f"{bootstrap['resamples']} resamples, drawn by {bootstrap['unit']}"
    )


def priced(cost: Mapping[str, Any], currency: str) -> str:
    """What an alert costs and a caught fraud saves, as a sentence of HTML."""
    review = escape(money.money(cost["review_cost_minor"], currency))
    return f"An alert costs {review}, a caught fraud saves {percent(cost['recovered_share'], 0)} of its amount."
