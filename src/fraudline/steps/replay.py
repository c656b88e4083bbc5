"""What if: the past decided again by another model or other thresholds, and what would have changed.

    replay(begin=..., end=..., model=Path("artifacts/<digest>"), out=Path("replay.parquet"), params=params, dataset=...)

The transactions go through the worker's own code: features by the kernel from the state that everything before gave,
scores and decisions by the same judge. What was decided then stands beside it: as it was recorded, or by another model
on the same features. Nothing is written where a worker reads or writes.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.clock import from_us, to_us
from fraudline.core.errors import DataError, UsageError
from fraudline.core.files import atomic_file, write_text
from fraudline.core.log import get_logger
from fraudline.decide.candidates import named, thresholds_of
from fraudline.decide.rules import RuleSet
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.steps.params import Params
from fraudline.steps.replay_compared import compared
from fraudline.steps.replay_past import VERDICTS, Verdict, from_dataset, from_topic, recorded_decisions, within
from fraudline.stream.batch import Judge
from fraudline.stream.messages import Transaction
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.settling import Settling
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, Sender, open_sender

log = get_logger(__name__)

RECORDED = "recorded"
_SIDE = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("threshold", pa.float64()),
        ("model_version", pa.string()),
        ("threshold_version", pa.string()),
        ("before_score", pa.float64()),
        ("before_decision", pa.string()),
        ("before_model_version", pa.string()),
        ("before_threshold_version", pa.string()),
    ]
)
"""The columns of the file that a replay writes."""


def replay(
    *,
    begin: datetime,
    end: datetime,
    model: Path,
    out: Path,
    params: Params,
    thresholds: str = "",
    rules: Path | None = None,
    dataset: Path | None = None,
    topic: bool = False,
    before: Path | str = RECORDED,
    decisions: Path | None = None,
    profiles: Path | None = None,
    side_topic: str = "",
    page: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Decide the transactions of ``[begin, end)`` (event time) again and compare.

    Args:
        begin: aware; the state is warmed by what came before.
        end: aware.
        model: the artifact that decides now.
        out: parquet of both decisions on each transaction.
        params: ``stream`` for the topics, ``evaluate`` for costs and bootstrap, ``label_delay_days``.
        thresholds: figures, a thresholds file or a model's folder (see :mod:`fraudline.decide.candidates`); the
            model's own when empty.
        rules: a rule file beside the model; none when not given.
        dataset: the data set with the transactions and labels; with ``topic`` what came before the log's first record,
            and where labels are looked up.
        topic: take the transactions from the topic ``transactions``.
        before: ``recorded``, or the artifact whose decisions these are compared with.
        decisions: exported trail, JSON lines or parquet of recorded decisions; the topic when not given.
        profiles: the merchant tables.
        side_topic: a topic to write the new decisions to; it must not be one of the worker's.
        page: an HTML page to write.
        on_progress: called with the number of transactions read so far.

    Returns:
        What :func:`fraudline.decide.compare.compare_outcomes` gives, with ``names``, ``currency``, ``window``,
        ``transitions``,
        ``examples``, ``unmatched`` (transactions without a recorded decision, which are left out) and ``profiles``
        (the version of the merchant tables now, and then where it was another: features then differ by them).

    Raises:
        DataError: there is no transaction in the window, or none that was decided before.
        UsageError: there is no source of transactions, or the side topic is one that is in use.
        UnavailableError: the broker does not answer.
    """
    if dataset is None and not topic:
        raise UsageError("There are no transactions to decide again.", "Give a data set, or take the topic.")
    if side_topic in _own_topics(params.stream):
        raise UsageError(f"{side_topic} is a topic of the worker.", "Name a topic of its own for a replay.")
    if end <= begin:
        raise UsageError(f"The window ends {end.isoformat()}, before it begins.", "Give --from and --to in order.")
    artifact, other = _models(model, before)
    tables = ProfileTable.load(profiles, artifact.card_spec) if profiles is not None else None
    recorded = recorded_decisions(decisions, params) if other is None else {}
    ruled = RuleSet.load(rules, artifact.card_spec) if rules is not None else None
    judge = _Judging(artifact, thresholds, tables, params, rules=ruled, side_topic=side_topic)
    other_judge = _Judging(other, "", tables, params) if other is not None else None
    window = to_us(begin), to_us(end)
    parts = from_topic(artifact, tables, dataset, params) if topic else from_dataset(artifact, tables, dataset, window)

    def decide(part: Advanced, sender: Sender | None) -> tuple[Sequence[Verdict], Sequence[Verdict | None]]:
        now = judge.decide(part, sender)
        return now, other_judge.decide(part) if other_judge is not None else _looked_up(recorded, part)

    with closing(_sender(params.stream, side_topic)) if side_topic else nullcontext() as sender:
        written = _decided_again(parts, window, out, lambda part: decide(part, sender), on_progress)
    names = {
        "a": f"then ({RECORDED})" if other is None else f"then ({other.version})",
        "b": f"now ({artifact.version}{f' at {named(thresholds)}' if thresholds else ''})",
    }
    document = {
        "names": names,
        "window": {"begin": begin.isoformat(), "end": end.isoformat()},
        "thresholds": judge.thresholds,
        "rule_version": judge.rules,
        "unmatched": written.unmatched,
        "profiles": {"now": tables.version if tables is not None else "", "then": sorted(written.profiles)},
        "currency": artifact.card_spec.base_currency,
        **compared(out, dataset, topic, params, artifact.card_spec),
    }
    if page is not None:
        from fraudline.steps.replay_page import replay_page

        write_text(page, replay_page(document))
    log.info("replay.done", rows=document["rows"], unmatched=written.unmatched, out=str(out))
    return document


