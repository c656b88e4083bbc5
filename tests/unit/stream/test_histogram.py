import numpy as np
from prometheus_client import CollectorRegistry, Histogram

from fraudline.stream.histogram import BulkHistogram

BOUNDS = (0.125, 0.5, 1.0, 2.5)


def test_many_values_at_once_count_as_they_do_one_by_one() -> None:
    values = np.array([0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 2.5, 2.75, 99.0])
    registry, other = CollectorRegistry(), CollectorRegistry()
    bulk = BulkHistogram("h", "Help.", ("version",), BOUNDS)
    registry.register(bulk)
    single = Histogram("h", "Help.", ("version",), buckets=BOUNDS, registry=other)
    for part in (values[:4], values[4:4], values[4:]):
        bulk.observe(("v",), part)
    for value in values.tolist():
        single.labels("v").observe(value)
    for suffix, labels in [("_count", {}), ("_sum", {}), *(("_bucket", {"le": f"{b}"}) for b in (*BOUNDS, "+Inf"))]:
        name, wanted = f"h{suffix}", {"version": "v", **labels}
        assert registry.get_sample_value(name, wanted) == other.get_sample_value(name, wanted), (name, wanted)
