"""The stand-in for Prometheus answers what Prometheus would: the newest sample, exact labels, no functions."""

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.gitops.observe import Prometheus, observe
from fraudline.ops.local.scraper import LocalScraper, Samples

TEXT = """# TYPE rows counter
rows_total{version="a"} %d
rows_total{version="b"} 5
"""


def test_a_range_gives_the_newest_sample_at_or_before_each_moment():
    samples = Samples()
    samples.scrape(100.0, "one", TEXT % 3)
    samples.scrape(110.0, "one", TEXT % 7)
    found = samples.range('rows_total{version="a"}', 95.0, 115.0, 5.0)
    (series,) = found["data"]["result"]
    assert series["metric"] == {"__name__": "rows_total", "version": "a", "job": "one"}
    assert series["values"] == [[100.0, "3"], [105.0, "3"], [110.0, "7"], [115.0, "7"]]


def test_a_target_that_is_gone_has_no_value_after_five_minutes():
    samples = Samples()
    samples.scrape(0.0, "one", TEXT % 3)
    found = samples.range("rows_total", 300.0, 301.0, 1.0)
    assert [len(series["values"]) for series in found["data"]["result"]] == [1, 1]


def test_a_query_that_is_no_selector_is_refused_with_the_query():
    with (
        LocalScraper({}) as scraper,
        pytest.raises(UnavailableError, match=r"sum\(rows_total\)"),
    ):
        Prometheus(scraper.url).series("sum(rows_total)", 0, 10, 1)


def test_counters_that_appear_or_restart_lose_nothing():
    samples = Samples()
    for moment, value in ((10, 4), (20, 9), (30, 2), (40, 6)):  # it appears at 10 and was restarted before 30
        for name in ("rows_total", "score_seconds_count"):
            samples.add(moment, f"fraudline_predictor_{name}", {"version": "new"}, value)
            samples.add(moment, f"fraudline_predictor_{name}", {"version": "old"}, 100)
    with LocalScraper({}, samples=samples) as scraper:
        seen = observe(Prometheus(scraper.url), "new", "old", 0, 45, seconds=10)
    assert seen.rows.tolist() == [4, 5, 2, 4]
    assert seen.arms["errors"].n.tolist() == [[4, 5, 2, 4]]
    assert seen.ends.tolist() == [10, 20, 30, 40]


def test_a_step_that_has_just_begun_has_no_strata():
    with LocalScraper({}) as scraper:
        seen = observe(Prometheus(scraper.url), "new", "old", 100, 101, seconds=60)
    assert seen.rows.tolist() == []
