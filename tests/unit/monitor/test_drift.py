"""A window against the reference: chance, hours and weekdays are not drift; what moved is named."""

from datetime import timedelta

import numpy as np
import pytest

from fraudline.core.clock import DAY_US, HOUR_US
from fraudline.core.errors import DataError
from fraudline.monitor.drift import Reference
from fraudline.monitor.histograms import Bins, Count
from fraudline.monitor.params import MonitorParams
from fraudline.monitor.reference import feature_reference, score_reference
from tests.support.traffic import A_DAY, AMOUNT, FIRST, NAMES, traffic

PARAMS = MonitorParams()
LATER = FIRST + timedelta(days=70)


@pytest.fixture(scope="module")
def bins():
    return Bins.of(feature_reference(NAMES, traffic(42)[1]), None)


@pytest.fixture(scope="module")
def reference(bins):
    return Reference(counted(bins, *traffic(42)))


def counted(bins, times, features):
    count = Count(bins)
    count.add(times, list(features.T))
    return count.done()


def test_ninety_days_that_are_like_those_before_alarm_at_most_once(bins, reference):
    days = counted(bins, *traffic(90, first=LATER, seed=1))
    each = [days.only(days.days == day) for day in days.days]
    verdicts = [reference.compare(day, PARAMS).verdict for day in each]
    assert verdicts.count("drift") <= 1
    assert set(verdicts) <= {"stable", "drift"}


def test_what_moved_is_named_and_nothing_else(bins, reference):
    times, features = traffic(1, first=LATER, seed=2)
    features[:, AMOUNT] *= 1.6
    result = reference.compare(counted(bins, times, features), PARAMS)
    assert result.verdict == "drift"
    assert [figure.name for figure in result.drifted] == ["amount"]
    (amount,) = result.drifted
    assert amount.p_value <= PARAMS.false_alarms
    assert 1.3 < amount.mean / amount.reference_mean < 1.9
    assert amount.wasserstein > 0.2


def test_a_night_alone_is_compared_with_nights(bins, reference):
    times, features = traffic(4, first=LATER, seed=3, a_day=10 * A_DAY)
    night = times % DAY_US < 4 * HOUR_US
    result = reference.compare(counted(bins, times[night], features[night]), PARAMS)
    assert result.verdict == "stable"
    amount = next(figure for figure in result.figures if figure.name == "amount")
    by_day = traffic(42)[1][:, AMOUNT].mean()
    assert amount.reference_mean > 1.5 * by_day, "nights are dearer, so this would have been drift"


def test_a_weekend_alone_is_compared_with_weekends(bins, reference):
    saturday = LATER + timedelta(days=(5 - LATER.weekday()) % 7)
    result = reference.compare(counted(bins, *traffic(2, first=saturday, seed=4)), PARAMS)
    assert result.verdict == "stable"


def test_a_feed_that_leaves_a_field_out_is_drift_and_the_share_is_told(bins, reference):
    times, features = traffic(1, first=LATER, seed=5)
    features[::4, AMOUNT] = np.nan
    result = reference.compare(counted(bins, times, features), PARAMS)
    assert [figure.name for figure in result.drifted] == ["amount"]
    assert result.drifted[0].missing == pytest.approx(0.25)


def test_a_clock_that_runs_years_ahead_makes_no_difference_less_sure(bins, reference):
    times, features = traffic(7, first=LATER, seed=4)
    features[:, AMOUNT] *= 1.6
    before = reference.compare(counted(bins, times, features), PARAMS)
    times[-1] += 70 * 365 * DAY_US
    after = reference.compare(counted(bins, times, features), PARAMS)
    deviations = [{each.name: each.ratio_p_value for each in result.figures} for result in (before, after)]
    assert deviations[1] == pytest.approx(deviations[0], rel=0.2)


def test_a_sure_but_small_difference_is_not_drift(bins, reference):
    times, features = traffic(1, first=LATER, seed=6, a_day=20_000)
    features[:, AMOUNT] *= 1.05
    assert reference.compare(counted(bins, times, features), PARAMS).verdict == "stable"


def named(comparison):
    return {figure.name for figure in comparison.drifted}


