"""What tracing costs: a worker whose batches are traced or not by the toss of a coin, so that both meet the same noise.

python -m benchmarks.streaming.tracing '{"transport": "confluent", "bootstrap": ..., "source": ..., ...}'

is the worker; the section ``tracing`` of ``benchmarks.stream`` runs it for each case.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from tests.support.otlp import Collector

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting
from fraudline.core.heap import freeze_heap
from fraudline.core.tracing import HEADER

RATIO, CARDS, ROUNDS, RESAMPLES = 0.01, 5_000, 5, 1_000
RECORDS = 300_000
_BARE, _CONTEXT = "tracing-bare", "tracing-context"


class Case(NamedTuple):
    """What is measured: the client, whether records bring a context, and which contexts go on."""

    transport: str
    source: str
    carry_on: str


CASES = [
    Case(transport, source, carry_on)
    for transport in ("confluent", "kafka-python")
    for source, carry_on in ((_BARE, "recorded"), (_CONTEXT, "recorded"), (_CONTEXT, "all"))
]


def measure(setting: Setting) -> dict[str, Any]:
    """Each case in turns; the batches of its runs are taken together."""
    rounds = 1 if setting.short else ROUNDS
    count = setting.size(RECORDS)
    load.fill(setting.bootstrap, _BARE, 1, load.transactions(count, CARDS))
    load.fill(setting.bootstrap, _CONTEXT, 1, load.transactions(count, CARDS), _contexts())
    found: dict[Case, list[dict[str, Any]]] = {case: [] for case in CASES}
    with Collector() as collector:
        for number in range(rounds):
            for case in CASES:
                found[case].append(_run(setting, case, collector.url, number))
    figures = {case: _figures(found[case]) for case in CASES}
    return {"figures": {" ".join(case): figures[case] for case in CASES}, "table": _table(figures, count, rounds)}


def _contexts() -> Callable[[], list[tuple[str, bytes]]]:
    """Makes the header of one record after the other."""
    rng = random.Random(1)

    def header() -> list[tuple[str, bytes]]:
        flags = "01" if rng.random() < RATIO else "00"
        return [(HEADER, f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-{flags}".encode())]

    return header


def _run(setting: Setting, case: Case, collector: str, number: int) -> dict[str, Any]:
    sink = f"{case.source}-{case.carry_on}-{case.transport}-{number}"
    load.make_outputs(setting.bootstrap, sink)
    config = {
        "bootstrap": setting.bootstrap, "transport": case.transport, "source": case.source, "sink": sink,
        "count": setting.size(RECORDS), "model": str(setting.model),
        "params": {"tracing": {"endpoint": collector, "ratio": RATIO, "carry_on": case.carry_on}},
    }  # fmt: skip
    return contest.run("benchmarks.streaming.tracing", config)


def _figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Means of the quickest third of the batches, traced ones with the CPU of sending spans; 5-95 % over resamples."""
    rng = np.random.default_rng(1)
    figures: dict[str, float] = {}
    for name in ("wall_us", "cpu_us"):
        traced, bare = ([np.array(run[f"{name} {kind}"]) for run in runs] for kind in ("traced", "bare"))
        export_us = float(np.mean([run["export_us"] for run in runs]))
        ratio = _ratio(np.concatenate(traced), np.concatenate(bare), export_us)
        resampled = [
            _ratio(
                np.concatenate([rng.choice(each, len(each)) for each in traced]),
                np.concatenate([rng.choice(each, len(each)) for each in bare]),
                export_us,
            )
            for _ in range(RESAMPLES)
        ]
        low, high = np.quantile(resampled, (0.05, 0.95))
        figures |= {name: contest.quickest(np.concatenate(bare)), f"{name} ratio": ratio, f"{name} low": low,
                    f"{name} high": high, "export_us": export_us}  # fmt: skip
    return figures


