"""Seconds from the append of a record to the moment a read_committed reader may read its decision."""

import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting

SECONDS, WARM_S, CARDS, ROUNDS = 10.0, 8.0, 20_000, 3
FASTEST_COUNT = 60_000


def measure(setting: Setting) -> dict[str, Any]:
    """For each client: the worker's greatest rate, then copy and worker by turns at half of it, and their medians."""
    figures: dict[str, Any] = {}
    seconds = SECONDS / 4 if setting.short else SECONDS
    rounds = 1 if setting.short else ROUNDS
    for client in ("kafka-python", "confluent"):
        rate = _fastest(setting, client) / 2
        names = ("copy", "fraudline")
        taken = [
            {name: _at_rate(setting, name, client, rate, seconds, turn) for name in names} for turn in range(rounds)
        ]
        for name in names:
            medians = {of: float(np.median([one[name][of] for one in taken])) for of in ("p50_ms", "p99_ms")}
            figures[f"{name}, {client}"] = {"rate": rate, **medians, "rounds": [one[name] for one in taken]}
    return {"figures": figures, "table": _table(figures)}


def _fastest(setting: Setting, client: str) -> float:
    count, topic = setting.size(FASTEST_COUNT), f"fastest-{client}"
    load.fill(setting.bootstrap, topic, 1, load.transactions(count, CARDS))
    one = contest.run("benchmarks.streaming.worker", _worker(setting, client, topic, f"{topic}-out") | {"count": count})
    return float(one["records"] / one["wall_s"])


def _worker(setting: Setting, client: str, source: str, sink: str) -> dict[str, Any]:
    load.make_outputs(setting.bootstrap, sink)
    return {
        "bootstrap": setting.bootstrap, "transport": client, "source": source, "sink": sink,
        "model": str(setting.model),
    }  # fmt: skip


def _at_rate(setting: Setting, name: str, client: str, rate: float, seconds: float, turn: int) -> dict[str, float]:
    source = f"latency-{name}-{client}-{turn}"
    sink = f"{source}-out"
    load.make(setting.bootstrap, source, 1)
    if name == "copy":
        load.make(setting.bootstrap, sink, 1)
        config = {
            "bootstrap": setting.bootstrap, "client": client, "source": source, "sink": sink, "batch": 2_000,
            "seconds": WARM_S + seconds + 4,
        }  # fmt: skip
    else:
        config = {**_worker(setting, client, source, sink), "seconds": WARM_S + seconds + 4}
    contestant = contest.start(f"benchmarks.streaming.{'copy' if name == 'copy' else 'worker'}", config)
    ends: list[tuple[int, float]] = []
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(setting.bootstrap, sink, ends, stop))
    time.sleep(WARM_S)
    watch.start()
    sent = _send(setting.bootstrap, source, rate, seconds)
    time.sleep(3.0)
    contest.finish(contestant)
    stop.set()
    watch.join()
    return _percentiles(_read(setting.bootstrap, source, sent)[1], _read(setting.bootstrap, sink, sent)[0], ends)


def _send(bootstrap: str, topic: str, rate: float, seconds: float) -> int:
    """Send at ``rate`` in steps of five milliseconds."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 2})
    records = list(load.transactions(int(rate * seconds), CARDS, seed=2))
    begun, sent = time.monotonic(), 0
    while sent < len(records):
        due = min(int((time.monotonic() - begun) * rate), len(records))
        for key, value in records[sent:due]:
            producer.produce(topic, value, key)
        producer.poll(0)
        sent = max(sent, due)
        time.sleep(0.005)
    producer.flush()
    return sent


def _watch(bootstrap: str, topic: str, ends: list[tuple[int, float]], stop: threading.Event) -> None:
    """Note every two milliseconds up to which offset a read_committed reader may read.

    It does not read: a reader of every decision would take the cores from those it measures.
    """
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": "watch", "isolation.level": "read_committed"}
    consumer, place = Consumer({**settings, "log_level": 2}), TopicPartition(topic, 0)
    while not stop.wait(0.002):
        ends.append((consumer.get_watermark_offsets(place, timeout=10.0)[1], time.time()))
    with suppress(RuntimeError):
        consumer.close()


def _read(bootstrap: str, topic: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Offset of each committed record, and when it was appended by the broker's clock, seconds."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": "appended", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "log_level": 2, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[int, float]] = []
    while messages := [m for m in consumer.consume(10_000, 2.0) if m.error() is None]:
        found += [(message.offset(), message.timestamp()[1] / 1000) for message in messages]
    consumer.close()
    if len(found) != count:
        raise SystemExit(f"{topic} holds {len(found)} records instead of {count}")
    return np.array([offset for offset, _ in found]), np.array([at for _, at in found])


def _percentiles(appended: np.ndarray, offsets: np.ndarray, ends: list[tuple[int, float]]) -> dict[str, float]:
    """The k-th decision is of the k-th record: one partition, exactly once, in order."""
    seen, times = np.array([end for end, _ in ends]), np.array([at for _, at in ends])
    late = times[np.searchsorted(seen, offsets, side="right")] - appended
    p50, p99 = np.percentile(late, [50, 99])
    return {"p50_ms": float(p50 * 1000), "p99_ms": float(p99 * 1000), "records": float(len(late))}


def _table(figures: dict[str, Any]) -> str:
    rows = []
    for name, one in figures.items():
        kind, client = name.split(", ")
        copy = figures[f"copy, {client}"]
        rows.append(
            [name, f"{one['rate']:,.0f}", f"{one['p50_ms']:.0f} ms", f"{one['p99_ms']:.0f} ms"]
            + [" ".join(f"{turn['p99_ms']:.0f}" for turn in one["rounds"])]
            + ["" if kind == "copy" else f"{one[p] / copy[p]:.2f} ×" for p in ("p50_ms", "p99_ms")]
        )
    return table(
        ["", "records a second", "p50", "p99", "of each round", "p50 of its copy's", "p99 of its copy's"], rows
    )
