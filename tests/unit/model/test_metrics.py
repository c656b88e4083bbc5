import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fraudline.model import metrics

labelled = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


@given(labelled)
@settings(max_examples=150)
def test_average_precision_and_roc_auc_agree_with_scikit_learn_also_on_ties(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    assert metrics.average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert metrics.roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


@given(labelled, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_a_weighted_figure_is_that_of_the_repeated_rows(rows: list[tuple[bool, int]], seed: int) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    counts = np.random.default_rng(seed).integers(0, 4, (3, len(rows))).astype(np.int32)
    runs = metrics.Ranking.of(labels, scores).runs(counts)
    for row, ap, auc in zip(counts, metrics.average_precision_of(*runs), metrics.roc_auc_of(*runs), strict=True):
        repeated_labels, repeated_scores = np.repeat(labels, row), np.repeat(scores, row)
        if 0 < repeated_labels.sum() < len(repeated_labels):
            assert ap == pytest.approx(average_precision_score(repeated_labels, repeated_scores))
            assert auc == pytest.approx(roc_auc_score(repeated_labels, repeated_scores))
        elif not repeated_labels.any():
            assert np.isnan(ap)


def test_recall_at_a_rate_counts_the_frauds_among_the_highest_scores() -> None:
    labels = np.zeros(1000, bool)
    labels[[0, 3, 8, 500]] = True
    scores = -np.arange(1000.0)
    assert metrics.recall_at_rate(labels, scores, 0.001) == pytest.approx(0.25)
    assert metrics.recall_at_rate(labels, scores, 0.01) == pytest.approx(0.75)
    assert metrics.recall_at_rate(labels, scores, 1.0) == pytest.approx(1.0)


def test_recall_at_a_rate_gives_a_tie_over_the_edge_its_share() -> None:
    labels = np.array([True] * 2 + [False] * 8)
    assert metrics.recall_at_rate(labels, np.zeros(10), 0.3) == pytest.approx(0.3)


def test_a_compromised_card_that_was_found_leaves_the_following_days() -> None:
    # day 0: card a is found; day 1: a (known) makes room for b; day 2: nobody is compromised
    cards = np.array(["a", "b", "c", "a", "b", "c", "b", "c"])
    days = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    labels = np.array([1, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    scores = np.array([9, 5, 1, 9, 5, 1, 2, 9], dtype=float)
    assert metrics.card_precision(labels, scores, cards, days, k=1) == pytest.approx((1 + 1 + 0) / 3)


def test_card_precision_ranks_a_card_by_its_highest_score_of_the_day() -> None:
    cards = np.array([0, 0, 1])
    labels = np.array([True, False, False])
    scores = np.array([0.1, 0.9, 0.5])
    assert metrics.card_precision(labels, scores, cards, np.zeros(3, int), k=1) == 1.0


def test_card_precision_divides_by_k_also_when_fewer_cards_are_active() -> None:
    assert metrics.card_precision(np.array([True]), np.array([1.0]), np.array([7]), np.array([0]), k=100) == 0.01


def test_card_precision_equals_the_books_procedure_on_random_days() -> None:
    rng = np.random.default_rng(3)
    n, k = 4000, 20
    cards, days = rng.integers(0, 300, n), rng.integers(0, 6, n)
    labels = rng.random(n) < 0.02
    scores = rng.normal(size=n) + labels
    known: set[int] = set()
    daily = []
    for day in range(6):
        rows = [(scores[i], cards[i], labels[i]) for i in np.flatnonzero(days == day) if cards[i] not in known]
        best = {card: max(s for s, c, _ in rows if c == card) for card in {c for _, c, _ in rows}}
        bad = {card for _, card, label in rows if label}
        top = sorted(best, key=lambda card: -best[card])[:k]
        known |= {card for card in top if card in bad}
        daily.append(sum(card in bad for card in top) / k)
    assert metrics.card_precision(labels, scores, cards, days, k) == pytest.approx(np.mean(daily))


def test_money_saved_is_what_is_recovered_less_what_the_reviews_cost() -> None:
    labels = np.array([True, True, False, False])
    alerted = np.array([True, False, True, False])
    amounts = np.array([10_000, 5_000, 700, 900])
    sums = metrics.threshold_columns(labels, alerted, amounts).sum(axis=0)[None, :]
    figures = {name: float(value[0]) for name, value in metrics.threshold_figures(sums, 500, 0.8).items()}
    assert figures == pytest.approx(
        {
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "alerts": 2,
            "money_saved": 0.8 * 10_000 - 2 * 500,
            "money_saved_share": 7_000 / 15_000,
        }
    )


def test_the_roc_curve_runs_from_corner_to_corner_and_holds_its_area() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(5000) < 0.05
    scores = rng.normal(size=5000) + 2 * labels
    false, true, edges = metrics.roc_points(labels, scores)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert len(false) <= 400
    assert np.all(np.diff(edges) <= 0)
    assert np.trapezoid(true, false) == pytest.approx(metrics.roc_auc(labels, scores), abs=0.005)


def test_every_precision_recall_point_is_reached_by_some_threshold() -> None:
    labels = np.array([True, False, True, False])
    recall, precision = metrics.pr_points(labels, np.array([4.0, 3.0, 2.0, 1.0]))
    assert recall.tolist() == [0.5, 1.0]
    assert precision == pytest.approx([1.0, 2 / 3])
