import threading
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from fraudline.core.errors import UsageError
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.process import free_port
from fraudline.stream.metrics import STAGES, StreamMetrics
from tests.support.artifacts import tiny_artifact


def test_metrics_answer_on_loopback_until_they_are_closed() -> None:
    metrics, port = StreamMetrics("fraud"), free_port()
    metrics.serve("127.0.0.1", port)
    metrics.decided(["v1"], np.array([3.0]), ["review"], np.array([0.01]))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'fraudline_alerts_total{model="fraud",version="v1"} 1.0' in text
    metrics.close()
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_taken_port_is_named() -> None:
    first, second, port = StreamMetrics("a"), StreamMetrics("b"), free_port()
    first.serve("127.0.0.1", port)
    with pytest.raises(UsageError, match=str(port)):
        second.serve("127.0.0.1", port)
    first.close()


def test_port_zero_serves_nothing() -> None:
    metrics, before = StreamMetrics("fraud"), threading.enumerate()
    metrics.serve("127.0.0.1", 0)
    assert set(threading.enumerate()) <= set(before), "somebody listens at a port that nobody is told"
    metrics.close()


def test_the_time_of_a_batch_is_told_by_stage() -> None:
    metrics = StreamMetrics("fraud")
    metrics.staged(10.0, 10.5, 12.0, 12.25)
    metrics.staged(20.0, 20.5, 22.0, 22.25)
    found = {
        stage: metrics.registry.get_sample_value("fraudline_stage_seconds_total", {"stage": stage}) for stage in STAGES
    }
    assert found == {"advance": 1.0, "score": 3.0, "commit": 0.5}


def test_the_model_that_decides_is_the_only_one_that_is_told(tmp_path) -> None:
    metrics = StreamMetrics("fraud")
    models = [load_artifact(tiny_artifact(tmp_path / str(seed), seed=seed)) for seed in (1, 2)]
    for model in models:
        metrics.model_is(model)
    told = [family for family in metrics.registry.collect() if family.name == "fraudline_model_info"]
    assert [sample.labels["version"] for sample in told[0].samples] == [models[1].version]


def test_amounts_are_added_by_decision() -> None:
    metrics = StreamMetrics("fraud")
    metrics.amounts(["allow", "block", "allow"], np.array([1.0, 10.0, 2.0], np.float32))
    by = {
        d: metrics.registry.get_sample_value("fraudline_decided_amount_total", {"decision": d})
        for d in ("allow", "block")
    }
    assert by == {"allow": 3.0, "block": 10.0}