def _ratio(traced: NDArray[np.float64], bare: NDArray[np.float64], export_us: float) -> float:
    return (contest.quickest(traced) + export_us) / contest.quickest(bare)


def _table(figures: dict[Case, dict[str, float]], count: int, rounds: int) -> str:
    rows = [
        [
            case.transport,
            "none" if case.source == _BARE else "each",
            case.carry_on,
            f"{row['wall_us']:.1f} µs",
            f"{row['wall_us ratio'] - 1:+.1%} ({row['wall_us low'] - 1:+.1%} to {row['wall_us high'] - 1:+.1%})",
            f"{row['cpu_us ratio'] - 1:+.1%} ({row['cpu_us low'] - 1:+.1%} to {row['cpu_us high'] - 1:+.1%})",
            f"{row['export_us']:.2f} µs",
        ]
        for case, row in figures.items()
    ]
    titles = [
        *("client", "records with a context", "`carry_on`", "a transaction"),
        *("time with tracing", "CPU with tracing", "of it sending spans"),
    ]
    note = (
        f"{count:,} records a run, {CARDS:,} cards, {rounds} runs of each. {RATIO:.0%} of the records are traced: "
        "drawn where they bring no context, sampled by their own where they do. In a run the toss of a coin traces a "
        "batch or does not; means of the quickest third of all whole batches, intervals 5-95 % over resampled batches. "
        "What sending spans used, in a thread of its own, is laid on the traced batches."
    )
    return f"{table(titles, rows)}\n\n{note}"


def main(config: dict[str, Any]) -> None:
    """The worker: prints µs a record of each batch, traced and bare, and of sending spans."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from benchmarks.streaming.worker import quiet, settings
    from fraudline.stream.worker import Worker, run_worker

    stop, coin, done = threading.Event(), random.Random(config["sink"]), [0]
    params = settings(config)
    found: dict[str, list[float]] = {
        f"{name} {kind}": [] for name in ("wall_us", "cpu_us") for kind in ("traced", "bare")
    }
    traced_records: list[int] = [0]
    exports: list[tuple[int, float]] = []

    def watched(exporter: OTLPSpanExporter, spans: Sequence[Any]) -> Any:
        """Sends spans, and notes how many at which CPU seconds."""
        begun = time.thread_time()
        answer = send(exporter, spans)
        exports.append((len(spans), time.thread_time() - begun))
        return answer

    class Tossed(Worker):
        """Traces a batch, or does not."""

        def _step(self) -> Any:
            made, traced = self._tracing, coin.random() < 0.5
            self._tracing = made if traced else None
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                report = super()._step()
            finally:
                self._tracing = made
            if report is not None:
                done[0] += report.records
                traced_records[0] += report.records * traced
                if report.records == params.max_batch:
                    kind = "traced" if traced else "bare"
                    found[f"wall_us {kind}"].append(1e6 * (time.perf_counter() - wall) / report.records)
                    found[f"cpu_us {kind}"].append(1e6 * (time.process_time() - cpu) / report.records)
                if done[0] >= config["count"]:
                    stop.set()
            return report

    quiet()
    send = OTLPSpanExporter.export
    patched = mock.patch("fraudline.stream.worker.Worker", Tossed)
    with patched, mock.patch.object(OTLPSpanExporter, "export", watched):
        run_worker(params, model_dir=Path(config["model"]), stop=stop, on_ready=freeze_heap)
    json.dump({**found, "export_us": _export_us(exports, traced_records[0])}, sys.stdout)
    sys.stdout.write("\n")


def _export_us(exports: Sequence[tuple[int, float]], traced_records: int) -> float:
    """µs of CPU a traced record of sending its spans; the first time does not count, it opens the connection."""
    counts, seconds = zip(*(exports[1:] or exports), strict=True)
    each: float = 1e6 * sum(seconds) / sum(counts)
    return each * sum(count for count, _ in exports) / traced_records


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
