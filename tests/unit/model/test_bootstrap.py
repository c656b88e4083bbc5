import numpy as np
import pytest

from fraudline.model.bootstrap import Draws, Sample, card_precision_sample, ranking_samples, threshold_samples, units
from fraudline.model.metrics import average_precision, card_precision


def rows(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.03
    return labels, rng.normal(size=n) + 2 * labels, rng.integers(0, 200, n)


def test_the_first_entry_is_the_figure_on_the_data_itself() -> None:
    labels, scores, cards = rows()
    found = ranking_samples(labels, scores, Draws.of(cards, 30, seed=1), (0.005,))
    assert found["ap"].point == pytest.approx(average_precision(labels, scores))
    assert set(found) == {"ap", "roc_auc", "recall_at_0.5pct"}
    assert len(found["ap"].values) == 31


def test_a_card_is_drawn_with_all_its_transactions() -> None:
    labels, scores, cards = rows()
    draws = Draws.of(cards, 20, seed=2)
    resampled = np.concatenate([np.flatnonzero(cards == card) for card in np.repeat(np.arange(200), draws.counts[7])])
    expected = average_precision(labels[resampled], scores[resampled])
    assert ranking_samples(labels, scores, draws)["ap"].values[7] == pytest.approx(expected)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = rng.random(400) < 0.3
        alerted = rng.random(400) < np.where(labels, 0.7, 0.2)
        found = threshold_samples(
            labels, alerted, np.ones(400, int), Draws.of(np.arange(400), 200, seed), review_cost=0, recovered_share=1
        )
        low, high = found["recall"].interval(0.9)
        held += low <= 0.7 <= high
    assert 46 <= held <= 60


def test_transactions_of_few_cards_give_wider_intervals_by_card() -> None:
    rng = np.random.default_rng(5)
    cards = np.repeat(np.arange(40), 50)
    labels = np.isin(cards, np.arange(6))
    scores = rng.normal(size=40)[cards] + labels
    widths = {}
    for unit in ("card", "transaction"):
        low, high = ranking_samples(labels, scores, Draws.of(units(unit, cards), 200, 0))["roc_auc"].interval(0.9)
        widths[unit] = high - low
    assert widths["card"] > 2 * widths["transaction"]


def test_card_precision_is_resampled_around_its_figure() -> None:
    labels, scores, cards = rows()
    days = np.arange(3000) % 7
    sample = card_precision_sample(labels, scores, cards, days, k=10, resamples=100, seed=3)
    assert sample.point == pytest.approx(card_precision(labels, scores, cards, days, 10))
    low, high = sample.interval(0.9)
    assert low < sample.point < high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    labels, scores, cards = rows()
    intervals = [ranking_samples(labels, scores, Draws.of(cards, 50, s))["ap"].interval(0.9) for s in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_a_resample_without_frauds_does_not_spoil_the_interval() -> None:
    sample = Sample(np.array([0.5, np.nan, 0.4, 0.6]))
    assert sample.interval(0.9) == pytest.approx((0.41, 0.59))
    assert all(np.isnan(end) for end in Sample(np.array([0.5, np.nan])).interval(0.9))


def test_many_rows_are_worked_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, cards = rows()
    draws = Draws.of(cards, 25, 4)
    whole = ranking_samples(labels, scores, draws)["ap"].values
    monkeypatch.setattr("fraudline.model.bootstrap._CELLS", 7_000)
    assert np.array_equal(whole, ranking_samples(labels, scores, draws)["ap"].values)
