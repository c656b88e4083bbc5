"""What card keys cost: the worker with them beside the worker without, in turns on one broker."""

import time
from typing import Any

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import Setting

RECORDS, CARDS, ROUNDS = {"confluent": 50_000, "kafka-python": 20_000}, 5_000, 9
_SOURCE, _OPTIONS = "options", ("none", "card keys")
Figures = dict[str, float]


def measure(setting: Setting) -> dict[str, Any]:
    """Each option in turns with none."""
    rounds = 3 if setting.short else ROUNDS
    load.fill(setting.bootstrap, _SOURCE, 1, load.transactions(setting.size(max(RECORDS.values())), CARDS))
    master = setting.folder / "master"
    master.write_text("ab" * 32)
    found: dict[tuple[str, str], list[Figures]] = {(client, name): [] for client in RECORDS for name in _OPTIONS}
    for number in range(rounds):
        for place, (client, name) in enumerate(found):
            sink = f"options-{place}-{number}"
            keys = {"card_keys": str(setting.folder / f"{sink}.db"), "card_keys_master": str(master)}
            found[client, name].append(_run(setting, client, sink, keys if name == "card keys" else {}))
    figures = {case: _figures(runs, found[case[0], "none"]) for case, runs in found.items()}
    text = _table(setting, figures, rounds)
    return {"figures": {" ".join(case): each for case, each in figures.items()}, "table": text}


def _run(setting: Setting, client: str, sink: str, params: dict[str, Any]) -> Figures:
    load.make_outputs(setting.bootstrap, sink)
    config = {
        "bootstrap": setting.bootstrap, "transport": client, "source": _SOURCE, "sink": sink,
        "count": setting.size(RECORDS[client]), "model": str(setting.model), "params": params,
    }  # fmt: skip
    figures = contest.run("benchmarks.streaming.worker", config)
    time.sleep(0.5)
    return {f"{name}_us": 1e6 * figures[f"{name}_s"] / figures["records"] for name in ("wall", "cpu")}


def _figures(runs: list[Figures], without: list[Figures]) -> Figures:
    """Of the quickest runs."""
    found, beside = (
        {name: contest.quickest([run[name] for run in each]) for name in ("wall_us", "cpu_us")}
        for each in (runs, without)
    )
    return {
        "rate": 1e6 / found["wall_us"],
        "cpu_us": found["cpu_us"],
        "rate_ratio": beside["wall_us"] / found["wall_us"],
        "cpu_ratio": found["cpu_us"] / beside["cpu_us"],
    }


def _table(setting: Setting, figures: dict[tuple[str, str], Figures], rounds: int) -> str:
    rows = [
        [*case, f"{row['rate']:,.0f}", f"{row['rate_ratio']:.3f}", f"{row['cpu_us']:.1f} µs", f"{row['cpu_ratio']:.3f}"]
        for case, row in figures.items()
    ]
    titles = ["client", "option", "transactions a second", "of none", "CPU a transaction", "of none"]
    counts = ", ".join(f"{setting.size(count):,} on `{client}`" for client, count in RECORDS.items())
    cards = f"{CARDS:,} cards, each new in each run"
    note = f"Records a run: {counts}; {cards}, {rounds} runs in turns, means of the quickest third."
    return f"{table(titles, rows)}\n\n{note}"
