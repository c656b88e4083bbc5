"""Rare values: one that stands still or comes more often is drift, also where an index over all bins says little."""

from datetime import timedelta

import numpy as np
import pytest

from fraudline.monitor.drift import Reference
from fraudline.monitor.histograms import Bins, Count
from fraudline.monitor.params import MonitorParams
from fraudline.monitor.reference import feature_reference
from tests.support.traffic import A_DAY, FIRST, NAMES, traffic

PARAMS = MonitorParams()
FLAG, RATE = NAMES.index("new_device"), 0.01
LATER = FIRST + timedelta(days=70)


def flagged(days, *, rate=RATE, first=FIRST, seed=0):
    times, features = traffic(days, first=first, seed=seed)
    features[:, FLAG] = np.random.default_rng(seed).random(len(times)) < rate
    return times, features


@pytest.fixture(scope="module")
def bins():
    return Bins.of(feature_reference(NAMES, flagged(42)[1]), None)


@pytest.fixture(scope="module")
def reference(bins):
    return Reference(counted(bins, *flagged(42)))


def counted(bins, times, features):
    count = Count(bins)
    count.add(times, list(features.T))
    return count.done()


@pytest.mark.parametrize(("rate", "days"), [(0.0, 4), (0.03, 4)])
def test_a_flag_that_stands_still_or_is_raised_more_often_is_named_with_the_factor(bins, reference, rate, days):
    result = reference.compare(counted(bins, *flagged(days, rate=rate, first=LATER, seed=1)), PARAMS)
    (flag,) = result.drifted
    assert flag.name == "new_device"
    assert flag.psi < PARAMS.psi_min
    assert flag.ratio == pytest.approx(max(rate, 1e-4) / RATE, rel=0.35)
    assert flag.ratio_p_value <= PARAMS.of_a_test


def test_a_small_change_becomes_sure_with_the_length_of_the_window(bins, reference):
    long = counted(bins, *flagged(7, rate=0.02, first=LATER, seed=2))
    verdicts = [reference.compare(long.only(long.days < long.days[0] + days), PARAMS).verdict for days in (1, 7)]
    assert verdicts == ["stable", "drift"]


def test_windows_of_every_length_that_are_like_before_do_not_alarm(bins, reference):
    days = counted(bins, *flagged(30, first=LATER, seed=3))
    for length in (1, 7):
        blocks = [
            days.only((days.days >= day) & (days.days < day + length)) for day in days.days[: -length + 1 or None]
        ]
        assert not [block for block in blocks if reference.compare(block, PARAMS).drifted], length


def test_a_part_of_an_hour_strip_is_held_against_the_same_hours(bins, reference):
    """A night flag is raised in some hours only: a window that begins or ends among them is as before."""
    times, features = flagged(20, first=LATER, seed=4)
    hour = times // 3_600_000_000 % 24
    for first in range(0, 24, 5):
        chosen = (hour >= first) & (hour < first + 5)
        assert reference.compare(counted(bins, times[chosen], features[chosen]), PARAMS).verdict == "stable"
    assert len(times) == 20 * A_DAY


def ageing(days, *, first, seed):
    """A flag that is raised less and less often, by a factor of two in forty days."""
    times, features = traffic(days, first=first, seed=seed)
    age = (times - traffic(1)[0][0]) / 86_400e6
    features[:, FLAG] = np.random.default_rng(seed).random(len(times)) < 0.04 * 2.0 ** (-age / 40)
    return times, features


def test_a_slow_change_that_goes_on_is_no_alarm_and_what_stops_at_once_is_one(bins):
    reference = Reference(counted(bins, *ageing(42, first=FIRST, seed=5)))
    for days, length in ((50, 3), (80, 7)):
        later = counted(bins, *ageing(length, first=FIRST + timedelta(days=days), seed=6))
        found = reference.compare(later, PARAMS)
        assert not found.drifted, (days, [(figure.name, figure.ratio) for figure in found.drifted])
    times, features = ageing(3, first=FIRST + timedelta(days=43), seed=7)
    features[:, FLAG] = 0
    (flag,) = reference.compare(counted(bins, times, features), PARAMS).drifted
    assert flag.name == "new_device"
