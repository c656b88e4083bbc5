"""Requests a second of every contestant, one after the other, in rounds; ratios are of the same round."""

import json
from collections import defaultdict
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.contestants import EMPTY, FASTAPI, ONE_BY_ONE, OURS, SAVEDMODEL, Contestant, running
from benchmarks.serving.load import Case, Run
from benchmarks.serving.setting import Setting
from benchmarks.streaming.page import table
from fraudline.core.errors import UnavailableError
from fraudline.model.artifact import Artifact
from fraudline.model.golden import read_golden

ALL = (EMPTY, OURS, ONE_BY_ONE, FASTAPI, SAVEDMODEL)
SHORT = (EMPTY, OURS, FASTAPI)
GOALS = {"rate": 0.9, "p50": 0.3, "p99": 1.2}
_SAME = 1e-5


def measure(setting: Setting) -> dict[str, Any]:
    """Every case by everyone who speaks its protocol."""
    runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    names = SHORT if setting.short else [name for name in ALL if name != SAVEDMODEL or setting.has_savedmodel]
    with running(names, setting.model, setting.folder) as contestants:
        wanted = setting.cases
        for case in wanted:
            for contestant in filter(lambda one: one.takes(case), contestants):  # used at once
                _right(contestant, case, setting.artifact)
                if not setting.short:
                    contestant.load(case, 1, setting.folder)
        for _ in range(setting.rounds):
            for case in wanted:
                for contestant in contestants:
                    if contestant.takes(case):
                        runs[case.key, contestant.name].append(contestant.load(case, setting.seconds, setting.folder))
    figures = {f"{key} / {name}": _figures(found, runs[key, EMPTY]) for (key, name), found in runs.items()}
    return {"figures": figures, "table": _tables(figures)}


def _right(contestant: Contestant, case: Case, artifact: Artifact) -> None:
    """Refuse to measure a server that answers something else than the artifact's own scores."""
    if not case.path:
        return
    status, body = contestant.post(case)
    if status != 200:
        raise UnavailableError(f"{contestant.name} answers {status} to {case.key}: {body[:200]!r}.", "See its server.")
    if contestant.name == EMPTY:
        return
    _, golden = read_golden(artifact.table("golden.parquet"), artifact.spec.names)
    found, wanted = scores_of(body), np.resize(golden.score, case.rows)
    if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=0, atol=_SAME):
        problem = f"{contestant.name} answers {case.key} with other scores: {found[:3]} and not {wanted[:3]}."
        raise UnavailableError(problem, "See its model.")


def scores_of(body: bytes) -> NDArray[np.float32]:
    """The scores of an answer in V1, V2 JSON or V2 binary."""
    answer, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    if "predictions" in answer:
        return np.array([each["score"] for each in answer["predictions"]], np.float32)
    for output in answer["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        if output["name"] == "score":
            return np.frombuffer(body[end : end + size], np.float32) if size else np.array(output["data"], np.float32)
        end += size
    return np.empty(0, np.float32)


def _figures(found: list[Run], empty: list[Run]) -> dict[str, float]:
    return {
        "rate": median(run.rate for run in found),
        "p50": median(run.p50 for run in found),
        "p99": median(run.p99 for run in found),
        "cpu_us": median(run.cpu_us for run in found),
        "errors": sum(run.errors for run in found),
        "rate_ratio": median(run.rate / other.rate for run, other in zip(found, empty, strict=True)),
        "cpu_ratio": median(other.cpu_us / run.cpu_us for run, other in zip(found, empty, strict=True)),
        "p50_more": median(run.p50 - other.p50 for run, other in zip(found, empty, strict=True)),
        "p99_ratio": median(run.p99 / other.p99 for run, other in zip(found, empty, strict=True)),
    }


def _tables(figures: dict[str, dict[str, float]]) -> str:
    rows = []
    for key, f in figures.items():
        case, name = key.split(" / ")
        rate = [f"{f['rate']:,.0f}", f"{f['rate_ratio']:.2f} ×", f"{f['cpu_us']:,.0f} µs", f"{f['cpu_ratio']:.2f} ×"]
        rows.append([case, name, *rate, f"{f['p50']:.1f} ms", f"{f['p99']:.1f} ms", f"{f['errors']:.0f}"])
    head = [
        "protocol, rows",
        "server",
        "requests/s",
        "of the empty's",
        "CPU a request",
        "for the same CPU, of the empty's",
    ]
    met = []
    for key, f in figures.items():
        case, name = key.split(" / ")
        if name == OURS and case.endswith(", 1"):
            met.append([case, _said(f["rate_ratio"], f["rate_ratio"] >= GOALS["rate"], "× "),
                        _said(f["p50_more"], f["p50_more"] <= GOALS["p50"], " ms"),
                        _said(f["p99_ratio"], f["p99_ratio"] <= GOALS["p99"], "×")])  # fmt: skip
    goals = table(
        ["one row", "requests/s, ≥ 0.9 × the empty", "p50 above the empty's, ≤ 0.3 ms", "p99, ≤ 1.2 × the empty's"], met
    )
    return f"{goals}\n\n{table([*head, 'p50', 'p99', 'errors'], rows)}"


def _said(value: float, met: bool, unit: str) -> str:
    return f"{value:.2f} {unit.strip()}, {'met' if met else '**missed**'}"
