"""Blocked cards and rules on a real broker: what a decision does to a card, and what people do to the list."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner, Result
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from fraudline.cli.main import cli
from fraudline.core.clock import HOUR_US
from fraudline.core.errors import FraudlineError, UsageError
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.blocked import KafkaCardLog
from fraudline.stream.card_topic import actions, block_cards, listed
from fraudline.stream.messages import BlockedCard, Decision, Transaction, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_tables
from tests.support.workers import WorkerProcess, sample, send, send_table, wait_for, wait_until_committed
from tests.unit.stream.fakes import GOOD

pytestmark = pytest.mark.integration

ROWS, HOURS = 3_000, 24.0


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return small_tables()[0].slice(5_000, ROWS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("model") / "m", review=0.42, block=0.46)


def decisions_of(params: StreamParams) -> list[Decision]:
    """Every committed decision, in the order of the log a partition."""
    found = [msgspec.json.decode(r.value, type=Decision) for r in read_all(params.bootstrap, params.topics.decisions)]
    return sorted(found, key=lambda decision: (decision.partition, decision.offset))


def replayed(decisions: list[Decision], hours: float) -> tuple[list[str], dict[str, int]]:
    """What the log comes to when it is read from its beginning: decisions, and until when each card is blocked."""
    until: dict[str, int] = {}
    said = []
    for decision in decisions:
        listed = decision.event_time < until.get(decision.card_id, 0)
        said.append("block" if listed else decision.model_decision)
        if said[-1] == "block" and not listed:
            until[decision.card_id] = decision.event_time + int(hours * HOUR_US)
    return said, until


@contextmanager
def working(params: StreamParams, model: Path) -> Iterator[None]:
    """A worker on a thread, for as long as the block runs."""
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=run_worker, args=(params,), kwargs={"model_dir": model, "stop": stop, "on_ready": ready.set}
    )
    thread.start()
    try:
        assert ready.wait(300)
        yield
    finally:
        stop.set()
        thread.join(300)


def decided(params: StreamParams, number: int) -> list[Decision]:
    """The decisions, once there are so many."""
    wait_for(lambda: len(decisions_of(params)) >= number, f"{number} decisions")
    return decisions_of(params)


def test_blocked_cards_are_what_a_replay_of_the_log_gives_however_often_workers_are_killed(
    kafka: LocalKafka, tmp_path: Path, table: pa.Table, model: Path
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, block_hours=HOURS, max_batch=64)
    ensure_topics(params)
    workers = [WorkerProcess(tmp_path, params.model_copy(update={"worker_id": f"w-{i}"}), model) for i in range(2)]
    with workers[0], workers[1]:
        for part in range(2):
            send_table(params, table.slice(part * ROWS // 2, ROWS // 2))
            wait_for(lambda part=part: len(decisions_of(params)) > part * ROWS // 2, "work in hand")
            workers[part].child.kill()
            workers[part].start()
        wait_until_committed(params, *workers)
    decisions = decisions_of(params)
    assert len({decision.transaction_id for decision in decisions}) == len(decisions) == ROWS
    said, until = replayed(decisions, HOURS)
    assert [decision.decision for decision in decisions] == said
    assert {entry.card_id: entry.until for entry in listed(params)} == until
    by_list = [d for d in decisions if d.decision == "block" != d.model_decision]
    assert by_list
    assert all(decision.reasons[0].feature == "blocked_card" for decision in by_list)


def invoke(params: StreamParams, folder: Path, *arguments: str) -> Result:
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({"stream": params.model_dump(mode="json")}))
    return CliRunner().invoke(cli, ["cards", *arguments, "--params", str(file)], catch_exceptions=True)


def bought(number: int, card: str, **changes: object) -> Transaction:
    return msgspec.structs.replace(
        GOOD, transaction_id=f"t-{number}", card_id=card, event_time=time.time_ns() // 1000, **changes
    )


def sent(params: StreamParams, *transactions: Transaction) -> None:
    send(params, [Output(params.topics.transactions, t.card_id.encode(), encode(t)) for t in transactions])


def test_what_people_block_is_blocked_until_they_unblock_it_and_the_trail_says_who_and_why(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    given = {"block_hours": HOURS, "transport": "confluent", "metrics_port": free_port()}
    params = own_params(tmp_path, kafka.bootstrap, **given)
    ensure_topics(params)
    model = tiny_artifact(tmp_path / "model", review=0.9, block=0.95)
    with working(params, model):
        sent(params, bought(1, "c-1"))
        assert [d.decision for d in decided(params, 1)] == ["allow"]
        assert invoke(params, tmp_path, "block", "c-1", "--by", "ada", "--why", "reported stolen").exit_code == 0
        wait_for(lambda: sample(params, "fraudline_blocked_cards") == 1, "the worker to hear of it")
        sent(params, bought(2, "c-1"), bought(3, "c-2"))
        found = {d.transaction_id: d for d in decided(params, 3)}
        assert (found["t-2"].decision, found["t-3"].decision) == ("block", "allow")
        assert "by ada: reported stolen" in found["t-2"].reasons[0].text
        shown = json.loads(invoke(params, tmp_path, "list", "--json").stdout)["cards"]
        assert [(card["card_id"], card["by"]) for card in shown] == [("c-1", "ada")]
        assert invoke(params, tmp_path, "unblock", "c-1", "--by", "bob", "--why", "found again").exit_code == 0
        wait_for(lambda: sample(params, "fraudline_blocked_cards") == 0, "the worker to hear of it")
        sent(params, bought(4, "c-1"))
        assert {d.transaction_id: d.decision for d in decided(params, 4)}["t-4"] == "allow"
    trail = json.loads(invoke(params, tmp_path, "log", "--json").stdout)["actions"]
    assert [(line["action"], line["card_id"], line["by"], line["why"]) for line in trail] == [
        ("block", "c-1", "ada", "reported stolen"),
        ("unblock", "c-1", "bob", "found again"),
    ]
    again = invoke(params, tmp_path, "unblock", "c-1", "--why", "twice")
    assert isinstance(again.exception, UsageError)
    assert "not on the list" in again.exception.problem


def test_a_list_that_is_not_there_is_said_and_no_broker_is_left_to_make_it(kafka: LocalKafka, tmp_path: Path) -> None:
    params = own_params(tmp_path, kafka.bootstrap, timeout_s=5.0)
    ensure_topics(params)  # of a worker that blocks no cards
    for command, topic in (
        (("block", "c-1", "--by", "ada", "--why", "stolen"), params.topics.blocked_cards),
        (("list",), params.topics.blocked_cards),
        (("log",), params.topics.card_actions),
    ):
        refused = invoke(params, tmp_path, *command).exception
        assert isinstance(refused, UsageError), refused
        assert f"There is no topic {topic}" in refused.problem
        assert "`fraudline stream --block-hours 24 --create-topics`" in refused.action, "what makes the list"


def test_no_block_is_written_that_nothing_can_be_blocked_by_or_whose_end_no_calendar_has(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, block_hours=HOURS)
    ensure_topics(params)
    why = ["--by", "ada", "--why", "stolen"]
    with pytest.raises(UsageError, match="beyond the year 9999"):
        block_cards(params, ["c-1"], 2**62, by="ada", why="stolen")
    assert "not in the range" in invoke(params, tmp_path, "block", "c-1", "--hours", "1e8", *why).output
    for given, said in (
        ([""], "1 to 128 characters"),
        (["x" * 129], "1 to 128 characters"),
        (["4111111111111111"], r"\*1111 is a card number"),
    ):
        refused = invoke(params, tmp_path, "block", *given, *why).exception
        assert isinstance(refused, UsageError), given
        assert re.search(said, refused.problem), refused
    assert (listed(params), actions(params)) == ([], [])

    send(params, [Output(params.topics.blocked_cards, b"c-1", encode(BlockedCard("c-1", 2**62, 1, "old", "for ever")))])
    with working(params, tiny_artifact(tmp_path / "model", review=0.9, block=0.95)):
        sent(params, bought(1, "c-1"))
        assert [d.decision for d in decided(params, 1)] == ["block"]
    assert "9999-12-31" in invoke(params, tmp_path, "list").stdout


RULES = """
lists:
  embargo: {values: [KP]}
