"""`fraudline score` on feature rows: rows a second of one core, where they go, memory against the size of the file.

The graph by its operators is ONNX Runtime's own profile of batches of the size that `score` calls it with.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.serving.setting import Setting
from benchmarks.streaming.page import table
from fraudline.model.scorer import Scorer
from fraudline.steps.score import Judge
from fraudline.steps.score_rows import feature_rows
from fraudline.steps.score_source import chunks
from fraudline.stream.params import StreamParams

_CHILD = """
import json, sys, time
from pathlib import Path
from fraudline.core.log import configure
from fraudline.steps.params import Params
from fraudline.steps.score import score
configure(level="warning")
file, model, out = map(Path, sys.argv[1:4])
before, begun = time.process_time(), time.perf_counter()
found = score(file=file, model=model, out=out, params=Params(), jobs=int(sys.argv[4]))
used, wall = time.process_time() - before, time.perf_counter() - begun
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
json.dump(found | {"cpu_s": used, "wall_s": wall, "peak_mb": peak / 1e3}, sys.stdout)
"""
_GEMM_ROWS = 4_096
_CALL_ROWS = 1_024
_OPERATORS = 8


def measure(setting: Setting) -> dict[str, Any]:
    """Files of three sizes, and the parts of one chunk."""
    sizes = (2_000, 8_000) if setting.short else (100_000, 400_000, 1_600_000)
    figures: dict[str, Any] = {"files": [_file(setting, rows) for rows in sizes], "parts": _parts(setting)}
    rows = [
        [f"{f['rows']:,}", f"{f['mb']:,.0f} MB", f"{f['rows'] / f['cpu_s']:,.0f}", f"{f['faster']:.2f} ×",
         f"{f['reviews'] + f['blocks']:,}", f"{f['peak_mb']:,.0f} MB"]
        for f in figures["files"]
    ]  # fmt: skip
    cores = f"faster on {len(os.sched_getaffinity(0))} cores"
    head = ["rows", "parquet", "rows a CPU second", cores, "alerts among them", "peak of resident memory"]
    whole = table(head, rows)
    parts = figures["parts"]
    lines = [[name, f"{value:.2f} µs", f"{1e6 / value:,.0f}"] for name, value in parts.items() if name != "mflop"]
    one = table(["part", "CPU a row", "rows a CPU second, by itself"], lines)
    figures["operators"] = operators = _operators(setting)
    spent = sum(operators.values())
    most = [[name, f"{took:.2f} µs", f"{took / spent:.0%}"] for name, took in operators.most_common(_OPERATORS)]
    graph = table(["operator of the graph", "a row", "of the graph"], most)
    return {"figures": figures, "table": f"{whole}\n\n{one}\n\n{_bound(parts)}\n\n{graph}"}


def _file(setting: Setting, rows: int) -> dict[str, Any]:
    path, out = setting.folder / "rows.parquet", setting.folder / "out.parquet"
    features = _features(setting)
    names = setting.artifact.spec.names
    with pq.ParquetWriter(path, pa.schema([(name, pa.float32()) for name in names])) as writer:
        for start in range(0, rows, 65_536):
            part = np.resize(features, (min(65_536, rows - start), len(names)))
            writer.write_table(pa.table({name: part[:, j] for j, name in enumerate(names)}), row_group_size=65_536)
    one, all_cores = (_child(path, setting.model, out, jobs) for jobs in (1, len(os.sched_getaffinity(0))))
    return one | {"mb": path.stat().st_size / 1e6, "faster": one["wall_s"] / all_cores["wall_s"]}


def _child(path: Path, model: Path, out: Path, jobs: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _CHILD, str(path), str(model), str(out), str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "src"})
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _features(setting: Setting) -> NDArray[np.float32]:
    """Rows of the test set where there is one: mostly usual ones, as in production; else golden ones."""
    names = list(setting.artifact.spec.names)
    found = sorted(Path("build/features").glob("*.parquet"))
    source = pq.read_table(found[0]) if found else setting.artifact.table("golden.parquet")
    if not set(names) <= set(source.column_names):
        source = setting.artifact.table("golden.parquet")
    return np.column_stack([source[name].to_numpy() for name in names]).astype(np.float32)


def _parts(setting: Setting) -> dict[str, float]:
    """CPU µs a row of the steps of one chunk, the least of three."""
    artifact, path = setting.artifact, setting.folder / "rows.parquet"
    scorer = Scorer(artifact)
    chunk = next(chunks(path))
    n = chunk.table.num_rows
    features = feature_rows(chunk, artifact.card_spec)
    keys = pa.table({"transaction_id": [f"row-{row}" for row in range(n)]})
    parts = [features[start : start + _CALL_ROWS] for start in range(0, n, _CALL_ROWS)]
    with ThreadPoolExecutor(1) as pool:
        judge = Judge(artifact, artifact.thresholds, StreamParams(), with_features=False, pool=pool)
        table_of_decisions, _ = judge.decide(keys, features)
        return {
            "read parquet": _least(lambda: next(chunks(path)), n),
            "check, to one matrix": _least(lambda: feature_rows(chunk, artifact.card_spec), n),
            "the model, scores only": _least(lambda: [scorer.only_scores(part) for part in parts], n),
            "the model, all outputs": _least(lambda: [scorer.score(part) for part in parts], n),
            "the model, reasons of alerts, the table": _least(lambda: judge.decide(keys, features), n),
            "write parquet": _least(lambda: pq.write_table(table_of_decisions, setting.folder / "o.parquet"), n),
            "the matrix products of the networks alone (NumPy)": _least(lambda: _products(artifact.meta, features), n),
        }


def _operators(setting: Setting) -> Counter[str]:
    """Wall µs a row in the kernels of each operator, of the calls after the first ones."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling, options.profile_file_prefix = True, str(setting.folder / "profile")
    session = ort.InferenceSession(setting.artifact.onnx, options, providers=["CPUExecutionProvider"])
    rows = np.resize(_features(setting), (_CALL_ROWS, len(setting.artifact.spec.names)))
    warm, calls = 3, 2 if setting.short else 30
    for _ in range(warm + calls):
        session.run(["score"], {"features": rows})
    events = json.loads(Path(session.end_profiling()).read_bytes())
    took: Counter[str] = Counter()
    begun = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        begun += event["name"] == "model_run"
        if begun > warm and event["name"].endswith("_kernel_time"):
            took[event["args"]["op_name"]] += event["dur"] / (calls * _CALL_ROWS)
    return took


def _products(meta: Any, features: NDArray[np.float32]) -> None:
    """Products of the shapes of the model's layers: the arithmetic that no program can leave out."""
    width = features.shape[1]
    for start in range(0, len(features), _GEMM_ROWS):
        rows = features[start : start + _GEMM_ROWS]
        for kind in ("members", "on_surprises"):
            for layers in meta.architecture.get(kind, []):
                x = rows
                for size in (*layers, width):
                    x = x @ np.ones((x.shape[1], size), np.float32)


def _bound(parts: dict[str, float]) -> str:
    products = parts["the matrix products of the networks alone (NumPy)"]
    return (
        f"The products of the networks' layers alone allow {1e6 / products:,.0f} rows a second of one core here; "
        "the goal is 1,000,000."
    )


def _least(run: Any, rows: int) -> float:
    best = np.inf
    for _ in range(3):
        before = time.process_time()
        run()
        best = min(best, time.process_time() - before)
    return float(best / rows * 1e6)
