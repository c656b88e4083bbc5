"""Fraud campaigns: five kinds, each overlapping with something honest that :mod:`.habits` also makes.

A campaign of a kind that starts on day ``s`` is made from (seed, kind, s, number) alone, so that any day can be made
without the days before it. How many start a day follows from ``fraud_rate`` by a low-variance schedule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fraudline.core.clock import DAY_US, HOUR_US, SECOND_US
from fraudline.data.synthetic.habits import DEVICES_A_CARD, MILLISECOND_US, destinations, device_of, milliseconds
from fraudline.data.synthetic.rows import KINDS, Rows, concat, make_rows
from fraudline.data.synthetic.tables import CITIES, RESELLABLE
from fraudline.data.synthetic.world import (
    CAMPAIGNS,
    CATEGORY_CODE,
    CITY_LATITUDE,
    CITY_LONGITUDE,
    CITY_TRAVEL,
    TOUCH,
    Bools,
    Ints,
    World,
    amounts,
    stream,
)

TAKEOVER, TESTING, COLLUSION, TRAVELLING, MICRO = range(5)
SIZE = (7.8, 26.2, 92.5, 2.6, 40.0)
"""Frauds that a campaign of each kind makes on average (measured)."""
LONGEST_DAYS = (6, 2, 36, 1, 16)
"""Days that a campaign of each kind can reach."""
MISUSED = (5816, 5818, 4899, 5999, 5942)
"""Categories of shops in which small charges go unnoticed."""
VISITS = 2.5
"""Visits a day of a merchant that cheats: large ones are audited."""
_STRANGER_SPACE = 1 << 30


@dataclass(frozen=True)
class Start:
    """A campaign: its kind, first day and number; ``within_us`` bounds when in the day it starts."""

    kind: int
    day: int
    number: int
    within_us: int = DAY_US

    def stream(self, world: World) -> np.random.Generator:
        """Its random generator."""
        return stream(world.params.seed, CAMPAIGNS, self.kind, self.day + 64, self.number)


def starts_on(world: World, day: int) -> list[Start]:
    """The campaigns that start on ``day``."""
    params = world.params
    frauds = params.fraud_rate * params.cards * params.daily_rate
    mix = np.array([getattr(params.mix, name) for name in KINDS])
    rates = frauds * mix / max(mix.sum(), 1e-12) / np.array(SIZE)
    rates[COLLUSION] /= max(_intensity(world), 1e-12)
    phase = stream(params.seed, CAMPAIGNS, 99).random(len(KINDS))
    day = day + 64
    counts = np.floor(rates * (day + 1) + phase) - np.floor(rates * day + phase)
    return [Start(kind, day - 64, number) for kind, count in enumerate(counts) for number in range(int(count))]


def _intensity(world: World) -> float:
    """How hard a colluding merchant cheats, at most 1: less in a small world, so that it too has one now and then."""
    params = world.params
    share = params.mix.merchant_collusion / max(sum(params.mix.model_dump().values()), 1e-12)
    return float(min(1.0, params.fraud_rate * params.cards * params.daily_rate * share / 2.0))


def fraud_day(world: World, day: int, normal: Rows, forced: list[Start], cache: dict[Start, Rows]) -> Rows:
    """The honest rows of ``day`` with the frauds of all running campaigns put among them.

    Args:
        world: the population.
        day: the day's number.
        normal: its honest rows.
        forced: campaigns to add to the schedule (for a demonstration).
        cache: campaigns already made, by start; filled here.
    """
    running = [s for first in range(day - max(LONGEST_DAYS), day + 1) for s in starts_on(world, first)] + forced
    running = [s for s in running if s.day <= day < s.day + LONGEST_DAYS[s.kind]]
    added: list[Rows] = []
    for start in running:
        if start.kind == TRAVELLING:
            added.append(_impossible_travel(world, start, normal))
        elif start.kind == COLLUSION:
            normal, clones = _collusion(world, start, day, normal)
            added.append(clones)
        else:
            if start not in cache:
                cache[start] = _MAKERS[start.kind](world, start).with_kind(start.kind)
            added.append(cache[start])
    rows = concat([normal, *added])
    return rows.take((rows.time >= day * DAY_US) & (rows.time < (day + 1) * DAY_US))


def _begin(rng: np.random.Generator, start: Start) -> int:
    return start.day * DAY_US + int(rng.random() * start.within_us)


def _victims(rng: np.random.Generator, world: World, count: int) -> Ints:
    weight = world.cards.rate / world.cards.rate.sum()
    return rng.choice(len(weight), size=count, replace=False, p=weight).astype(np.int64)


def weak_shops(world: World, group: int) -> Ints:
    """The few little-known online shops that campaigns of one kind misuse again and again."""
    merchants = world.merchants
    online = np.flatnonzero(merchants.online & np.isin(CATEGORY_CODE[merchants.category], MISUSED))
    by_size = online[np.argsort(merchants.popularity[online], kind="stable")]
    return by_size[group : max(len(by_size) * 2 // 3, 4) : 2][:: max(len(by_size) // 24, 1)][:8]


def _strange_device(rng: np.random.Generator, world: World) -> int:
    return len(world.cards.home) * DEVICES_A_CARD + int(rng.integers(1 << 20, _STRANGER_SPACE))


def _resellable(rng: np.random.Generator, world: World, count: int) -> Ints:
    chosen = np.flatnonzero(world.merchants.online & np.isin(CATEGORY_CODE[world.merchants.category], RESELLABLE))
    weight = world.merchants.popularity[chosen]
    return rng.choice(chosen, size=count, p=weight / weight.sum()).astype(np.int64)


def _takeover(world: World, start: Start) -> Rows:
    """One card's account: a stranger's device (not always), unfamiliar shops, larger amounts, for hours to days."""
    rng = start.stream(world)
    n = 4 + int(rng.poisson(4.0))
    card = np.repeat(_victims(rng, world, 1), n)
    hours = float(np.clip(rng.lognormal(1.2, 1.1), 0.5, 96.0))
    time = _begin(rng, start) + np.sort(rng.random(n)) * hours * HOUR_US
    merchant = np.where(rng.random(n) < 0.7, _resellable(rng, world, n), world.merchants.browse(rng, n))
    at_shops = rng.random(n) < 0.15
    merchant = np.where(at_shops, world.merchants.visit(rng, world.cards.home[card]), merchant)
    own = device_of(world, start.day, card, rng.random(n) < 0.3)
    device = np.where(rng.random() < 0.12, own, _strange_device(rng, world))
    shift = rng.normal(1.7, 0.4) + np.zeros(n)
    return make_rows(
        world,
        time=milliseconds(time),
        card=card,
        merchant=merchant,
        amount=amounts(rng, world, card, merchant, shift),
        device=np.broadcast_to(device, n).copy(),
    )


def _testing(world: World, start: Start) -> Rows:
    """A few stolen cards tried at a weak shop: tiny amounts within minutes, then often a larger one."""
    rng = start.stream(world)
    cards = _victims(rng, world, int(rng.integers(3, 7)))
    device = _strange_device(rng, world)
    weak = int(rng.choice(weak_shops(world, 0)))
    parts = []
    begin = _begin(rng, start)
    for card in cards:
        n = int(rng.integers(3, 8))
        begin += int(rng.exponential(0.5) * HOUR_US)
        time = begin + np.sort(rng.exponential(300.0, n)) * SECOND_US
        cashed = rng.random() < 0.75
        time = np.append(time, time[-1] + rng.lognormal(0.0, 1.2) * HOUR_US)[: n + cashed]
        merchant = np.append(np.full(n, weak), _resellable(rng, world, 1))[: n + cashed]
        owner = np.full(n + cashed, card)
        tiny = np.round(np.exp(rng.normal(0.6, 0.8, n + cashed)) * 100).astype(np.int64).clip(min=50)
        large = amounts(rng, world, owner, merchant, rng.normal(1.3, 0.4))
        parts.append(
            make_rows(
                world,
                time=milliseconds(time),
                card=owner,
                merchant=merchant,
                amount=np.where(np.arange(n + cashed) < n, tiny, large),
                device=np.full(n + cashed, device),
            )
        )
    return concat(parts)


def _micro(world: World, start: Start) -> Rows:
    """Small repeated charges under any fixed limit, at one or two merchants, over days."""
    rng = start.stream(world)
    cards = _victims(rng, world, int(rng.integers(2, 4)))
    shops = rng.choice(weak_shops(world, 1), size=2, replace=False).astype(np.int64)
    price = rng.uniform(5.0, 28.0)
    device = _strange_device(rng, world)
    parts = []
    for card in cards:
        days = int(rng.integers(4, 11))
        n = max(2, int(rng.poisson(2.3 * days)))
        own = rng.random() < 0.4
        owner = np.full(n, card)
        parts.append(
            make_rows(
                world,
                time=milliseconds(_begin(rng, start) + np.sort(rng.random(n)) * days * DAY_US),
                card=owner,
                merchant=shops[rng.integers(0, 2, n) if rng.random() < 0.5 else np.zeros(n, dtype=np.int64)],
                amount=np.round(price * np.exp(rng.normal(0, 0.12, n)) * 100).astype(np.int64),
                device=device_of(world, start.day, owner, np.zeros(n, dtype=bool)) if own else np.full(n, device),
            )
        )
    return concat(parts)


_MAKERS: Mapping[int, Callable[[World, Start], Rows]] = {TAKEOVER: _takeover, TESTING: _testing, MICRO: _micro}


def _impossible_travel(world: World, start: Start, normal: Rows) -> Rows:
    """A copied card is used far away, minutes to hours after an honest use at home."""
    rng = start.stream(world)
    hour = (normal.time - start.day * DAY_US) / HOUR_US
    present = ~world.merchants.online[normal.merchant] & (normal.kind < 0)
    usable = np.flatnonzero(present & (hour < min(20.0, start.within_us / HOUR_US)))
    if not len(usable):
        return normal.take(usable)
    index = int(usable[rng.integers(0, len(usable))])
    seen = world.merchants.city[normal.merchant[index]]
    apart = np.hypot(CITY_LATITUDE - CITY_LATITUDE[seen], (CITY_LONGITUDE - CITY_LONGITUDE[seen]) * 0.65)
    weight = np.where(apart > 3.0, CITY_TRAVEL + 0.5 / len(CITIES), 0.0)
    city = int(rng.choice(len(CITIES), p=weight / weight.sum()))
    n = 1 + int(rng.poisson(1.6))
    delay = float(np.clip(rng.lognormal(-0.5, 0.8), 0.1, 6.0)) + np.sort(rng.random(n)) * 0.7
    card = np.full(n, normal.card[index])
    merchant = world.merchants.visit(rng, np.full(n, city))
    rows = make_rows(
        world,
        time=np.minimum(normal.time[index] + milliseconds(delay * HOUR_US), (start.day + 1) * DAY_US - MILLISECOND_US),
        card=card,
        merchant=merchant,
        amount=amounts(rng, world, card, merchant, 1.1),
        device=np.full(n, -1),
    )
    return rows.with_kind(TRAVELLING)


def _collusion(world: World, start: Start, day: int, normal: Rows) -> tuple[Rows, Rows]:
    """A merchant inflates some of its visitors' amounts and charges some known cards again, for weeks."""
    rng = start.stream(world)
    merchants = world.merchants
    honest = np.isin(CATEGORY_CODE[merchants.category], (6011, 4111)) | merchants.online
    distance = np.abs(np.log(np.maximum(world.visits, 1e-3) / VISITS)) + np.where(honest, 1e3, 0.0)
    merchant = int(rng.choice(np.argsort(distance, kind="stable")[: max(merchants.physical // 12, 5)]))
    pool = _regulars(rng, world, merchant)
    if day >= start.day + int(rng.integers(18, LONGEST_DAYS[COLLUSION] + 1)):
        return normal, normal.take(np.zeros(0, dtype=np.int64))
    touch = stream(world.params.seed, TOUCH, start.day + 64, start.number, day + 64)
    visit = (normal.merchant == merchant) & (normal.kind < 0) & (touch.random(len(normal)) < 0.6 * _intensity(world))
    factor = np.exp(touch.normal(1.0, 0.35, len(normal)))
    inflated = replace(
        normal,
        amount=np.where(visit, np.round(normal.amount * factor).astype(np.int64), normal.amount),
        kind=np.where(visit, COLLUSION, normal.kind),
    )
    n = int(touch.poisson(1.1 * _intensity(world)))
    card = pool[touch.integers(0, len(pool), n)]
    at_home = destinations(world, day)[0][card] < 0
    card = card[at_home]
    where = np.full(len(card), merchant)
    clones = make_rows(
        world,
        time=day * DAY_US + milliseconds(np.clip(touch.normal(15, 3.5, len(card)), 0, 23.9) * HOUR_US),
        card=card,
        merchant=where,
        amount=amounts(touch, world, card, where, 0.9),
        contactless=touch.random(len(card)) < 0.3,
        device=np.full(len(card), -1),
    )
    return inflated, clones.with_kind(COLLUSION)


def _regulars(rng: np.random.Generator, world: World, merchant: int) -> Ints:
    fans: Bools = (world.cards.favourites == merchant).any(axis=1)
    pool = np.flatnonzero(fans)
    if len(pool) < 5:
        near = np.flatnonzero(world.cards.home == world.merchants.city[merchant])
        pool = np.concatenate([pool, rng.choice(near, size=20)]) if len(near) else _victims(rng, world, 20)
    return pool
