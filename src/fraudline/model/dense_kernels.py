"""The elementwise loops of ``model.dense_training``, compiled: a matrix library makes eight passes of one of these.

``exp`` is the polynomial of the Cephes library (Moshier 1989; 2 ulp) without its branches, so that the loop runs on
vector registers; the power of two is written as bits by :func:`activate` and read as a number by :func:`finish`.
"""

import numpy as np

from fraudline.features.compiling import cached

_F = np.float32
_ZERO, _HALF, _ONE = _F(0.0), _F(0.5), _F(1.0)
_LOWEST = _F(-87.0)  # exp below it is no normal float32; 1e-38 there instead of 0
_LOG2E = _F(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_C0, _C1, _C2 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
_C3, _C4, _C5 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)
_BETA_1, _BETA_2, _EPSILON = _F(0.9), _F(0.999), _F(1e-7)


def _activate(values, bias, fractions, powers):  # type: ignore[no-untyped-def]
    """Add the bias to ``values`` and split exp(min(x, 0)) into ``fractions`` and the bits of a power of two."""
    rows, width = values.shape
    for i in range(rows):
        for j in range(width):
            x = values[i, j] + bias[j]
            values[i, j] = x
            y = max(min(x, _ZERO), _LOWEST)
            k = np.floor(y * _LOG2E + _HALF)
            r = (y - k * _LN2_HIGH) - k * _LN2_LOW
            q = ((((_C0 * r + _C1) * r + _C2) * r + _C3) * r + _C4) * r + _C5
            fractions[i, j] = (q * r * r + r) + _ONE
            powers[i, j] = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))


def _finish(values, slopes, powers):  # type: ignore[no-untyped-def]
    """ELU in place of ``values``; its derivative, exp(min(x, 0)), in place of the fractions in ``slopes``."""
    rows, width = values.shape
    for i in range(rows):
        for j in range(width):
            e = slopes[i, j] * powers[i, j]
            slopes[i, j] = e
            values[i, j] = (max(values[i, j], _ZERO) + e) - _ONE


def _adam(weights, gradient, mean, square, rate):  # type: ignore[no-untyped-def]
    """One step of Adam on all weights, (p,) float32 each; ``rate`` has the correction of the step in it."""
    for j in range(weights.shape[0]):
        g = gradient[j]
        m = mean[j] + (g - mean[j]) * (_ONE - _BETA_1)
        v = square[j] + (g * g - square[j]) * (_ONE - _BETA_2)
        mean[j] = m
        square[j] = v
        weights[j] -= rate * m / (np.sqrt(v) + _EPSILON)


# The checks of Python's division, and the care for NaN in min and max, would keep the loops off the vector registers;
# no sum is reordered, so the result does not depend on how a loop is cut.
activate, finish, adam = (
    cached(loop, error_model="numpy", fastmath={"nnan", "nsz", "contract"}) for loop in (_activate, _finish, _adam)
)
