"""The alert router: reads the topic ``alerts``, groups, and hands on to the sinks' couriers, at least once.

    run_router(params, Path("alerts.yaml"), stop=stop_on_signals())

An offset is committed when every alert below it was delivered to all of its sinks or kept as a dead letter, so a router
that is killed sends some of them again, under the idempotency keys that they had. The routing file is looked at once a
second: a change holds from the next alert on; a file that is wrong is refused with a line, and the one in use goes on.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from pydantic import model_validator

from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings, content_of
from fraudline.core.tracing import carried
from fraudline.decide.routing import Group, Route, Router
from fraudline.stream.alert_courier import Courier
from fraudline.stream.alert_metrics import AlertMetrics
from fraudline.stream.alert_senders import open_sink
from fraudline.stream.alert_sinks import Sink, SinkSettings
from fraudline.stream.decoding import UNREADABLE
from fraudline.stream.kafka_client import translated
from fraudline.stream.kafka_group import Rebalances, keep_epochs, keep_joining, let_go, subscribe
from fraudline.stream.kafka_sender import KafkaPythonSender
from fraudline.stream.leader_epochs import LeaderEpochs
from fraudline.stream.messages import Alert
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_reader import client_settings
from fraudline.stream.transport import Output, missing_topic

log = get_logger(__name__)

_POLL_MS = 200
_JOIN_MS = 2_000
_MOST_RECORDS = 2_000
_TICK_S = 1.0
_STOP_S = 5.0
_AGAIN_S = 2.0


class Routing(Settings):
    """A routing file: sinks by name, and routes in the order in which they are asked."""

    sinks: dict[str, SinkSettings]
    routes: tuple[Route, ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = [route.name for route in self.routes]
        if not names:
            raise ValueError("there is no route")
        if len(set(names)) != len(names):
            raise ValueError("a route is named twice")
        unknown = sorted({sink for route in self.routes for sink in route.sinks} - set(self.sinks))
        if unknown:
            raise ValueError(f"a route names the sink {unknown[0]}, which is not there")
        return self


def run_router(
    params: StreamParams,
    file: Path,
    *,
    stop: threading.Event,
    metrics: AlertMetrics | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> int:
    """Send alerts on until ``stop`` is set.

    Args:
        params: broker, topics, and the worker's group, from which the router's own is named.
        file: the routing file.
        stop: ends the router; groups that are still open are read again by the next.
        metrics: where to count; its own by default.
        host: address of ``/metrics``, ``/readyz`` and ``/livez``.
        port: their port; 0 for none of them.

    Returns:
        Alerts read.

    Raises:
        UsageError: the routing file is wrong at the start, or the port is taken.
        UnavailableError: the broker does not answer at the start, or a topic is not there.
    """
    metrics = metrics or AlertMetrics()
    metrics.serve(host, port)
    with contextlib.closing(metrics), contextlib.closing(AlertRouter(params, file, metrics)) as router:
        while not stop.is_set():
            try:
                router.step()
            except UnavailableError as error:
                metrics.readiness.waits("broker", error.problem)
                log.warning("alerts.broker_away", problem=error.problem)
                stop.wait(_AGAIN_S)
            else:
                metrics.readiness.goes_on("broker")
        return router.total


class _Ledger:
    """What is not yet delivered: the lowest offset of each partition that must be read again after a crash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Group, int]] = {}

    def add(self, group: Group, deliveries: int) -> None:
        with self._lock:
            self._open[id(group)] = (group, deliveries)

    def done(self, group: Group) -> None:
        with self._lock:
            known, deliveries = self._open[id(group)]
            if deliveries > 1:
                self._open[id(group)] = (known, deliveries - 1)
            else:
                del self._open[id(group)]

    def since(self) -> Iterator[Mapping[int, int]]:
        with self._lock:
            yield from [group.since for group, _ in self._open.values()]