@pytest.mark.parametrize(
    ("effects", "surely"),
    [
        ({"psi_min": 0.0, "ratio_min": 1e9}, "p_value"),
        ({"psi_min": 1e9, "score_psi_min": 1e9, "ratio_min": 1.01}, "ratio_p_value"),
    ],
    ids=["divergence", "rare values"],
)
def test_each_test_may_take_its_share_of_the_false_alarms(bins, reference, effects, surely):
    times, features = traffic(1, first=LATER, seed=2)
    features[:, AMOUNT] *= 1.6
    window = counted(bins, times, features)
    found = reference.compare(window, MonitorParams(**effects)).figures
    p_value = next(getattr(figure, surely) for figure in found if figure.name == "amount")
    assert 0 < p_value < 0.1
    for times_p, drifted in ((2, False), (4, True)):  # a third of the false alarms is below p, and above it
        params = MonitorParams(false_alarms=times_p * p_value, **effects)
        assert ("amount" in named(reference.compare(window, params))) is drifted


@pytest.mark.parametrize("seed", [10, 11])
def test_a_short_reference_does_not_take_ordinary_days_for_unusual_ones(bins, seed):
    reference = Reference(counted(bins, *traffic(21, seed=seed)))
    days = counted(bins, *traffic(60, first=LATER, seed=1))
    params = MonitorParams(false_alarms=0.3, psi_min=0, ratio_min=1e9)  # the divergence alone may take a third
    verdicts = [reference.compare(days.only(days.days == day), params).verdict for day in days.days]
    assert verdicts.count("drift") <= 60 * params.of_a_test


def test_a_difference_of_the_score_is_measured_by_its_own_least_effect():
    (times, features), (later, moved) = traffic(42), traffic(1, first=LATER, seed=2)
    own = Bins.of(feature_reference(NAMES, features), score_reference(features[:, AMOUNT]))
    columns = [*moved.T, moved[:, AMOUNT] * 1.6]

    def counts(at, values):
        count = Count(own)
        count.add(at, values)
        return count.done()

    known, window = Reference(counts(times, [*features.T, features[:, AMOUNT]])), counts(later, columns)
    size = next(figure.psi for figure in known.compare(window, PARAMS).figures if figure.name == "score")
    of_score = MonitorParams(psi_min=1e9, score_psi_min=size / 2, ratio_min=1e9)
    of_features = MonitorParams(psi_min=size / 2, score_psi_min=1e9, ratio_min=1e9)
    assert named(known.compare(window, of_score)) == {"score"}
    assert "score" not in named(known.compare(window, of_features))


def test_too_few_transactions_say_nothing(bins, reference):
    times, features = traffic(1, first=LATER, seed=7, a_day=500)
    features[:, AMOUNT] *= 10
    assert reference.compare(counted(bins, times, features), PARAMS).verdict == "inconclusive"


def test_a_feature_that_follows_the_calendar_is_shown_and_not_judged():
    times, features = traffic(42)
    features[:, AMOUNT] += (times - times[0]) / DAY_US
    own = Bins.of(feature_reference(NAMES, features), None)
    later, moved = traffic(1, first=LATER, seed=8)
    moved[:, AMOUNT] += (later - times[0]) / DAY_US
    result = Reference(counted(own, times, features)).compare(counted(own, later, moved), PARAMS)
    amount = next(figure for figure in result.figures if figure.name == "amount")
    assert not amount.judged
    assert amount.psi > 1
    assert result.verdict == "stable"


def test_a_feature_that_stood_still_but_for_one_day_does_not_follow_the_calendar_and_is_judged():
    times, features = traffic(42)
    features[:, AMOUNT] = (times // DAY_US == times[-1] // DAY_US) & (np.arange(len(times)) % 50 == 0)
    own = Bins.of(feature_reference(NAMES, features), None)
    later, moved = traffic(1, first=LATER, seed=8)
    moved[:, AMOUNT] = 1.0
    result = Reference(counted(own, times, features)).compare(counted(own, later, moved), PARAMS)
    assert [figure.name for figure in result.drifted] == ["amount"]


def test_a_reference_of_a_week_is_refused(bins):
    with pytest.raises(DataError, match="7 days"):
        Reference(counted(bins, *traffic(7)))


def test_a_reference_in_which_everything_follows_the_calendar_is_refused():
    times, features = traffic(42)
    features[:] = ((times - times[0]) / DAY_US)[:, None]
    own = Bins.of(feature_reference(NAMES, features), None)
    with pytest.raises(DataError, match="rises or falls with the date"):
        Reference(counted(own, times, features))
