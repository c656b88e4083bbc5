"""What ``fraudline demo`` does, one thing after the other."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pyarrow as pa
from rich.console import Console

from fraudline.cli.demo.live import CANARY, CHAMPION, Line, Plan, drained, running
from fraudline.cli.demo.prepare import prepare
from fraudline.cli.demo.screen import summary, watch
from fraudline.cli.demo.story import alert_story
from fraudline.cli.demo.tally import Tally
from fraudline.cli.options import load_params
from fraudline.core.errors import UsageError
from fraudline.core.files import write_json
from fraudline.data.generate import generate, generate_live
from fraudline.data.params import GenerateParams
from fraudline.data.store import read_meta
from fraudline.model.artifact import load_artifact
from fraudline.stream.batch import BatchReport

DATA = Path("data")
FOLDER = Path("build/demo")
REPORTS = {
    "data docs": Path("build/validation/index.html"),
    "evaluation": Path("build/evaluation/index.html"),
    "model card": Path("build/package/model_card.html"),
}
_PLAIN_WIDTH = 110
_MINUTES = 3_456.0
"""Generated time: 2.4 days of the default world are about 10,000 transactions."""


def run(
    seconds: float,
    rate: float | None,
    canary_percent: int,
    broker: str,
    bootstrap: str,
    stream_only: bool,
    as_json: bool,
    params_file: Path,
) -> None:
    """What the command does; see its help."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(stderr=True, highlight=False, width=None if os.isatty(2) else _PLAIN_WIDTH)
    params = load_params(params_file)
    if (DATA / "dataset.json").is_file():
        _world(DATA)  # refused before anything is trained
    begun = time.monotonic()
    champion, challenger = prepare(FOLDER, params, console, train=not stream_only)
    console.print(f"[dim]models ready after {time.monotonic() - begun:.0f} s[/]")
    plan = Plan(
        folder=FOLDER / "run",
        champion=champion,
        canary=challenger,
        canary_percent=canary_percent,
        profiles=Path("build/profiles"),
        history=Path("build/dataset"),
        broker=broker,
        bootstrap=bootstrap,
        cache=Path(os.environ.get("FRAUDLINE_CACHE", ".cache")),
        stream=params.stream,
    )
    names = {load_artifact(champion).version: CHAMPION, load_artifact(challenger).version: CANARY}
    world = _world(Path("build/dataset"))
    transactions, labels = generate_live(world, minutes=_MINUTES)
    tally = Tally.of(transactions, labels)
    console.print("starting broker, predictors and Envoy")
    with running(plan) as line:
        try:
            speed = rate or transactions.num_rows / seconds
            _stream(console, line, tally, transactions, names, speed, world, stream_only)
        except KeyboardInterrupt:
            if not stream_only:
                raise
        stream = None if line.broker.notice else line.settings.model_copy(update={"transport": "kafka-python"})
        story = alert_story(FOLDER, tally, transactions, champion, params, stream)
    reports = REPORTS | ({"one alert's story": story} if story is not None else {})
    summary(console, tally, line.sent, names, reports)
    figures = _figures(tally, line, names, reports)
    write_json(FOLDER / "summary.json", figures)
    if as_json:
        click.echo(json.dumps(figures, sort_keys=True))


def _stream(
    console: Console,
    line: Line,
    tally: Tally,
    transactions: pa.Table,
    names: dict[str, str],
    rate: float,
    world: GenerateParams,
    endless: bool,
) -> None:
    def count(report: BatchReport) -> None:
        tally.add(report.decisions, [1000 * latency for latency in report.latencies_s], report.dead_letters)

    console.print(f"streaming through {line.broker.title}, {rate:,.0f} transactions a second")
    if line.broker.notice:
        console.print(f"[yellow]{line.broker.notice}[/]")
    line.work(count)
    line.feed(_endless(transactions, world, tally) if endless else [transactions], rate)
    watch(
        console,
        tally,
        total=0 if endless else transactions.num_rows,
        running=lambda: not drained(line, tally.settled),
        names=names,
    )


def _endless(first: pa.Table, world: GenerateParams, tally: Tally) -> Iterator[pa.Table]:
    """Day after day, each with its truth."""
    yield first
    day = world.days + int(_MINUTES // 1440) + 1
    while True:
        transactions, labels = generate(world, first_day=day, days=1)
        tally.know(transactions, labels)
        yield transactions
        day += 1


def _world(dataset: Path) -> GenerateParams:
    meta = read_meta(dataset)
    generator = meta.get("generator")
    if not generator or "collected" in meta:
        raise UsageError(
            "The demo streams the days after a generated data set, and data/ holds another one.",
            "Use `fraudline stream` and `fraudline produce` with your own transactions.",
        )
    return GenerateParams.parse(generator, "dataset.json")


def _figures(tally: Tally, line: Line, names: dict[str, str], reports: dict[str, Path]) -> dict[str, Any]:
    now = tally.snapshot()
    return {
        "broker": line.broker.title,
        "transactions": line.sent,
        "decisions": now.decisions,
        "alerts": now.alerts,
        "dead_letters": now.dead_letters,
        "precision": tally.precision(),
        "kinds": {
            row.kind: {"frauds": row.frauds, "caught": row.caught, "recall": row.recall} for row in tally.kinds()
        },
        "latency_ms": {"p50": now.p50_ms, "p99": now.p99_ms},
        "split": {names.get(version, version): count for version, count in now.split.items()},
        "reports": {name: str(path) for name, path in reports.items()},
    }


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
