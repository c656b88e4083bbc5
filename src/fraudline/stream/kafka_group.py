"""A member of a consumer group on kafka-python 3: what the client forgets, says to nobody, or must be asked for."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import FencedInstanceIdError, KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from fraudline.core.log import get_logger
from fraudline.stream.kafka_client import asking
from fraudline.stream.transport import Connection

log = get_logger(__name__)

_ASK_MS = 5_000
_NO_GROUP = "Dead"
"""Kafka's word for a group that it does not know; newer brokers say an error beside it."""


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts rebalances. Called on the client's own thread, so it does nothing else.

    Attributes:
        count: how many there were.
        lost: partitions that another may own already.
    """

    def __init__(self) -> None:
        self.count = 0
        self.lost: frozenset[int] = frozenset()

    def on_partitions_revoked(self, revoked: object) -> None:
        """See the base."""
        self.count += 1

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """See the base."""
        self.lost |= {place.partition for place in lost}
        self.count += 1

    def on_partitions_assigned(self, assigned: object) -> None:
        """See the base."""
        self.count += 1


def subscribe(consumer: Any, topic: str, listener: ConsumerRebalanceListener) -> None:
    """Subscribe to an existing topic, and know its partitions before the group is joined.

    A leader that does not know the topic yet assigns nothing of it, and static members keep that for good.
    """
    consumer.subscribe([topic], listener=listener)
    consumer.partitions_for_topic(topic)


def keep_epochs(consumer: Any) -> None:
    """Have a group's member begin at a committed place with its leader's epoch, and so look whether the log was cut.

    The client reads the epoch and forgets it.
    """
    coordinator, positions = consumer._coordinator, consumer._subscription  # noqa: SLF001 - nothing public does it

    async def refresh(timeout_ms: float | None = None) -> bool:
        missing = set(positions.missing_fetch_positions())
        try:
            places = await coordinator.fetch_committed_offsets_async(missing, timeout_ms=timeout_ms)
        except KafkaTimeoutError:
            return False
        for partition, place in places.items():
            positions.seek(partition, place)
        return True

    coordinator.refresh_committed_offsets_if_needed_async = refresh


def go_on_at(consumer: Any, partition: TopicPartition, place: OffsetAndMetadata) -> None:
    """Seek with the leader's epoch; nothing where it is no longer assigned: its next owner begins where it should."""
    with suppress(KeyError):
        consumer._subscription.seek(partition, place)  # noqa: SLF001 - what is public takes no epoch


def keep_joining(consumer: Any) -> None:
    """Call before each poll of a group's member: a join that outlasted one poll goes on in the next.

    The client goes on only while it sees a reason to join. Where the reason was new metadata, the leader's own
    assignment takes it away, and the answer that arrives is never read: the member heartbeats no more, and fetches
    nothing of what it owns.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - nothing public says it
    if coordinator.rejoining:
        coordinator.request_rejoin()


@contextmanager
def let_go(consumer: Any) -> Iterator[None]:
    """Poll within it: records that cannot be read are asked for again.

    The client keeps what it failed to read, and would look for the next record there, forever.
    """
    try:
        yield
    except Exception:
        unread = consumer._fetcher._next_partition_records  # noqa: SLF001 - nothing public says it
        if unread is not None:
            unread.drain()
        raise


def member_of(connection: Connection) -> str | None:
    """The id of the member that has this worker's place in the group; empty where none has, None where nobody says."""
    with suppress(KafkaError), closing(asking(connection.bootstrap, connection.tls, _ASK_MS)) as admin:
        group = admin.describe_groups([connection.group])[connection.group]
        if group["error"] and group["group_state"] != _NO_GROUP:  # its coordinator is loading, or elsewhere
            return None
        places = {member["group_instance_id"]: str(member["member_id"]) for member in group["members"]}
        return places.get(connection.worker_id, "")
    return None


def is_silent(consumer: Any) -> bool:
    """Whether a member has stopped its heartbeats: all that the client does when the broker says that it is fenced."""
    coordinator = consumer._coordinator  # noqa: SLF001 - nothing public says it
    return bool(coordinator.stable() and not coordinator._heartbeat_enabled)  # noqa: SLF001


def refuse_the_fenced(consumer: Any) -> None:
    """Ask the broker, by a heartbeat, whether another member has taken this one's place in the group.

    Raises:
        FencedInstanceIdError: it has.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - nothing public asks it
    if coordinator.stable():
        try:
            coordinator._net.run(coordinator._send_heartbeat_request)  # noqa: SLF001
        except FencedInstanceIdError:
            raise
        except KafkaError as error:  # what else there is, the next poll meets too
            log.debug("transport.heartbeat_refused", error=str(error))
