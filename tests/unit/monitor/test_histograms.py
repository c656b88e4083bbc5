"""Counts by day and time of the week: the same however the rows come."""

import numpy as np
import pytest

from fraudline.core.clock import DAY_US
from fraudline.monitor.histograms import Bins, Count, Histograms
from fraudline.monitor.reference import day_reference, feature_reference, row_reference, score_reference
from tests.support.traffic import NAMES, traffic


@pytest.fixture(scope="module")
def rows():
    times, features = traffic(3, a_day=300)
    return times, features, features.sum(axis=1)


def test_pieces_in_any_order_give_the_same_counts(rows):
    times, features, _ = rows
    bins = Bins.of(feature_reference(NAMES, features), None)
    whole, pieces = Count(bins), Count(bins)
    whole.add(times, list(features.T))
    for part in np.array_split(np.random.default_rng(0).permutation(len(times)), 7):
        pieces.add(times[part], list(features[part].T))
    assert (whole.done().counts == pieces.done().counts).all()
    np.testing.assert_allclose(whole.done().sums, pieces.done().sums)
    assert len(whole.done()) == len(times)


def test_some_days_have_their_own_sums(rows):
    times, features, _ = rows
    bins = Bins.of(feature_reference(NAMES, features), None)
    whole, last = Count(bins), Count(bins)
    whole.add(times, list(features.T))
    newest = times // DAY_US == times.max() // DAY_US
    last.add(times[newest], list(features[newest].T))
    some = whole.done().only(np.array([False, False, True]))
    np.testing.assert_allclose(some.sums, last.done().sums)
    assert (some.counts == last.done().counts).all()


def test_what_the_artifact_keeps_gives_the_counts_back(rows):
    times, features, scores = rows
    by_feature, by_score = feature_reference(NAMES, features), score_reference(scores)
    bins = Bins.of(by_feature, by_score)
    read = Histograms.read(bins, day_reference(by_feature, by_score, times, [*features.T, scores]))
    count = Count(bins)
    count.add(times, [*features.T, scores])
    assert (read.counts == count.done().counts).all()
    assert (read.days == count.done().days).all()
    np.testing.assert_allclose(read.sums.sum(axis=0), count.done().sums.sum(axis=0), rtol=1e-6)


def test_a_bin_holds_its_lower_edge(rows):
    flag = np.array([[0.0], [1.0], [1.0], [0.0]], np.float32)
    bins = Bins.of(feature_reference(("flag",), flag), None)
    count = Count(bins)
    count.add(np.zeros(4, np.int64), [flag[:, 0]])
    assert count.done().counts.sum(axis=(0, 1)).tolist() == [0, 2, 2, 0, 0]


def test_the_rows_kept_are_spread_over_each_day(rows):
    times, features, scores = rows
    kept = row_reference(NAMES, times, features, scores, rows_a_day=50)
    assert kept.num_rows == 150
    assert set(kept["event_time"].to_pylist()) <= set(times.tolist())
    few = row_reference(NAMES, times[:20], features[:20], scores[:20], rows_a_day=50)
    assert few["event_time"].to_pylist() == times[:20].tolist()
