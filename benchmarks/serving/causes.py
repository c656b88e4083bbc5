"""What makes the empty server slow: one thing after another is changed, each with those before it."""

from statistics import median
from typing import Any

from benchmarks.serving.contestants import EMPTY, start
from benchmarks.serving.empty import STEPS
from benchmarks.serving.load import cases
from benchmarks.serving.setting import Setting
from benchmarks.streaming.page import table

SAID = {
    "": "as KServe starts it",
    "logs": "no line a request: access log, latency log",
    "loop": "uvloop; `ModelServer` runs on asyncio's own loop whatever `event_loop` says",
    "timing": "no middleware that times for a log",
    "route": "our route and decoding before FastAPI's: no validation by pydantic, no serialisation in Python",
}


def measure(setting: Setting) -> dict[str, Any]:
    """The empty server in five states, alternating."""
    chosen = [case for case in cases(setting.artifact) if case.path and case.name != "V2 binary"]
    states = ["", *(",".join(STEPS[: i + 1]) for i in range(len(STEPS)))]
    servers = [start(EMPTY, setting.model, setting.folder, ["--steps", state] if state else []) for state in states]
    try:
        found: dict[str, dict[str, list[float]]] = {state: {case.key: [] for case in chosen} for state in states}
        for _ in range(setting.rounds):
            for case in chosen:
                for state, server in zip(states, servers, strict=True):
                    found[state][case.key].append(server.load(case, setting.seconds, setting.folder).cpu_us)
    finally:
        for server in servers:
            server.child.stop()
    figures = {state: {key: median(values) for key, values in of.items()} for state, of in found.items()}
    keys = [case.key for case in chosen]
    rows = [
        [SAID[state.rpartition(",")[2]], *(f"{of[key]:,.0f} µs ({figures[''][key] / of[key]:.1f} ×)" for key in keys)]
        for state, of in figures.items()
    ]
    return {"figures": figures, "table": table(["CPU a request", *keys], rows)}
