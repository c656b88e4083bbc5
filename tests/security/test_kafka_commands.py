"""Each command at a broker with passwords and rules, with the rights that the how-to names and no other."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from fraudline.cli.main import cli
from fraudline.core.errors import FraudlineError
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream.params import StreamParams, Topics
from fraudline.stream.tls import Tls
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.broker import need_java
from tests.support.guarded import GuardedKafka

pytestmark = pytest.mark.integration

PAGE = Path("docs/how-to/secure.md").read_text()
ROWS: dict[tuple[str, ...], list[tuple[str, str, str]]] = {
    tuple(re.findall(r"`([^`]+)`", commands)): re.findall(r"(topic|group|transactional id) `([^`]+)` ([\w, ]+)", rights)
    for commands, rights in re.findall(r"^\| (`.+?) \| (topic .+) \|$", PAGE, re.MULTILINE)
}
KINDS = {
    "topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional id": ResourceType.TRANSACTIONAL_ID
}  # fmt: skip
OPERATIONS = {
    "Read": ACLOperation.READ, "Write": ACLOperation.WRITE, "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS
}  # fmt: skip
ALERT = {"id": "a", "type": "fraudline.alert.v1", "subject": "c-1", "route": "all", "data": {"transaction_id": "t"}}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    """With every topic of the worker, a dead letter, an alert that no sink took, and a decision."""
    need_java()
    with GuardedKafka(tmp_path_factory.mktemp("commands")) as kafka:
        plain = StreamParams(bootstrap=kafka.bootstrap, block_hours=1.0, topics=Topics(partitions=1))
        ensure_topics(plain)
        ensure_topics(plain, {plain.topics.alert_dead_letters: {}})
        came = {"reason": b"value: bad", "topic": b"transactions", "partition": b"0", "offset": b"0"}
        kept = {"sink": b"hook", "reason": b"away", "idempotency-key": b"all:a"}
        with closing(open_sender(plain.transport, kafka.bootstrap)) as sender:
            sender.send(Output(plain.topics.dead_letters, b"c-1", b"{", tuple(came.items())))
            sender.send(Output(plain.topics.alert_dead_letters, b"c-1", json.dumps(ALERT).encode(), (*kept.items(),)))
            sender.send(Output(plain.topics.decisions, b"c-1", b'{"transaction_id": "t", "decision": "allow"}'))
        yield kafka


def params_file(folder: Path, broker: GuardedKafka, tls: Tls) -> Path:
    (folder / "master").write_text("ab" * 32)
    keys = {"card_keys": str(folder / "keys.db"), "card_keys_master": str(folder / "master")}
    stream = StreamParams(bootstrap=broker.with_password, tls=tls, timeout_s=6.0, **keys)
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({"stream": stream.model_dump(mode="json")}))
    return file


def grant(broker: LocalKafka, user: str, rights: list[tuple[str, str, str]]) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_acls(
            [
                ACL(f"User:{user}", "*", OPERATIONS[each], ACLPermissionType.ALLOW, ResourcePattern(KINDS[kind], name))
                for kind, name, operations in rights
                for each in operations.split(", ")
            ]
        )


def run(command: str, folder: Path, params: Path) -> Result:
    trail = folder / "trail"
    routing = folder / "alerts.yaml"
    sink = {"kind": "webhook", "url": "http://127.0.0.1:9/", "secret": {"env": "NONE"}}
    route = {"name": "all", "sinks": ["hook"]}
    routing.write_text(yaml.safe_dump({"sinks": {"hook": sink}, "routes": [route]}))
    given = {
        "dlq show": ["0:0"],
        "alerts dead-letters show": ["0:0"],
        "alerts dead-letters replay": [str(routing)],
        "audit export": ["--now", "-o", str(trail)],
        "audit show": ["t", "--store", str(folder / "none")],
        "audit verify --topic": [str(trail)],
        "audit erase": ["--card", "c-1", "--why", "request 17", "--by", "ada"],
    }
    return CliRunner().invoke(cli, [*command.split(), *given.get(command, []), "--params", str(params)])


@pytest.mark.parametrize("commands", ROWS, ids=" and ".join)
def test_a_command_does_its_work_with_the_rights_that_the_how_to_names(
    broker: GuardedKafka, tmp_path: Path, commands: tuple[str, ...]
) -> None:
    user = f"u{list(ROWS).index(commands)}"
    file = params_file(tmp_path, broker, broker.add_user(user, "a password"))
    if commands == ("audit verify --topic",):  # the trail of another who may export
        grant(broker, "exporter", ROWS["audit export", "audit show"])
        exporter = params_file(tmp_path, broker, broker.add_user("exporter", "a password"))
        assert run("audit export", tmp_path, exporter).exit_code == 0
        file = params_file(tmp_path, broker, broker.add_user(user, "a password"))
    for command in commands:
        refused = run(command, tmp_path, file)
        assert isinstance(refused.exception, FraudlineError), (command, refused.output, refused.exception)
    grant(broker, user, ROWS[commands])
    for command in commands:
        result = run(command, tmp_path, file)
        written_anew = command == "alerts dead-letters replay" and "were not taken" in str(result.exception)
        assert result.exit_code == 0 or written_anew, (command, result.output, result.exception)
