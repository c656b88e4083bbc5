"""A score at a threshold triggers it."""

import numpy as np

from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS, REVIEW, Thresholds, decide, threshold_of

THRESHOLDS = Thresholds.of(0.1, 0.7, {"name": "fixed"})


def test_scores_below_between_and_above_are_allowed_reviewed_and_blocked() -> None:
    scores = np.array([0.0, np.nextafter(np.float32(0.1), np.float32(0)), 0.1, 0.5, 0.7, 9.0], np.float32)
    decisions = decide(scores, THRESHOLDS)
    assert [DECISIONS[d] for d in decisions] == ["allow", "allow", "review", "review", "block", "block"]


def test_equal_thresholds_never_review() -> None:
    decisions = decide(np.array([0.4, 0.5], np.float32), Thresholds.of(0.5, 0.5, {}))
    assert decisions.tolist() == [ALLOW, BLOCK]


def test_a_decision_states_the_threshold_it_was_held_against() -> None:
    assert [threshold_of(d, THRESHOLDS) for d in (ALLOW, REVIEW, BLOCK)] == [0.1, 0.1, 0.7]
