"""A card is erased on a real broker: nothing that is kept names it any more, and the chain still verifies."""

import json
import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.clock import now, now_us
from fraudline.core.errors import UsageError
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.ops.local.kafka import LocalKafka
from fraudline.steps import audit
from fraudline.steps.params import Params
from fraudline.stream.card_topic import actions, block_cards, listed, unblock_cards
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.dead_letter_topic import read_letters, replay_letters
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from fraudline.stream.worker import run_worker
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_tables
from tests.support.stop import StopAfter
from tests.support.stored import stored_artifact
from tests.support.workers import send_table

pytestmark = pytest.mark.integration

ROWS = 900


def with_keys(folder: Path, kafka: LocalKafka) -> StreamParams:
    (folder / "master").write_text("ab" * 32)
    keys = {"card_keys": str(folder / "keys.db"), "card_keys_master": str(folder / "master")}
    return own_params(folder, kafka.bootstrap, block_hours=1.0, **keys)


def work(stream: StreamParams, entry: Path, records: int) -> None:
    stop = StopAfter(records)
    assert run_worker(stream, model_dir=entry, stop=stop.event, on_batch=stop) == records


def decisions_of(stream: StreamParams) -> dict[str, Decision]:
    found = [msgspec.json.decode(r.value, type=Decision) for r in read_all(stream.bootstrap, stream.topics.decisions)]
    return {decision.transaction_id: decision for decision in found}


def kept_bytes(stream: StreamParams, trail: Path) -> bytes:
    """All that is kept of decisions, dead letters and actions: keys, values and headers, and exported files."""
    parts = [
        part
        for topic in (stream.topics.decisions, stream.topics.dead_letters, stream.topics.card_actions)
        for record in read_all(stream.bootstrap, topic)
        for part in (record.key, record.value, *(value for _, value in record.headers))
    ]
    tables = [pq.read_table(path).to_pylist() for path in trail.glob("*.parquet")]
    return b"".join(part or b"" for part in parts) + repr(tables).encode()


def names(kept: bytes, card: str) -> bool:
    """Whether something names a card; a digest may have its characters by chance."""
    return re.search(rb"(?<![0-9a-zA-Z])" + re.escape(card.encode()) + rb"(?![0-9a-zA-Z])", kept) is not None


def held_in_state(stream: StreamParams) -> bytes:
    store = CheckpointStore(Path(stream.checkpoint_dir), group=stream.group, topic=stream.topics.transactions)
    loaded = [store.load(partition) for partition in range(stream.topics.partitions)]
    return b"".join(bytes(checkpoint.state) for checkpoint in loaded if checkpoint is not None)


def test_an_erased_card_is_in_nothing_that_is_kept_and_begins_anew_when_it_comes_again(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    stream = with_keys(tmp_path, kafka)
    params, trail, store = Params(stream=stream), tmp_path / "trail", tmp_path / "artifacts"
    ensure_topics(stream)
    entry = stored_artifact(tmp_path)
    table = small_tables()[0].slice(5_000, ROWS)
    cards = table["card_id"].to_pylist()
    card = max(set(cards), key=cards.count)
    mine = [i for i, c in zip(table["transaction_id"].to_pylist(), cards, strict=True) if c == card]
    first, again = table.slice(0, ROWS - 100), table.slice(ROWS - 100)
    assert card in again["card_id"].to_pylist()
    value = b'{"transaction_id": "bad", "card_id": "%s"}' % card.encode()
    bad = Output(stream.topics.transactions, card.encode(), value, (("customer", card.encode()),))
    send_table(stream, first)
    with closing(open_sender("kafka-python", stream.bootstrap)) as sender:
        sender.send(bad)
    work(stream, entry, first.num_rows + 1)

    before = decisions_of(stream)
    audit.export(out=trail, params=params, until=now() + timedelta(days=1))
    assert not names(kept_bytes(stream, trail), card)
    assert card.encode() in held_in_state(stream)
    assert len({before[i].card_id for i in mine if i in before}) == 1  # its decisions can still be joined
    shown = audit.show(transaction_id=mine[0], params=params, store=store, source=trail)
    assert shown["card"]["card_id"] == card
    assert [(letter.value, letter.headers) for letter in read_letters(stream)] == [(bad.value, bad.headers)]
    assert replay_letters(stream).sent == 1  # and is refused again: one more letter
    work(stream, entry, 1)

    block_cards(stream, [card], now_us() + 3_600_000_000, by="ada", why="seen")
    assert card in {entry.card_id for entry in listed(stream)}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"stream": stream.model_dump(mode="json")}))
    given = ["--card", "-", "--why", "request 17", "--by", "ada", "--params", str(tmp_path / "params.yaml"), "--json"]
    said = CliRunner().invoke(cli, ["audit", "erase", *given], input=f"{card}\n", catch_exceptions=False)
    result = json.loads(said.stdout)
    assert result["key_destroyed"]
    assert card not in {entry.card_id for entry in listed(stream)}
    assert result["pseudonym"] == before[mine[0]].card_id
    send_table(stream, again)
    work(stream, entry, again.num_rows + 1)

    assert (
        "was erased" in audit.show(transaction_id=mine[0], params=params, store=store, source=trail)["card"]["missing"]
    )
    assert [letter.value == bad.value for letter in read_letters(stream)] == [False, False]
    assert replay_letters(stream).left == 1
    assert audit.verify(folder=trail, params=params)["whole"]
    assert not names(kept_bytes(stream, trail), card)

    after = decisions_of(stream)
    came_again = [i for i in mine if i in again["transaction_id"].to_pylist()]
    assert {after[i].card_id for i in came_again}.isdisjoint({before[mine[0]].card_id})
    begins_anew(card, table, again, after)


