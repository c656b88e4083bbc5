"""A deterministic set of card transactions with five kinds of fraud and the labels that arrive later.

    transactions, labels = generate(GenerateParams(days=30, cards=500))
    more, more_labels = generate(GenerateParams(days=30, cards=500), first_day=30, days=3)   # the same world goes on

The same parameters give the same rows in every process. A day depends on the population and its own number only.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from fraudline.core.clock import DAY_US, HOUR_US, SECOND_US, day_us
from fraudline.core.errors import UsageError
from fraudline.data.params import GenerateParams
from fraudline.data.schema import CHANNELS, LABELS, TRANSACTIONS
from fraudline.data.synthetic.campaigns import COLLUSION, Start, fraud_day
from fraudline.data.synthetic.habits import normal_day
from fraudline.data.synthetic.rows import KINDS, Rows, concat
from fraudline.data.synthetic.tables import CITIES
from fraudline.data.synthetic.world import CATEGORY_CODE, Ints, World, make_world, stream
from fraudline.data.synthetic.world import LABELS as LABEL_STREAM

ROWS_A_DAY = 1_000_000
"""Transaction ids are ``t`` and ten digits: day · ROWS_A_DAY + row of the day."""
_SCRAMBLE = 2_654_435_761


def generate(params: GenerateParams, *, first_day: int = 0, days: int | None = None) -> tuple[pa.Table, pa.Table]:
    """Transactions and labels of the days ``[first_day, first_day + days)`` of the world of ``params``.

    Args:
        params: what to make.
        first_day: first day, counted from ``params.start``; ``params.days`` continues a default set.
        days: how many days; ``params.days`` when not given.

    Returns:
        Tables of ``schema.TRANSACTIONS``, sorted by (event_time, transaction_id), and ``schema.LABELS``, sorted by
        (label_time, transaction_id). Every fraud has a label; its time may lie after the last day.

    Raises:
        UsageError: a day has more than :data:`ROWS_A_DAY` transactions.
    """
    world = make_world(params)
    cache: dict[Start, Rows] = {}
    chosen = range(first_day, first_day + (params.days if days is None else days))
    return _tables(world, [_day(world, day, [], cache) for day in chosen])


def generate_live(params: GenerateParams, *, minutes: float) -> tuple[pa.Table, pa.Table]:
    """The first minutes after the data set of ``params``, with one campaign of each fraud kind starting in them.

    Args:
        params: the world, and the set after which the traffic comes.
        minutes: length, from midnight after the set's last day.

    Returns:
        As :func:`generate`; the labels are the truth to judge decisions by.
    """
    world = make_world(params)
    begin = params.days
    length = int(minutes * 60 * SECOND_US)
    within = min(length, DAY_US) // 3
    day_count = -(-length // DAY_US)
    forced = [Start(kind, begin, 1_000, max(within, HOUR_US)) for kind in range(len(KINDS))]
    cache: dict[Start, Rows] = {}
    days = []
    for day in range(begin, begin + day_count):
        rows = _day(world, day, forced, cache)
        days.append(rows.take(rows.time < begin * DAY_US + length))
    return _tables(world, days)


def _day(world: World, day: int, forced: list[Start], cache: dict[Start, Rows]) -> Rows:
    rows = fraud_day(world, day, normal_day(world, day), forced, cache)
    if len(rows) > ROWS_A_DAY:
        raise UsageError(
            f"Day {day} has {len(rows):,} transactions; identifiers have room for {ROWS_A_DAY:,} a day.",
            "Generate fewer cards, or a lower daily_rate.",
        )
    return rows.take(np.lexsort((rows.amount, rows.merchant, rows.card, rows.time)))


def _tables(world: World, days: list[Rows]) -> tuple[pa.Table, pa.Table]:
    rows = concat(days)
    number = np.concatenate([np.arange(len(day)) for day in days])
    ids = _names("t", rows.time // DAY_US * ROWS_A_DAY + number, 10)
    start = day_us(world.params.start)
    merchants = world.merchants
    present = ~merchants.online[rows.merchant]
    columns = {
        "transaction_id": ids,
        "event_time": pa.array(start + rows.time).cast(pa.timestamp("us", tz="UTC")),
        "card_id": _coded("c", np.arange(len(world.cards.home)), rows.card),
        "merchant_id": _coded("m", merchants.number, rows.merchant),
        "category": pa.array(CATEGORY_CODE[merchants.category[rows.merchant]]),
        "amount_minor": pa.array(rows.amount),
        "currency": pa.array([world.params.currency]).take(pa.array(np.zeros(len(rows), dtype=np.int64))),
        "channel": pa.array(CHANNELS).take(pa.array(rows.channel)),
        "card_present": pa.array(present),
        "country": pa.array([c.country for c in CITIES]).take(pa.array(merchants.city[rows.merchant])),
        "latitude": pa.array(merchants.latitude[rows.merchant].astype(np.float32), mask=~present),
        "longitude": pa.array(merchants.longitude[rows.merchant].astype(np.float32), mask=~present),
        "device_id": _devices(rows.device),
    }
    transactions = pa.table(columns, schema=TRANSACTIONS)
    return transactions, _labels(world, rows, ids, start)


def _labels(world: World, rows: Rows, ids: pa.Array, start: int) -> pa.Table:
    frauds = np.flatnonzero(rows.kind >= 0)
    day = rows.time[frauds] // DAY_US
    delay = np.empty(len(frauds))
    for number in np.unique(day):
        of_day = np.flatnonzero(day == number)
        rng = stream(world.params.seed, LABEL_STREAM, int(number))
        usual, late = rng.uniform(2.0, 7.0, len(of_day)), rng.uniform(7.0, 12.0, len(of_day))
        delay[of_day] = np.where(rng.random(len(of_day)) < 0.04, late, usual)
    seconds = (delay * DAY_US).astype(np.int64) // SECOND_US * SECOND_US
    table = pa.table(
        {
            "transaction_id": ids.take(pa.array(frauds)),
            "label_time": pa.array(start + rows.time[frauds] + seconds).cast(pa.timestamp("us", tz="UTC")),
            "is_fraud": pa.array(np.ones(len(frauds), dtype=bool)),
            "fraud_kind": pa.array(KINDS).take(pa.array(rows.kind[frauds])),
        },
        schema=LABELS,
    )
    return table.sort_by([("label_time", "ascending"), ("transaction_id", "ascending")])


def _names(prefix: str, numbers: Ints, width: int) -> pa.Array:
    return pa.array([f"{prefix}{number:0{width}d}" for number in numbers.tolist()], type=pa.string())


def _coded(prefix: str, numbers: Ints, rows: Ints) -> pa.Array:
    return _names(prefix, numbers, 5).take(pa.array(rows))


def _devices(device: Ints) -> pa.Array:
    unique, inverse = np.unique(device, return_inverse=True)
    names: list[Any] = [None if d < 0 else f"d{(d * _SCRAMBLE + 12_345) % (1 << 32):08x}" for d in unique.tolist()]
    return pa.array(names, type=pa.string()).take(pa.array(inverse))


__all__ = ["COLLUSION", "KINDS", "generate", "generate_live"]
