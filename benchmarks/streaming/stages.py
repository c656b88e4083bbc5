"""Where the worker's time goes: each part of a batch by itself, in this process, without Kafka."""

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np

from benchmarks.streaming import load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.stream.batch import Judge
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.messages import Decoder
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import open_scoring
from fraudline.stream.transport import Record

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
        timed("score", scoring.score, features)
        timed("judge", judge.judge, [Advanced(records, transactions, features, [])])

    return one_batch


def _table(figures: dict[str, float]) -> str:
    judged = max(figures["judge"] - figures["score"], 0.0)  # the judge scores too
    parts = {name: value for name, value in figures.items() if name != "judge"} | {"decisions as JSON": judged}
    total = sum(parts.values())
    rows = [[name, f"{value:.1f} µs", f"{value / total:.0%}"] for name, value in parts.items()]
    return table(["part", "CPU a transaction", "share"], [*rows, ["all", f"{total:.1f} µs", ""]])
