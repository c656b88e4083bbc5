"""What is asked of kafka-python's private parts, and who has a worker's place; without a broker."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.consumer.subscription_state import SubscriptionState
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaConnectionError
from kafka.structs import OffsetAndMetadata

from fraudline.stream import kafka_client, kafka_group
from fraudline.stream.transport import Connection

PLACE = TopicPartition("t", 0)


def member() -> Any:
    """A group's member with the client's own coordinator and positions, which has been given one partition."""
    positions = SubscriptionState()
    positions.assign_from_user([PLACE])
    coordinator = ConsumerCoordinator.__new__(ConsumerCoordinator)
    coordinator._subscription = positions
    coordinator._net = SimpleNamespace(run=lambda call, *given: asyncio.run(call(*given)))
    coordinator._closed = True
    return SimpleNamespace(_coordinator=coordinator, _subscription=positions)


def test_a_member_begins_at_the_committed_place_with_its_leaders_epoch() -> None:
    consumer = member()

    async def committed(places: set[TopicPartition], timeout_ms: float | None = None) -> dict[Any, OffsetAndMetadata]:
        return {place: OffsetAndMetadata(20, "", 3) for place in places}

    consumer._coordinator.fetch_committed_offsets_async = committed
    kafka_group.keep_epochs(consumer)
    assert consumer._coordinator.refresh_committed_offsets_if_needed(timeout_ms=1_000)
    assert consumer._subscription.assignment[PLACE].position == OffsetAndMetadata(20, "", 3)


def test_a_member_is_sent_to_a_place_with_its_leaders_epoch_if_it_is_its_own() -> None:
    consumer = member()
    for partition in (PLACE, TopicPartition("t", 1)):
        kafka_group.go_on_at(consumer, partition, OffsetAndMetadata(7, "", 2))
    assert {place: state.position for place, state in consumer._subscription.assignment.items()} == {
        PLACE: OffsetAndMetadata(7, "", 2)
    }


def test_the_client_has_what_a_long_replay_calls() -> None:
    assert callable(ConsumerCoordinator.poll_heartbeat)


MEMBERS = [{"group_instance_id": "v", "member_id": "v-1"}, {"group_instance_id": "w", "member_id": "w-1"}]


@pytest.mark.parametrize(
    ("error", "state", "members", "found"),
    [
        (None, "Stable", MEMBERS, "w-1"),
        (None, "Stable", MEMBERS[:1], ""),
        (None, "Dead", [], ""),
        ("[Error 69] GroupIdNotFoundError", "Dead", [], ""),
        ("[Error 14] CoordinatorLoadInProgressError", "", [], None),
    ],
)
def test_who_has_a_workers_place_is_known_only_where_the_groups_coordinator_says_it(
    monkeypatch: pytest.MonkeyPatch, error: str | None, state: str, members: list[dict[str, str]], found: str | None
) -> None:
    described = {"g": {"error": error, "group_state": state, "members": members}}
    admin = SimpleNamespace(describe_groups=lambda _: described, close=lambda: None)
    monkeypatch.setattr(kafka_client, "KafkaAdminClient", lambda **_: admin)
    assert kafka_group.member_of(Connection("127.0.0.1:1", "t", "g", "w")) == found


def test_nobody_says_who_has_a_workers_place_where_no_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: object) -> None:
        raise KafkaConnectionError("no broker")

    monkeypatch.setattr(kafka_client, "KafkaAdminClient", away)
    assert kafka_group.member_of(Connection("127.0.0.1:1", "t", "g", "w")) is None