rules:
  - {id: embargo, when: country in embargo, verdict: block, reason: the country is under embargo, block_card: false}
  - {id: stolen-device, when: device_id == "d-666", verdict: block, reason: a device known from thefts}
  - {id: payroll, when: 'merchant_id == "m-pay" && amount < 5000.0', verdict: allow, reason: a known employer}
  - {id: fast, when: card_count_1h >= 2.0, verdict: review, reason: the third purchase within the hour}
"""


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_rules_decide_beside_the_model_and_a_shadow_worker_blocks_no_card(
    kafka: LocalKafka, tmp_path: Path, mode: str
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    params = own_params(
        tmp_path, kafka.bootstrap, block_hours=HOURS, rules=str(tmp_path / "rules.yaml"), mode=mode, partitions=1
    )
    ensure_topics(params)
    sent(
        params,
        bought(0, "c-1"),
        bought(1, "c-1", country="KP"),
        bought(2, "c-1"),
        bought(3, "c-2", merchant_id="m-pay", device_id="d-666"),
        bought(4, "c-2"),
        bought(5, "c-3", merchant_id="m-pay"),
    )
    with working(params, tiny_artifact(tmp_path / "model", review=0.9, block=0.95)):
        found = decided(params, 6)
    after = "block" if mode == "live" else "allow"
    assert [d.decision for d in found] == ["allow", "block", "review", "block", after, "allow"]
    assert [d.rules for d in found] == [[], ["embargo"], ["fast"], ["stolen-device", "payroll"], [], ["payroll"]]
    assert found[1].reasons[0].feature == "rule:embargo"
    assert {d.model_decision for d in found} == {"allow"}
    assert {d.mode for d in found} == {mode}
    assert len({d.rule_version for d in found}) == 1
    cards = [entry.card_id for entry in listed(params)]
    assert cards == (["c-2"] if mode == "live" else [])


def test_a_list_with_other_partitions_than_the_transactions_is_refused(kafka: LocalKafka, tmp_path: Path) -> None:
    params = own_params(tmp_path, kafka.bootstrap, block_hours=HOURS)
    other = params.model_copy(
        update={"topics": params.topics.model_copy(update={"partitions": 2, "transactions": "other", "decisions": "o"})}
    )
    ensure_topics(other)
    ensure_topics(params)
    with pytest.raises(FraudlineError, match="2 partitions"):
        run_worker(params, model_dir=tiny_artifact(tmp_path / "model"))


def test_partitions_that_the_list_lacks_are_said_while_a_worker_runs_until_the_list_has_them(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    params = own_params(tmp_path, kafka.bootstrap, block_hours=HOURS)
    ensure_topics(params)
    with closing(KafkaCardLog(params)) as cards, closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        assert cards.ends([2], settled=True) == {2: 0}
        admin.create_partitions({params.topics.transactions: NewPartitions(5)})
        with pytest.raises(UsageError, match="has 3 partitions and .* has 5"):
            cards.ends([4], settled=False)
        admin.create_partitions({params.topics.blocked_cards: NewPartitions(5)})
        assert cards.ends([4], settled=False) == cards.ends([4], settled=True) == {4: 0}
