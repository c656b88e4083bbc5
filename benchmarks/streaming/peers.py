"""Records a CPU second and a second of wall time: the copies, the worker, Quix Streams, Spark."""

import subprocess
from pathlib import Path
from typing import Any

from benchmarks.streaming import contest, load
from benchmarks.streaming.page import table
from benchmarks.streaming.setting import CACHE, Setting

RECORDS, CARDS, BATCH = 200_000, 20_000, 2_000
SPARK_TRIGGERS = 5
_UNBOUNDED_MS = 10_000.0  # transactions as large as the others', however slow the machine
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>spark-kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.spark</groupId><artifactId>spark-sql-kafka-0-10_2.13</artifactId>
<version>{version}</version></dependency></dependencies></project>"""
_SPARK_KAFKA = ("4.2.0",)


def measure(setting: Setting) -> dict[str, Any]:
    """All contestants, one after the other, on the same records."""
    count = setting.size(RECORDS)
    size = load.fill(setting.bootstrap, "peers", 1, load.transactions(count, CARDS))
    shared = {"bootstrap": setting.bootstrap, "source": "peers", "count": count, "batch": BATCH}
    model = {"model": str(setting.model), "params": {"max_batch": BATCH, "max_latency_ms": _UNBOUNDED_MS}}
    figures: dict[str, Any] = {}
    for client in ("kafka-python", "confluent"):
        load.make(setting.bootstrap, f"copy-{client}", 1)
        config = {**shared, "client": client, "sink": f"copy-{client}"}
        figures[f"copy, {client}"] = contest.run("benchmarks.streaming.copy", config)
        load.make_outputs(setting.bootstrap, f"ours-{client}")
        config = {**shared, **model, "transport": client, "sink": f"ours-{client}"}
        figures[f"fraudline, {client}"] = contest.run("benchmarks.streaming.worker", config)
    figures.update(_peers(setting, shared))
    return {"figures": {"record_bytes": size, "contestants": figures}, "table": _table(figures, size, count)}


def _peers(setting: Setting, shared: dict[str, Any]) -> dict[str, Any]:
    if not Path(setting.peers_python).exists():
        print("no environment of the peers: make .venv-bench/.ready")
        return {}
    thresholds = setting.artifact.thresholds
    config = {
        **shared,
        "onnx": str(setting.model / "model.onnx"),
        "review": thresholds.review,
        "block": thresholds.block,
        "per_trigger": shared["count"] // SPARK_TRIGGERS,
    }
    for name in ("quix", "quix-no-model", "spark"):
        load.make(setting.bootstrap, name, 1)
    found = {
        name: contest.run(
            "benchmarks.streaming.quix",
            {**config, "sink": sink, "asks_model": sink == "quix"},
            str(setting.folder / sink),
            python=setting.peers_python,
        )
        for name, sink in (("Quix Streams", "quix"), ("Quix Streams, model not asked", "quix-no-model"))
    }
    spark = {**config, "sink": "spark", "jars": str(spark_jars())}
    found["Spark Structured Streaming"] = contest.run_watched(
        "benchmarks.streaming.spark", spark, str(setting.folder / "spark"), python=setting.peers_python
    )
    return found


def spark_jars() -> Path:
    """The folder with spark-sql-kafka and what it needs, fetched by Maven once."""
    folder = CACHE.resolve() / f"spark-sql-kafka-{_SPARK_KAFKA[0]}"
    if not folder.is_dir():
        pom = CACHE.resolve() / "spark.pom.xml"
        pom.write_text(_POM.format(version=_SPARK_KAFKA[0]), encoding="utf-8")
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        subprocess.run([*command, f"-DoutputDirectory={folder}"], check=True, timeout=600)
    return folder


def _table(figures: dict[str, Any], size: int, count: int) -> str:
    rows = []
    for name, one in figures.items():
        cpu, wall = one["records"] / one["cpu_s"], one["records"] / one["wall_s"]
        rows.append([name, f"{cpu:,.0f}", f"{one['cpu_s'] / one['records'] * 1e6:.1f}", f"{wall:,.0f}"])
    head = ["", "records a CPU second", "CPU µs a record", "records a second"]
    text = f"{count:,} records of {size} bytes, one partition, transactions of {BATCH:,} records.\n\n"
    return text + table(head, rows) + "\n\n" + _ratios(figures)


def _ratios(figures: dict[str, Any]) -> str:
    def rate(name: str) -> float:
        return float(figures[name]["records"] / figures[name]["cpu_s"])

    rows = []
    for client in ("kafka-python", "confluent"):
        ours = rate(f"fraudline, {client}")
        row = [f"fraudline, {client}", f"{ours / rate(f'copy, {client}'):.2f} ×"]
        row += [f"{ours / rate(name):.1f} ×" if name in figures else "" for name in _PEERS]
        rows.append(row)
    return "By CPU second:\n\n" + table(["", "its own copy", *_PEERS], rows)


_PEERS = ("Quix Streams", "Spark Structured Streaming")
