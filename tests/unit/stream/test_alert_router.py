"""The alert router's offsets, on a client whose rebalances come when they are told to."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from fraudline.stream import alert_router
from fraudline.stream.alert_metrics import AlertMetrics
from fraudline.stream.alert_router import AlertRouter
from fraudline.stream.params import StreamParams

PLACE = TopicPartition("alerts", 0)
FILE = """
sinks: {soc: {kind: webhook, url: "http://127.0.0.1:9", secret: {env: HOOK_SECRET}}}
routes: [{name: all, sinks: [soc]}]
"""


class Client:
    """Gives what each of ``polls`` returns, and keeps what is committed."""

    def __init__(self, *polls: Callable[["Client"], dict[TopicPartition, list[Any]]]) -> None:
        self.polls: Iterator[Any] = iter(polls)
        self.committed: list[tuple[int, int]] = []
        self._coordinator = SimpleNamespace(rejoining=False)
        self._subscription = SimpleNamespace()

    def subscribe(self, _: list[str], listener: Any) -> None:
        self.listener = listener

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def poll(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        return next(self.polls)(self)  # type: ignore[no-any-return]

    def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed.append((offsets[PLACE].offset, offsets[PLACE].leader_epoch))

    def close(self, **_: Any) -> None:
        pass


def test_a_partition_that_was_lost_is_committed_from_where_its_next_owner_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that was frozen for longer than its session: the other one went on to 30 meanwhile."""

    def records(*offsets: int) -> dict[TopicPartition, list[Any]]:
        same = {"partition": 0, "value": b"", "headers": (), "leader_epoch": 3}
        return {PLACE: [SimpleNamespace(offset=each, **same) for each in offsets]}

    def again(client: Client) -> dict[TopicPartition, list[Any]]:
        client.listener.on_partitions_lost({PLACE})
        client.listener.on_partitions_assigned({PLACE})
        return {}

    client = Client(lambda _: records(8, 9), again, lambda _: records(30))
    monkeypatch.setattr(alert_router, "KafkaConsumer", lambda **_: client)
    monkeypatch.setattr(alert_router, "_TICK_S", 0.0)
    monkeypatch.setenv("HOOK_SECRET", "not a real key")
    (tmp_path / "alerts.yaml").write_text(FILE)
    with closing(AlertRouter(StreamParams(), tmp_path / "alerts.yaml", AlertMetrics())) as router:
        for _ in range(3):
            router.step()
    assert client.committed == [(10, 3), (31, 3)]
