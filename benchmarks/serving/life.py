"""What the server needs to be ready, and what it keeps under load."""

import time
from typing import Any

import numpy as np

from benchmarks.serving.contestants import EMPTY, OURS, start
from benchmarks.serving.load import cases
from benchmarks.serving.setting import Setting
from benchmarks.streaming.page import table

_SLICES = 20


def measure_ready(setting: Setting) -> dict[str, Any]:
    """CPU seconds and memory until the model says that it is ready, and the first request after."""
    figures = {}
    for name in (OURS, EMPTY):
        server = start(name, setting.model, setting.folder)
        try:
            case = next(case for case in cases(setting.artifact, rows=(1,)) if case.name == "V1")
            cpu, memory = server.cpu_s(), server.resident_mb()
            times = []
            for _ in range(30):
                before = time.perf_counter()
                server.post(case)
                times.append((time.perf_counter() - before) * 1e3)
            tensorflow = "libtensorflow" in server.maps()
        finally:
            server.child.stop()
        figures[name] = {
            "cpu_s": cpu, "resident_mb": memory, "first_ms": times[0], "later_ms": float(np.median(times[10:])),
            "tensorflow": tensorflow,
        }  # fmt: skip
    rows = [
        [name, f"{f['cpu_s']:.1f} s", f"{f['resident_mb']:.0f} MB", "yes" if f["tensorflow"] else "no",
         f"{f['first_ms']:.1f} ms", f"{f['later_ms']:.1f} ms"]
        for name, f in figures.items()
    ]  # fmt: skip
    head = ["server", "CPU until ready", "resident then", "TensorFlow loaded", "first request", "median of later ones"]
    return {"figures": figures, "table": table(head, rows)}


def measure_memory(setting: Setting) -> dict[str, Any]:
    """Resident memory under a load of all protocols in turn."""
    server = start(OURS, setting.model, setting.folder)
    try:
        wanted = setting.cases
        for case in wanted:
            server.load(case, 1, setting.folder)
        begun, asked, at = time.monotonic(), 0.0, [(0.0, server.resident_mb())]
        while (passed := time.monotonic() - begun) < setting.soak_s:
            case = wanted[len(at) % len(wanted)]
            seconds = max(round(min(setting.soak_s / _SLICES / len(wanted), setting.soak_s - passed)), 1)
            run = server.load(case, seconds, setting.folder)
            asked += run.rate * seconds
            at.append((time.monotonic() - begun, server.resident_mb()))
    finally:
        server.child.stop()
    half = [(second, value) for second, value in at if second >= at[-1][0] / 2]
    slope = float(np.polyfit([x for x, _ in half], [y for _, y in half], 1)[0]) * 60 if len(half) > 2 else 0.0
    figures = {
        "seconds": at[-1][0],
        "requests": asked,
        "begin_mb": at[0][1],
        "half_mb": half[0][1],
        "end_mb": at[-1][1],
        "slope_mb_a_minute": slope,
    }
    head = ["load", "requests", "resident after warming", "after half of it", "at its end", "growth in the second half"]
    row = [f"{figures['seconds']:.0f} s", f"{asked:,.0f}", f"{at[0][1]:.1f} MB", f"{half[0][1]:.1f} MB",
           f"{at[-1][1]:.1f} MB", f"{slope:+.2f} MB a minute"]  # fmt: skip
    return {"figures": figures, "table": table(head, [row])}
