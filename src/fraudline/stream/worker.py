"""The worker: consume, advance features, score, decide, and append it all with the offsets in one Kafka transaction.

    run_worker(params, model_dir=Path("store/<digest>"), profiles_dir=Path("build/profiles"), stop=stop_on_signals())

Output is exactly-once by the transaction, state by the replay: whatever fails, the worker goes back to the committed
offsets and builds the state of the partitions concerned again, as a restart would.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

import numpy as np

from fraudline.core.clock import SECOND_US, now_us
from fraudline.core.errors import FraudlineError, UnavailableError
from fraudline.core.lineage import Lineage, NoLineage, kafka_topic
from fraudline.core.log import get_logger
from fraudline.core.tracing import Tracing, open_tracing
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact
from fraudline.stream import assembly
from fraudline.stream.batch import BatchReport, Judge
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.champion import ChampionWatch
from fraudline.stream.dead_letter import SMALL_BYTES
from fraudline.stream.endpoint import HeldError
from fraudline.stream.feature_events import FeatureWriter
from fraudline.stream.merchant_tables import MerchantTables
from fraudline.stream.messages import Transaction
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.pace import Pace
from fraudline.stream.params import StreamParams
from fraudline.stream.partitions import Partitions
from fraudline.stream.sealing import Sealer, open_sealer
from fraudline.stream.trace import BatchTrace
from fraudline.stream.transport import FencedError, Record, TooLargeError, Transport, open_transport

log = get_logger(__name__)

_BACKOFF_S = 0.2
_BACKOFF_MOST_S = 10.0
_TICK_S = 1.0


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set: the batch in hand is committed, then the worker ends. Main thread only."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_worker(
    params: StreamParams,
    *,
    model_dir: Path | None,
    profiles_dir: Path | None = None,
    history_dir: Path | None = None,
    expected_digest: str | None = None,
    stop: threading.Event | None = None,
    on_batch: Callable[[BatchReport], None] | None = None,
    on_ready: Callable[[], None] | None = None,
    lineage: Lineage | NoLineage | None = None,
) -> int:
    """Score the stream until ``stop`` is set; then commit the batch in hand, write checkpoints and leave.

    Args:
        params: where and how.
        model_dir: the artifact; verified before use. In endpoint mode it gives the feature specification. With
            ``params.champion`` it is what to begin with when the pointer's model is refused; None for nothing.
        profiles_dir: merchant tables; None when there are none. A newer publication there is taken while it runs.
        history_dir: the data set of the time before the log's first record; None when the log holds all there is.
        expected_digest: the digest that the artifact at ``model_dir`` must have.
        stop: ends the worker; None to run until an error.
        on_batch: called after each committed batch.
        on_ready: called once, when the worker has joined its group.
        lineage: hears which model is used on which topics.

    Returns:
        Records committed.

    Raises:
        ArtifactError: the artifact is not what it says.
        FencedError: another worker runs under the same ``worker_id``.
        UnavailableError: broker or endpoint stayed away through ``params.recoveries`` attempts.
        UsageError: the topic was made anew, or has another number of partitions than the history was divided by.
    """
    stop = stop or threading.Event()
    artifact = assembly.open_artifact(params, model_dir, expected_digest)
    metrics = StreamMetrics(params.endpoint_model if params.endpoint else artifact.meta.name)
    metrics.serve(params.metrics_host, params.metrics_port)
    metrics.readiness.waits("group", "the worker has not joined its group")
    with closing(metrics), ExitStack() as stack:
        tables = assembly.open_tables(params, artifact, profiles_dir, stack)
        profiles = tables.current if tables is not None else None
        sealer = open_sealer(params)
        if sealer is not None:
            stack.enter_context(closing(sealer))
        judge, cards = assembly.open_judge(params, artifact, profiles, sealer, metrics.readiness, stop, stack)
        assembly.warm(artifact, profiles)
        engines = assembly.engine_maker(artifact, profiles, history_dir, params)
        tracing = open_tracing(params.tracing, f"fraudline-{params.group}")
        if tracing is not None:
            stack.enter_context(closing(tracing))
        if lineage is not None:
            stack.enter_context(lineage.run("worker", kind="STREAMING", inputs=assembly.reads(params, artifact))).wrote(
                *(kafka_topic(params.bootstrap, topic) for topic in assembly.connection(params).outputs)
            )
        with closing(open_transport(params.transport, assembly.connection(params))) as transport:
            if history_dir is not None:
                assembly.check_partitions(params, transport.partitions())
            worker = Worker(
                params=params,
                artifact=artifact,
                engines=engines,
                judge=judge,
                transport=transport,
                metrics=metrics,
                champions=assembly.open_champions(params, artifact, stack),
                tables=tables,
                cards=cards,
                sealer=sealer,
                tracing=tracing,
            )
            return worker.run(stop, on_batch, on_ready)


class Worker:
    """One member of the group. Use :func:`run_worker`."""

    def __init__(
        self,
        *,
        params: StreamParams,
        artifact: Artifact,
        engines: Callable[[int, Sequence[Transaction] | None], FeatureEngine],
        judge: Judge | FeatureWriter,
        transport: Transport,
        metrics: StreamMetrics,
        champions: ChampionWatch | None = None,
        tables: MerchantTables | None = None,
        cards: BlockedCards | None = None,
        sealer: Sealer | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._params = params
        self._artifact = artifact
        self._judge = judge
        self._transport = transport
        self._metrics = metrics
        self._champions = champions
        self._tables = tables
        self._cards = cards
        self._sealer = sealer
        self._tracing = tracing
        self._pace = Pace(params.max_batch, params.max_latency_ms / 1000)
        self._states = Partitions(
            params, artifact, engines=engines, transport=transport, metrics=metrics, tables=tables, cards=cards
        )
        self._metrics.traffic.rates = artifact.card_spec.minor_rates
        names = tuple(artifact.spec.names)
        self._amount = names.index("amount") if "amount" in names else None
        self._epoch = -1
        self._partitions = 0
        self._failures = 0
        self._ticked = self._followed = time.monotonic()

    def run(
        self,
        stop: threading.Event,
        on_batch: Callable[[BatchReport], None] | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> int:
        """See :func:`run_worker`."""
        total, ready = 0, False
        self._metrics.model_is(self._artifact)
        if self._tables is not None:
            self._metrics.tables_are(self._tables.current)
        log.info("worker.started", worker_id=self._params.worker_id, model_version=self._artifact.version)
        while not stop.is_set():
            try:
                report = self._step()
                joined = not ready and self._join(report)
            except FencedError:
                raise
            except UnavailableError as error:
                self._recover(error, stop)
                continue
            self._metrics.readiness.goes_on("broker")
            if joined:
                ready = True
                self._metrics.readiness.goes_on("group")
                if on_ready is not None:
                    on_ready()
            if report is not None:
                total += report.records
                if on_batch is not None:
                    on_batch(report)
            self._housekeep()
        self._states.save()
        log.info("worker.stopped", worker_id=self._params.worker_id, records=total)
        return total

    def _join(self, report: BatchReport | None) -> bool:
        """Whether the group has given this worker partitions; then the way of a transaction is warm."""
        if not self._transport.assignment():
            return False
        if report is None:
            self._states.look_for_places()
            self._transport.rehearse()
        return True

    def _step(self) -> BatchReport | None:
        """One transaction: poll, align, advance, judge, commit."""
        self._follow()
        asked = time.monotonic()
        records = self._transport.poll(self._pace.size, self._params.poll_s)
        begun = time.monotonic()
        if self._transport.epoch != self._epoch:
            self._epoch = self._transport.epoch
            self._states.unalign()
            self._note_partitions()
            if self._sealer is not None:
                self._sealer.rebalanced()
        if not records:
            return None
        trace = BatchTrace(self._tracing, records, asked, begun) if self._tracing is not None else None
        try:
            report = self._work(records, begun, trace)
        except FraudlineError as error:
            if trace is not None:
                trace.end(error)
            raise
        if trace is not None:
            trace.end()
        return report

    def _work(self, records: Sequence[Record], begun: float, trace: BatchTrace | None) -> BatchReport:
        waited_s = now_us() / SECOND_US - min(record.timestamp_ms for record in records) / 1000
        parts = _by_partition(records)
        advanced = [self._states.advance(partition, part) for partition, part in parts]
        moments = [begun, time.monotonic()]
        with trace.scoring() if trace is not None else nullcontext():
            judged = self._judge.judge(advanced, trace)
        moments.append(time.monotonic())
        offsets = {partition: part[-1].offset + 1 for partition, part in parts}
        self._transport.transact(judged.outputs, offsets)
        moments.append(time.monotonic())
        if self._cards is not None:
            self._cards.committed()
        if trace is not None:
            trace.stages(advanced, moments, self._transport.appended_at)
        self._pace.took(len(records), moments[-1] - begun, waited_s)
        self._failures = 0
        report = judged.report(len(records), now_us() / 1000)
        self._metrics.duplicates.inc(sum(part.duplicates for part in advanced))
        self._metrics.staged(*moments)
        self._metrics.traffic.add([each for part in advanced for each in part.transactions])
        if judged.scored is not None and self._amount is not None:
            amounts = np.concatenate([part.features[:, self._amount] for part in advanced])
            self._metrics.amounts(judged.scored.decision, amounts)
        self._count(report)
        return report

    def _note_partitions(self) -> None:
        """Say that partitions were added: nothing is lost, but most cards now lie where they are new."""
        count = self._transport.partitions()
        if 0 < self._partitions < count:
            action = "A new topic and group keep the cards' past: docs/how-to/stream.md."
            log.error("worker.partitions_added", before=self._partitions, now=count, action=action)
        self._partitions = count

    def _follow(self) -> None:
        """Take note once a second of the cards that others put on the list or took off."""
        if self._cards is not None and time.monotonic() - self._followed >= _TICK_S:
            self._cards.follow(self._states.owned)
            self._metrics.blocked_cards.set(len(self._cards))
            self._followed = time.monotonic()

    def _recover(self, error: FraudlineError, stop: threading.Event) -> None:
        """Go back to the committed offsets; states that ran ahead are built again when their records come."""
        if isinstance(error, TooLargeError):
            self._judge.letter_bytes = SMALL_BYTES  # a letter has more than its record, and compressed ones grow
            log.warning("dead_letters.cut", kept_whole=SMALL_BYTES, problem=error.problem)
        if isinstance(error, HeldError):
            self._pace.gave_up()
        while True:
            self._failures += not isinstance(error, HeldError)
            self._metrics.readiness.waits("broker", error.problem)
            self._metrics.recoveries.inc()
            log.warning("worker.recovering", attempt=self._failures, problem=error.problem)
            if self._failures > self._params.recoveries:
                raise error
            self._states.unalign()
            if self._cards is not None:
                self._cards.abandoned()
            if stop.wait(min(_BACKOFF_S * 2 ** min(max(0, self._failures - 1), 32), _BACKOFF_MOST_S)):
                return  # whoever comes next begins at the committed offsets
            try:
                self._transport.recover()
                return
            except FencedError:
                raise
            except UnavailableError as again:
                if stop.is_set():
                    return
                error = again

    def _housekeep(self) -> None:
        self._swap()
        self._refresh()
        now = time.monotonic()
        if now - self._states.saved_at >= self._params.checkpoint_s:
            self._states.save(wait=False)
        if now - self._ticked >= _TICK_S:
            self._ticked = now
            self._metrics.lag.set(self._transport.lag())
            self._states.observe()

    def _swap(self) -> None:
        """Take the next champion, when one is proven: between two batches, so each decision is of one model."""
        if self._champions is None:
            return
        scorer = self._champions.take()
        if scorer is not None:
            self._judge.use(scorer)
            self._metrics.champion_swaps.inc()
            log.info("champion.swapped", before=self._artifact.version, now=scorer.artifact.version)
            self._artifact = scorer.artifact
            self._metrics.model_is(self._artifact)
        self._metrics.champion_refused.set(bool(self._champions.problem))

    def _refresh(self) -> None:
        """Take newer merchant tables, when some are read: between two batches, so each decision is of one version."""
        if self._tables is None:
            return
        tables = self._tables.take()
        if tables is not None:
            self._states.use_profiles(tables)
            self._judge.use_profiles(tables.version)
            self._metrics.tables_swaps.inc()
            self._metrics.tables_are(tables)
            log.info("profiles.swapped", version=tables.version)
        self._metrics.tables_refused.set(bool(self._tables.problem))

    def _count(self, report: BatchReport) -> None:
        self._metrics.transactions.inc(report.records)
        self._metrics.dead_letters.inc(report.dead_letters)
        self._metrics.batch.observe(report.records)
        self._metrics.ruled(report.judged.rules)
        scored = report.judged.scored
        if scored is not None:
            if scored.held is not None:
                self._metrics.thresholds_are(scored.held)
            self._metrics.decided(scored.model_version, scored.score, scored.decision, report.latencies_s)


def _by_partition(records: Sequence[Record]) -> list[tuple[int, list[Record]]]:
    parts: dict[int, list[Record]] = {}
    for record in records:
        parts.setdefault(record.partition, []).append(record)
    return sorted(parts.items())
