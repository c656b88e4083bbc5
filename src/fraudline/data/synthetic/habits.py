"""A normal day: habits, and the honest oddities that look like fraud."""

from dataclasses import replace

import numpy as np

from fraudline.core.clock import DAY_US, HOUR_US, SECOND_US
from fraudline.data.synthetic.rows import RECURRING, Rows, concat, make_rows
from fraudline.data.synthetic.tables import CITIES, TINY
from fraudline.data.synthetic.world import (
    CATEGORY_CODE,
    CITY_TRAVEL,
    HABITS,
    TRAVEL,
    Bools,
    Floats,
    Ints,
    World,
    amounts,
    stream,
)

DEVICES_A_CARD = 64
"""Device numbers of a card are ``card * 64 + generation``; strangers' devices lie above them."""
WEEKDAY = np.array([0.95, 0.92, 0.95, 1.0, 1.15, 1.2, 0.83])
"""Volume by weekday, Monday first."""
MILLISECOND_US = 1000


def normal_day(world: World, day: int) -> Rows:
    """All honest transactions of day ``day`` (0 is the first day of the world), in no order."""
    rng = stream(world.params.seed, HABITS, day)
    weekday = (world.params.start.weekday() + day) % 7
    count = rng.poisson(world.cards.rate * WEEKDAY[weekday])
    away = destinations(world, day)
    parts = [
        _usual(rng, world, day, np.repeat(np.arange(len(count)), count), away),
        _tours(rng, world, day, away),
        _tiny_bursts(rng, world, day),
        _subscriptions(rng, world, day),
    ]
    return concat(parts)