def begins_anew(card: str, table: pa.Table, again: pa.Table, after: dict[str, Decision]) -> None:
    """The card's features are those of a card that comes for the first time, every other card's are as they were."""
    rows = [n for n, c in enumerate(again["card_id"].to_pylist()) if c == card]
    alone = again.take(pa.array(rows))
    expected = FeatureEngine(load_spec()).advance(columns_from_table(alone))
    got = np.array([after[i].features for i in alone["transaction_id"].to_pylist()], np.float32)
    assert got.tobytes() == expected.tobytes()  # the state knows nothing of what came before the erasure
    others = set(again["transaction_id"].to_pylist()) - set(alone["transaction_id"].to_pylist())
    whole = FeatureEngine(load_spec()).advance(columns_from_table(table))
    at = {i: n for n, i in enumerate(table["transaction_id"].to_pylist())}
    assert all(np.float32(after[i].features).tobytes() == whole[at[i]].tobytes() for i in others)


def test_the_trail_of_the_list_says_who_did_what_to_a_card_until_it_is_erased_and_then_to_whom_no_more(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    stream, until = with_keys(tmp_path, kafka), now_us() + 3_600_000_000
    ensure_topics(stream)
    block_cards(stream.model_copy(update={"card_keys": ""}), ["of old"], until, by="bob", why="before there were keys")
    block_cards(stream, ["c-4711", "c-4712"], until, by="ada", why="seen")
    unblock_cards(stream, ["c-4711"], by="ada", why="found again")
    with pytest.raises(UsageError, match="reason names the card"):
        block_cards(stream, ["c-4711"], until, by="ada", why="c-4711 was seen")

    def said() -> list[tuple[str, str, str]]:
        """The trail; what one command did has one time and no order."""
        lines = sorted(actions(stream), key=lambda line: (line.at, line.card_id))
        return [(line.card_id, line.action, line.by) for line in lines]

    whole = [
        ("of old", "block", "bob"), ("c-4711", "block", "ada"), ("c-4712", "block", "ada"), ("c-4711", "unblock", "ada")
    ]  # fmt: skip
    assert said() == whole
    assert b"c-47" not in kept_bytes(stream, tmp_path)
    with pytest.raises(UsageError, match="reason names the card"):
        audit.erase(card="c-4712", params=Params(stream=stream), by="ada", why="request 18 for c-4712")
    no_worker = Params(stream=stream.model_copy(update={"block_hours": 0.0}))  # the list is purged all the same
    pseudonym = audit.erase(card="c-4712", params=no_worker, by="ada", why="request 18")["pseudonym"]
    erased = [(pseudonym if card == "c-4712" else card, *rest) for card, *rest in whole]
    assert sorted(said()) == sorted(erased)
    assert [entry.card_id for entry in listed(stream)] == ["of old"]


def test_without_keys_nothing_can_be_erased(kafka: LocalKafka, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have no keys"):
        audit.erase(card="c", params=Params(stream=own_params(tmp_path, kafka.bootstrap)), by="a", why="b")
