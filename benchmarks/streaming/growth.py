"""Transactions and cards by powers of ten: time and memory of a partition's state, without Kafka around it.

Each measurement is a process of its own: ``python -m benchmarks.streaming.growth '{"cards": ..., "records": ...}'``.
"""

import ctypes
import gc
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting
from fraudline.core.heap import freeze_heap

BATCH = 2_000
_BEFORE = 50
_TURNS = 3


def measure(setting: Setting) -> dict[str, Any]:
    """Ten thousand to ten million transactions of 20,000 cards; a thousand to a million cards."""
    most = 6 if setting.short else 7
    figures = {
        "transactions": {10**n: _one(setting, 20_000, 10**n) for n in range(4, most + 1)},
        "cards": {10**n: _one(setting, 10**n, max(10**n, 200_000)) for n in range(3, most)},
    }
    return {"figures": figures, "table": _table(figures)}


def measure_checkpoint(setting: Setting) -> dict[str, Any]:
    """Checkpoint and restore of a million cards while transactions go on."""
    cards = setting.size(1_000_000)
    config = {"cards": cards, "records": cards, "folder": str(setting.folder / "checkpoint")}
    figures = contest.run("benchmarks.streaming.growth", config)
    rows = [
        ["cards", f"{figures['cards']:,}"],
        ["size of the checkpoint", f"{figures['checkpoint_mb']:,.0f} MB"],
        ["beginning it", f"{figures['begin_ms']:.0f} ms"],
        ["from its beginning to its end", f"{figures['checkpoint_s']:.1f} s"],
        ["longest batch before it", f"{figures['longest_before_ms']:.0f} ms"],
        ["longest batch while it was written", f"{figures['longest_during_ms']:.0f} ms"],
        ["restore", f"{figures['restore_s']:.1f} s"],
    ]
    return {"figures": figures, "table": table(["", f"batches of {BATCH:,} transactions"], rows)}


def measure_sealing(setting: Setting) -> dict[str, Any]:
    """The checkpoint of a million cards plain and encrypted, in turns."""
    cards = setting.size(1_000_000)
    config = {"cards": cards, "records": cards, "folder": str(setting.folder / "sealing"), "sealing": True}
    figures = contest.run("benchmarks.streaming.growth", config)
    rows = [
        [f"{figures[f'plain_{what}_s']:.2f} s", f"{figures[f'sealed_{what}_s']:.2f} s",
         f"{figures[f'sealed_{what}_s'] / figures[f'plain_{what}_s']:.2f} ×"]
        for what in ("save", "load")
    ]  # fmt: skip
    named = [[name, *row] for name, row in zip(("CPU to write it", "CPU to read it"), rows, strict=True)]
    named.append(["on disk", *(f"{figures[f'{kind}_mb']:,.0f} MB" for kind in ("plain", "sealed")), ""])
    return {"figures": figures, "table": table([f"{cards:,} cards", "plain", "encrypted", "of the plain"], named)}


def _one(setting: Setting, cards: int, records: int) -> dict[str, Any]:
    return contest.run("benchmarks.streaming.growth", {"cards": cards, "records": records})


def _table(figures: dict[str, Any]) -> str:
    by_count = [
        [f"{count:,}", f"{f['cpu_s']:.2f} s", f"{f['cpu_s'] / count * 1e6:.1f} µs"]
        for count, f in figures["transactions"].items()
    ]
    by_cards = [
        [
            f"{cards:,}",
            f"{f['cpu_s'] / f['records'] * 1e6:.1f} µs",
            f"{f['memory_mb']:,.0f} MB",
            f"{f['card_bytes']:,.0f} B",
        ]
        for cards, f in figures["cards"].items()
    ]
    return (
        "Decoding, the memory of ids and the features of 20,000 cards:\n\n"
        + table(["transactions", "CPU", "a transaction"], by_count)
        + "\n\nMemory that became resident, less that of the ids seen:\n\n"
        + table(["cards", "CPU a transaction", "resident", "a card"], by_cards)
    )


