"""The record of a training set names the cards and days that its suspicious rows come from."""

import numpy as np

from fraudline.monitor.poisoning import contamination, named

DAY = 20_000  # 2024-10-04


def test_the_cards_and_days_with_most_suspicious_rows_are_named_in_order():
    cards = np.array(["a", "b", "b", "c", "b", "c", "d"], dtype=object)
    days = DAY + np.array([0, 1, 1, 1, 2, 1, 0])
    rows = np.array([False, True, True, True, True, True, False])
    record = contamination(share=0.71234567, suspicious=rows, trimmed=True, cards=cards, days=days)
    assert (record["share"], record["suspicious"], record["trimmed"]) == (0.7123, 5, 5)
    assert record["cards"] == [["b", 3], ["c", 2]]
    assert record["days"] == [["2024-10-05", 4], ["2024-10-06", 1]]
    assert named(record) == (
        "5 of 7 training rows look like frauds; most of them: cards b (3), c (2); days 2024-10-05 (4), 2024-10-06 (1)"
    )


def test_rows_that_were_kept_are_not_counted_as_trimmed():
    rows = np.array([True, False])
    record = contamination(
        share=0.001, suspicious=rows, trimmed=False, cards=np.array(["a", "b"], object), days=np.array([DAY, DAY])
    )
    assert (record["suspicious"], record["trimmed"]) == (1, 0)


def test_a_clean_set_has_nothing_to_name():
    none = np.zeros(2, bool)
    record = contamination(
        share=None, suspicious=none, trimmed=False, cards=np.array(["a", "b"], object), days=np.array([DAY, DAY])
    )
    assert named(record) == named({}) == ""
