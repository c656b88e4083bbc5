"""The population: cards with habits, merchants with places. It depends on the seed and the sizes only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fraudline.data.params import GenerateParams
from fraudline.data.synthetic.tables import CASH, CATEGORIES, CITIES, SUBSCRIBED

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FAVOURITES = 12
ONLINE_FAVOURITES = 6
SUBSCRIPTIONS = 3

CITY_LATITUDE = np.array([c.latitude for c in CITIES])
CITY_LONGITUDE = np.array([c.longitude for c in CITIES])
CITY_HOME = np.array([c.home for c in CITIES]) / sum(c.home for c in CITIES)
CITY_TRAVEL = np.array([c.travel for c in CITIES]) / sum(c.travel for c in CITIES)
CATEGORY_CODE = np.array([c.code for c in CATEGORIES], dtype=np.int16)
CATEGORY_MU = np.log([c.amount for c in CATEGORIES])
CATEGORY_SPREAD = np.array([c.spread for c in CATEGORIES])

# streams of random numbers: (seed, stream, ...) never meets another stream
WORLD, HABITS, TRAVEL, CAMPAIGNS, LABELS, TOUCH = range(1, 7)


def stream(seed: int, *key: int) -> np.random.Generator:
    """The random generator of one stream; the same key gives the same numbers in every process."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *key])))


@dataclass(frozen=True)
class Merchants:
    """Struct of arrays, one slot a merchant; physical ones are sorted by city: ``[first[c], first[c+1])``."""

    category: Ints
    city: Ints
    online: Bools
    latitude: Floats
    longitude: Floats
    price: Floats
    popularity: Floats
    first: Ints
    cumulative: Floats
    online_cumulative: Floats
    number: Ints

    @property
    def physical(self) -> int:
        """How many merchants have a place; the slots after them are online."""
        return int(self.first[-1])

    def visit(self, rng: np.random.Generator, city: Ints) -> Ints:
        """A physical merchant of each city of (n,), by popularity."""
        low = np.where(self.first[city] > 0, self.cumulative[self.first[city] - 1], 0.0)
        high = self.cumulative[self.first[city + 1] - 1]
        chosen = np.searchsorted(self.cumulative, low + rng.random(len(city)) * (high - low), side="right")
        return np.clip(chosen, self.first[city], self.first[city + 1] - 1)

    def browse(self, rng: np.random.Generator, size: int | tuple[int, int]) -> Ints:
        """Online merchants by popularity."""
        chosen = np.searchsorted(self.online_cumulative, rng.random(size), side="right")
        return self.physical + np.minimum(chosen, len(self.online_cumulative) - 1)


@dataclass(frozen=True)
class Cards:
    """Struct of arrays, one slot a card."""

    home: Ints
    scale: Floats
    rate: Floats
    hour: Floats
    hour_spread: Floats
    online_share: Floats
    contactless_share: Floats
    loyalty: Floats
    favourites: Ints
    online_favourites: Ints
    favourite_cumulative: Floats
    travel: Floats
    commute: Ints
    shared: Bools
    device_days: Floats
    device_phase: Floats
    second_device: Bools
    subscription: Ints
    subscription_day: Ints
    subscription_amount: Ints


@dataclass(frozen=True)
class World:
    """Everything that does not change from day to day; ``visits`` are expected loyal visits a day, by merchant."""

    params: GenerateParams
    merchants: Merchants
    cards: Cards
    visits: Floats


def make_world(params: GenerateParams) -> World:
    """The population of ``params.seed``, ``params.cards`` and ``params.merchants``."""
    merchants = _make_merchants(stream(params.seed, WORLD, 1), params.merchants)
    cards = _make_cards(stream(params.seed, WORLD, 2), params, merchants)
    weight = np.diff(cards.favourite_cumulative, axis=1, prepend=0.0)
    loyal = (cards.rate * (1 - cards.online_share) * cards.loyalty)[:, None] * weight
    visits = np.zeros(params.merchants)
    np.add.at(visits, cards.favourites, loyal)
    return World(params, merchants, cards, visits)


