"""The worker of the overlay ``standard`` on a broker that asks for certificates: its rights suffice, others get none.

Users, rules and parameters are those of the manifests; Strimzi would put the same rules into the broker.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from fraudline.core.clock import to_us
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.data.store import write_dataset
from fraudline.steps.params import Params
from fraudline.steps.profiles import profiles
from fraudline.stream.labels import KEEP, send_labels
from fraudline.stream.messages import Label
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import produce
from fraudline.stream.tls import Tls
from fraudline.stream.topic_reader import read_topic
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import TRANSPORTS
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import need_java, read_all
from tests.support.certificates import Authority
from tests.support.guarded import GuardedKafka
from tests.support.kustomize import overlay
from tests.support.stop import StopAfter

pytestmark = pytest.mark.integration
ROWS = 300
_KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
_PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}


def rules(user: dict[str, Any]) -> Iterator[ACL]:
    """The rules that Strimzi makes of a KafkaUser: its name is the common name of its certificate."""
    for rule in user["spec"]["authorization"]["acls"]:
        at = rule["resource"]
        pattern = ResourcePattern(_KINDS[at["type"]], at["name"], _PATTERNS[at["patternType"]])
        for operation in rule["operations"]:
            yield ACL(
                principal=f"User:CN={user['metadata']['name']}",
                host="*",
                operation=ACLOperation[operation.upper()],
                permission_type=ACLPermissionType.ALLOW,
                resource_pattern=pattern,
            )


@pytest.fixture(scope="module")
def stream() -> StreamParams:
    """The worker's own parameters, without the endpoint, on one broker."""
    (config,) = [
        d for d in overlay("standard")
        if d["kind"] == "ConfigMap" and d["metadata"]["name"].startswith("fraudline-worker")
    ]  # fmt: skip
    params = Params.parse(yaml.safe_load(config["data"]["params.yaml"]), "fraudline-worker").stream
    topics = params.topics.model_copy(update={"replication": 1, "partitions": 3})
    changes = {"endpoint": "", "topics": topics, "metrics_port": 0, "worker_id": "fraudline-worker-0"}
    return params.model_copy(update={**changes, "timeout_s": 20.0})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, stream: StreamParams) -> Iterator[GuardedKafka]:
    need_java()
    with GuardedKafka(tmp_path_factory.mktemp("guarded")) as kafka:
        ensure_topics(stream.model_copy(update={"bootstrap": kafka.bootstrap, "tls": Tls()}))
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        users = [document for document in overlay("standard") if document["kind"] == "KafkaUser"]
        admin.create_acls([rule for user in users for rule in rules(user)])
        admin.close()
        yield kafka


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_worker_decides_every_transaction_with_the_rights_of_its_user(
    broker: GuardedKafka, stream: StreamParams, tmp_path: Path, transport: str
) -> None:
    table = generate(GenerateParams(days=3, cards=100, merchants=150, seed=3))[0].slice(0, ROWS)
    before = len(read_all(broker.bootstrap, stream.topics.decisions))
    produce(
        [table],
        bootstrap=broker.guarded,
        topic=stream.topics.transactions,
        transport=transport,
        tls=broker.user("fraudline-payments"),
    )
    waiting = len(read_all(broker.bootstrap, stream.topics.transactions)) - before  # another test may have sent some
    assert waiting >= ROWS
    params = stream.model_copy(
        update={
            "bootstrap": broker.guarded,
            "tls": broker.user("fraudline-worker"),
            "checkpoint_dir": str(tmp_path),
            "transport": transport,
            "dedupe_hours": 0,
        }
    )
    stop = StopAfter(waiting)
    model = tiny_artifact(tmp_path / "model")
    assert run_worker(params, model_dir=model, stop=stop.event, on_batch=stop) == waiting
    assert len(read_all(broker.bootstrap, stream.topics.decisions)) == before + waiting


def test_the_merchant_tables_are_made_with_the_rights_of_their_user(
    broker: GuardedKafka, stream: StreamParams, tmp_path: Path
) -> None:
    transactions, labels, *_ = generate(GenerateParams(days=4, cards=100, merchants=150, seed=4))
    rows = transactions.num_rows // 2
    write_dataset(tmp_path / "data", transactions.slice(0, rows), labels, {})
    guarded = stream.model_copy(update={"bootstrap": broker.guarded})
    payments = broker.user("fraudline-payments")
    produce([transactions.slice(rows)], bootstrap=broker.guarded, topic=stream.topics.transactions, tls=payments)
    ensure_topics(guarded.model_copy(update={"bootstrap": broker.bootstrap, "tls": Tls()}), {"labels": KEEP})
    sender = guarded.model_copy(update={"tls": broker.user("fraudline-labels")})
    send_labels([Label("t1", True, "chargeback", 1, to_us(transactions["event_time"][0].as_py()))], sender)

    params = Params(stream=guarded.model_copy(update={"tls": broker.user("fraudline-profiles")}))
    found = profiles(dataset=tmp_path / "data", profiles=tmp_path / "tables", params=params, topics=True)
    assert found["rows"] > 0
    with pytest.raises(UsageError, match="There is no topic decisions"):  # who may not describe it is told so
        list(read_topic(params.stream, stream.topics.decisions))


def test_nobody_but_the_worker_writes_decisions(broker: GuardedKafka, stream: StreamParams) -> None:
    tls = broker.user("fraudline-payments").kafka_python()
    producer = KafkaProducer(bootstrap_servers=broker.guarded, **tls)
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            producer.send(stream.topics.decisions, b"mine").get(timeout=120)
    finally:
        producer.close(timeout=1)


def test_the_worker_cannot_read_what_it_writes(broker: GuardedKafka, stream: StreamParams) -> None:
    tls = broker.user("fraudline-worker").kafka_python()
    consumer = KafkaConsumer(bootstrap_servers=broker.guarded, group_id=None, consumer_timeout_ms=120_000, **tls)
    try:
        place = TopicPartition(stream.topics.decisions, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        with pytest.raises(TopicAuthorizationFailedError):
            list(consumer)
    finally:
        consumer.close()


def test_a_client_without_a_certificate_or_of_another_authority_stays_outside(
    broker: GuardedKafka, tmp_path: Path
) -> None:
    certificate, key = Authority().write_client("fraudline-payments", tmp_path)
    stranger = Tls(ca=str(broker.folder / "ca.pem"), certificate=str(certificate), key=str(key))
    for tls in (stranger, Tls(ca=str(broker.folder / "ca.pem"))):
        with pytest.raises((KafkaError, UnavailableError)):
            KafkaConsumer(bootstrap_servers=broker.guarded, bootstrap_timeout_ms=3_000, **tls.kafka_python())
