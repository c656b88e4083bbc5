"""Compiled parts of the kernel: the windows of a card and the habit of its amounts."""

import math

import numpy as np
from numba import njit

from fraudline.features import parameters as q
from fraudline.features import state as s

_I32_MAX = 2_147_483_647
_LEAST_MEAN = 1e-6
"""Base units; a mean is never less, so that a ratio to it is finite."""


@njit
def _roll(wide, whole, half, w, tiles, first, head, tile):  # type: ignore[no-untyped-def]
    """Drop the tiles that leave window ``w`` when its newest tile, until now ``head``, becomes ``tile``."""
    if wide[s.WINDOW + w] == 0:
        return
    k = (head + 1) % tiles
    for _ in range(min(tile - head, tiles)):
        n = half[s.TILE_N + first + k]
        if n != 0:
            wide[s.WINDOW + w] -= (np.int64(whole[s.TILE + first + k]) << s.COUNT_BITS) + n
            whole[s.TILE + first + k] = 0
            half[s.TILE_N + first + k] = 0
            if w == 0 and half[s.SMALL] > 0:
                half[s.SMALL] -= half[s.TILE_SMALL + k]
                half[s.TILE_SMALL + k] = 0
            if w == 2 and wide[s.HEAT] > 0:
                wide[s.HEAT] -= half[s.TILE_HEAT + k]
                half[s.TILE_HEAT + k] = 0
        k += 1
        if k == tiles:
            k = 0


@njit
def _count(wide, whole, half, w, tiles, first, head, tile, units):  # type: ignore[no-untyped-def]
    """Add a transaction to its tile of window ``w``; give the tile's place in the ring, -1 when it is not counted.

    A full window counts no more until a tile leaves it; a full tile's amount stays as it is.
    """
    if tile <= head - tiles or wide[s.WINDOW + w] & s.COUNT_MAX == s.COUNT_MAX:
        return -1
    k = tile % tiles
    units = min(units, _I32_MAX - whole[s.TILE + first + k])
    whole[s.TILE + first + k] += units
    half[s.TILE_N + first + k] += 1
    wide[s.WINDOW + w] += (units << s.COUNT_BITS) + 1
    return k


@njit
def roll_windows(wide, whole, half, time):  # type: ignore[no-untyped-def]
    """Move all windows on from the card's clock to ``time``; a late time moves nothing, nor does a card's first."""
    clock = wide[s.CLOCK]
    if whole[s.SEEN] == 0 or time <= clock:
        return
    _roll(wide, whole, half, 0, s.TILE_COUNT[0], s.TILE_FIRST[0], clock // s.TILE_US[0], time // s.TILE_US[0])
    _roll(wide, whole, half, 1, s.TILE_COUNT[1], s.TILE_FIRST[1], clock // s.TILE_US[1], time // s.TILE_US[1])
    _roll(wide, whole, half, 2, s.TILE_COUNT[2], s.TILE_FIRST[2], clock // s.TILE_US[2], time // s.TILE_US[2])
    _roll(wide, whole, half, 3, s.TILE_COUNT[3], s.TILE_FIRST[3], clock // s.TILE_US[3], time // s.TILE_US[3])


@njit
def _count_at(wide, whole, half, w, time, units):  # type: ignore[no-untyped-def]
    width = s.TILE_US[w]
    head, tile = wide[s.CLOCK] // width, time // width
    return _count(wide, whole, half, w, s.TILE_COUNT[w], s.TILE_FIRST[w], head, tile, units)


@njit
def count_in_windows(wide, whole, half, time, amount, small, heat):  # type: ignore[no-untyped-def]
    """Count a transaction in all windows: its amount in base units, whether it was small, its heat.

    The card's clock is already at ``time``, or beyond it.
    """
    units = np.int64(math.floor(amount * s.AMOUNT_SCALE + 0.5))
    k = _count_at(wide, whole, half, 0, time, units)
    if small and k >= 0:
        half[s.TILE_SMALL + k] += 1
        half[s.SMALL] += 1
    _count_at(wide, whole, half, 1, time, units)
    k = _count_at(wide, whole, half, 2, time, units)
    if heat > 0.0 and k >= 0:
        warm = np.int64(math.floor(heat * s.HEAT_SCALE + 0.5))
        if half[s.TILE_HEAT + k] + warm <= s.HALF_MAX:
            half[s.TILE_HEAT + k] += warm
            wide[s.HEAT] += warm
    _count_at(wide, whole, half, 3, time, units)


@njit
def window_amounts(wide, amount, mean, p, out):  # type: ignore[no-untyped-def]
    """Counts, amounts and means of the four windows: columns 1, 2 and 5 to 14."""
    for w in range(s.WINDOWS):
        out[5 + w] = wide[s.WINDOW + w] & s.COUNT_MAX
        out[9 + w] = (wide[s.WINDOW + w] >> s.COUNT_BITS) / s.AMOUNT_SCALE
    weight = p[q.AMOUNT_PRIOR]
    month, week = wide[s.WINDOW + 3], wide[s.WINDOW + 2]
    mean_30d = ((month >> s.COUNT_BITS) / s.AMOUNT_SCALE + weight * mean) / ((month & s.COUNT_MAX) + weight)
    mean_30d = max(mean_30d, _LEAST_MEAN)
    mean_7d = ((week >> s.COUNT_BITS) / s.AMOUNT_SCALE + weight * mean_30d) / ((week & s.COUNT_MAX) + weight)
    out[1] = amount - mean_30d
    out[2] = amount / mean_30d
    out[13] = mean_30d
    out[14] = mean_7d / mean_30d


@njit
def amount_habit(real, amount, mean, cv2, p):  # type: ignore[no-untyped-def]
    """The card's shrunk mean and z of the amount by its predictive deviation; then learn the clipped amount."""
    n, total, squares = real[s.HABIT_N], real[s.HABIT_SUM], real[s.HABIT_SQUARES]
    m = max((total + p[q.AMOUNT_PRIOR] * mean) / (n + p[q.AMOUNT_PRIOR]), _LEAST_MEAN)
    spread = max(squares - 2.0 * m * total + n * m * m, 0.0)
    variance = (spread + p[q.VARIANCE_PRIOR] * cv2 * m * m) / (n + p[q.VARIANCE_PRIOR])
    sd = math.sqrt(variance * (1.0 + 1.0 / (n + p[q.AMOUNT_PRIOR])))
    z = min(max((amount - m) / sd, -p[q.Z_LIMIT]), p[q.Z_LIMIT])
    learned = min(amount, m + p[q.HABIT_CLIP] * sd)
    keep = 1.0 if n + 1.0 <= p[q.HABIT_MEMORY] else (p[q.HABIT_MEMORY] - 1.0) / n
    real[s.HABIT_N] = n * keep + 1.0
    real[s.HABIT_SUM] = total * keep + learned
    real[s.HABIT_SQUARES] = squares * keep + learned * learned
    return m, z
