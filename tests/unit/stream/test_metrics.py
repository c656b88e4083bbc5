from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from fraudline.core.errors import UsageError
from fraudline.ops.local.process import free_port
from fraudline.stream.metrics import StreamMetrics


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
    metrics = StreamMetrics("fraud")
    metrics.serve("127.0.0.1", 0)
    metrics.close()
