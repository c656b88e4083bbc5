"""Where the worker's time goes: each part of a batch by itself, in this process, without Kafka."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.streaming import load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting
from fraudline.decide.rules import RuleSet
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.stream.batch import Judge
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.decoding import Decoder
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.messages import BlockedCard
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import open_scoring
from fraudline.stream.settling import Settling
from fraudline.stream.transport import Record

RULES, LISTED = Path(__file__).parent / "rules.yaml", 10_000
OFF = ("ten rules", "list of blocked cards")
"""Parts that are off by default: no share of the whole."""

RECORDS, CARDS, BATCH = 100_000, 20_000, 2_000


def measure(setting: Setting) -> dict[str, Any]:
    """CPU microseconds a transaction by part; the first batch, which compiles, does not count."""
    count = setting.size(RECORDS)
    spent: dict[str, int] = defaultdict(int)
    one_batch = _parts(setting, spent)
    values = load.transactions(count + BATCH, CARDS)
    for number, batch in enumerate(iter(lambda: list(islice(values, BATCH)), [])):
        one_batch([Record("bench", 0, number * BATCH + i, 0, key, value) for i, (key, value) in enumerate(batch)])
        if number == 0:
            spent.clear()
    figures = {name: nanoseconds / 1_000 / count for name, nanoseconds in spent.items()}
    return {"figures": figures, "table": _table(figures)}


def _parts(setting: Setting, spent: dict[str, int]) -> Callable[[list[Record]], None]:
    """What the worker does with a batch, part by part."""
    artifact, params = setting.artifact, StreamParams(bootstrap="none")
    scoring = open_scoring(params, artifact)
    judge = Judge(artifact, scoring, params, "")
    decoder, seen, engine = Decoder(artifact.card_spec.currencies), SeenIds(), FeatureEngine(artifact.card_spec)
    rules = Settling(params, artifact.card_spec, RuleSet.load(RULES, artifact.card_spec))
    listing = Settling(params.model_copy(update={"block_hours": 24.0}), artifact.card_spec, cards=_listed())
    id_of, time_of = attrgetter("transaction_id"), attrgetter("event_time")

    def timed(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.process_time_ns()
        result = work(*arguments)
        spent[name] += time.process_time_ns() - begun
        return result

    def remember(transactions: list[Any]) -> None:
        times = np.fromiter(map(time_of, transactions), np.int64, len(transactions))
        seen.first(hash_ids(list(map(id_of, transactions))), times)

    def one_batch(records: list[Record]) -> None:
        transactions, _ = timed("decode JSON", decoder.decode_all, [record.value for record in records])
        timed("remember ids", remember, transactions)
        columns = timed("columns", columns_from_messages, transactions)
        features = timed("features", engine.advance, columns)
        scored = timed("score", scoring.score, features)
        timed("ten rules", rules.settle, records, transactions, features, scored)
        timed("list of blocked cards", listing.settle, records, transactions, features, scored)
        timed("judge", judge.judge, [Advanced(records, transactions, features, [])])

    return one_batch


class _Nothing:
    """A topic of blocked cards without records."""

    def ends(self, partitions: Collection[int], *, settled: bool) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def read(self, *_: int) -> Iterator[list[Record]]:
        yield from ()

    def close(self) -> None:
        """Nothing is held."""


def _listed() -> BlockedCards:
    """A list of cards none of which pays."""
    cards = BlockedCards(_Nothing())
    for number in range(LISTED):
        cards.put(0, BlockedCard(f"listed-{number}", 1 << 62, 0, "bench", "for the benchmark"))
    cards.committed()
    return cards


def _table(figures: dict[str, float]) -> str:
    judged = max(figures["judge"] - figures["score"], 0.0)  # the judge scores too
    parts = {name: value for name, value in figures.items() if name not in ("judge", *OFF)}
    parts |= {"decisions as JSON": judged}
    total = sum(parts.values())
    rows = [[name, f"{value:.1f} µs", f"{value / total:.0%}"] for name, value in parts.items()]
    more = [[f"{name} (off by default)", f"+ {figures[name]:.1f} µs", f"+ {figures[name] / total:.0%}"] for name in OFF]
    return table(["part", "CPU a transaction", "share"], [*rows, ["all", f"{total:.1f} µs", ""], *more])
