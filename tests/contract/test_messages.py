"""The written interface is what goes over the wire, and last version's messages are still understood."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from docs.generate import FOLDER
from jsonschema import Draft202012Validator

from fraudline.core.errors import MessageError
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.stream.batch import Judge
from fraudline.stream.decoding import Decoder
from fraudline.stream.feature_events import FeatureWriter
from fraudline.stream.interface import MESSAGES, asyncapi, schemas
from fraudline.stream.messages import encode
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.transport import Output
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.compatibility import breaking_changes
from tests.support.stop import StopAfter
from tests.unit.stream.fakes import GOOD, FakeTransport, log_of, record
from tests.unit.stream.test_partition import TRANSACTIONS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
VERSIONS = sorted(folder.name for folder in FIXTURES.iterdir())
SPEC = load_spec()
READ = {"transaction", "label"}


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / "schemas" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def outputs_of(folder: Path, stage: str) -> list[Output]:
    """What a worker writes on good and bad records."""
    model = tiny_artifact(folder / "m", review=0.38, block=0.45)
    artifact, params = load_artifact(model), StreamParams(checkpoint_dir="")
    log = [*log_of(TRANSACTIONS), record(60, b"\xff")]
    transport = FakeTransport({0: log})
    deciding = Judge(artifact, InProcessScoring(artifact), params, "p1")
    worker = Worker(
        params=params,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(SPEC),
        judge=deciding if stage == "decide" else FeatureWriter(artifact, params),
        transport=transport,
        metrics=StreamMetrics("fraud"),
    )
    stop = StopAfter(len(log))
    worker.run(stop.event, stop)
    return transport.outputs


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Output]:
    """What a worker that decides writes."""
    return outputs_of(tmp_path_factory.mktemp("model"), "decide")


@pytest.mark.parametrize(("topic", "name"), [("decisions", "decision"), ("alerts", "alert")])
def test_what_a_worker_writes_is_what_its_schema_says(written: list[Output], topic: str, name: str) -> None:
    values = [output.value for output in written if output.topic == topic]
    check = validator(name)
    assert values
    for value in values:
        assert list(check.iter_errors(json.loads(value))) == []


def test_a_dead_letter_has_the_headers_that_its_message_requires(written: list[Output]) -> None:
    letters = [output for output in written if output.topic == "transactions.dlq"]
    schema = asyncapi(StreamParams())["components"]["messages"]["deadLetter"]["headers"]
    assert len(letters) == 1
    headers = {name: value.decode() for name, value in letters[0].headers}
    assert list(Draft202012Validator(schema).iter_errors(headers)) == []


def test_an_event_of_features_is_what_its_message_says_and_holds_every_feature(tmp_path: Path) -> None:
    message = asyncapi(StreamParams())["components"]["messages"]["featureEvent"]
    events = [output for output in outputs_of(tmp_path, "features") if output.topic == "features"]
    assert len(events) == len(TRANSACTIONS)
    for event in events:
        headers, value = {name: each.decode() for name, each in event.headers}, json.loads(event.value or b"")
        assert list(Draft202012Validator(message["headers"]).iter_errors(headers)) == []
        assert headers["ce_type"] == message["headers"]["properties"]["ce_type"]["description"]
        assert list(Draft202012Validator(message["payload"]).iter_errors(value)) == []
        assert value.keys() == {"transaction_id", *SPEC.names}


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": ""},
        {"transaction_id": 5},
        {"event_time": 5},
        {"event_time": "2026-01-01"},
        {"amount_minor": -1},
        {"amount_minor": 10**15},
        {"amount_minor": 1.5},
        {"currency": "EURO"},
        {"channel": "fax"},
        {"card_present": "yes"},
        {"country": "Germany"},
        {"latitude": 91},
        {"merchant_id": None},
    ],
    ids=str,
)
def test_the_schema_and_the_decoder_refuse_the_same_transactions(change: dict[str, Any]) -> None:
    decoder, check = Decoder(SPEC.currencies), validator("transaction")
    good = json.loads(encode(GOOD))
    assert list(check.iter_errors(good)) == []
    decoder.decode(json.dumps(good).encode())
    bad = {**good, **change}
    assert list(check.iter_errors(bad))
    with pytest.raises(MessageError):
        decoder.decode(json.dumps(bad).encode())


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = asyncapi(StreamParams())

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found = document
                for part in value["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {name for name in StreamParams().topics.model_dump().values() if isinstance(name, str)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MESSAGES)
def test_messages_of_an_earlier_version_are_still_understood(version: str, name: str) -> None:
    lines = (FIXTURES / version / f"{name}.jsonl").read_bytes().splitlines()
    check, decoder = validator(name), msgspec.json.Decoder(MESSAGES[name])
    assert len(lines) >= 5
    for line in lines:
        message = decoder.decode(line)
        said = json.loads(line)
        assert {field: said[field] for field in said} == {
            field: value for field, value in json.loads(msgspec.json.encode(message)).items() if field in said
        }
        if name in READ:
            assert list(check.iter_errors(said)) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MESSAGES)
def test_no_schema_has_changed_so_that_a_program_of_an_earlier_version_breaks(version: str, name: str) -> None:
    old = json.loads((FIXTURES / version / f"{name}.schema.json").read_text())
    assert breaking_changes(old, schemas()[name], written_by="others" if name in READ else "worker") == []


def changed(name: str, change: Callable[[dict[str, Any]], object]) -> tuple[dict[str, Any], dict[str, Any]]:
    old = schemas()[name]
    new = copy.deepcopy(old)
    change(new["$defs"][MESSAGES[name].__name__])
    return old, new


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("transaction", lambda s: s["required"].append("country"), "country is now required"),
        ("transaction", lambda s: s["properties"]["category"].update(type="string"), "category was"),
        ("transaction", lambda s: s["properties"]["card_id"].update(maxLength=64), "maxLength was 128"),
        ("transaction", lambda s: s["properties"]["channel"]["enum"].remove("atm"), "values were"),
        ("decision", lambda s: s["properties"].pop("threshold"), "threshold is gone"),
        ("decision", lambda s: s["required"].remove("score"), "score may now be missing"),
        ("alert", lambda s: s["properties"]["offset"].update(type="string"), "offset was"),
    ],
)
def test_a_change_that_breaks_a_program_is_refused(
    name: str, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    old, new = changed(name, change)
    found = breaking_changes(old, new, written_by="others" if name in READ else "worker")
    assert any(problem in line for line in found), found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("transaction", lambda s: s["properties"].update(note={"type": "string"})),
        ("transaction", lambda s: s["properties"]["channel"]["enum"].append("fax")),
        ("transaction", lambda s: s["required"].remove("category")),
        ("decision", lambda s: (s["properties"].update(note={"type": "string"}), s["required"].append("note"))),
    ],
)
def test_a_change_that_only_adds_is_compatible(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    old, new = changed(name, change)
    assert breaking_changes(old, new, written_by="others" if name in READ else "worker") == []
