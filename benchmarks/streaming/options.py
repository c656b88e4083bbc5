"""What the worker's options cost: tracing and card keys, each beside the worker without, in turns on one broker."""

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.otlp import Collector

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting

RECORDS, CARDS, ROUNDS = 50_000, 5_000, 11
RATIO = 0.01
_BARE, _WITH_CONTEXT = "options", "options-context"


class Option(NamedTuple):
    """One that is measured: its name, the records it reads, and the name of what it is measured beside."""

    name: str
    source: str
    beside: str


_OPTIONS = (
    Option("none", _BARE, "none"),
    Option("tracing", _BARE, "none"),
    Option("card keys", _BARE, "none"),
    Option("none, records with a context", _WITH_CONTEXT, "none, records with a context"),
    Option("tracing, records with a context", _WITH_CONTEXT, "none, records with a context"),
)


def measure(setting: Setting) -> dict[str, Any]:
    """Each option in turns with none; :data:`RATIO` is traced, and a context that came along decides itself."""
    count, rounds = setting.size(RECORDS), 3 if setting.short else ROUNDS
    for source in (_BARE, _WITH_CONTEXT):
        _fill(setting.bootstrap, source, load.transactions(count, CARDS))
    master = setting.folder / "master"
    master.write_text("ab" * 32)
    found: dict[str, list[dict[str, float]]] = {option.name: [] for option in _OPTIONS}
    with Collector() as collector:
        tracing = {"tracing": {"endpoint": collector.url, "ratio": RATIO}}
        for number in range(rounds):
            keys = {"card_keys": str(setting.folder / f"keys-{number}.db"), "card_keys_master": str(master)}
            for place, option in enumerate(_OPTIONS):
                params = tracing if option.name.startswith("tracing") else keys if option.name == "card keys" else {}
                found[option.name].append(_run(setting, option.source, f"options-{place}-{number}", params, count))
        spans = len(collector.spans) / rounds / 2
    figures = {option.name: _figures(found[option.name], found[option.beside]) for option in _OPTIONS}
    return {"figures": {**figures, "spans_a_run": spans}, "table": _table(figures, spans, count, rounds)}


def _fill(bootstrap: str, source: str, records: Iterator[tuple[bytes, bytes]]) -> None:
    from confluent_kafka import Producer

    load.make(bootstrap, source, 1)
    rng = random.Random(1)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    for key, value in records:
        flags = "01" if rng.random() < RATIO else "00"
        context = f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-{flags}"
        headers = [("traceparent", context.encode())] if source == _WITH_CONTEXT else []
        producer.produce(source, value, key, headers=headers)
        producer.poll(0)
    producer.flush()


def _run(setting: Setting, source: str, sink: str, params: dict[str, Any], count: int) -> dict[str, float]:
    for suffix in ("", "-alerts", "-dlq"):
        load.make(setting.bootstrap, sink + suffix, 1)
    config = {
        "bootstrap": setting.bootstrap, "transport": "confluent", "source": source, "sink": sink, "count": count,
        "model": str(setting.model), "params": params,
    }  # fmt: skip
    figures = contest.run("benchmarks.streaming.worker", config)
    time.sleep(0.5)
    return {"rate": figures["records"] / figures["wall_s"], "cpu_us": 1e6 * figures["cpu_s"] / figures["records"]}


def _figures(runs: list[dict[str, float]], without: list[dict[str, float]]) -> dict[str, float]:
    """Medians, and the median of the ratios to the run without that came just before."""
    rates = [run["rate"] / base["rate"] for run, base in zip(runs, without, strict=True)]
    cpu = [run["cpu_us"] / base["cpu_us"] for run, base in zip(runs, without, strict=True)]
    return {
        "rate": statistics.median(run["rate"] for run in runs),
        "cpu_us": statistics.median(run["cpu_us"] for run in runs),
        "rate_ratio": statistics.median(rates),
        "cpu_ratio": statistics.median(cpu),
    }


def _table(figures: dict[str, dict[str, float]], spans: float, count: int, rounds: int) -> str:
    rows = [
        [name, f"{row['rate']:,.0f}", f"{row['rate_ratio']:.3f}", f"{row['cpu_us']:.1f} µs", f"{row['cpu_ratio']:.3f}"]
        for name, row in figures.items()
    ]
    titles = ["option", "transactions a second", "of none", "CPU a transaction", "of none"]
    note = (
        f"{count:,} records, {CARDS:,} cards, {rounds} runs each in turns, medians (of the ratios, too). {RATIO:.0%} "
        "of the records are traced: drawn where they bring no context, sampled by their own where they do. "
        f"{spans:,.0f} spans a run. With card keys each card is new."
    )
    return f"{table(titles, rows)}\n\n{note}"
