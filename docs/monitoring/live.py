"""A run of the whole system with a real Prometheus beside it, for pictures of the dashboards.

The demo's broker, two predictors behind Envoy and worker decide on the days after the data set for some minutes; the
pipeline's last steps run again, and drift, skew and performance are measured on what was decided, so that every panel
has something true to show.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from fraudline.cli.demo.live import Plan, drained, running
from fraudline.cli.demo.prepare import prepare
from fraudline.cli.demo.tally import Tally
from fraudline.core.files import read_json
from fraudline.data.generate import generate_live
from fraudline.data.params import GenerateParams
from fraudline.data.store import read_meta, write_dataset
from fraudline.ops.ended import EndedMetrics
from fraudline.ops.local.process import free_port
from fraudline.ops.local.prometheus import local_prometheus
from fraudline.steps.drift import drift
from fraudline.steps.params import Params
from fraudline.steps.skew import skew
from fraudline.stream.batch import BatchReport
from fraudline.stream.messages import encode

FOLDER = Path("build/dashboards")
STEPS = ("evaluate", "gate", "infra_validate", "package")
_MINUTES = 3_456.0
_SETTLE_S = 12.0


@contextmanager
def watched(seconds: float) -> Iterator[tuple[str, float, float]]:
    """Run it.

    Args:
        seconds: of traffic.

    Yields:
        Prometheus' address, and when the traffic began and ended in seconds since the epoch.

    Raises:
        SystemExit: there is no Prometheus, or a step failed.
    """
    if shutil.which("prometheus") is None:
        raise SystemExit("The program prometheus is not installed (Debian's package prometheus).")
    shutil.rmtree(FOLDER, ignore_errors=True)
    textfiles, params = FOLDER / "textfiles", Params.load(Path("params.yaml"))
    champion, challenger = prepare(Path("build/demo"), params, Console(stderr=True), train=False)
    port, cache = free_port(), Path(os.environ.get("FRAUDLINE_CACHE", ".cache"))
    plan = Plan(
        folder=FOLDER / "run", champion=champion, canary=challenger, canary_percent=10, profiles=Path("build/profiles"),
        history=Path("build/dataset"), broker="auto", bootstrap="", cache=cache,
        stream=params.stream.model_copy(update={"metrics_port": port}),
    )  # fmt: skip
    world = GenerateParams.parse(read_meta(Path("build/dataset"))["generator"], "dataset.json")
    transactions, labels = generate_live(world, minutes=_MINUTES)
    tally = Tally.of(transactions, labels)
    with running(plan) as line, _textfile_collector(textfiles) as collector:
        targets = {"worker": port, "steps": collector, **line.predictors}
        with local_prometheus(targets, FOLDER) as prometheus, (FOLDER / "decisions.jsonl").open("wb") as decided:

            def keep(report: BatchReport) -> None:
                tally.add(report.decisions, [1000 * each for each in report.latencies_s], report.dead_letters)
                decided.writelines(encode(each) + b"\n" for each in report.decisions)

            line.work(keep)
            begun = time.time()
            line.feed([transactions], transactions.num_rows / seconds)
            _steps(textfiles)
            while not drained(line, tally.settled):
                time.sleep(0.2)
            decided.flush()
            _measured(champion, transactions, labels, params, textfiles)
            time.sleep(_SETTLE_S)
            yield prometheus.url, begun, time.time()


def _steps(textfiles: Path) -> None:
    """The pipeline's last steps once more: they give the same, and say what they took."""
    environment = {**os.environ, "FRAUDLINE_TEXTFILES": str(textfiles.resolve())}
    command = ["dvc", "repro", "--quiet", "--force", "--single-item", *STEPS]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise SystemExit("A step failed; its message stands above.")


def _measured(champion: Path, transactions: pa.Table, labels: pa.Table, params: Params, textfiles: Path) -> None:
    """Drift, skew and, as if every label had come at once, performance of the champion's decisions."""
    decisions, dataset = FOLDER / "decisions.jsonl", FOLDER / "truth"
    write_dataset(dataset, transactions, labels, {"name": "live", "currency": "EUR", "generator": None})
    matured = params.model_copy(update={"label_delay_days": 0})
    drift(
        decisions=decisions, model=champion, report=FOLDER / "drift", params=matured, labels=dataset,
        evaluation=Path("build/evaluation/metrics.json"),
    )  # fmt: skip
    skew(
        decisions=decisions, transactions=dataset, model=champion, report=FOLDER / "skew", params=params,
        history=Path("build/dataset"), profiles=Path("build/profiles"),
    )  # fmt: skip
    found = {name: read_json(FOLDER / name / f"{name}.json") for name in ("drift", "skew")}
    for name, say, document in (
        ("drift", EndedMetrics.drift, found["drift"]),
        ("skew", EndedMetrics.skew, found["skew"]),
        ("labels", EndedMetrics.labels, found["drift"]["performance"]),
    ):
        metrics = EndedMetrics()
        say(metrics, document)
        metrics.publish(name, textfiles=textfiles)


@contextmanager
def _textfile_collector(folder: Path) -> Iterator[int]:
    """What node_exporter does: the folder's files as one page of metrics."""
    folder.mkdir(parents=True, exist_ok=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"".join(path.read_bytes() for path in sorted(folder.glob("*.prom")))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """No line a scrape."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
