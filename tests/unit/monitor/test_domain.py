"""The classifier sees what no single feature shows, and takes ordinary days as they are."""

from datetime import timedelta

import numpy as np
import pytest

from fraudline.core.clock import DAY_US, HOUR_US
from fraudline.monitor.domain import Drawn, Sample, separation, thinned
from fraudline.monitor.params import MonitorParams
from tests.support.traffic import FIRST, traffic

PARAMS = MonitorParams()
LATER = FIRST + timedelta(days=70)


@pytest.fixture(scope="module")
def reference():
    return Sample(*traffic(28, a_day=PARAMS.classifier_rows))


def test_days_like_those_before_are_not_told_from_them(reference):
    for seed in (1, 2, 3):
        found = separation(reference, Sample(*traffic(1, first=LATER, seed=seed, a_day=200)), seed=seed)
        assert found.p_value > PARAMS.false_alarms
        assert abs(found.auc - found.ordinary) < 0.1


def test_features_that_move_together_are_found_though_each_alone_is_as_before(reference):
    times, features = traffic(1, first=LATER, seed=4, a_day=200)
    for column in range(10, 18):
        order = features[:, 10].argsort().argsort()
        features[:, column] = np.sort(features[:, column])[order]
    found = separation(reference, Sample(times, features), seed=1)
    assert found.auc > PARAMS.auc_min
    assert found.p_value <= PARAMS.false_alarms


def test_a_window_that_is_told_apart_for_certain_passes_the_level_of_a_test_whatever_ordinary_days_do():
    """Each ordinary day has a level of its own, as the shipped model's have: areas up to three quarters."""
    times, features = traffic(28, a_day=200)
    day = np.unique(times // DAY_US, return_inverse=True)[1]
    features[:, :4] *= np.random.default_rng(5).lognormal(0, 0.35, 28)[day, None].astype(np.float32)
    later, changed = traffic(1, first=LATER, seed=4, a_day=200)
    changed[:, 5:20] *= 40
    found = separation(Sample(times, features), Sample(later, changed), seed=1)
    assert found.ordinary > 0.55
    assert found.auc > 0.95
    assert found.p_value <= PARAMS.of_a_test


def test_a_window_at_hours_of_which_the_reference_has_no_row_is_not_judged(reference):
    night = reference.times_us % DAY_US < 6 * HOUR_US
    times, features = traffic(1, first=LATER, seed=1, a_day=2_000)
    at_night = times % DAY_US < 6 * HOUR_US
    window = Sample(times, features)
    assert separation(reference.only(~night), window.only(at_night), seed=1) is None
    both = separation(reference.only(~night), window, seed=1)
    assert both.p_value > PARAMS.false_alarms, "the hours that both have say nothing unusual"


def test_a_sample_is_thinned_in_order(reference):
    few = thinned(reference, 100, np.random.default_rng(0))
    assert len(few) == 100
    assert (np.diff(few.times_us) >= 0).all()
    assert thinned(few, 100, np.random.default_rng(0)) is few


def test_too_few_days_tell_nothing(reference):
    week = reference.only(reference.times_us < reference.times_us[0] + 7 * 86_400_000_000)
    assert separation(week, reference, seed=0) is None


def test_a_draw_is_of_the_days_asked_for_and_holds_no_more_of_a_day_than_it_draws():
    drawn = Drawn(3, seed=1)
    for first in (0, 5):  # two pieces of the same two days
        times = np.repeat([0, DAY_US], 5) + np.tile(np.arange(5), 2) + first
        drawn.add(Sample(times, times[:, None].astype(np.float32)))
    assert len(drawn._held) == 6
    newest = drawn.since(1)
    assert len(newest) == 3
    assert (newest.times_us // DAY_US).tolist() == [1, 1, 1]
    assert (newest.values[:, 0] == newest.times_us.astype(np.float32)).all()
    assert len(drawn.since(0)) == 3
