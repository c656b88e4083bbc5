"""One sink's courier: a thread that sends what it is given, with patience, a rate and an end to the patience.

    courier = Courier("soc", settings, sink, dead_letters=..., done=..., metrics=...)
    courier.give(group)

What is more than the rate allows, or than ``MOST_WAITING``, is joined into one event: late, but counted exactly, and in
memory that does not grow with the storm.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fraudline.core.clock import SECOND_US, now_us
from fraudline.core.errors import FraudlineError, UnavailableError
from fraudline.core.log import get_logger
from fraudline.decide.routing import Group, TokenBucket
from fraudline.stream.alert_events import event_of, trace_headers
from fraudline.stream.alert_metrics import AlertMetrics
from fraudline.stream.alert_sinks import Sink, SinkSettings, send_once
from fraudline.stream.breaker import backoff_s

log = get_logger(__name__)

MOST_WAITING = 100
"""Groups that wait for a sink; further ones are joined with the newest."""

DeadLetters = Callable[[Mapping[str, Any], Mapping[str, str]], None]
"""Keeps an event that was given up, with its headers. Raises UnavailableError."""


class Courier:
    """Sends groups to one sink, in their order.

    Args:
        name: of the sink.
        settings: its rate and patience.
        sink: takes the events.
        source: of the events.
        dead_letters: takes what the sink does not.
        done: told when a group, or one that was joined with it, needs no further thought.
        metrics: the router's.
    """

    def __init__(
        self,
        name: str,
        settings: SinkSettings,
        sink: Sink,
        *,
        source: str,
        dead_letters: DeadLetters,
        done: Callable[[Group], None],
        metrics: AlertMetrics,
    ) -> None:
        self.settings = settings
        self._name = name
        self._sink = sink
        self._source = source
        self._dead_letters = dead_letters
        self._done = done
        self._metrics = metrics
        metrics.sink(name)
        self._waiting: deque[list[Group]] = deque()
        self._changed = threading.Condition()
        self._ending = self._stopped = False
        self._bucket = TokenBucket(settings.rate, time.monotonic())
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)
        self._thread.start()

    def give(self, group: Group) -> None:
        """Send a group when its turn comes."""
        with self._changed:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append([group])
            else:
                self._waiting[-1].append(group)
            self._metrics.waiting.labels(self._name).set(len(self._waiting))
            self._changed.notify()

    def finish(self) -> None:
        """Send what waits and then end; does not wait for it."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """End after the try in hand; what waits is read again by whoever comes next."""
        with self._changed:
            self._ending = self._stopped = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (groups := self._next()) is not None:
                self._deliver(groups)
        finally:
            self._sink.close()

    def _next(self) -> list[Group] | None:
        """What to send now: one group, or all that wait when the rate held them back."""
        with self._changed:
            held = False
            while not self._stopped:
                wait_s = self._bucket.wait_s(time.monotonic())
                if self._waiting and wait_s == 0:
                    self._bucket.take()
                    found = self._waiting.popleft()
                    if held:
                        found = found + [group for groups in self._waiting for group in groups]
                        self._waiting.clear()
                    self._metrics.waiting.labels(self._name).set(len(self._waiting))
                    return found
                if not self._waiting and self._ending:
                    return None
                held = held or bool(self._waiting)
                self._changed.wait(wait_s if self._waiting else None)
            return None

    def _deliver(self, groups: list[Group]) -> None:
        group = groups[0] if len(groups) == 1 else _joined(groups)
        key = f"{group.route}:{group.id}"
        try:
            event = event_of(group, self._source)
        except Exception as failure:  # of an alert that no worker wrote
            log.exception("alerts.no_event", sink=self._name, key=key)
            self._metrics.failed.labels(self._name).inc()
            error = FraudlineError(f"No event can be made of it: {type(failure).__name__}: {failure}")
            if self._buried(_bare(group), key, error):
                self._finished(groups)
            return
        for attempt in range(self.settings.attempts):
            if attempt and not self._pause(attempt):
                return
            try:
                last = attempt + 1 == self.settings.attempts
                refused = send_once(self._sink, event, key) if last else self._sink.send(event, key)
            except UnavailableError as failure:
                error, final = failure, False
            except FraudlineError as failure:
                error, final = failure, True
            except Exception as failure:  # what nobody thought of is no reason to send nothing more
                log.exception("alerts.sink_broke", sink=self._name)
                error, final = FraudlineError(f"{type(failure).__name__}: {failure}"), True
            else:
                self._metrics.sent.labels(self._name).inc()
                if refused:
                    self._metrics.left_out.labels(self._name).inc(len(refused))
                    log.error("alerts.addresses_refused", sink=self._name, key=key, addresses=refused)
                self._metrics.delay.labels(self._name).observe(max(0, now_us() - group.first.decided_at) / SECOND_US)
                self._finished(groups)
                return
            self._metrics.failed.labels(self._name).inc()
            if final:
                break
            log.warning("alerts.not_sent", sink=self._name, attempt=attempt + 1, problem=error.problem)
        if self._buried(event, key, error):
            self._finished(groups)

    def _pause(self, attempt: int) -> bool:
        """Wait before a try; whether there is still somebody to wait for."""
        deadline = time.monotonic() + backoff_s(attempt - 1, self.settings.first_wait_s, self.settings.most_wait_s)
        with self._changed:
            while not self._stopped and (rest := deadline - time.monotonic()) > 0:
                self._changed.wait(rest)
            return not self._stopped

    def _buried(self, event: Mapping[str, Any], key: str, error: FraudlineError) -> bool:
        """Keep the event as a dead letter, however long the broker is away."""
        headers = {"sink": self._name, "reason": error.problem, "idempotency-key": key, **trace_headers(event)}
        attempt = 0
        while True:
            try:
                self._dead_letters(event, headers)
            except UnavailableError as failure:
                log.warning("alerts.dead_letter_not_kept", sink=self._name, problem=failure.problem)
                attempt += 1
                if not self._pause(attempt):
                    return False
            else:
                self._metrics.dead.labels(self._name).inc()
                log.error("alerts.dead_letter", sink=self._name, key=key, problem=error.problem)
                return True

    def _finished(self, groups: list[Group]) -> None:
        for group in groups:
            self._done(group)


def _bare(group: Group) -> dict[str, Any]:
    """What is kept of a group that no event can be made of."""
    data: dict[str, Any] = {"count": group.count, "transaction_ids": group.members, "summary": "no event could be made"}
    first = msgspec.to_builtins(group.first)
    return {"id": group.id, "type": "", "subject": group.route, "route": group.route, "data": {**data, "first": first}}


def _joined(groups: list[Group]) -> Group:
    """One group of all; the groups themselves stay as they are, because other sinks have them too."""
    first = groups[0]
    whole = Group(first.route, dict(first.key), first.opened, first.newest, first.first, first.last)
    for group in groups:
        whole.join(group)
    return whole
