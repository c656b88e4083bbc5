"""Where an alert goes, and which alerts go together: pure, on a clock that the caller keeps.

    router = Router([Route(name="merchants", sinks=("soc",), group_by=("merchant_id",), quiet_s=10, most_s=120)])
    router.take(alert, place=(0, 17), now=0.0)
    for group in router.due(now=10.0): ...          # each is one thing to send, however many alerts it holds

A group is open until nothing came for ``quiet_s`` seconds, ``most_s`` at most. So one alert alone waits ``quiet_s``,
and a storm of ten thousand within a minute is one group, whose count is exact and whose members are named as far as
``MOST_MEMBERS`` goes. ``quiet_s: 0`` sends each alert by itself, at once. An alert is anything with the fields of the
message ``Alert``.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fraudline.core.settings import Settings
from fraudline.core.tracing import is_sampled

MOST_MEMBERS = 10_000
"""Transactions that a group names, and cards that it tells apart."""

MOST_EXAMPLES = 10
"""Alerts that a group holds whole: those of the highest score."""

MOST_OPEN = 5_000
"""Groups open at a time; beyond it the oldest is sent early."""

Place = tuple[int, int]
"""Partition and offset of an alert in the topic that it was read from."""

_serial = count()


class Match(Settings):
    """Which alerts: every field that is given must fit; one that is empty fits all.

    Attributes:
        decision: decisions.
        mode: of the worker; alerts of a shadow worker go nowhere unless a route asks for them.
        merchant_id: merchants.
        country: countries.
        channel: channels.
        category: merchant category codes.
        rule: ids of rules, one of which must have matched.
        min_score: lowest score.
    """

    decision: tuple[Literal["review", "block"], ...] = ()
    mode: tuple[Literal["live", "shadow"], ...] = ("live",)
    merchant_id: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    category: tuple[int, ...] = ()
    rule: tuple[str, ...] = ()
    min_score: float | None = None

    def fits(self, alert: Any) -> bool:
        """Whether the alert is one of those."""
        if self.min_score is not None and alert.score < self.min_score:
            return False
        if self.rule and not set(self.rule).intersection(alert.rules):
            return False
        names = ("decision", "mode", "merchant_id", "country", "channel", "category")
        wanted = ((name, getattr(self, name)) for name in names)
        return all(getattr(alert, name) in values for name, values in wanted if values)


class Route(Settings):
    """Where alerts go that fit.

    Attributes:
        name: labels what is sent.
        match: which alerts.
        sinks: names of sinks, each of which gets them.
        group_by: alerts that are equal in these go together; empty groups all alerts of the route.
        quiet_s: a group is sent when nothing came for so long; 0 groups nothing.
        most_s: or so long after its first alert.
        last: whether the routes below are not asked when this one fits.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    match: Match = Match()
    sinks: tuple[str, ...] = Field(min_length=1)
    group_by: tuple[Literal["merchant_id", "card_id", "country", "channel", "category", "decision"], ...] = (
        "merchant_id",
    )
    quiet_s: float = Field(default=10.0, ge=0, le=3_600)
    most_s: float = Field(default=120.0, gt=0, le=86_400)
    last: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.quiet_s > self.most_s:
            raise ValueError("quiet_s is longer than most_s")
        return self


class Rate(Settings):
    """What a sink may be sent: ``burst`` at once, ``per_minute`` in the long run; what is more is sent as one."""

    per_minute: float = Field(gt=0, le=60_000)
    burst: int = Field(default=1, ge=1)


class TokenBucket:
    """Permits by a rate.

    Args:
        rate: how many; None for no limit.
        now: seconds, the caller's clock.
    """

    def __init__(self, rate: Rate | None, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst) if rate is not None else 0.0
        self._at = now

    def wait_s(self, now: float) -> float:
        """Seconds until the next permit; 0 for now."""
        if self._rate is None:
            return 0.0
        per_s = self._rate.per_minute / 60
        self._tokens = min(self._tokens + (now - self._at) * per_s, float(self._rate.burst))
        self._at = now
        return max(0.0, (1.0 - self._tokens) / per_s)

    def take(self) -> None:
        """Use a permit."""
        self._tokens -= 1.0


