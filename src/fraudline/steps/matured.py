"""What matured labels say of decisions: precision, recall and money, blocked transactions accounted for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import DataError, SchemaError
from fraudline.core.log import get_logger
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS
from fraudline.model.bootstrap import Draws, Sample, units
from fraudline.monitor.labelled_money import Amounts, labelled_money, outcome_columns, unknown_amounts
from fraudline.monitor.selection import Judged
from fraudline.steps.params import Params
from fraudline.stream.decoding import UNREADABLE
from fraudline.stream.messages import Label
from fraudline.stream.topic_reader import read_topic
from fraudline.stream.transport import Record

log = get_logger(__name__)

_ALLOWED, _BLOCKED = DECISIONS[ALLOW], DECISIONS[BLOCK]
ALL, NOT_BLOCKED = "all", "not blocked"


class Decided(msgspec.Struct, frozen=True, gc=False):
    """What is read of a decision; ``event_time`` in µs since the epoch, the amount where a file has it beside it."""

    transaction_id: str
    card_id: str
    event_time: int
    decision: str
    model_version: str
    partition: int = -1
    offset: int = -1
    sampled: float = 0.0
    amount_minor: int | None = None
    currency: str = ""


Known = tuple[int, str] | None
"""An amount in minor units and its currency; None where it is not known."""


def own_amounts(rows: Sequence[Decided]) -> list[Known]:
    """What the decisions themselves say of their amounts."""
    return [None if each.amount_minor is None else (each.amount_minor, each.currency) for each in rows]


_decoder = msgspec.json.Decoder(Decided)


@dataclass(frozen=True, slots=True)
class Window:
    """Days ``[first, end)`` since the epoch whose labels have matured; ``first`` None for all that there are."""

    end: int
    first: int | None = None

    @classmethod
    def before(cls, now_us: int, delay_days: int, days: int = 0) -> "Window":
        """The newest whole days that are older than the labels' delay."""
        end = now_us // DAY_US - delay_days
        return cls(end, end - days if days else None)

    def holds(self, event_time: int) -> bool:
        """Whether an event lies in it."""
        day = event_time // DAY_US
        return day < self.end and (self.first is None or day >= self.first)

    def __str__(self) -> str:
        """Its days in words."""
        ends = f"before {from_us(self.end * DAY_US).date()}"
        return ends if self.first is None else f"from {from_us(self.first * DAY_US).date()} on and {ends}"


def hold(held: dict[str, Decided], decisions: Iterable[Decided], window: Window) -> None:
    """Add the decisions of a window to ``held``, by transaction.

    Of several on one transaction the first that is read holds: it is the one that was acted on. A copy that was sent
    after the worker had forgotten its id, or a dead letter that was replayed, is decided again.
    """
    for each in decisions:
        if window.holds(each.event_time):
            held.setdefault(each.transaction_id, each)


def decided_in_file(file: Path) -> Iterable[Decided]:
    """The decisions of a file of JSON lines.

    Raises:
        SchemaError: a line is no decision, or the file cannot be read.
    """
    try:
        for line in file.read_bytes().splitlines():
            if line.strip():
                yield _decoder.decode(line)
    except (OSError, *UNREADABLE) as error:
        raise SchemaError(f"{file} is no file of decisions: {error}.", "Give JSON lines as the topic has.") from error