@dataclass
class _Written:
    """What went into the file so far: transactions read, rows, those without a recorded decision, other profiles."""

    seen: int = 0
    rows: int = 0
    unmatched: int = 0
    profiles: set[str] = field(default_factory=set)

    def add(
        self,
        writer: pq.ParquetWriter,
        transactions: Sequence[Transaction],
        now: Sequence[Verdict],
        then: Sequence[Verdict | None],
    ) -> None:
        """Write what was decided now beside what was decided then."""
        rows = []
        for transaction, here, before in zip(transactions, now, then, strict=True):
            if before is None:
                self.unmatched += 1
                continue
            rows.append(_row(transaction, here, before))
            if before.profile_version != here.profile_version:
                self.profiles.add(before.profile_version)
        if rows:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SIDE))
        self.rows += len(rows)


def _models(model: Path, before: Path | str) -> tuple[Artifact, Artifact | None]:
    """The model that decides now, and the one that is compared with; None where that is what was recorded."""
    artifact = load_artifact(model)
    if before == RECORDED:
        return artifact, None
    other = load_artifact(Path(before))
    if other.card_spec.version != artifact.card_spec.version:
        raise UsageError(
            f"{before} has another feature specification than {model}.", "Compare with its recorded decisions."
        )
    return artifact, other


def _decided_again(
    parts: Iterable[Advanced],
    window: tuple[int, int],
    out: Path,
    decide: Callable[[Advanced], tuple[Sequence[Verdict], Sequence[Verdict | None]]],
    on_progress: Callable[[int], None] | None,
) -> _Written:
    """Write both decisions on each transaction in the window; what was decided then may be None."""
    written = _Written()
    with atomic_file(out) as temporary, closing(pq.ParquetWriter(temporary, _SIDE, compression="zstd")) as writer:
        for part in parts:
            written.seen += len(part.records)
            if on_progress is not None:
                on_progress(written.seen)
            inside = within(part, window)
            if inside.records:
                written.add(writer, inside.transactions, *decide(inside))
        if not written.rows:
            begin, end = (from_us(each).isoformat() for each in window)
            problem = f"No transaction from {begin} to {end} was decided before"
            raise DataError(f"{problem} ({written.unmatched} were not).", "Name other days or decisions.")
    return written


def _looked_up(recorded: dict[str, Verdict], part: Advanced) -> list[Verdict | None]:
    return [recorded.get(transaction.transaction_id) for transaction in part.transactions]


def _sender(stream: StreamParams, topic: str) -> Sender:
    ensure_topics(stream, {topic: {}})
    return open_sender(stream.transport, stream.bootstrap, stream.tls)


class _Judging:
    """One model with its thresholds, deciding as the worker does."""

    def __init__(
        self,
        artifact: Artifact,
        thresholds: str,
        profiles: ProfileTable | None,
        params: Params,
        *,
        rules: RuleSet | None = None,
        side_topic: str = "",
    ) -> None:
        held = thresholds_of(thresholds) if thresholds else artifact.thresholds
        self.thresholds = held.model_dump(mode="json")
        topics = params.stream.topics
        self._topic = side_topic or topics.decisions
        stream = params.stream.model_copy(update={"topics": topics.model_copy(update={"decisions": self._topic})})
        scoring = InProcessScoring(artifact, lambda: held)
        settling = Settling(stream, artifact.card_spec, rules)
        self._judge = Judge(artifact, scoring, stream, profiles.version if profiles is not None else "", settling)
        self.rules = rules.version if rules is not None else ""

    def decide(self, part: Advanced, sender: Sender | None = None) -> list[Verdict]:
        """The decisions on a part, which also go to the side topic."""
        judged = self._judge.judge([part])
        outputs: Sequence[Output] = judged.outputs[: len(part.records)]
        if sender is not None:
            for output in outputs:
                sender.send(output)
        return [VERDICTS.decode(output.value or b"") for output in outputs]


def _own_topics(stream: StreamParams) -> set[str]:
    return {value for value in stream.topics.model_dump().values() if isinstance(value, str) and value}


def _row(transaction: Transaction, now: Verdict, was: Verdict) -> dict[str, Any]:
    return {
        "transaction_id": transaction.transaction_id,
        "card_id": transaction.card_id,
        "event_time": from_us(transaction.event_time),
        "amount_minor": transaction.amount_minor,
        "currency": transaction.currency,
        "score": now.score,
        "decision": now.decision,
        "threshold": now.threshold,
        "model_version": now.model_version,
        "threshold_version": now.threshold_version,
        "before_score": was.score,
        "before_decision": was.decision,
        "before_model_version": was.model_version,
        "before_threshold_version": was.threshold_version,
    }