@dataclass
class Group:
    """Alerts that are sent as one.

    Attributes:
        route: the route's name.
        key: what they have in common, by field.
        opened: when the first came, the caller's clock.
        newest: when the last came.
        count: alerts, exactly.
        first: the first alert.
        last: the last one.
        members: transaction ids, at most ``MOST_MEMBERS``.
        cards: their cards, likewise.
        decisions: alerts by decision.
        amounts: sums in minor units by currency.
        since: by partition of the source, the first offset that it holds.
        worst: score, order and alert of the examples, as a heap.
        traceparent: trace context of the first alert that is traced, else of the first that came with one.
    """

    route: str
    key: dict[str, str]
    opened: float
    newest: float
    first: Any
    last: Any
    count: int = 0
    members: list[str] = field(default_factory=list)
    cards: set[str] = field(default_factory=set)
    decisions: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    since: dict[int, int] = field(default_factory=dict)
    worst: list[tuple[float, int, Any]] = field(default_factory=list)
    traceparent: str = ""

    def add(self, alert: Any, place: Place, now: float, traceparent: str = "") -> None:
        """Take one more alert."""
        self.count += 1
        self.newest = now
        self.last = alert
        if len(self.members) < MOST_MEMBERS:
            self.members.append(alert.transaction_id)
            self.cards.add(alert.card_id)
        self.decisions[alert.decision] += 1
        self.amounts[alert.currency] += alert.amount_minor
        self._since(*place)
        self._example((alert.score, -next(_serial), alert))
        self._trace(traceparent)

    def join(self, other: "Group") -> None:
        """Take all of another group; what the two do not have in common is no longer said."""
        self.key = {name: value for name, value in self.key.items() if other.key.get(name) == value}
        self.route = self.route if self.route == other.route else "several"
        self.count += other.count
        self.newest = max(self.newest, other.newest)
        self.last = other.last
        room = MOST_MEMBERS - len(self.members)
        self.members += other.members[:room]
        self.cards |= set(sorted(other.cards)[: max(0, MOST_MEMBERS - len(self.cards))])
        self.decisions += other.decisions
        self.amounts += other.amounts
        for place in other.since.items():
            self._since(*place)
        for example in other.worst:
            self._example(example)
        self._trace(other.traceparent)

    @property
    def examples(self) -> list[Any]:
        """The alerts of the highest score, the highest first."""
        return [alert for _, _, alert in sorted(self.worst, key=lambda entry: entry[:2], reverse=True)]

    @property
    def id(self) -> str:
        """The same for the same alerts: what a receiver knows a repetition by."""
        parts = (self.route, *sorted(self.key.items()), self.first.transaction_id, self.last.transaction_id, self.count)
        return sha256(repr(parts).encode()).hexdigest()[:32]

    def _since(self, partition: int, offset: int) -> None:
        self.since[partition] = min(offset, self.since.get(partition, offset))

    def _trace(self, traceparent: str) -> None:
        if not self.traceparent or (is_sampled(traceparent) and not is_sampled(self.traceparent)):
            self.traceparent = traceparent

    def _example(self, example: tuple[float, int, Any]) -> None:
        push = heapq.heappush if len(self.worst) < MOST_EXAMPLES else heapq.heappushpop
        push(self.worst, example)


class Router:
    """Sorts alerts into groups by the routes.

    Args:
        routes: asked in their order.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._by_name = {route.name: route for route in routes}
        self._open: dict[tuple[str, ...], Group] = {}
        self._closed: list[Group] = []

    @property
    def open(self) -> Iterable[Group]:
        """The groups that are still open or not yet taken."""
        return [*self._closed, *self._open.values()]

    def take(self, alert: Any, place: Place, now: float, traceparent: str = "") -> int:
        """Sort an alert that came with a trace context, or without; gives the number of routes that it fits."""
        fits = 0
        for route in self._routes:
            if route.match.fits(alert):
                fits += 1
                self._add(route, alert, place, now, traceparent)
                if route.last:
                    break
        return fits

    def due(self, now: float) -> list[Group]:
        """The groups to send now; they are no longer open."""
        for key, group in list(self._open.items()):
            route = self._by_name[group.route]
            if now >= group.newest + route.quiet_s or now >= group.opened + route.most_s:
                self._closed.append(self._open.pop(key))
        found, self._closed = self._closed, []
        return found

    def drain(self) -> list[Group]:
        """Every group, due or not."""
        found = [*self._closed, *self._open.values()]
        self._closed, self._open = [], {}
        return found

    def _add(self, route: Route, alert: Any, place: Place, now: float, traceparent: str) -> None:
        values: dict[str, str] = {name: str(getattr(alert, name)) for name in route.group_by}
        key = (route.name, *values.values())
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = Group(route.name, values, now, now, alert, alert)
        group.add(alert, place, now, traceparent)
        if route.quiet_s == 0 or now >= group.opened + route.most_s:
            self._closed.append(self._open.pop(key))
        elif len(self._open) > MOST_OPEN:
            self._closed.append(self._open.pop(next(iter(self._open))))
