"""The worker itself, from the end of its first batch until all records are committed.

python -m benchmarks.streaming.worker '{"transport": "confluent", "bootstrap": ..., "source": ..., ...}'
"""

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import structlog

from benchmarks.streaming.watch import Watch
from fraudline.core.heap import freeze_heap
from fraudline.stream.batch import BatchReport
from fraudline.stream.params import StreamParams, Topics
from fraudline.stream.worker import run_worker


def settings(config: dict[str, Any]) -> StreamParams:
    """The worker's settings: its defaults, and topics of its own."""
    sink = config["sink"]
    return StreamParams(
        transport=config["transport"],
        bootstrap=config["bootstrap"],
        group=config.get("group", f"worker-{sink}"),
        worker_id=config.get("worker_id", "worker-0"),
        topics=Topics(
            transactions=config["source"],
            decisions=sink,
            alerts=f"{sink}-alerts",
            dead_letters=f"{sink}-dlq",
            partitions=config.get("partitions", 1),
        ),
        checkpoint_dir=config.get("checkpoint_dir", ""),
        **config.get("params", {}),
    )


def quiet() -> None:
    """Log errors only."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def main(config: dict[str, Any]) -> None:
    """Run and print one JSON line."""
    quiet()
    stop, watch, done = threading.Event(), Watch(), [-1]

    def on_batch(report: BatchReport) -> None:
        if done[0] < 0:  # the clock starts at the end of the first batch, which does not count
            watch.start()
            skipped.append(report.records)
            done[0] = 0
        else:
            done[0] += report.records
        if config.get("count") and done[0] + skipped[0] >= config["count"]:
            stop.set()

    skipped: list[int] = []
    if config.get("seconds"):
        threading.Timer(config["seconds"], stop.set).start()
    model = Path(config["model"])
    run_worker(settings(config), model_dir=model, stop=stop, on_batch=on_batch, on_ready=freeze_heap)
    if skipped:
        watch.finish(done[0], skipped=skipped[0])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
