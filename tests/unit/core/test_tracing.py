"""Sampling, contexts, and what a collector that is away does: nothing."""

import sys
from contextlib import closing, suppress

import pytest

from fraudline.core.errors import UsageError
from fraudline.core.tracing import TracingParams, carried, current_headers, is_sampled, open_tracing
from tests.support.otlp import Collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [(PARENT, True), (PARENT[:-2] + "00", False), (PARENT[:-2] + "03", True), ("", False), (PARENT[:-2] + "zz", False)],
)
def test_a_context_says_itself_whether_it_is_recorded(text: str, sampled: bool) -> None:
    assert is_sampled(text) == sampled


@pytest.mark.parametrize("wrong", ["", PARENT[:-1], PARENT + "\r\n", PARENT.upper(), f"00-{'0' * 32}-{PARENT[36:]}"])
def test_only_a_well_formed_context_of_a_record_is_carried_on(wrong: str) -> None:
    assert carried([("traceparent", wrong.encode())]) == carried([("other", PARENT.encode())]) == ""
    assert carried([("other", b""), ("traceparent", PARENT.encode())]) == PARENT


def test_without_an_address_there_is_no_tracing_and_nothing_to_pass_on() -> None:
    assert open_tracing(TracingParams(), "x") is None
    assert current_headers() == {}


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(UsageError, match="needs OpenTelemetry"):
        open_tracing(TracingParams(endpoint="http://127.0.0.1:1"), "x")


def test_a_span_is_carried_on_and_its_error_marks_it() -> None:
    with Collector() as collector:
        with closing(open_tracing(TracingParams(endpoint=collector.url, service="s"), "x")) as tracing:
            with tracing.span("a", parent=PARENT, links=["nonsense"]) as span:
                assert current_headers() == {"traceparent": span.traceparent}
            with suppress(ValueError), tracing.span("wrong"):
                raise ValueError("no")
            tracing.start("b", parent="nonsense").end()
        spans = {span.name: span for span in collector.spans}
    assert (spans["a"].trace, spans["a"].parent) == (PARENT[3:35], PARENT[36:52])
    assert (spans["a"].failed, spans["wrong"].failed) == (False, True)
    assert spans["a"].service == "s"
    assert (spans["b"].parent, spans["b"].links) == ("", ())


@pytest.mark.parametrize("ratio", [0.0, 0.03, 1.0])
def test_the_share_that_is_drawn_is_the_ratio(ratio: float) -> None:
    with closing(open_tracing(TracingParams(endpoint="http://127.0.0.1:1", ratio=ratio), "x")) as tracing:
        drawn = tracing.draw(20_000)
    assert len(drawn) == pytest.approx(20_000 * ratio, abs=0.01 * 20_000 * (0 < ratio < 1))
    assert drawn == sorted(set(drawn))
