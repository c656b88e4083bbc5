"""Dead letters on a real broker, through the command line."""

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import confluent_kafka
import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from fraudline.cli.main import cli
from fraudline.core.errors import UsageError
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream.dead_letter_topic import Replayed, read_letters, replay_letters
from fraudline.stream.messages import encode
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import TRANSPORTS, Output, open_sender
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.stop import StopAfter
from tests.unit.stream.fakes import GOOD

pytestmark = pytest.mark.integration

DOLLARS = msgspec.structs.replace(GOOD, currency="USD")
POISON = [b"\xff{", b'{"transaction_id": 5}', encode(GOOD).replace(b"EUR", b"XXX"), b"y" * (2 << 20)]


@pytest.fixture
def params(kafka: LocalKafka, tmp_path: Path) -> StreamParams:
    """Settings of a stream whose log holds one good record and four bad ones, not yet read."""
    params = own_params(tmp_path, kafka.bootstrap)
    topics = params.topics.model_copy(update={"record_bytes": 4 << 20})
    params = params.model_copy(update={"topics": topics})
    ensure_topics(params)
    with closing(open_sender("kafka-python", kafka.bootstrap)) as sender:
        for number, value in enumerate([encode(DOLLARS), *POISON]):
            sender.send(Output(topics.transactions, b"card-%d" % number, value, (("trace", b"%d" % number),)))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"stream": params.model_dump(mode="json")}))
    return params


def send_compressed(params: StreamParams, value: bytes) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": params.bootstrap, "compression.type": "gzip", "message.max.bytes": 16 << 20}
    )
    producer.produce(params.topics.transactions, value, b"card")
    assert producer.flush(10) == 0


def test_a_letter_whose_record_came_compressed_is_sent_again_as_others_are(kafka: LocalKafka, tmp_path: Path) -> None:
    params = own_params(tmp_path, kafka.bootstrap, partitions=1)
    ensure_topics(params)
    large = b"{" + b"y" * (3 << 20)
    send_compressed(params, large)
    work(params, tmp_path, 1)
    assert replay_letters(params) == Replayed(1, 0)
    assert [record.value for record in read_all(kafka.bootstrap, params.topics.transactions)] == [large, large]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_record_whose_letter_is_larger_than_its_topic_takes_stops_no_other(
    kafka: LocalKafka, tmp_path: Path, transport: str
) -> None:
    """A few compressed kilobytes are enough: the limit of a topic is that of what it stores."""
    params = own_params(tmp_path, kafka.bootstrap, transport=transport, partitions=1, recoveries=1)
    ensure_topics(params)
    second = msgspec.structs.replace(GOOD, transaction_id="t-1")
    for value in (encode(GOOD), b"{" + b"y" * (6 << 20), encode(second)):
        send_compressed(params, value)
    work(params, tmp_path, 3)
    (letter,) = read_letters(params)
    assert (letter.source_offset, letter.cut_from) == (1, (6 << 20) + 1)
    assert len(read_all(kafka.bootstrap, params.topics.decisions)) == 2


def work(params: StreamParams, folder: Path, records: int, model: Path | None = None) -> None:
    stop = StopAfter(records)
    entry = model or tiny_artifact(folder / "model")
    assert run_worker(params, model_dir=entry, stop=stop.event, on_batch=stop) == records


def dlq(params: StreamParams, *arguments: str) -> Result:
    file = Path(params.checkpoint_dir).parent / "params.yaml"
    return CliRunner().invoke(cli, ["dlq", *arguments, "--params", str(file)])


def sent_again(params: StreamParams) -> list[tuple[bytes, bytes]]:
    records = read_all(params.bootstrap, params.topics.transactions)
    return [(r.key, r.value) for r in records if "replayed" in dict(r.headers)]


def test_letters_are_listed_with_reason_and_place_and_shown_whole(params: StreamParams, tmp_path: Path) -> None:
    work(params, tmp_path, 5)
    said = json.loads(dlq(params, "list", "--json").stdout)
    assert said["total"] == 4
    assert said["reasons"]["currency"] == 1
    source = {(r.partition, r.offset): r.value for r in read_all(params.bootstrap, params.topics.transactions)}
    assert {source[letter["partition"], letter["offset"]] for letter in said["letters"]} >= set(POISON)
    only = json.loads(dlq(params, "list", "--json", "--reason", "currency").stdout)["letters"]
    assert [letter["reason"] for letter in only] == ["currency: expected one that the feature spec knows, got 'XXX'"]
    shown = dlq(params, "show", only[0]["letter"], "--raw")
    assert (shown.exit_code, shown.stdout_bytes) == (0, POISON[2])
    assert "currency" in dlq(params, "list").stdout
    assert "XXX" in dlq(params, "show", only[0]["letter"]).stdout


@pytest.mark.parametrize("place", ["0:999999", "77:0", "x"])
def test_a_letter_that_is_not_there_is_wrong_usage(params: StreamParams, place: str) -> None:
    result = dlq(params, "show", place)
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2


def test_letters_are_sent_again_exactly_once_also_in_parts(params: StreamParams, tmp_path: Path) -> None:
    work(params, tmp_path, 5)
    assert json.loads(dlq(params, "replay", "--json", "--dry-run").stdout)["left"] == 4
    assert sent_again(params) == []
    first = json.loads(dlq(params, "replay", "--json", "--limit", "1").stdout)
    rest = json.loads(dlq(params, "replay", "--json").stdout)
    assert (first, rest) == ({"sent": 1, "left": 0}, {"sent": 3, "left": 0})
    assert json.loads(dlq(params, "replay", "--json", "--dry-run").stdout)["left"] == 0
    assert json.loads(dlq(params, "replay", "--json").stdout) == {"sent": 0, "left": 0}
    assert Counter(value for _, value in sent_again(params)) == Counter(POISON)
    keys = {value: key for key, value in sent_again(params)}
    assert [keys[value] for value in POISON] == [b"card-1", b"card-2", b"card-3", b"card-4"]
    work(params, tmp_path, 4)
    again = json.loads(dlq(params, "list", "--json").stdout)["letters"]
    assert len(again) == 8, "what is still wrong becomes a new dead letter"


def test_one_letter_can_be_sent_again_more_than_once_and_its_event_is_decided_once(
    params: StreamParams, tmp_path: Path
) -> None:
    narrow = params.model_copy(update={"checkpoint_dir": ""})
    spec = load_spec()
    currencies = {code: rate for code, rate in spec.currencies.items() if code != "USD"}
    spec = FeatureSpec.parse({**spec.model_dump(), "currencies": currencies}, "test")
    model = tiny_artifact(tmp_path / "narrow", spec=spec)
    work(narrow, tmp_path, 5, model)  # this model knows no dollar: the good record is a dead letter
    letters = json.loads(dlq(params, "list", "--json", "--reason", "'USD'").stdout)["letters"]
    assert len(letters) == 1
    for _ in range(2):
        assert json.loads(dlq(params, "replay", "--json", "--letter", letters[0]["letter"]).stdout)["sent"] == 1
    assert len(sent_again(params)) == 2
    work(narrow, tmp_path, 2)  # the packaged specification does
    decided = [json.loads(r.value)["transaction_id"] for r in read_all(params.bootstrap, params.topics.decisions)]
    assert decided == [GOOD.transaction_id]
