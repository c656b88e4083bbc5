"""Labels on their topic: sent by whoever learns the truth, read back as what holds now.

    send_labels(labels, params)
    held = newest(read_label_topic(params))      # by transaction id; the highest version wins

Late, repeated and reversed labels are ordinary: versions, not the order of arrival, say which one holds. Card numbers
in their texts are masked on both ways; the transaction's id stays, because decisions are found by it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from fraudline.core.clock import HOUR_US, from_us
from fraudline.core.errors import SchemaError
from fraudline.core.log import get_logger
from fraudline.core.masking import mask_text
from fraudline.data.schema import LABELS
from fraudline.stream.decoding import UNREADABLE, timed
from fraudline.stream.messages import Label, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import read_topic
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender

log = get_logger(__name__)

KEEP = {"retention.ms": "-1"}
"""Of the topic: compaction would keep the newest record of a transaction, which need not be its highest version."""

_decoder = msgspec.json.Decoder(Label)


def send_labels(labels: Iterable[Label], params: StreamParams) -> int:
    """Append labels; sending one again changes nothing.

    Raises:
        UnavailableError: the broker does not take them.
    """
    ensure_topics(params, {params.topics.labels: KEEP})
    count = 0
    with closing(open_sender(params.transport, params.bootstrap, params.tls)) as sender:
        for label in labels:
            sender.send(Output(params.topics.labels, label.transaction_id.encode(), encode(_masked(label))))
            count += 1
        sender.flush()
    return count


def read_label_topic(params: StreamParams) -> Iterator[Label]:
    """Every label of the topic up to its present end.

    What is none is left out and said so, once: the topic keeps it for ever, and nobody can correct it there.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    foreign, first = 0, ""
    for record in read_topic(params, params.topics.labels):
        try:
            label = _decoded(record.value or b"", f"{record.topic} {record.partition}:{record.offset}")
        except SchemaError as error:
            foreign, first = foreign + 1, first or error.problem
        else:
            yield label
    if foreign:
        log.warning("labels.foreign", records=foreign, first=first, action="Find out who writes to this topic.")


def read_label_file(file: Path) -> Iterator[Label]:
    """The labels of a file of JSON lines.

    Raises:
        SchemaError: a line is no label, or the file cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise SchemaError(f"{file} cannot be read: {error.strerror}.", "Name a file of JSON lines.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _decoded(line, f"{file}:{number}")


def check_past(labels: Iterable[Label], now_us: int) -> None:
    """Refuse labels that are dated after the present: until then they count nowhere, and later versions stay behind.

    Args:
        labels: that are to be sent.
        now_us: the present, µs since the epoch; an hour after it is a difference of clocks.

    Raises:
        SchemaError: one is; names the transaction.
    """
    for label in labels:
        if label.labelled_at > now_us + HOUR_US:
            when = f"{from_us(label.labelled_at):%Y-%m-%d %H:%M} UTC"
            raise SchemaError(
                f"The label of {label.transaction_id} is dated {when}, after the present.",
                "Correct labelled_at: it is when the label was found, in UTC. Nothing was sent.",
            )


def newest(labels: Iterable[Label], *, before_us: int | None = None) -> dict[str, Label]:
    """What holds, by transaction: the highest version; of equal ones the one that was found later, then read later.

    Args:
        labels: in any order.
        before_us: leave out what was found at this moment or later, µs since the epoch.
    """
    held: dict[str, Label] = {}
    for label in labels:
        if before_us is not None and label.labelled_at >= before_us:
            continue
        known = held.get(label.transaction_id)
        if known is None or (known.version, known.labelled_at) <= (label.version, label.labelled_at):
            held[label.transaction_id] = label
    return held


def labels_table(held: Mapping[str, Label], before: pa.Table | None = None) -> pa.Table:
    """The frauds among labels that hold, as ``schema.LABELS``: others are normal once the delay has passed.

    Args:
        held: labels that hold, by transaction.
        before: labels of a data set; one of a transaction in ``held`` no longer counts.
    """
    frauds = sorted((each for each in held.values() if each.is_fraud), key=lambda each: each.transaction_id)
    columns = {
        "transaction_id": [each.transaction_id for each in frauds],
        "label_time": pa.array([each.labelled_at for each in frauds], pa.int64()).cast(LABELS.field("label_time").type),
        "is_fraud": [True] * len(frauds),
        "fraud_kind": [each.fraud_kind for each in frauds],
    }
    labels = pa.table(columns, schema=LABELS)
    if before is None:
        return labels
    replaced = pc.is_in(before["transaction_id"], pa.array(sorted(held), pa.string()))
    return pa.concat_tables([before.filter(pc.invert(replaced)), labels])


def _decoded(value: bytes, where: str) -> Label:
    try:
        return _masked(_decoder.decode(value))
    except UNREADABLE as error:
        raise SchemaError(
            f"{where} is no label: {timed(str(error))}.", "Correct it; its schema is reference/schemas/label.json."
        ) from error


def _masked(label: Label) -> Label:
    kind = label.fraud_kind and mask_text(label.fraud_kind)
    return msgspec.structs.replace(label, fraud_kind=kind, by=mask_text(label.by))