def decided_on_topic(params: Params) -> Iterable[Decided]:
    """The decisions of the topic, up to its present end.

    Raises:
        SchemaError: a record is no decision.
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    return map(decided_of, read_topic(params.stream, params.stream.topics.decisions))


def decided_of(record: Record) -> Decided:
    """The decision of a record.

    Raises:
        SchemaError: it is none.
    """
    try:
        return _decoder.decode(record.value or b"")
    except UNREADABLE as error:
        problem = f"{record.topic} {record.partition}:{record.offset} is no decision: {error}."
        raise SchemaError(problem, "Name the topic in stream.topics.decisions.") from error


def matured(
    *,
    decisions: Iterable[Decided],
    labels: Mapping[str, Label],
    window: Window,
    params: Params,
    model_version: str = "",
    amounts: Callable[[Sequence[Decided]], Sequence[Known]] = own_amounts,
) -> dict[str, Any]:
    """Precision, recall and money of the decisions whose label is known by now.

    Args:
        decisions: as they were made, partition by partition; see :func:`hold`.
        labels: those that hold, by transaction (:func:`fraudline.stream.labels.newest`).
        window: the days; a decision of another day is left out.
        params: ``evaluate.bootstrap``, ``monitor.confidence``, ``monitor.label_rows_min`` and ``seed``.
        model_version: of one model alone.
        amounts: finds those of decisions (:mod:`fraudline.steps.amounts`); asked for what may stand in a sum.

    Returns:
        ``rows``, ``days``, and what :func:`judged_figures` does.

    Raises:
        DataError: no decision lies in the window.
    """
    held: dict[str, Decided] = {}
    hold(held, decisions, window)
    rows = [each for each in held.values() if model_version in ("", each.model_version)]
    if not rows:
        whose = f" of the model {model_version}" if model_version else ""
        raise DataError(
            f"No decision{whose} has a matured label: none is {window}.",
            "Wait for the labels' delay (label_delay_days), or look further back (--days 0: all days).",
        )
    fraud = np.array([(found := labels.get(each.transaction_id)) is not None and found.is_fraud for each in rows])
    blocked = np.array([each.decision == _BLOCKED for each in rows])
    cards = np.unique([each.card_id for each in rows], return_inverse=True)[1]
    judged = Judged(
        fraud=fraud,
        stopped=np.array([each.decision != _ALLOWED or each.sampled > 0 for each in rows]),
        blocked=blocked,
        sampled=np.array([each.sampled for each in rows]),
        cards=cards,
    )
    asked = np.flatnonzero(judged.fraud | judged.stopped).tolist()
    known = dict(zip(asked, amounts([rows[row] for row in asked]), strict=True))
    document = {
        "rows": len(rows),
        "days": len({each.event_time // DAY_US for each in rows}),
        **judged_figures(judged, Amounts.of([known.get(row) for row in range(len(rows))]), params),
    }
    log.info("labels.matured", **{key: value for key, value in document.items() if key not in ("figures", "money")})
    return document


def judged_figures(judged: Judged, amounts: Amounts, params: Params) -> dict[str, Any]:
    """Precision, recall and money of decisions whose label has matured.

    Args:
        judged: the decisions.
        amounts: theirs.
        params: ``evaluate.bootstrap``, ``monitor.confidence``, ``monitor.label_rows_min`` and ``seed``.

    Returns:
        ``frauds`` (not blocked), ``blocked`` and ``sampled`` (counts), ``figures`` (``value`` and ``interval`` of
        precision and recall, null where nothing was stopped; none where too few frauds are known), ``covers``:
        ``all``, or ``not blocked`` where nothing was drawn to stand for what was blocked, ``money`` by currency
        (minor units of :data:`~fraudline.monitor.labelled_money.OUTCOMES`, and ``share`` of the frauds' money that was
        stopped, as a figure is), and ``amounts_unknown`` (rows that are in no sum).
    """
    drawn = int((judged.sampled > 0).sum())
    frauds = int((judged.fraud & ~judged.blocked).sum())
    document: dict[str, Any] = {
        "frauds": frauds,
        "blocked": int(judged.blocked.sum()),
        "sampled": drawn,
        "covers": ALL if drawn or not judged.blocked.any() else NOT_BLOCKED,
        "figures": {},
        "money": labelled_money(judged, amounts),
        "amounts_unknown": unknown_amounts(judged, amounts),
    }
    bootstrap, enough = params.evaluate.bootstrap, frauds >= params.monitor.label_rows_min
    draws = Draws.of(units(bootstrap.unit, judged.cards), bootstrap.resamples if enough else 0, params.seed)
    confidence = params.monitor.confidence
    if enough:
        sums = draws.sums(judged.columns())
        for name, column in (("precision", 1), ("recall", 2)):
            document["figures"][name] = _ratio(sums[:, 0], sums[:, column], confidence)
    money = outcome_columns(judged, amounts)
    for code, sums_of in document["money"].items():
        sums = draws.sums(money * (amounts.currencies == code)[:, None])
        sums_of["share"] = _ratio(sums[:, 0], sums[:, 0] + sums[:, 1], confidence)
    return document


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """``value`` and ``interval`` of a quotient of sums over the data and its resamples; null where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sample = Sample(part / whole)
    value, ends = sample.point, sample.interval(confidence)
    return {
        "value": value if np.isfinite(value) else None,
        "interval": ends if np.isfinite(ends).all() else None,
    }