def main(config: dict[str, Any]) -> None:
    """One process: advance a partition's state and print its figures."""
    from fraudline.features.engine import FeatureEngine
    from fraudline.features.spec import load_spec
    from fraudline.stream.checkpoint import CheckpointStore
    from fraudline.stream.decoding import Decoder
    from fraudline.stream.dedupe import SeenIds
    from fraudline.stream.partition import PartitionState

    spec = load_spec()
    folder = config.get("folder")
    store = CheckpointStore(Path(folder), group="bench", topic="bench") if folder else None
    hours = 24 if folder or config["cards"] == 20_000 else 0  # the ids' memory is not a card's

    def fresh() -> PartitionState:
        return PartitionState(
            0,
            engines=lambda _: FeatureEngine(spec),
            decoder=Decoder(spec.currencies),
            transport=_NoLog(),  # type: ignore[arg-type]  # nothing is replayed
            store=store,
            memories=lambda: SeenIds(hours),
        )

    state = fresh()
    warm = fresh()
    warm.advance(next(_batches(1, 10)))
    batches = _batches(config["cards"], config["records"])
    first = next(batches)  # what the records are made from is in memory now, and does not count
    before = _resident()
    cpu = 0.0
    for batch in chain(
        [first], islice(batches, config["records"] // BATCH - 1)
    ):  # not to their end: they stay in memory
        used = time.process_time()
        state.advance(batch)
        cpu += time.process_time() - used
    memory = _resident() - before
    figures = {
        "records": config["records"], "cards": config["cards"], "cpu_s": cpu, "memory_mb": memory / 1e6,
        "card_bytes": memory / config["cards"],
    }  # fmt: skip
    if folder and config.get("sealing"):
        figures |= _sealing(state, Path(folder))
    elif folder:
        figures |= _checkpoint(state, fresh(), config["cards"], Path(folder))
    json.dump(figures, sys.stdout)
    sys.stdout.write("\n")


def _checkpoint(state: Any, again: Any, cards: int, folder: Path) -> dict[str, float]:
    """Batches before, while and after a checkpoint is written, and the restore of what was written."""
    batches = _batches(cards, 1_000 * BATCH, seed=2)
    freeze_heap()  # as a worker that is ready does: the records made for this measurement are no part of it
    before = [_timed(state, next(batches)) for _ in range(_BEFORE)]
    begun, offset = time.monotonic(), state.next_offset
    state.save(wait=False)
    pause = time.monotonic() - begun
    during = []
    while state.writing:
        during.append(_timed(state, next(batches)))
    took = time.monotonic() - begun
    state.settle()
    (file,) = folder.rglob("*.checkpoint")
    begun = time.monotonic()
    again.align(offset)
    return {
        "checkpoint_s": took,
        "checkpoint_mb": file.stat().st_size / 1e6,
        "begin_ms": pause * 1000,
        "longest_before_ms": max(before) * 1000,
        "longest_during_ms": max(during, default=0.0) * 1000,
        "batches_during": len(during),
        "restore_s": time.monotonic() - begun,
    }


def _sealing(state: Any, folder: Path) -> dict[str, float]:
    """CPU seconds to write and to read a partition's checkpoint, plain and encrypted in turns: medians."""
    from fraudline.core.sealing import KeysOfFile
    from fraudline.stream.checkpoint import CheckpointStore

    stores = {
        "plain": CheckpointStore(folder / "plain", group="bench", topic="bench"),
        "sealed": CheckpointStore(folder / "sealed", group="bench", topic="bench", keys=KeysOfFile({"m1": bytes(32)})),
    }
    state.save(wait=True)
    state.settle()
    checkpoint = CheckpointStore(folder, group="bench", topic="bench").load(0)
    if checkpoint is None:
        raise SystemExit("The checkpoint that was just written is not there.")
    whole = msgspec.structs.replace(checkpoint, state=bytes(checkpoint.state))
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(_TURNS):
        for name, store in stores.items():
            begun = time.process_time()
            store.save(whole)
            saved = time.process_time()
            loaded = store.load(0)
            bytes(loaded.state if loaded is not None else b"")
            took[f"{name}_save_s"].append(saved - begun)
            took[f"{name}_load_s"].append(time.process_time() - saved)
            took[f"{name}_mb"].append(store.path(0).stat().st_size / 1e6)
    return {name: median(values) for name, values in took.items()}


def _timed(state: Any, batch: list[Any]) -> float:
    begun = time.monotonic()
    state.advance(batch)
    return time.monotonic() - begun


class _NoLog:
    """The log before every checkpoint is gone: nothing to compare with, nothing to replay."""

    def beginning(self, _partition: int) -> int:
        return 1 << 62


def _batches(cards: int, records: int, seed: int = 1) -> Iterator[list[Any]]:
    from fraudline.stream.transport import Record

    values = load.transactions(records, cards, seed)
    at = 0
    while part := list(islice(values, BATCH)):
        yield [Record("bench", 0, at + i, 0, key, value) for i, (key, value) in enumerate(part)]
        at += len(part)


def _resident() -> int:
    """Bytes in memory, once the allocator has given back what is free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
