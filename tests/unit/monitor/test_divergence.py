"""Effect sizes, beside other people's code and by hand."""

import numpy as np
import pytest

from fraudline.monitor.divergence import deviance, jensen_shannon, psi, wasserstein

P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.25, 0.25, 0.25])


def test_they_are_zero_for_the_same_shares():
    points = np.arange(4.0)
    assert psi(P, P) == jensen_shannon(P, P) == wasserstein(P, points, P, points, 1) == 0
    assert deviance(P, P) == pytest.approx(0)


def test_an_empty_bin_leaves_the_index_finite():
    assert 0 < psi(np.array([0.0, 1.0]), np.array([0.5, 0.5])) < 10


def test_they_agree_with_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    stats = pytest.importorskip("scipy.stats")
    assert jensen_shannon(P, Q) == pytest.approx(distance.jensenshannon(P, Q, base=2) ** 2)
    a, b = np.array([0.0, 1, 2, 3]), np.array([0.5, 1.5, 2.5, 7])
    assert wasserstein(P, a, Q, b, 2.0) == pytest.approx(stats.wasserstein_distance(a, b, P, Q) / 2)
    assert deviance(P, Q) == pytest.approx(2 * stats.entropy(P, Q))
