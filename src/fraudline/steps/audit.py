"""The audit trail: from a decision back to everything that led to it, and the decisions outside Kafka, chained.

export(out=Path("audit"), params=params)                    # daily files of the topic decisions
verify(folder=Path("audit"), head="3f2a...", params=params)
show(transaction_id="t-17", source=Path("audit"), store=Path("artifacts"), params=params)
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from fraudline.core.clock import DAY_US, now_us, to_us
from fraudline.core.errors import UsageError
from fraudline.core.files import locked, write_text
from fraudline.core.log import get_logger
from fraudline.ops.audit import verify as checks
from fraudline.ops.audit.rows import AuditRow
from fraudline.ops.audit.trail import CHAIN, Trail
from fraudline.steps.audit_story import find_decision, story_of
from fraudline.steps.params import Params
from fraudline.stream.decision_log import Piece, open_log
from fraudline.stream.sealing import check_reason, erasure, keys_at_hand
from fraudline.stream.topic_reader import is_there
from fraudline.stream.transport import Output, open_sender

log = get_logger(__name__)

RETENTION_DAYS = 365
"""What the topic of decisions must keep at least."""


def export(
    *, out: Path, params: Params, until: datetime | None = None, on_progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Write the topic ``decisions`` into daily parquet files, each sealed with the one before; goes on where it ended.

    Args:
        out: folder of the trail.
        params: ``stream``: broker and topic.
        until: decisions appended before this moment; midnight UTC of today when not given, so that a day is one file.
        on_progress: called with the number of rows so far.

    Returns:
        ``files`` and ``rows`` of this run, and of the trail ``total`` rows, ``head`` and ``last_day``.

    Raises:
        StateError: the trail cannot be gone on with.
        UnavailableError: the broker does not answer.
        UsageError: the topic is not the one that was exported before.
    """
    until_us = now_us() // DAY_US * DAY_US if until is None else to_us(until)
    with locked(out / CHAIN), open_log(params.stream) as decisions:  # two that go on at one place would cut one's head
        trail = before = Trail.open(out)
        for piece in decisions.days(trail.next_offsets(), until_us // 1000):
            rows = _counted(piece, trail.rows - before.rows, on_progress)
            topic = params.stream.topics.decisions
            trail = trail.append(piece.day, topic, rows, piece.offsets, expired=piece.expired)
            log.info("audit.exported", day=piece.day, rows=trail.seals[-1].rows, seal=trail.head[:12])
    return {
        "files": len(trail.seals) - len(before.seals),
        "rows": trail.rows - before.rows,
        "total": trail.rows,
        "head": trail.head,
        "last_day": trail.seals[-1].day if trail.seals else "",
    }


def _counted(piece: Piece, done: int, on_progress: Callable[[int], None] | None) -> Iterator[AuditRow]:
    for number, record in enumerate(piece.records, done + 1):
        if on_progress is not None and number % 1_000 == 0:
            on_progress(number)
        yield AuditRow(record.partition, record.offset, record.timestamp_ms, record.key, record.value)


def verify(*, folder: Path, params: Params, head: str = "", topic: bool = False) -> dict[str, Any]:
    """Check an exported trail, and where it is asked for how long Kafka keeps the decisions.

    Args:
        folder: of the trail.
        params: ``stream``: broker and topic, with ``topic``.
        head: a seal kept elsewhere, that the chain must contain.
        topic: ask the broker for the retention of the topic.

    Returns:
        What :class:`fraudline.ops.audit.verify.Report` holds, ``whole``, and ``retention_days`` (None for ever).

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no trail, or no such topic.
    """
    report = checks.verify(folder, head=head)
    findings = list(report.findings)
    document: dict[str, Any] = {name: getattr(report, name) for name in ("files", "rows", "head", "days", "expired")}
    if topic:
        from fraudline.stream.topics import retention_days

        days = document["retention_days"] = retention_days(params.stream, params.stream.topics.decisions)
        if days is not None and days < RETENTION_DAYS:
            problem = f"its records are deleted after {days:g} days, an audit trail needs {RETENTION_DAYS}"
            findings.append(checks.Finding(params.stream.topics.decisions, 0, problem))
    document["findings"] = [finding._asdict() | {"text": str(finding)} for finding in findings]
    return document | {"whole": not findings}


def show(
    *,
    transaction_id: str,
    params: Params,
    store: Path,
    source: Path | None = None,
    thresholds: Path | None = None,
    page: Path | None = None,
) -> dict[str, Any]:
    """Trace one decision back to the model, the run, the code and the data that it came from.

    Args:
        transaction_id: which transaction.
        params: ``stream``: broker and topic; ``registry``: where runs are tracked.
        store: folder of artifacts by digest.
        source: an exported trail, JSON lines or parquet of decisions; the topic when not given.
        thresholds: a thresholds file, where thresholds were changed after the model was packaged.
        page: an HTML page to write.

    Returns:
        See :func:`fraudline.steps.audit_story.story_of`.

    Raises:
        DataError: there is no such decision.
        UnavailableError: the broker does not answer.
    """
    traced = find_decision(transaction_id, source, params)
    document = story_of(traced, store=store, thresholds=thresholds, params=params)
    if page is not None:
        from fraudline.steps.audit_page import audit_page

        write_text(page, audit_page(document))
    log.info("audit.shown", transaction_id=transaction_id, model=document["decision"].get("model_version"))
    return document


def rewrap(*, master: Path, params: Params) -> dict[str, Any]:
    """Wrap the keys of all cards under another master key; no card gets another name or key.

    Args:
        master: file of the other master key.
        params: ``stream``: the store of keys, and its master key of now.

    Returns:
        ``cards`` whose keys were wrapped, and ``store``.

    Raises:
        StateError: the store of keys cannot be used.
        UsageError: cards have no keys here, or ``master`` is no master key.
    """
    with keys_at_hand(params.stream) as keys:
        if keys is None:
            raise UsageError("Cards have no keys here, so none can be wrapped.", "Set stream.card_keys first.")
        cards = keys.rewrap(master)
    log.info("audit.rewrapped", cards=cards)
    return {"cards": cards, "store": params.stream.card_keys}


def erase(*, card: str, params: Params, by: str, why: str) -> dict[str, Any]:
    """Erase a card: its key is destroyed, and with it what decisions, exports and dead letters say of it.

    The card is taken off the list of blocked cards, and workers forget its state where the record that this writes lies
    in their topic; a card that comes again after that is a new one. What remains, and why it cannot be read, is in the
    how-to.

    Args:
        card: its identifier, as transactions have it.
        params: ``stream``: broker, topics and the store of keys.
        by: who asks for it.
        why: the reason.

    Returns:
        ``pseudonym`` (what its decisions go on to say), ``key_destroyed`` and ``topics`` that were written to.

    Raises:
        StateError: the store of keys cannot be used.
        UnavailableError: the broker does not answer; nothing is destroyed then.
        UsageError: cards have no keys here, or the reason, which stays, names the card.
    """
    stream = params.stream
    with keys_at_hand(stream) as keys:
        if keys is None:
            raise UsageError("Cards have no keys here, so none can be destroyed.", "Set stream.card_keys first.")
        check_reason(why, [card])
        pseudonym = keys.known(card)
        outputs = [erasure(stream.topics.transactions, card, keys.proof_of_erasure(card))]
        if is_there(stream, stream.topics.blocked_cards):
            outputs.append(Output(stream.topics.blocked_cards, card.encode(), None))
        with closing(open_sender(stream.transport, stream.bootstrap, stream.tls)) as sender:
            for output in outputs:
                sender.send(output)
            sender.flush()
        # a worker may have read the record by now and the card come again: the key that it has then stays
        keys.erase(card, by=by, why=why, pseudonym=pseudonym)
    destroyed = pseudonym != ""  # here, or by a worker that was quicker
    log.info("audit.erased", pseudonym=pseudonym, key_destroyed=destroyed, by=by)
    return {"pseudonym": pseudonym, "key_destroyed": destroyed, "topics": [output.topic for output in outputs]}
