"""The classifier sees what no single feature shows, and takes ordinary days as they are."""

from datetime import timedelta

import numpy as np
import pytest

from fraudline.monitor.domain import Sample, separation, thinned
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


def test_a_sample_is_thinned_in_order(reference):
    few = thinned(reference, 100, np.random.default_rng(0))
    assert len(few) == 100
    assert (np.diff(few.times_us) >= 0).all()
    assert thinned(few, 100, np.random.default_rng(0)) is few


def test_too_few_days_tell_nothing(reference):
    week = reference.only(reference.times_us < reference.times_us[0] + 7 * 86_400_000_000)
    assert separation(week, reference, seed=0) is None
