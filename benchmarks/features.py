"""Transactions a second through the feature engine on one core.

    python -m benchmarks.features [--json] [--rows N]

For 5,000 and 200,000 cards: ``kernel`` is one call of the engine on columns that are ready, ``batch`` adds making them
from a pyarrow table and growing the state, ``polls`` is messages (objects, as the worker parses them) in batches of 256
to an engine that knows the cards. CPU seconds of this process, the best of several passes; compiling is shown beside.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from fraudline.data.schema import TRANSACTIONS
from fraudline.features.columns import TransactionColumns, columns_from_messages, columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec

POLL = 256


class Message(msgspec.Struct):
    """A transaction as it is on the wire."""

    transaction_id: str
    event_time: int
    card_id: str
    merchant_id: str
    category: int
    amount_minor: int
    currency: str
    channel: str
    card_present: bool
    country: str | None
    latitude: float | None
    longitude: float | None
    device_id: str | None


def synthetic(cards: int, rows: int, merchants: int = 1500, habits: int = 12, seed: int = 1) -> pa.Table:
    """Transactions in time order, two a card and day, at a dozen usual merchants a card, 60 % with a position."""
    rng = np.random.default_rng(seed)
    days = max(rows / cards / 2.0, 1.0)
    times = np.sort(rng.integers(0, int(days * 86_400e6), rows)) + 1_767_571_200_000_000
    card = rng.integers(0, cards, rows)
    usual = rng.integers(0, merchants, (cards, habits))
    merchant = usual[card, np.minimum(rng.geometric(0.25, rows) - 1, habits - 1)]
    online = rng.random(rows) < 0.4
    home = rng.uniform(40, 50, cards)

    def text(letter: str, codes: "np.ndarray[Any, Any]", mask: "np.ndarray[Any, Any] | None" = None) -> pa.Array:
        names = pa.array([f"{letter}{k:06d}" for k in range(int(codes.max()) + 1)])
        return names.take(pa.array(codes, mask=mask))

    columns = {
        "transaction_id": pa.array([f"t{k:09d}" for k in range(rows)]),
        "event_time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "card_id": text("c", card),
        "merchant_id": text("m", merchant),
        "category": pa.array((5400 + merchant % 8).astype(np.int16)),
        "amount_minor": pa.array(rng.lognormal(8, 0.8, rows).astype(np.int64)),
        "currency": pa.array(["EUR"] * rows),
        "channel": pa.array(["pos"] * rows),
        "card_present": pa.array(~online),
        "country": pa.array(["FR"] * rows),
        "latitude": pa.array((home[card] + rng.normal(0, 0.1, rows)).astype(np.float32), mask=online),
        "longitude": pa.array((home[card] / 10 + rng.normal(0, 0.1, rows)).astype(np.float32), mask=online),
        "device_id": text("d", card, ~online),
    }
    return pa.table(columns, schema=TRANSACTIONS)


def best(passes: int, prepare: Callable[[], Any], work: Callable[[Any], object]) -> float:
    """CPU seconds of the quickest pass."""
    seconds = []
    for _ in range(passes):
        prepared = prepare()
        start = time.process_time()
        work(prepared)
        seconds.append(time.process_time() - start)
    return min(seconds)


def ready_engine(columns: TransactionColumns) -> FeatureEngine:
    """An engine whose memory for these cards is already there and empty, so that growing it is not measured."""
    engine = FeatureEngine(load_spec())
    engine.reserve(len(columns.cards))
    return engine


def measure(cards: int, rows: int, passes: int) -> dict[str, float]:
    """Transactions a second of each way, and bytes of state a card."""
    table = synthetic(cards, rows)
    columns = columns_from_table(table)
    sample = table.slice(0, min(rows, 100_000))
    index = sample.column_names.index("event_time")
    plain = sample.set_column(index, "event_time", sample["event_time"].cast(pa.int64())).to_pylist()
    messages = [Message(**row) for row in plain]
    warm = ready_engine(columns)
    warm.advance(columns)

    def polls(engine: FeatureEngine) -> None:
        for k in range(0, len(messages), POLL):
            engine.advance(columns_from_messages(messages[k : k + POLL]))

    kernel = best(passes, lambda: ready_engine(columns), lambda engine: engine.advance(columns))
    batch = best(passes, lambda: FeatureEngine(load_spec()), lambda engine: engine.advance(columns_from_table(table)))
    stream = best(passes, lambda: warm, polls)
    start = time.perf_counter()
    kept = warm.snapshot()
    snapshot = time.perf_counter() - start
    start = time.perf_counter()
    FeatureEngine(load_spec()).restore(kept)
    restore = time.perf_counter() - start
    return {
        "cards": cards,
        "rows": rows,
        "kernel_per_second": rows / kernel,
        "batch_per_second": rows / batch,
        "polls_per_second": len(messages) / stream,
        "poll_microseconds_a_transaction": stream / len(messages) * 1e6,
        "bytes_a_card": warm.card_bytes,
        "snapshot_seconds": snapshot,
        "restore_seconds": restore,
        "snapshot_megabytes": len(kept) / 1e6,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    start = time.perf_counter()
    FeatureEngine(load_spec()).advance(columns_from_table(synthetic(10, 10)))
    first = time.perf_counter() - start
    results = [measure(cards, arguments.rows, arguments.passes) for cards in (5_000, 200_000)]
    if arguments.json:
        json.dump({"first_call_seconds": first, "results": results}, sys.stdout)
        return
    print(f"first call (compiles unless cached): {first:.2f} s")
    for result in results:
        print(
            f"{result['cards']:>8,.0f} cards  kernel {result['kernel_per_second'] / 1e6:.2f} M/s  "
            f"batch {result['batch_per_second'] / 1e6:.2f} M/s  "
            f"polls of {POLL} {result['polls_per_second'] / 1e6:.2f} M/s "
            f"({result['poll_microseconds_a_transaction']:.2f} µs)  {result['bytes_a_card']:,.0f} B a card  "
            f"snapshot {result['snapshot_megabytes']:.0f} MB in {result['snapshot_seconds']:.2f} s, "
            f"restore {result['restore_seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
