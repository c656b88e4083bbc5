"""What the contamination benchmark hides, and what it leaves to the defence."""

import numpy as np
import pytest

from benchmarks.contamination import LATER, NORMALS, WEEK, _mixed
from benchmarks.quality.rows import Week
from fraudline.core.errors import DataError


def week_with(frauds: int) -> Week:
    """Normals are negative, frauds are not, and each fraud is one of a kind."""
    normals, later = np.full((NORMALS + 50, 2), -1, np.float32), np.full((LATER + 50, 2), -2, np.float32)
    known = np.repeat(np.arange(frauds, dtype=np.float32)[:, None], 2, axis=1)
    return Week(WEEK, None, normals, later, known, normals[:1])


def test_a_hidden_fraud_is_not_known_to_the_defence_and_the_share_is_as_asked():
    normals, later, hidden, known = _mixed(week_with(2_000), 0.1, seed=1)
    everything = np.concatenate([normals, later])
    assert np.array_equal(hidden, everything[:, 0] >= 0)
    assert hidden.mean() == pytest.approx(0.1, abs=1e-3)
    assert len(known) + hidden.sum() == 2_000
    assert not np.intersect1d(known[:, 0], everything[hidden, 0]).size


def test_more_frauds_than_there_are_cannot_be_hidden():
    with pytest.raises(DataError, match=r"100 frauds"):
        _mixed(week_with(100), 0.1, seed=1)
