"""One transaction's trace, from the producer through a real broker, the worker and a real predictor."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from fraudline.core.tracing import ENVIRONMENT, TracingParams, open_tracing
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import produce
from fraudline.stream.topics import ensure_topics
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_tables
from tests.support.otlp import Collector, SpanSeen
from tests.support.stop import StopAfter

pytestmark = pytest.mark.integration

STAGES = ["consume", "decode", "features", "score", "produce", "commit"]
ROWS = 40


@dataclass(frozen=True)
class Traced:
    """What a traced run left."""

    collector: Collector
    params: StreamParams
    decisions: list[Any]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(kafka: LocalKafka, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """One traced transaction among others that nobody traces."""
    folder = tmp_path_factory.mktemp("traced")
    model = tiny_artifact(folder / "m", review=0.01, block=0.02)  # every transaction is an alert
    tracing = TracingParams(endpoint=collector.url, ratio=0.0)
    params = own_params(folder, kafka.bootstrap, tracing=tracing, endpoint_timeout_s=60)
    ensure_topics(params)
    table = small_tables()[0].slice(5_000, ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, collector.url)
        with LocalPredictor(model) as predictor:
            params = params.model_copy(update={"endpoint": predictor.url})
            to = {"bootstrap": params.bootstrap, "topic": params.topics.transactions}
            with closing(open_tracing(tracing.model_copy(update={"ratio": 1.0}), "shop")) as spans:
                produce([table.slice(0, 1)], tracing=spans, **to)
            produce([table.slice(1)], **to)
            stop = StopAfter(ROWS)
            run_worker(params, model_dir=model, stop=stop.event, on_batch=stop)
    return Traced(collector, params, read_all(params.bootstrap, params.topics.decisions))


def only(spans: list[SpanSeen]) -> SpanSeen:
    assert len(spans) == 1, spans
    return spans[0]


def test_a_transactions_trace_goes_from_the_producer_through_the_worker_to_the_endpoint(traced: Traced) -> None:
    sent, decided, batch = (only(traced.collector.named(name)) for name in ("send", "decide", "batch"))
    assert (sent.service, sent.parent) == ("shop", "")
    assert (decided.trace, decided.parent) == (sent.trace, sent.span)
    assert (batch.trace, batch.span) in decided.links
    assert (sent.trace, sent.span) in batch.links
    stages = {span.name: span for span in traced.collector.spans if span.parent == batch.span}
    assert set(stages) == set(STAGES)
    assert all(span.trace == batch.trace for span in stages.values())
    order = [stages[name].begin_ns for name in STAGES]
    assert order == sorted(order)
    assert batch.begin_ns <= order[0]
    assert stages["commit"].end_ns <= batch.end_ns
    predicted = traced.collector.named("predict")
    assert {(span.trace, span.parent) for span in predicted} == {(batch.trace, stages["score"].span)}
    assert only(predicted[:1]).service == "fraudline-predictor"
    assert {span.attributes["http.response.status_code"] for span in predicted} == {200}


def test_the_decision_names_the_trace_and_what_reads_it_next_can_go_on(traced: Traced) -> None:
    decided = only(traced.collector.named("decide"))
    named = [(msgspec.json.decode(r.value, type=Decision).trace_id, dict(r.headers)) for r in traced.decisions]
    traces = [(trace, headers) for trace, headers in named if trace]
    assert len(named) == ROWS
    assert traces == [(decided.trace, {"traceparent": f"00-{decided.trace}-{decided.span}-01".encode()})]
    alerts = [dict(r.headers) for r in read_all(traced.params.bootstrap, traced.params.topics.alerts)]
    assert len(alerts) == ROWS
    assert [headers["traceparent"] for headers in alerts if headers.get("traceparent")] == [traces[0][1]["traceparent"]]


def test_the_predictor_continues_the_context_of_a_grpc_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    model = tiny_artifact(tmp_path / "m")
    width = len(load_artifact(model).spec.names)
    tensor = {"name": "features", "shape": [1, width], "datatype": "FP32"}
    good = pb.ModelInferRequest(model_name="fraud", inputs=[tensor], raw_input_contents=[bytes(4 * width)])
    wrong = pb.ModelInferRequest(model_name="fraud")
    contexts = [f"00-{n:032x}-{n:016x}-01" for n in (1, 2, 3)]
    with Collector() as collector:
        monkeypatch.setenv(ENVIRONMENT, collector.url)
        with LocalPredictor(model, grpc=True) as predictor, grpc.insecure_channel(predictor.grpc_address) as channel:
            stub = GRPCInferenceServiceStub(channel)

            def ask(request: Any, context: str) -> str:
                answer = stub.ModelInfer.future(request, timeout=60, metadata=[("traceparent", context)])
                return str(answer.code().name)

            assert ask(good, contexts[0]) == "OK"
            assert ask(wrong, contexts[1]) == "INVALID_ARGUMENT"
            assert ask(good, contexts[2][:-1] + "0") == "OK"
            stub.ServerLive(pb.ServerLiveRequest(), timeout=60, metadata=[("traceparent", contexts[2])])
        spans = sorted(collector.named("predict"), key=lambda span: span.trace)
    assert [(f"00-{s.trace}-{s.parent}-01", s.service, s.failed) for s in spans] == [
        (context, "fraudline-predictor", False) for context in contexts[:2]
    ]
    assert [span.attributes["rpc.grpc.status_code"] for span in spans] == [0, 3]
    assert {span.attributes["rpc.method"] for span in spans} == {"ModelInfer"}
