"""Creates the worker's topics where they are missing."""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fraudline.core.clock import DAY_US
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.stream.params import StreamParams
from fraudline.stream.tls import BROKER, RIGHTS

log = get_logger(__name__)

_MOCK_CLUSTER = "mockCluster"
_DEAD_LETTER_BYTES = 4 << 20
_HEADERS_BYTES = 64 << 10
_DAY_MS = DAY_US // 1000


def ensure_topics(params: StreamParams, wanted: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, int]:
    """Create the topics that are missing; an existing one stays as it is.

    ``decisions`` is the audit trail: it is kept for ``topics.decisions_days``, however large it grows.
    ``transactions`` and ``decisions`` carry the broker's time of append, which latency is measured by. A dead letter
    carries a record as it came plus headers, so its topic takes larger records than any other.

    Args:
        params: broker, partitions and replication.
        wanted: topics and their settings; those of the worker where nothing is given.

    Returns:
        Partitions a topic.

    Raises:
        UnavailableError: the broker does not answer, or refuses.
    """
    wanted = _wanted(params) if wanted is None else wanted
    with params.tls.explained(params.bootstrap):
        found = _confluent(params, wanted) if params.transport == "confluent" else _kafka_python(params, wanted)
    log.debug("topics.ready", **{name.replace(".", "_"): count for name, count in found.items()})
    return found


def retention_days(params: StreamParams, topic: str) -> float | None:
    """After how many days a topic's records are deleted; None for never, 0 where its size decides.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with params.tls.explained(params.bootstrap), _asking(params, "The topic cannot be asked") as admin:
        (found,) = admin.describe_configs([resource], config_filter="all").values()
    if not found[topic]:  # the client leaves out the broker's reason
        problem = f"There is no topic {topic}, or this client's user may not ask how long it is kept."
        raise UsageError(problem, "Name the worker's --params, or give the user the right DescribeConfigs.")
    return _days({name: config["value"] for name, config in found[topic].items()})


def _days(settings: dict[str, str]) -> float | None:
    if "delete" not in settings["cleanup.policy"]:
        return 0.0  # compacted: a record lasts until the next of its key
    if int(settings["retention.bytes"]) >= 0:
        return 0.0
    kept_ms = int(settings["retention.ms"])
    return None if kept_ms < 0 else kept_ms / _DAY_MS


def _wanted(params: StreamParams) -> Mapping[str, Mapping[str, str]]:
    topics = params.topics
    append_time = {"message.timestamp.type": "LogAppendTime"}
    kept = {"retention.ms": str(topics.decisions_days * _DAY_MS), "retention.bytes": "-1"}
    outputs: dict[str, dict[str, str]] = {topics.decisions: {**append_time, **kept}, topics.alerts: {}}
    if params.block_hours:
        outputs |= {topics.blocked_cards: {"cleanup.policy": "compact"}, topics.card_actions: {"retention.ms": "-1"}}
    if params.stage == "features":
        outputs = {topics.features: append_time}
    return {
        topics.transactions: {**append_time, "max.message.bytes": str(topics.record_bytes)},
        **outputs,
        topics.dead_letters: {"max.message.bytes": str(max(_DEAD_LETTER_BYTES, topics.record_bytes + _HEADERS_BYTES))},
    }


def alert_topics(params: StreamParams, sinks: Collection[str] = ()) -> Mapping[str, Mapping[str, str]]:
    """The alert router's, and those of its sinks: an event names up to 10,000 transactions, and they hold it whole."""
    whole = {"max.message.bytes": str(_DEAD_LETTER_BYTES)}
    return {params.topics.alerts: {}, params.topics.alert_dead_letters: whole, **dict.fromkeys(sinks, whole)}


def _kafka_python(params: StreamParams, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    from kafka.errors import AuthorizationError, TopicAlreadyExistsError

    try:
        with _asking(params, "Topics cannot be made") as admin:
            missing = set(wanted) - set(admin.list_topics())
            for name in sorted(missing):
                options = {
                    "num_partitions": params.topics.partitions,
                    "replication_factor": params.topics.replication,
                    "configs": dict(wanted[name]),
                }
                try:
                    admin.create_topics({name: options})
                except TopicAlreadyExistsError:
                    log.debug("topic.exists", name=name)  # another worker was quicker
            admin.wait_for_topics(list(wanted))
            return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(wanted))}
    except UnavailableError as error:
        if isinstance(error.__cause__, AuthorizationError):
            raise _may_not(wanted) from error
        raise


@contextlib.contextmanager
def _asking(params: StreamParams, problem: str) -> Iterator[Any]:
    """A client that asks the broker about topics, and waits for each answer as long as the worker does.

    Raises:
        UnavailableError: the broker does not answer, or refuses.
    """
    from kafka.errors import KafkaError

    from fraudline.stream.kafka_client import asking

    try:
        with contextlib.closing(asking(params.bootstrap, params.tls, int(params.timeout_s * 1000))) as admin:
            yield admin
    except KafkaError as error:
        raise UnavailableError(f"{problem}: {type(error).__name__}: {error}.", BROKER) from error


def _confluent(params: StreamParams, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    from confluent_kafka import KafkaError, KafkaException, Producer
    from confluent_kafka.admin import AdminClient

    settings = {"bootstrap.servers": params.bootstrap, "log_level": 2, **params.tls.librdkafka()}
    try:
        admin = AdminClient(settings)
        cluster = admin.list_topics(timeout=params.timeout_s)
        if str(cluster.cluster_id).startswith(_MOCK_CLUSTER):
            # The mock creates a topic when a producer asks for it, and knows no other way.
            asker = Producer(settings)
            return {name: len(asker.list_topics(name, params.timeout_s).topics[name].partitions) for name in wanted}
        _create(admin, params, {name: wanted[name] for name in set(wanted) - set(cluster.topics)})
        return _seen(admin, wanted, params.timeout_s)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            raise _may_not(wanted) from error
        raise UnavailableError(f"Topics cannot be made: {error.args[0]}.", BROKER) from error


def _may_not(wanted: Collection[str]) -> UnavailableError:
    named = ", ".join(sorted(wanted))
    return UnavailableError(f"Not all of {named} are there, or this client's user may not see or make them.", RIGHTS)


def _seen(admin: Any, wanted: Collection[str], wait_s: float) -> dict[str, int]:
    """Partitions a topic, once the broker's metadata, which follow a creation a moment later, have them all."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        topics = admin.list_topics(timeout=wait_s).topics
        found = {name: len(topics[name].partitions) for name in wanted if name in topics}
        if len(found) == len(wanted) and all(found.values()):
            return found
        time.sleep(0.05)
    raise UnavailableError("The topics were made but do not appear.", BROKER)


def _create(admin: Any, params: StreamParams, missing: Mapping[str, Mapping[str, str]]) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    if not missing:
        return
    new = [
        NewTopic(name, params.topics.partitions, params.topics.replication, config=dict(config))
        for name, config in missing.items()
    ]
    for future in admin.create_topics(new, request_timeout=params.timeout_s).values():
        try:
            future.result()  # comes when the request ends or its time is over
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
