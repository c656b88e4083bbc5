"""The live part of the demo: broker, two predictors behind Envoy, worker and producer, until the traffic is decided."""

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from fraudline.cli.demo.brokers import Broker, broker
from fraudline.ops.local.envoy import LocalEnvoy
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.stream.batch import BatchReport
from fraudline.stream.params import StreamParams, Topics
from fraudline.stream.produce import produce
from fraudline.stream.topics import ensure_topics
from fraudline.stream.worker import run_worker

OnBatch = Callable[[BatchReport], None]

CHAMPION, CANARY = "champion", "canary"
_ROWS_A_REQUEST = 8
"""Envoy draws a model a request: small requests make the observed split follow the weights within seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs.

    Attributes:
        folder: everything that the run leaves: logs, the local broker's data, checkpoints.
        champion: artifact that gets most of the traffic.
        canary: artifact that gets the rest.
        canary_percent: of the requests.
        profiles: merchant tables; None for none.
        history: the data set of the time before.
        broker: ``auto``, ``kafka`` or ``mock``.
        bootstrap: a broker that runs already; empty for none.
        cache: where Kafka's jars are kept.
        stream: the worker's settings.
    """

    folder: Path
    champion: Path
    canary: Path
    canary_percent: int
    profiles: Path | None
    history: Path
    broker: str
    bootstrap: str
    cache: Path
    stream: StreamParams


@dataclass
class Line:
    """A running stream: transactions go in by :meth:`feed`, every committed batch reaches ``on_batch``."""

    broker: Broker
    settings: StreamParams
    plan: Plan
    predictors: dict[str, int]
    """HTTP port of each predictor, by label: what a Prometheus scrapes."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _jobs: list[Future[None]] = field(default_factory=list)
    _sent: int = 0
    _feeding: bool = False

    def work(self, on_batch: OnBatch) -> None:
        """Start the worker in a thread and wait until it has joined its group.

        Raises:
            Exception: what the worker ended with before.
        """
        self._jobs.append(self._pool.submit(self._worker, on_batch))
        while not self._ready.wait(0.1):
            self.check()

    def feed(self, tables: Iterable[pa.Table], rate: float) -> None:
        """Start the producer in a thread.

        Args:
            tables: transactions; may be endless.
            rate: transactions a second.
        """
        self._feeding = True
        self._jobs.append(self._pool.submit(self._producer, tables, rate))

    @property
    def sent(self) -> int:
        """Transactions produced so far."""
        return self._sent

    @property
    def feeding(self) -> bool:
        """Whether the producer still runs."""
        return self._feeding

    def check(self) -> None:
        """Raise what a thread ended with."""
        for job in self._jobs:
            if job.done():
                job.result()

    def end(self) -> None:
        """Stop producer and worker; the batch in hand is committed first."""
        self._stop.set()
        self._pool.shutdown()

    def _worker(self, on_batch: OnBatch) -> None:
        run_worker(
            self.settings,
            model_dir=self.plan.champion,
            profiles_dir=self.plan.profiles,
            history_dir=self.plan.history,
            stop=self._stop,
            on_batch=on_batch,
            on_ready=self._ready.set,
        )

    def _producer(self, tables: Iterable[pa.Table], rate: float) -> None:
        try:
            produce(
                tables,
                bootstrap=self.broker.bootstrap,
                topic=self.settings.topics.transactions,
                transport=self.broker.transport,
                rate=rate,
                stop=self._stop,
                on_progress=self._count,
            )
        finally:
            self._feeding = False

    def _count(self, sent: int) -> None:
        self._sent = sent


@contextmanager
def running(plan: Plan) -> Iterator[Line]:
    """Start everything and give the line; stop everything at the end, also after an error or Ctrl-C."""
    shutil.rmtree(plan.folder, ignore_errors=True)
    with ExitStack() as stack:
        predictors = [
            stack.enter_context(_started(LocalPredictor(path, label=label, log_path=plan.folder / f"{label}.log")))
            for path, label in ((plan.champion, CHAMPION), (plan.canary, CANARY))
        ]
        chosen = stack.enter_context(
            broker(plan.broker, bootstrap=plan.bootstrap, folder=plan.folder / "kafka", cache=plan.cache)
        )
        for predictor in predictors:
            predictor.wait_ready()
        weights = (100 - plan.canary_percent, plan.canary_percent)
        ports = {label: each.http_port for label, each in zip((CHAMPION, CANARY), predictors, strict=True)}
        upstreams = [(*port, weight) for port, weight in zip(ports.items(), weights, strict=True)]
        envoy = stack.enter_context(LocalEnvoy(upstreams, log_path=plan.folder / "envoy.log"))
        line = Line(chosen, _settings(plan, chosen, envoy.url), plan, ports)
        stack.callback(line.end)
        yield line


@contextmanager
def _started(predictor: LocalPredictor) -> Iterator[LocalPredictor]:
    """Started, not yet waited for: the two predictors and the broker come up together."""
    try:
        yield predictor.start()
    finally:
        predictor.stop()


def _settings(plan: Plan, chosen: Broker, endpoint: str) -> StreamParams:
    run = f"demo-{time.time_ns() // 1_000_000}."
    names = {
        name: f"{run if plan.bootstrap else ''}{topic}" for name, topic in _topic_names(plan.stream.topics).items()
    }
    settings = plan.stream.model_copy(
        update={
            "transport": chosen.transport,
            "bootstrap": chosen.bootstrap,
            "group": f"{run}fraudline" if plan.bootstrap else plan.stream.group,
            "topics": plan.stream.topics.model_copy(update=names),
            "checkpoint_dir": str(plan.folder / "checkpoints"),
            "endpoint": endpoint,
            "endpoint_rows": _ROWS_A_REQUEST,
        }
    )
    partitions = ensure_topics(settings)[settings.topics.transactions]
    return settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": partitions})})


def _topic_names(topics: Topics) -> dict[str, str]:
    return {name: value for name, value in topics.model_dump().items() if isinstance(value, str)}


def drained(line: Line, settled: int) -> bool:
    """Whether everything that was sent is decided; false also while more is being sent.

    Raises:
        Exception: what producer or worker ended with.
    """
    line.check()
    return not line.feeding and settled >= line.sent
