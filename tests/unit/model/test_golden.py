"""Golden rows: what every server must reproduce."""

import numpy as np
import pytest

from fraudline.core.errors import ArtifactError
from fraudline.model.golden import choose_golden, golden_table, read_golden
from fraudline.model.scorer import Scores


def test_golden_rows_are_a_quarter_frauds_spread_over_time() -> None:
    frauds = np.zeros(10_000, bool)
    frauds[::20] = True
    chosen = choose_golden(frauds, 256)
    assert len(chosen) == len(set(chosen.tolist())) == 256
    assert frauds[chosen].sum() == 64
    assert (np.diff(chosen) > 0).all()
    for part in (chosen[frauds[chosen]], chosen[~frauds[chosen]]):
        assert part[0] < 100
        assert part[-1] > 9_900


def test_normals_take_the_place_of_frauds_that_are_not_there() -> None:
    few = np.arange(1000) == 7
    assert len(choose_golden(few, 256)) == 256
    assert 7 in choose_golden(few, 256)
    assert choose_golden(np.zeros(3, bool), 256).tolist() == [0, 1, 2]


def test_what_was_written_is_read_back_and_a_missing_column_is_named() -> None:
    rng = np.random.default_rng(0)
    features, parts, expected = (rng.normal(size=(5, 2)).astype(np.float32) for _ in range(3))
    table = golden_table(["a", "b"], features, Scores(parts.sum(axis=1), parts, expected))
    found, scores = read_golden(table, ["a", "b"])
    np.testing.assert_array_equal(found, features)
    np.testing.assert_array_equal(scores.score, parts.sum(axis=1))
    np.testing.assert_array_equal(scores.contributions, parts)
    np.testing.assert_array_equal(scores.expected, expected)
    with pytest.raises(ArtifactError, match="lacks expected:b"):
        read_golden(table.drop_columns(["expected:b"]), ["a", "b"])
