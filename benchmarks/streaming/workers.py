"""1, 2 and 4 workers on a topic of four partitions: throughput, and whether anything was lost or doubled."""

import os
import time
from typing import Any

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting

RECORDS, CARDS, PARTITIONS = 160_000, 20_000, 4
_WAIT_S = 300.0


def measure(setting: Setting) -> dict[str, Any]:
    """The same records with more and more workers; a worker that joins late takes its partitions from the others."""
    count = setting.size(RECORDS)
    load.fill(setting.bootstrap, "workers", PARTITIONS, load.transactions(count, CARDS))
    figures = {str(workers): _run(setting, workers, count) for workers in (1, 2, 4)}
    return {"figures": figures, "table": _table(figures, count)}


def _run(setting: Setting, workers: int, count: int) -> dict[str, Any]:
    sink = f"workers-{workers}"
    load.make_outputs(setting.bootstrap, sink, PARTITIONS)
    config = {
        "bootstrap": setting.bootstrap, "transport": "confluent", "source": "workers", "sink": sink, "count": 0,
        "model": str(setting.model), "partitions": PARTITIONS, "seconds": _WAIT_S,
        "checkpoint_dir": str(setting.folder / sink),
    }  # fmt: skip
    running = [contest.start("benchmarks.streaming.worker", config | {"worker_id": f"w{i}"}) for i in range(workers)]
    appended = _decisions(setting.bootstrap, sink, count)
    for process in running:
        process.terminate()
    for process in running:
        process.wait(60)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    places = [place for place, _ in appended]
    times = sorted(at for _, at in appended)
    middle = times[len(times) // 10 :]  # the first tenth may be one worker's alone, before the others have joined
    return {
        "decisions": len(places),
        "lost": count - len(set(places)),
        "doubled": len(places) - len(set(places)),
        "per_second": len(middle) / max(middle[-1] - middle[0], 1e-9),
    }


def _decisions(bootstrap: str, topic: str, count: int) -> list[tuple[tuple[int, int], float]]:
    """Partition and offset of each decision's transaction, and when it was appended; as a reader sees them."""
    import msgspec
    from confluent_kafka import Consumer, TopicPartition

    class Place(msgspec.Struct):
        partition: int
        offset: int

    decoder = msgspec.json.Decoder(Place)
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "count", "isolation.level": "read_committed", "log_level": 2,
         "enable.auto.commit": False}
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[tuple[tuple[int, int], float]] = []
    deadline, quiet = time.monotonic() + _WAIT_S, 0
    while time.monotonic() < deadline and (len(found) < count or quiet < 3):
        messages = [m for m in consumer.consume(10_000, 0.5) if m.error() is None]
        quiet = 0 if messages else quiet + 1
        for message in messages:
            place = decoder.decode(message.value())
            found.append(((place.partition, place.offset), message.timestamp()[1] / 1000))
    consumer.close()
    return found


def _table(figures: dict[str, Any], count: int) -> str:
    one = figures["1"]["per_second"]
    rows = [
        [workers, f"{f['per_second']:,.0f}", f"{f['per_second'] / one:.2f} ×", str(f["lost"]), str(f["doubled"])]
        for workers, f in figures.items()
    ]
    head = ["workers", "decisions a second", "of one worker", "lost", "doubled"]
    note = (
        f"{count:,} records on {PARTITIONS} partitions, confluent-kafka, {os.cpu_count()} cores shared with the broker."
    )
    return f"{note}\n\n{table(head, rows)}"
