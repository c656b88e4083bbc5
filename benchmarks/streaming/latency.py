"""Seconds from the append of a record to the moment a read_committed reader has its decision."""

import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting

SECONDS, WARM_S, CARDS, ROUNDS = 15.0, 8.0, 20_000, 3
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
    for suffix in ("", "-alerts", "-dlq"):
        load.make(setting.bootstrap, sink + suffix, 1)
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
    arrived: list[tuple[int, float]] = []
    stop = threading.Event()
    reader = threading.Thread(target=_watch, args=(setting.bootstrap, sink, arrived, stop))
    reader.start()
    time.sleep(WARM_S)
    sent = _send(setting.bootstrap, source, rate, seconds)
    time.sleep(3.0)
    contest.finish(contestant)
    stop.set()
    reader.join()
    return _percentiles(_appended(setting.bootstrap, source, sent), arrived, sent)


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


def _watch(bootstrap: str, topic: str, arrived: list[tuple[int, float]], stop: threading.Event) -> None:
    """Note how many committed records there are, and when."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "watch", "isolation.level": "read_committed", "log_level": 2,
         "fetch.wait.max.ms": 10, "enable.auto.commit": False}
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    count = 0
    while not stop.is_set():
        messages = [m for m in consumer.consume(10_000, 0.002) if m.error() is None]
        if messages:
            count += len(messages)
            arrived.append((count, time.time()))
    with suppress(RuntimeError):
        consumer.close()


def _appended(bootstrap: str, topic: str, count: int) -> np.ndarray:
    """When each record was appended, by the broker's clock, seconds."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "appended", "log_level": 2})
    consumer.assign([TopicPartition(topic, 0, 0)])
    times: list[float] = []
    while len(times) < count:
        times += [m.timestamp()[1] / 1000 for m in consumer.consume(10_000, 1.0) if m.error() is None]
    consumer.close()
    return np.array(times)


def _percentiles(appended: np.ndarray, arrived: list[tuple[int, float]], sent: int) -> dict[str, float]:
    """The k-th decision is of the k-th record: one partition, exactly once, in order."""
    counts = np.array([count for count, _ in arrived])
    times = np.array([at for _, at in arrived])
    if not len(counts) or counts[-1] != sent:
        raise SystemExit(f"{counts[-1] if len(counts) else 0} of {sent} records came out")
    late = times[np.searchsorted(counts, np.arange(1, sent + 1))] - appended
    p50, p99 = np.percentile(late, [50, 99])
    return {"p50_ms": float(p50 * 1000), "p99_ms": float(p99 * 1000), "records": float(sent)}


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