def _make_merchants(rng: np.random.Generator, count: int) -> Merchants:
    share = np.array([c.merchants for c in CATEGORIES])
    category = rng.choice(len(CATEGORIES), size=count, p=share / share.sum())
    online = rng.random(count) < np.array([c.online for c in CATEGORIES])[category]
    cities = len(CITIES)
    weight = CITY_HOME + 0.5 * CITY_TRAVEL
    city = rng.choice(cities, size=count, p=weight / weight.sum())
    city[:cities], online[:cities] = np.arange(cities), False  # every city has a merchant
    category[:cities] = np.where(
        np.array([c.online for c in CATEGORIES])[category[:cities]] == 1.0, 0, category[:cities]
    )
    traffic = np.array([c.traffic for c in CATEGORIES])[category]
    popularity = traffic / (1.0 + rng.permutation(count)) ** 0.75
    order = np.lexsort((np.arange(count), city, online))
    category, city, online, popularity = category[order], city[order], online[order], popularity[order]
    physical = int(np.count_nonzero(~online))
    tail = np.cumsum(popularity[physical:])
    latitude = np.round(CITY_LATITUDE[city] + rng.normal(0, 0.05, count), 3)
    longitude = np.round(CITY_LONGITUDE[city] + rng.normal(0, 0.08, count), 3)
    return Merchants(
        category=category,
        city=city,
        online=online,
        latitude=latitude,
        longitude=longitude,
        price=rng.normal(0, 0.3, count),
        popularity=popularity,
        first=np.searchsorted(city[:physical], np.arange(cities + 1)),
        cumulative=np.cumsum(popularity[:physical]),
        online_cumulative=tail / tail[-1],
        number=rng.permutation(count),
    )


def _make_cards(rng: np.random.Generator, params: GenerateParams, merchants: Merchants) -> Cards:
    n = params.cards
    home = rng.choice(len(CITIES), size=n, p=CITY_HOME)
    rate = rng.lognormal(0.0, 0.6, n)
    weights = rng.dirichlet(np.full(FAVOURITES, 0.7), n)
    favourites = merchants.visit(rng, np.repeat(home, FAVOURITES)).reshape(n, FAVOURITES)
    commute = np.where(rng.random(n) < 0.3, _neighbours()[home], home)
    subscribed = np.flatnonzero(np.isin(CATEGORY_CODE[merchants.category], SUBSCRIBED) & merchants.online)
    weight = merchants.popularity[subscribed]
    subscription = rng.choice(subscribed, size=(n, SUBSCRIPTIONS), p=weight / weight.sum())
    amount = CATEGORY_MU[merchants.category[subscription]] + rng.normal(-0.2, 0.5, (n, SUBSCRIPTIONS))
    return Cards(
        home=home,
        scale=rng.normal(0, 0.35, n),
        rate=rate / rate.mean() * params.daily_rate * 0.93,
        hour=rng.normal(14.5, 2.5, n),
        hour_spread=rng.uniform(2.0, 5.0, n),
        online_share=rng.beta(2.0, 5.0, n),
        contactless_share=rng.beta(3.0, 2.0, n),
        loyalty=rng.beta(7.0, 3.0, n),
        favourites=favourites,
        online_favourites=merchants.browse(rng, (n, ONLINE_FAVOURITES)),
        favourite_cumulative=np.cumsum(weights, axis=1),
        travel=rng.beta(1.0, 12.0, n),
        commute=commute,
        shared=rng.random(n) < 0.025,
        device_days=rng.uniform(120, 900, n),
        device_phase=rng.uniform(0, 900, n),
        second_device=rng.random(n) < 0.3,
        subscription=np.where(rng.random((n, SUBSCRIPTIONS)) < 0.45, subscription, -1),
        subscription_day=rng.integers(0, 30, (n, SUBSCRIPTIONS)),
        subscription_amount=np.maximum(99, np.round(np.exp(amount)).astype(np.int64) * 100 - 1),
    )


def _neighbours() -> Ints:
    """The nearest other home city of each city, where one is within reach of a daily commute; else the city."""
    apart = np.hypot(CITY_LATITUDE[:, None] - CITY_LATITUDE, (CITY_LONGITUDE[:, None] - CITY_LONGITUDE) * 0.65)
    apart[:, CITY_HOME == 0] = np.inf
    np.fill_diagonal(apart, np.inf)
    near = apart.argmin(axis=1)
    return np.where(apart.min(axis=1) < 0.8, near, np.arange(len(CITIES)))


def is_cash(merchants: Merchants, merchant: Ints) -> Bools:
    """Which of the merchants (n,) are cash machines."""
    cash: Bools = CATEGORY_CODE[merchants.category[merchant]] == CASH
    return cash


def amounts(rng: np.random.Generator, world: World, card: Ints, merchant: Ints, shift: Any = 0.0) -> Ints:
    """Amounts in minor units: category, merchant's price level and card's scale, ``shift`` added on the log scale."""
    category = world.merchants.category[merchant]
    log = CATEGORY_MU[category] + world.merchants.price[merchant] + world.cards.scale[card] + shift
    log = log + CATEGORY_SPREAD[category] * rng.normal(0, 0.75, len(card))
    minor = np.maximum(50, np.round(np.exp(log) * 100)).astype(np.int64)
    notes = np.clip(np.round(minor / 1000.0), 1, 100).astype(np.int64) * 1000
    result: Ints = np.where(is_cash(world.merchants, merchant), notes, np.minimum(minor, 2_000_000))
    return result