class AlertRouter:
    """Use :func:`run_router`."""

    def __init__(self, params: StreamParams, file: Path, metrics: AlertMetrics) -> None:
        self.total = 0
        self._params, self._file, self._metrics = params, file, metrics
        self._decoder = msgspec.json.Decoder(Alert)
        self._ledger = _Ledger()
        self._couriers: dict[str, Courier] = {}
        self._problem = ""
        self._positions: dict[int, int] = {}
        self._taken: dict[int, range] = {}
        self._committed: dict[int, int] = {}
        self._epochs = LeaderEpochs()
        self._ticked = 0.0
        self._content = content_of(self._file)
        self._routing = self._parsed(self._content)
        self._router = Router(self._routing.routes)
        self._dead: KafkaPythonSender | None = None
        self._lock = threading.Lock()
        self._staff(self._opened(self._routing))
        self._listener = Rebalances()
        self._revoked = 0
        metrics.readiness.waits("group", "the router has not joined its group")
        with translated():
            self._consumer: Any = KafkaConsumer(
                group_id=f"{params.group}-alerts",
                session_timeout_ms=int(params.session_timeout_s * 1000),
                heartbeat_interval_ms=int(params.session_timeout_s * 1000 / 5),
                **client_settings(params),
            )
            keep_epochs(self._consumer)
            subscribe(self._consumer, params.topics.alerts, self._listener)
            self._check_topics()

    def _check_topics(self) -> None:
        for topic in (self._params.topics.alerts, self._params.topics.alert_dead_letters):
            if not self._consumer.partitions_for_topic(topic):
                self.close()
                raise missing_topic(topic)

    def step(self) -> None:
        """Read, sort, hand on, and commit what is done.

        Raises:
            UnavailableError: the broker does not answer.
        """
        now = time.monotonic()
        tick = now - self._ticked >= _TICK_S
        if tick:
            self._ticked = now
            self._reload()
        with translated(), let_go(self._consumer):
            keep_joining(self._consumer)
            # a join that is cut short leaves a member behind, which the group waits for until its session ends
            timeout_ms = _POLL_MS if self._consumer.assignment() else _JOIN_MS
            found = self._consumer.poll(timeout_ms=timeout_ms, max_records=_MOST_RECORDS)
        self._forget_lost()
        for place, records in found.items():
            for record in records:
                self._take(record, time.monotonic())
            self._positions[place.partition] = records[-1].offset + 1
            self._epochs.note(place.partition, records[-1].offset + 1, records[-1].leader_epoch)
        for group in self._router.due(time.monotonic()):
            self._hand_on(group)
        self._metrics.grouped.set(sum(1 for _ in self._router.open))
        if tick:
            if self._consumer.assignment():
                self._metrics.readiness.goes_on("group")
            self._commit()

    def close(self) -> None:
        """Stop the couriers, commit what they delivered, and leave."""
        for courier in self._couriers.values():
            courier.stop(_STOP_S)
        with contextlib.suppress(KafkaError, FraudlineError):
            self._commit()
        with contextlib.suppress(KafkaError):
            self._consumer.close(autocommit=False)
        if self._dead is not None:
            with contextlib.suppress(FraudlineError):
                self._dead.close()

    def _take(self, record: Any, now: float) -> None:
        if record.offset in self._taken.get(record.partition, ()):
            return
        self.total += 1
        self._metrics.read.inc()
        try:
            alert = self._decoder.decode(record.value or b"")
        except UNREADABLE as error:
            self._metrics.bad.inc()
            log.warning("alerts.unreadable", partition=record.partition, offset=record.offset, problem=str(error))
            return
        place = record.partition, record.offset
        if not self._router.take(alert, place, now, carried(record.headers)):
            self._metrics.unrouted.inc()

    def _hand_on(self, group: Group) -> None:
        route = next((route for route in self._routing.routes if route.name == group.route), None)
        sinks = dict.fromkeys(route.sinks) if route is not None else {}
        if sinks:
            self._ledger.add(group, len(sinks))
        for sink in sinks:
            self._couriers[sink].give(group)

    def _forget_lost(self) -> None:
        """After a rebalance, forget where lost partitions stood: who owns them next begins at what was committed.

        What was taken and not committed stands in an open group or with a courier, or is done: where a partition comes
        back, it is passed over. Below what was committed nothing comes back: that is another log, and is taken.
        """
        if self._listener.count != self._revoked:
            self._revoked = self._listener.count
            for partition, position in self._positions.items():
                before = self._taken.get(partition, range(0))
                first = self._committed.get(partition, before.start)
                self._taken[partition] = range(first, max(position, before.stop))
            owned = {place.partition for place in self._consumer.assignment()}
            kept, self._listener.lost = owned - self._listener.lost, frozenset()  # there the client reads on
            self._positions = {partition: at for partition, at in self._positions.items() if partition in kept}
            self._committed.clear()

    def _commit(self) -> None:
        owned = {place.partition for place in self._consumer.assignment()}
        safe = {partition: offset for partition, offset in self._positions.items() if partition in owned}
        for since in [*self._ledger.since(), *(group.since for group in self._router.open)]:
            for partition, offset in since.items():
                if partition in safe:
                    safe[partition] = min(safe[partition], offset)
        moved = {partition: offset for partition, offset in safe.items() if self._committed.get(partition) != offset}
        if not moved:
            return
        topic = self._params.topics.alerts
        with translated():
            self._consumer.commit(
                {
                    TopicPartition(topic, partition): OffsetAndMetadata(
                        offset, "", self._epochs.before(partition, offset)
                    )
                    for partition, offset in moved.items()
                }
            )
        self._committed |= moved

    def _parsed(self, content: bytes) -> Routing:
        return Routing.parse_yaml(content, str(self._file))

    def _reload(self) -> None:
        """Take a changed routing file; a wrong one changes nothing."""
        try:
            content = content_of(self._file)
            if content == self._content:
                self._metrics.refused.set(0)
                self._problem = ""
                return
            routing = self._parsed(content)
            opened = self._opened(routing)
        except UsageError as error:
            self._metrics.refused.set(1)
            if error.problem != self._problem:
                log.error("alerts.routing_refused", problem=error.problem, action=error.action)
            self._problem = error.problem
            return
        self._metrics.refused.set(0)
        self._content, self._problem = content, ""
        for group in self._router.drain():
            self._hand_on(group)
        self._routing, self._router = routing, Router(routing.routes)
        self._staff(opened)
        log.info("alerts.routing_changed", file=str(self._file), routes=len(routing.routes))

    def _opened(self, routing: Routing) -> dict[str, Sink]:
        """The sinks that a routing file adds or changes.

        Raises:
            UsageError: one cannot be what its settings say.
        """
        known = {name: courier.settings for name, courier in self._couriers.items()}
        changed = [(name, settings) for name, settings in routing.sinks.items() if known.get(name) != settings]
        return {name: open_sink(settings, self._params) for name, settings in changed}

    def _staff(self, opened: Mapping[str, Sink]) -> None:
        """A courier for each sink that was opened; one whose settings changed sends what it has and ends."""
        for name, courier in list(self._couriers.items()):
            if self._routing.sinks.get(name) != courier.settings:
                courier.finish()
                del self._couriers[name]
        for name, sink in opened.items():
            self._couriers[name] = Courier(
                name,
                self._routing.sinks[name],
                sink,
                source=f"/fraudline/{self._params.group}",
                dead_letters=self._bury,
                done=self._ledger.done,
                metrics=self._metrics,
            )

    def _bury(self, event: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        encoded = tuple((name, text.encode(errors="replace")) for name, text in headers.items())
        output = Output(
            self._params.topics.alert_dead_letters, event["subject"].encode(), json.dumps(event).encode(), encoded
        )
        with self._lock:
            try:
                if self._dead is None:
                    self._dead = KafkaPythonSender(self._params.bootstrap, self._params.tls)
                self._dead.send(output)
                self._dead.flush()
            except UnavailableError:
                self._dead = None
                raise
