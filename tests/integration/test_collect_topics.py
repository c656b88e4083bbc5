"""Collecting from a real broker: what it reads the second time, and that reading everything would find the same."""

import json
from contextlib import closing

import pytest
from msgspec import structs

from fraudline.core.clock import DAY_US, from_us
from fraudline.data.store import write_dataset
from fraudline.monitor.labelled_money import OUTCOMES
from fraudline.steps.amounts import amounts_by
from fraudline.steps.collect import joined
from fraudline.steps.collect_stream import LEFT_OUT, META, read_stream, remembered
from fraudline.steps.matured import Window, decided_on_topic, matured
from fraudline.steps.params import Params
from fraudline.stream.labels import newest, read_label_topic, send_labels
from fraudline.stream.messages import Label
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.broker import own_params, read_all
from tests.support.transactions import DAY, START, table_of, transaction
from tests.support.workers import send_table

pytestmark = pytest.mark.integration

FIRST = START // DAY_US
NOW = from_us(START + 60 * DAY)
A_DAY = 300


@pytest.fixture
def params(kafka, tmp_path):
    stream = own_params(tmp_path, kafka.bootstrap, partitions=2)
    ensure_topics(stream)
    return Params(stream=stream)


def decide(params, first, last, *, blocked=()):
    """Transactions of these days, sent and decided in the order of time."""
    rows = [
        transaction(86_400.0 * day + 200 * n, transaction_id=f"t{day}-{n}", card_id=f"c{n % 50}")
        for day in range(first, last)
        for n in range(A_DAY)
    ]
    send_table(params.stream, table_of(rows))
    topic = params.stream.topics.transactions
    placed = {json.loads(r.value)["transaction_id"]: r for r in read_all(params.stream.bootstrap, topic)}
    answer(params, [(row["transaction_id"], placed[row["transaction_id"]]) for row in rows], blocked)


def answer(params, records, blocked=()):
    with closing(open_sender("kafka-python", params.stream.bootstrap)) as sender:
        for name, record in records:
            sent = json.loads(record.value)
            day = int(name[1:].partition("-")[0])
            at = START + day * DAY + 200_000_000 * int(name.partition("-")[2])
            decision = {"transaction_id": name, "card_id": sent["card_id"], "event_time": at, "model_version": "m",
                        "decision": "block" if name in blocked else "allow",
                        "partition": record.partition, "offset": record.offset}  # fmt: skip
            sender.send(Output(params.stream.topics.decisions, record.key, json.dumps(decision).encode()))


def label(params, *names):
    send_labels([Label(name, True, "chargeback", 1, START + 30 * DAY) for name in names], params.stream)


def collected(params, window, before, folder):
    """A collecting that goes on from the data set before it, held against one that reads everything."""
    stream = read_stream(params, window, NOW, remembered(before))
    whole = read_stream(params, window, NOW)
    found, wanted = joined(stream, before, window), joined(whole, before, window)
    assert found[0].equals(wanted[0])
    assert found[1].equals(wanted[1])
    assert found[2] == wanted[2]
    memory = stream.memory(found[0], window)
    assert memory == whole.memory(wanted[0], window)
    write_dataset(folder, found[0], found[1], {META: memory.document()}, extra={LEFT_OUT: memory.table()})
    return stream, found[2]


def test_a_second_collecting_reads_what_is_new_and_finds_what_reading_everything_would(params, tmp_path):
    decide(params, 0, 10, blocked={"t0-5", "t1-6"})
    label(params, "t1-1")
    first, counts = collected(params, Window(FIRST + 8, FIRST), None, tmp_path / "first")
    assert counts == {"new": 8 * A_DAY - 2, "unknown": 2, "gone": 0, "left_out": 0, "relabelled": 0}
    assert first.read[0] == 10 * A_DAY

    decide(params, 10, 12)
    label(params, "t0-5", "t9-1", "t4-4")
    second, counts = collected(params, Window(FIRST + 11, FIRST), tmp_path / "first", tmp_path / "second")
    assert counts == {"new": 3 * A_DAY + 1, "unknown": 1, "gone": 0, "left_out": 0, "relabelled": 1}
    assert second.read[0] == 4 * A_DAY, "days 8 and 9, which had not matured, and what came after"
    assert 3 * A_DAY + 2 <= second.read[1] < 4 * A_DAY, "those of three days, what was left out, and what lies between"


def test_the_amounts_of_missed_frauds_and_of_what_was_blocked_come_from_the_topic_of_transactions(params):
    """Each is 10.00 EUR; a topic whose offsets are not those of the decisions gives none, and the count says so."""
    decide(params, 0, 2, blocked={"t0-5", "t1-6"})
    label(params, "t1-1", "t0-9")
    given = {"window": Window(FIRST + 8), "amounts": amounts_by(params, on_topic=True), "params": params,
             "labels": newest(read_label_topic(params.stream), before_us=START + 60 * DAY)}  # fmt: skip
    found = matured(decisions=decided_on_topic(params), **given)
    sums = found["money"]["EUR"]
    assert {name: sums[name] for name in OUTCOMES} == {"stopped": 0, "missed": 2_000, "held_up": 0, "blocked": 2_000}
    assert found["amounts_unknown"] == 0
    moved = [structs.replace(each, offset=each.offset + 1) for each in decided_on_topic(params)]
    lost = matured(decisions=moved, **given)
    assert (lost["money"], lost["amounts_unknown"]) == ({}, 4)


def test_nothing_new_reads_nothing_and_a_wider_window_reads_everything(params, tmp_path):
    decide(params, 0, 4)
    label(params, "t3-1")
    collected(params, Window(FIRST + 10, FIRST + 2), None, tmp_path / "first")
    again, counts = collected(params, Window(FIRST + 11, FIRST + 3), tmp_path / "first", tmp_path / "second")
    assert (again.read, counts["new"]) == ((0, 0), 0)
    wider, counts = collected(params, Window(FIRST + 11, FIRST), tmp_path / "second", tmp_path / "third")
    assert (wider.read[0], counts["new"]) == (4 * A_DAY, 3 * A_DAY)
