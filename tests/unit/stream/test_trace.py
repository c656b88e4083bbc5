"""Which records are traced, what is appended about them, and what a failed batch leaves."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.core.tracing import Tracing, TracingParams
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.stream.batch import Judge
from fraudline.stream.feature_events import FeatureWriter
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.trace import BatchTrace
from fraudline.stream.transport import Record
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.otlp import Collector
from tests.support.stop import StopAfter
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_partition import SPEC, TRANSACTIONS

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-2] + "00"
LOG = log_of(TRANSACTIONS)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("model") / "m"))


def came_with(context: str, at: int = 0) -> list[Record]:
    log = list(LOG)
    log[at] = log[at]._replace(headers=(("other", b"x"), ("traceparent", context.encode())))
    return log


def tracing(collector: Collector, ratio: float = 0.0, carry_on: str = "recorded") -> Tracing:
    return Tracing(TracingParams(endpoint=collector.url, ratio=ratio, carry_on=carry_on), "worker")


@pytest.mark.parametrize("carry_on", ["recorded", "all"])
def test_a_context_that_is_not_sampled_is_passed_on_and_not_recorded(collector: Collector, carry_on: str) -> None:
    with closing(tracing(collector, 0.0, carry_on)) as spans:
        records = came_with(UNSAMPLED)
        trace = BatchTrace(spans, records, 0.0, 1.0)
        trace.end()
    ids, headers, on_decisions = trace.onward(records)
    assert headers[0] == (("traceparent", UNSAMPLED.encode()),)
    assert on_decisions[0] == (headers[0] if carry_on == "all" else ())
    assert ids[0] == SAMPLED[3:35]
    assert not any(ids[1:])
    assert not any(headers[1:])
    assert not any(on_decisions[1:])
    assert collector.spans == []


def test_a_decision_of_a_trace_that_is_recorded_carries_it_on(collector: Collector) -> None:
    with closing(tracing(collector)) as spans:
        records = came_with(SAMPLED)
        trace = BatchTrace(spans, records, 0.0, 1.0)
        trace.end()
    onward = trace.onward(records)
    decide = collector.named("decide")[0]
    carried = f"00-{decide.trace}-{decide.span}-01".encode()
    assert onward.decisions[0] == onward.headers[0] == (("traceparent", carried),)


@pytest.mark.parametrize("kept", [slice(None), slice(1, None, 2)], ids=["all of them", "those not refused"])
def test_each_record_of_several_partitions_has_its_own_context(collector: Collector, kept: slice) -> None:
    contexts = [f"00-{row + 1:032x}-b7ad6b7169203331-0{row % 3 == 0:d}" for row in range(12)]
    records = [
        LOG[0]._replace(partition=row % 2, offset=row, headers=(("traceparent", context.encode()),))
        for row, context in enumerate(contexts)
    ]
    worked_on = sorted(records, key=lambda record: record.partition)[kept]
    with closing(tracing(collector)) as spans:
        trace = BatchTrace(spans, records, 0.0, 1.0)
        trace.end()
    onward = trace.onward(worked_on)
    assert onward.ids == [contexts[record.offset][3:35] for record in worked_on]
    recorded = {span.trace: f"00-{span.trace}-{span.span}-01".encode() for span in collector.named("decide")}
    assert len(recorded) == 4
    for record, headers in zip(worked_on, onward.headers, strict=True):
        assert headers == (
            ("traceparent", recorded.get(contexts[record.offset][3:35], contexts[record.offset].encode())),
        )


def test_records_without_a_context_are_drawn(collector: Collector) -> None:
    with closing(tracing(collector, ratio=1.0)) as spans:
        BatchTrace(spans, LOG, 0.0, 1.0).end()
    assert len(collector.named("decide")) == len(LOG)
    assert len({span.trace for span in collector.named("decide")}) == len(LOG)
    assert len(collector.named("batch")) == 1


def test_an_event_of_features_carries_the_context_on_as_cloudevents_say(
    collector: Collector, artifact: Artifact
) -> None:
    params = StreamParams(stage="features", checkpoint_dir="")
    transport = FakeTransport({0: came_with(SAMPLED)})
    run(artifact, transport, collector, params, FeatureWriter(artifact, params))
    decide = collector.named("decide")[0]
    headers = dict(transport.outputs[0].headers)
    assert headers["ce_traceparent"] == headers["traceparent"] == f"00-{decide.trace}-{decide.span}-01".encode()
    assert "traceparent" not in dict(transport.outputs[1].headers)
    assert (decide.trace, decide.parent) == (SAMPLED[3:35], SAMPLED[36:52])


def test_a_batch_that_fails_is_marked_and_the_next_attempt_is_a_trace_of_its_own(
    collector: Collector, artifact: Artifact
) -> None:
    params = StreamParams(checkpoint_dir="", max_batch=len(LOG))
    transport = FakeTransport({0: came_with(SAMPLED)})
    transport.failures.append(UnavailableError("away", "wait"))
    run(artifact, transport, collector, params, Judge(artifact, InProcessScoring(artifact), params, ""))
    decided = sorted(collector.named("decide"), key=lambda span: span.begin_ns)
    assert [span.failed for span in decided] == [True, False]
    assert {span.trace for span in decided} == {SAMPLED[3:35]}
    assert len({span.trace for span in collector.named("batch")}) == 2


def run(
    artifact: Artifact,
    transport: FakeTransport,
    collector: Collector,
    params: StreamParams,
    judge: Judge | FeatureWriter,
) -> None:
    stop = StopAfter(len(LOG))
    with closing(tracing(collector)) as spans:
        Worker(
            params=params,
            artifact=artifact,
            engines=lambda *_: FeatureEngine(SPEC),
            judge=judge,
            transport=transport,
            metrics=StreamMetrics("fraud"),
            tracing=spans,
        ).run(stop.event, stop)
