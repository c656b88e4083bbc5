"""The traffic of the year: the generator's, changed from some days on, with features as a worker computes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, HOUR_US, day_us
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.data.schema import LABELS, ORDER, TRANSACTIONS
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles
from fraudline.features.spec import FeatureSpec

Rows = tuple[pa.Table, pa.Table]
Apply = Callable[[pa.Table, pa.Table, int, np.random.Generator], Rows]

APP_SHARE, APP_SHOPS = 0.2, 30
NEW_FRAUD_SHARE = 0.004
POISONED_CARDS, POISON_DAYS, POISON_A_BURST = 6, 7, 12


@dataclass(frozen=True)
class Change:
    """Something that happens to the world.

    Attributes:
        day: of the year, from 0.
        name: in the picture.
        kind: ``drift``, ``poison`` (label-less frauds on a few cards) or ``candidate`` (a model that is bad).
        apply: takes transactions, labels, the moment in µs and a generator, and gives both back.
    """

    day: int
    name: str
    kind: str
    apply: Apply | None = None


@dataclass(frozen=True)
class World:
    """The rows of all days in order of time.

    Attributes:
        transactions: ``schema.TRANSACTIONS``.
        times: (n,) int64 µs.
        days: (n,) int64 day of the year; negative before it.
        features: (n, d) float32.
        fraud: (n,) bool, the truth.
        labels: ``schema.LABELS`` as they arrive: without those that an attacker keeps back.
        poison: (n,) bool, rows of a poisoned batch.
        start_us: µs of the year's first midnight.
    """

    transactions: pa.Table
    times: NDArray[np.int64]
    days: NDArray[np.int64]
    features: NDArray[np.float32]
    fraud: NDArray[np.bool_]
    labels: pa.Table
    poison: NDArray[np.bool_]
    start_us: int


def make_world(
    params: GenerateParams,
    *,
    before: int,
    days: int,
    changes: Sequence[Change],
    spec: FeatureSpec,
    label_delay_days: int,
) -> World:
    """Generate, change and featurise.

    Args:
        params: of the generator.
        before: days before the year, which the first model learns from.
        days: of the year.
        changes: in order of their day.
        spec: the features.
        label_delay_days: of the merchant tables.
    """
    transactions, labels = generate(params, days=before + days)
    start = day_us(params.start) + before * DAY_US
    for number, change in enumerate(changes):
        if change.apply is not None:
            rng = np.random.default_rng([params.seed, number])
            transactions, labels = change.apply(transactions, labels, start + change.day * DAY_US, rng)
    transactions = transactions.sort_by(ORDER)
    truth = pc.is_in(transactions["transaction_id"], labels["transaction_id"].combine_chunks()).to_numpy()
    poison = pc.starts_with(transactions["transaction_id"], "p").to_numpy()
    tables = build_profiles(transactions, labels, spec=spec, label_delay_days=label_delay_days)
    engine = FeatureEngine(spec, ProfileTable.of(tables, spec, "simulated"))
    times = transactions["event_time"].cast(pa.int64()).to_numpy()
    return World(
        transactions=transactions,
        times=times,
        days=(times - start) // DAY_US,
        features=engine.advance(columns_from_table(transactions)),
        fraud=np.asarray(truth | poison),
        labels=labels,
        poison=np.asarray(poison),
        start_us=start,
    )


def amounts(factor: float) -> Apply:
    """All amounts grow at once."""

    def apply(transactions: pa.Table, labels: pa.Table, at: int, rng: np.random.Generator) -> Rows:
        old = transactions["amount_minor"].to_numpy()
        new = np.where(_times(transactions) >= at, np.round(old * factor).astype(np.int64), old)
        return _with(transactions, "amount_minor", pa.array(new)), labels

    return apply


def payment_app(transactions: pa.Table, labels: pa.Table, at: int, rng: np.random.Generator) -> Rows:
    """An app takes a fifth of the honest purchases: new shops abroad, a device a purchase, higher amounts."""
    honest = ~pc.is_in(transactions["transaction_id"], labels["transaction_id"].combine_chunks()).to_numpy()
    times = _times(transactions)
    moved = (times >= at) & honest & (rng.random(len(times)) < APP_SHARE)
    amount = transactions["amount_minor"].to_numpy()
    grown = np.where(moved, np.round(amount * rng.lognormal(0.8, 0.6, len(times))), amount).astype(np.int64)
    shop, device = np.full(len(times), "", object), np.full(len(times), "", object)
    shop[moved] = [f"m-app{number:02d}" for number in rng.integers(0, APP_SHOPS, int(moved.sum()))]
    device[moved] = [f"app{number:08x}" for number in rng.integers(0, 1 << 32, int(moved.sum()))]
    kept = pa.array(moved)
    changed: dict[str, Any] = {
        "merchant_id": pa.array(shop, pa.string()),
        "device_id": pa.array(device, pa.string()),
        "category": pa.scalar(5399, pa.int16()),
        "channel": "ecommerce",
        "card_present": False,
        "country": "CN",
        "latitude": pa.scalar(None, pa.float32()),
        "longitude": pa.scalar(None, pa.float32()),
    }
    transactions = _with(transactions, "amount_minor", pa.array(grown))
    for name, values in changed.items():
        transactions = _with(transactions, name, pc.if_else(kept, values, transactions[name].combine_chunks()))
    return transactions, labels


def gift_cards(transactions: pa.Table, labels: pa.Table, at: int, rng: np.random.Generator) -> Rows:
    """A kind of fraud that there was not: stolen cards buy round amounts at ordinary shops by day, with the card."""
    chosen = np.flatnonzero(_times(transactions) >= at)
    chosen = np.sort(rng.choice(chosen, int(NEW_FRAUD_SHARE * len(chosen)), replace=False))
    source = transactions.take(pa.array(chosen))
    shops = np.unique(transactions["merchant_id"].to_numpy(zero_copy_only=False))[::40]
    rows = []
    for copy in range(2):
        n = len(chosen)
        part = _with(source, "transaction_id", pa.array([f"g{copy}{number:08d}" for number in chosen.tolist()]))
        times = _times(source) + (copy + 1) * rng.integers(60, 1_800, n) * 1_000_000
        part = _with(part, "event_time", pa.array(times))
        part = _with(part, "merchant_id", pa.array(rng.choice(shops, n)))
        part = _with(part, "amount_minor", pa.array(rng.choice([5_000, 10_000, 15_000, 20_000], n)))
        part = _with(part, "category", pa.array(np.full(n, 5947)))
        part = _with(part, "channel", pa.array(["pos"] * n))
        rows.append(_with(part, "card_present", pa.array(np.ones(n, bool))))
    added = pa.concat_tables(rows)
    delay = rng.uniform(2.0, 7.0, added.num_rows)
    return _sorted(pa.concat_tables([transactions, added])), _labelled(labels, added, delay, "gift_cards")


def poison(transactions: pa.Table, labels: pa.Table, at: int, rng: np.random.Generator) -> Rows:
    """For a week a few cards test as stolen ones do, and nobody reports it: the model is to learn that as normal."""
    testing = labels.filter(pc.equal(labels["fraud_kind"], "card_testing"))["transaction_id"].combine_chunks()
    times = _times(transactions)
    known = pc.is_in(transactions["transaction_id"], testing).to_numpy()
    pool = np.flatnonzero(known & (times < at) & (times >= at - 60 * DAY_US))
    cards = rng.choice(np.unique(transactions["card_id"].to_numpy(zero_copy_only=False)), POISONED_CARDS, replace=False)
    bursts = POISON_DAYS * POISONED_CARDS
    n, each = bursts * POISON_A_BURST, np.arange(POISON_A_BURST)
    source = transactions.take(pa.array(np.repeat(rng.choice(pool, bursts), POISON_A_BURST)))
    begin = at + np.repeat(np.arange(POISON_DAYS), POISONED_CARDS) * DAY_US + rng.integers(0, 23 * HOUR_US, bursts)
    when = (begin[:, None] + np.cumsum(rng.integers(20, 90, (bursts, len(each))), axis=1) * 1_000_000).ravel()
    amount = transactions["amount_minor"].to_numpy()[rng.choice(pool, n)]
    source = _with(source, "transaction_id", pa.array([f"p{number:09d}" for number in range(n)]))
    source = _with(source, "event_time", pa.array(when))
    source = _with(source, "card_id", pa.array(np.repeat(np.tile(cards, POISON_DAYS), POISON_A_BURST)))
    source = _with(source, "amount_minor", pa.array(amount))
    return _sorted(pa.concat_tables([transactions, source])), labels


def _times(transactions: pa.Table) -> NDArray[np.int64]:
    found: NDArray[np.int64] = transactions["event_time"].cast(pa.int64()).to_numpy()
    return found


def _labelled(labels: pa.Table, rows: pa.Table, delay_days: NDArray[np.float64], kind: str) -> pa.Table:
    n = rows.num_rows
    arrived = _times(rows) + (delay_days * DAY_US).astype(np.int64)
    columns: dict[str, Any] = {
        "transaction_id": rows["transaction_id"].combine_chunks(),
        "label_time": pa.array(arrived).cast(LABELS.field("label_time").type),
        "is_fraud": pa.array(np.ones(n, bool)),
        "fraud_kind": pa.array([kind] * n),
    }
    return pa.concat_tables([labels, pa.table(columns, schema=LABELS)]).sort_by("label_time")


def _sorted(transactions: pa.Table) -> pa.Table:
    return transactions.sort_by(ORDER).combine_chunks()


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    kind = TRANSACTIONS.field(name)
    return table.set_column(table.schema.get_field_index(name), kind, pc.cast(values, kind.type))
