"""The stand-in for Prometheus answers what Prometheus would: the newest sample, exact labels, no functions."""

import ssl

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


def test_a_clock_behind_that_of_the_merge_sees_no_strata_yet():
    with LocalScraper({}) as scraper:
        seen = observe(Prometheus(scraper.url), "new", "old", 100, 40, seconds=10)
    assert seen.rows.tolist() == []


def test_a_look_asks_many_questions_and_reads_the_authorities_once(monkeypatch):
    samples, read, load = Samples(), [], ssl.SSLContext.load_verify_locations
    grown(samples, "new", range(0, 61, 10))
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given: read.append(load(*given)))
    with LocalScraper({}, samples=samples) as scraper:
        observe(Prometheus(scraper.url), "new", "old", 0, 60, seconds=60)
    assert len(read) == 1, "to read them takes longer than an answer"


def grown(samples, version, moments, *, rows=10, alerts=1, **labels):
    """Counters of a predictor that were scraped at some moments and grow with every ten seconds."""
    for moment in moments:
        for name, each in (("rows_total", rows), ("score_seconds_count", rows), ("reviews_total", alerts)):
            series = {"version": version, "model": "fraud", **labels}
            samples.add(moment, f"fraudline_predictor_{name}", series, each * moment // 10)


def alerts_seen(samples, end):
    with LocalScraper({}, samples=samples) as scraper:
        seen = observe(Prometheus(scraper.url), "new", "old", 0, end, seconds=600)
    arms = seen.arms["alerts"]
    return [counts[0].tolist() for counts in (arms.x, arms.n, arms.y, arms.m)]


def test_a_champion_that_prometheus_finds_late_is_not_compared_by_its_whole_life():
    samples = Samples()
    grown(samples, "new", range(1200, 2401, 600))
    for moment in range(1200, 2401, 600):
        for name, value in (("rows_total", 1_000_000), ("score_seconds_count", 1_000_000), ("reviews_total", 1_000)):
            samples.add(moment, f"fraudline_predictor_{name}", {"version": "old"}, value + moment)
    x, n, y, m = alerts_seen(samples, 2400)
    assert (x, n) == ([0, 120, 60, 60], [0, 1200, 600, 600])
    assert (y, m) == ([0, 0, 600, 600], [0, 0, 600, 600])


def test_what_a_predictor_did_while_it_could_not_be_scraped_is_compared_with_the_others_same_time():
    samples = Samples()
    grown(samples, "new", [600, 2400, 3000])
    grown(samples, "old", range(0, 3001, 600))
    x, n, y, m = alerts_seen(samples, 3000)
    assert n == m == [600, 0, 0, 1800, 600]
    assert x == y == [60, 0, 0, 180, 60]


def test_a_predictor_that_two_jobs_scrape_counts_once_and_two_predictors_twice():
    samples, every = Samples(), range(0, 1801, 600)
    for pod in ("10.0.0.1:8080", "10.0.0.2:8080"):
        grown(samples, "old", every, instance=pod, job="pods", pod=f"p{pod}")
        grown(samples, "old", every, instance=pod, job="annotated")
    grown(samples, "new", every, instance="10.0.0.3:8080", prometheus_replica="a")
    grown(samples, "new", every, instance="10.0.0.3:8080", prometheus_replica="b")
    _, n, _, m = alerts_seen(samples, 1800)
    assert (n, m) == ([600] * 3, [1200] * 3)


def test_a_pod_that_gets_the_address_of_one_that_is_gone_is_another():
    samples = Samples()
    grown(samples, "old", [0, 600], instance="10.0.0.1:8080", pod="one")
    grown(samples, "old", [1200, 1800], instance="10.0.0.1:8080", pod="two")
    _, _, _, m = alerts_seen(samples, 1800)
    assert m == [600, 1200, 600]


def test_predictors_that_are_each_scraped_on_their_own_machine_are_several():
    samples = Samples()
    for host in ("one", "two"):
        grown(samples, "old", range(0, 1201, 600), instance="localhost:8080", host=host)
    _, _, _, m = alerts_seen(samples, 1200)
    assert m == [1200, 1200]
