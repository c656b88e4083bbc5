"""Merchant tables of a data set and of what a real broker's topics have since its end."""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import structlog
import yaml
from click.testing import CliRunner
from kafka import KafkaAdminClient, TopicPartition

from fraudline.cli.main import cli
from fraudline.core.clock import clock_at, from_us, now_us, to_us
from fraudline.core.files import read_json
from fraudline.data.store import write_dataset
from fraudline.features.spec import load_spec
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream.labels import send_labels
from fraudline.stream.messages import Label
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.topic_reader import open_consumer, places_at
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transaction_topic import transactions_since
from fraudline.stream.transport import Output
from tests.support.broker import own_params
from tests.support.transactions import DAY, START, labels_of, random_table, table_of, transaction
from tests.support.workers import send, send_table

pytestmark = pytest.mark.integration

ALL = random_table(5, 600, cards=20, days=30, late=0.0)
ALL = ALL.filter(pc.greater_equal(ALL["amount_minor"], 0))  # others are no transactions on a topic
SPLIT = START + 20 * DAY
EARLIER, LATER = (
    ALL.filter(pa.array(keep)) for times in [ALL["event_time"].cast(pa.int64()).to_numpy()]
    for keep in (times < SPLIT, times >= SPLIT)
)  # fmt: skip


@pytest.fixture
def params(kafka: LocalKafka, tmp_path: Path) -> StreamParams:
    stream = own_params(tmp_path, kafka.bootstrap, partitions=3)
    ensure_topics(stream)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"stream": stream.model_dump(mode="json")}))
    return stream


def publish(tmp_path: Path, dataset: Path, *more: str) -> dict[str, Any]:
    given = ["step", "profiles", "--dataset", dataset, "--profiles", tmp_path / f"tables-{time.time_ns()}",
             "--params", tmp_path / "params.yaml", "--json", *more]  # fmt: skip
    result = CliRunner().invoke(cli, [str(each) for each in given], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found | {"index": read_json(Path(given[5]) / "profiles.json")}


def dataset(folder: Path, rows: pa.Table, labels: Sequence[tuple[str, int]]) -> Path:
    write_dataset(folder, rows, labels_of(list(labels)), {})
    return folder


def named(table: pa.Table, step: int) -> list[str]:
    names: list[str] = table["transaction_id"].to_pylist()[::step]
    return names


def test_a_data_set_and_the_topics_give_the_tables_that_a_data_set_of_everything_gives(
    params: StreamParams, tmp_path: Path
) -> None:
    old = [(name, START + 18 * DAY) for name in named(EARLIER, 40)]
    new = [(name, START + 29 * DAY) for name in named(LATER, 9)]
    reversed_name, *stay = old
    before = dataset(tmp_path / "before", EARLIER, old)
    whole = dataset(tmp_path / "whole", ALL, [*stay, *new])

    send_table(params, LATER)
    send_table(params, EARLIER.slice(EARLIER.num_rows - 50))  # the data set has them
    send_table(params, LATER.slice(0, 20))  # copies
    send(params, [Output(params.topics.transactions, b"c", b"{}")])
    ahead = transaction(0, transaction_id="ahead", merchant_id="clock")
    far = table_of([ahead | {"event_time": to_us(from_us(time.time_ns() // 1000) + timedelta(days=400))}])
    send(params, [output_of(params.topics.transactions, message) for message in messages_of(far)])
    send_labels(
        [
            *(Label(name, True, "chargeback", 1, at) for name, at in new),
            Label(reversed_name[0], False, "chargeback", 2, START + 28 * DAY),
            Label(new[0][0], True, "chargeback", 1, time.time_ns() // 1000 + DAY),
        ],
        params,
    )
    with clock_at(from_us(START + 31 * DAY)):
        found, wanted = publish(tmp_path, before, "--topics"), publish(tmp_path, whole)
    assert found["index"]["tables"] == wanted["index"]["tables"]
    assert found["index"]["files"] == wanted["index"]["files"]
    assert found["profile_version"] == wanted["profile_version"]
    assert (found["rows"], found["left_out"]) == (LATER.num_rows, 1)
    assert publish(tmp_path, before)["profile_version"] != found["profile_version"], "the topics added nothing"


def test_no_table_begins_later_than_now_and_days_leaves_out_the_old_ones(params: StreamParams, tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    times = ALL["event_time"].cast(pa.int64())
    moved = ALL.set_column(  # the last one is of just before now
        ALL.column_names.index("event_time"),
        "event_time",
        pc.add(times, now - 1 - pc.max(times).as_py()).cast(ALL["event_time"].type),
    )
    first = moved["event_time"].cast(pa.int64()).to_numpy() < now - 8 * DAY
    before = dataset(tmp_path / "before", moved.filter(pa.array(first)), [])
    send_table(params, moved.filter(pa.array(~first)))
    send_labels([Label(named(moved, 1)[0], True, "chargeback", 1, now - 9 * DAY)], params)
    with clock_at(from_us(now)):  # or the second publication may lie in the next period
        every, recent = publish(tmp_path, before, "--topics"), publish(tmp_path, before, "--topics", "--days", "3")
    hours = load_spec().parameters.profile_hours
    latest = from_us(now // (hours * 3_600_000_000) * hours * 3_600_000_000)
    assert every["newest"][:13] == f"{latest:%Y-%m-%dT%H}"
    assert recent["index"]["tables"] == every["index"]["tables"][-len(recent["index"]["tables"]) :]
    assert 3 * 24 // hours <= len(recent["index"]["tables"]) <= 3 * 24 // hours + 1


def test_a_topic_is_read_from_the_moment_that_is_asked_for(params: StreamParams) -> None:
    send_table(params, EARLIER)
    time.sleep(0.01)
    moment = time.time_ns() // 1000
    time.sleep(0.01)
    card = transaction(0, card_id="c1", transaction_id="late")
    send_table(params, table_of([card]))
    topic = params.topics.transactions
    with open_consumer(params) as consumer:
        found = dict(places_at(consumer, topic, moment))
        ends = consumer.end_offsets(list(found))
        begins = dict(places_at(consumer, topic, 0))
    assert sum(ends[place] - offset for place, offset in found.items()) == 1
    assert set(begins.values()) == {0}


def test_what_the_topic_has_lost_since_the_data_set_ended_is_said_with_both_times(params: StreamParams) -> None:
    send_table(params, LATER)
    ended, now = now_us() - DAY, now_us() + DAY

    def said() -> list[Any]:
        with structlog.testing.capture_logs() as lines:
            transactions_since(params, ["EUR"], ended, now)
        return [line for line in lines if line["event"] == "transactions.missing"]

    assert said() == [], "a topic that has all its records has lost none"
    with closing(KafkaAdminClient(bootstrap_servers=params.bootstrap)) as admin:
        admin.delete_records({TopicPartition(params.topics.transactions, 0): 3})
    (line,) = said()
    assert line["since"] == from_us(ended).isoformat(timespec="seconds")
    assert line["since"] < line["topic_begins"] < from_us(now).isoformat(timespec="seconds")