def destinations(world: World, day: int) -> Ints:
    """City in which each card (and partner) is on ``day``: (2, cards) int64, -1 at home."""
    cards = len(world.cards.home)
    away = np.full((2, cards), -1, dtype=np.int64)
    for week in (day // 7 - 1, day // 7):
        rng = stream(world.params.seed, TRAVEL, week + 1)
        for who in range(2):
            goes = rng.random(cards) < world.cards.travel
            city = rng.choice(len(CITIES), size=cards, p=CITY_TRAVEL)
            first = week * 7 + rng.integers(0, 7, cards)
            length = 1 + rng.geometric(0.3, cards).clip(max=7)
            on = goes & (day >= first) & (day < first + length)
            away[who] = np.where(on, city, away[who])
    return away


def device_of(world: World, day: int, card: Ints, second: Bools) -> Ints:
    """The device number that a card's owner uses on ``day``; phones are replaced now and then."""
    cards = world.cards
    generation = ((day + cards.device_phase[card] + 1000) // cards.device_days[card]).astype(np.int64) % 31
    tablet = second & cards.second_device[card]
    return card * DEVICES_A_CARD + generation * 2 + tablet


def _times(rng: np.random.Generator, hour: Floats, spread: Floats, day: int) -> Ints:
    hours = (hour + spread * rng.standard_normal(len(hour))) % 24.0
    hours = np.where(rng.random(len(hour)) < 0.04, rng.random(len(hour)) * 24.0, hours)
    return day * DAY_US + milliseconds(hours * HOUR_US)


def milliseconds(microseconds: Floats) -> Ints:
    """Microseconds cut to whole milliseconds, as networks give them."""
    return (microseconds / MILLISECOND_US).astype(np.int64) * MILLISECOND_US


def _usual(rng: np.random.Generator, world: World, day: int, card: Ints, away: Ints) -> Rows:
    cards, n = world.cards, len(card)
    partner = cards.shared[card] & (rng.random(n) < 0.35)
    city = np.where(partner, away[1][card], away[0][card])
    travelling = city >= 0
    at_work = ~travelling & (rng.random(n) < 0.3)
    base = np.where(at_work, cards.commute[card], cards.home[card])
    online = rng.random(n) < cards.online_share[card]
    loyal = rng.random(n) < cards.loyalty[card]
    place = (
        (rng.random(n)[:, None] > cards.favourite_cumulative[card]).sum(axis=1).clip(max=cards.favourites.shape[1] - 1)
    )
    web = rng.integers(0, cards.online_favourites.shape[1], n) // rng.integers(1, 4, n)
    visited = world.merchants.visit(rng, np.where(travelling, city, base))
    merchant = np.where(loyal & ~travelling & ~at_work, cards.favourites[card, place], visited)
    merchant = np.where(
        online, np.where(loyal, cards.online_favourites[card, web], world.merchants.browse(rng, n)), merchant
    )
    big = np.where(rng.random(n) < 0.006, rng.gamma(3.0, 0.4, n), 0.0)
    device = device_of(world, day, card, rng.random(n) < 0.3)
    guest = rng.random(n) < 0.003
    device = np.where(guest, _stranger(world, rng.integers(0, 1 << 20, n)), device)
    evening = np.where(online, 3.0, 0.0)
    return make_rows(
        world,
        time=_times(rng, cards.hour[card] + evening, cards.hour_spread[card], day),
        card=card,
        merchant=merchant,
        amount=amounts(rng, world, card, merchant, big + np.where(travelling, 0.25, 0.0)),
        contactless=rng.random(n) < cards.contactless_share[card],
        device=device,
    )


def _stranger(world: World, number: Ints) -> Ints:
    return len(world.cards.home) * DEVICES_A_CARD + number


def _tours(rng: np.random.Generator, world: World, day: int, away: Ints) -> Rows:
    """Shopping tours: three to seven purchases in a few hours, some of them large."""
    cards = world.cards
    card = np.flatnonzero(rng.random(len(cards.home)) < 0.0025)
    card = np.repeat(card, rng.integers(3, 8, len(card)))
    n = len(card)
    begin = np.where(np.diff(card, prepend=-1) != 0, 1, 0).cumsum() - 1
    start = 9.0 + 8.0 * rng.random(n)
    hours = start[begin] + 3.0 * rng.random(n)
    online = (rng.random(n) < 0.35)[begin]
    city = np.where(away[0][card] >= 0, away[0][card], cards.home[card])
    merchant = np.where(online, world.merchants.browse(rng, n), world.merchants.visit(rng, city))
    return make_rows(
        world,
        time=day * DAY_US + milliseconds(hours * HOUR_US),
        card=card,
        merchant=merchant,
        amount=amounts(rng, world, card, merchant, 0.35),
        contactless=rng.random(n) < 0.2,
        device=device_of(world, day, card, online & (rng.random(n) < 0.5)[begin]),
    )


def _tiny_bursts(rng: np.random.Generator, world: World, day: int) -> Rows:
    """Games, tickets and downloads: a few small online amounts within minutes, sometimes followed by a larger one."""
    cards = world.cards
    card = np.flatnonzero(rng.random(len(cards.home)) < 0.0015 * (0.4 + 2.0 * cards.online_share))
    repeats = rng.integers(3, 9, len(card))
    card = np.repeat(card, repeats)
    n = len(card)
    begin = np.where(np.diff(card, prepend=-1) != 0, 1, 0).cumsum() - 1
    small = np.flatnonzero(world.merchants.online & np.isin(CATEGORY_CODE[world.merchants.category], TINY))
    weight = world.merchants.popularity[small]
    merchant = rng.choice(small, size=n, p=weight / weight.sum())[begin]
    seconds = rng.random(n)[begin] * 20 * 3600 + rng.exponential(240.0, n) * np.sqrt(n > 0)
    amount = np.round(np.exp(rng.normal(0.6, 0.8, n)) * 100).astype(np.int64).clip(min=50)
    later = rng.random(n) < 0.05
    amount = np.where(later, amounts(rng, world, card, merchant, 0.8), amount)
    return make_rows(
        world,
        time=day * DAY_US + milliseconds(np.minimum(seconds, 86_399.0) * SECOND_US),
        card=card,
        merchant=merchant,
        amount=amount,
        device=device_of(world, day, card, (rng.random(n) < 0.5)[begin]),
    )


def _subscriptions(rng: np.random.Generator, world: World, day: int) -> Rows:
    cards = world.cards
    card, slot = np.nonzero((cards.subscription >= 0) & (cards.subscription_day == day % 30))
    merchant = cards.subscription[card, slot]
    n = len(card)
    rows = make_rows(
        world,
        time=day * DAY_US + milliseconds(rng.uniform(1, 7, n) * HOUR_US),
        card=card,
        merchant=merchant,
        amount=cards.subscription_amount[card, slot],
        device=np.full(n, -1),
    )
    return replace(rows, channel=np.full(n, RECURRING), device=np.full(n, -1))
