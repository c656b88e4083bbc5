"""Compiled parts of the kernel: the windows of a card and the habit of its amounts."""

# ruff: noqa: PLR0917 - compiled functions take positions only

import math

import numpy as np
from numba import njit

from fraudline.features import parameters as q
from fraudline.features import state as s

_U16_MAX = 65_535
_I32_MAX = 2_147_483_647


@njit
def _roll(wide, whole, short, w, tiles, first, tile):  # type: ignore[no-untyped-def]
    """Drop the tiles that leave window ``w`` when its newest tile becomes ``tile``."""
    head = wide[s.HEAD + w]
    if tile <= head:
        return
    if whole[s.COUNT + w] > 0:
        k = (head + 1) % tiles
        for _ in range(min(tile - head, tiles)):
            c = first + k
            if short[s.TILE_N + c] > 0:
                whole[s.COUNT + w] -= short[s.TILE_N + c]
                wide[s.SUM + w] -= wide[s.TILE_SUM + c]
                short[s.TILE_N + c] = 0
                wide[s.TILE_SUM + c] = 0
                if w == 0:
                    whole[s.SMALL] -= short[s.TILE_SMALL + k]
                    short[s.TILE_SMALL + k] = 0
                elif w == 2:
                    wide[s.HEAT] -= whole[s.TILE_HEAT + k]
                    whole[s.TILE_HEAT + k] = 0
            k += 1
            if k == tiles:
                k = 0
    wide[s.HEAD + w] = tile


@njit
def _count(wide, whole, short, w, tiles, first, tile, amount):  # type: ignore[no-untyped-def]
    """Add a transaction to its tile of window ``w``; give the tile's place in the ring, -1 when it has left."""
    head = wide[s.HEAD + w]
    if tile <= head - tiles:
        return -1
    k = tile % tiles
    c = first + k
    if short[s.TILE_N + c] < _U16_MAX:
        short[s.TILE_N + c] += 1
        whole[s.COUNT + w] += 1
    wide[s.TILE_SUM + c] += amount
    wide[s.SUM + w] += amount
    return k


@njit
def roll_windows(wide, whole, short, time):  # type: ignore[no-untyped-def]
    """Move all windows on to ``time``; a late time moves nothing."""
    if whole[s.SEEN] == 0:
        wide[s.CLOCK] = time
        wide[s.HEAD + 0] = time // s.TILE_US[0]
        wide[s.HEAD + 1] = time // s.TILE_US[1]
        wide[s.HEAD + 2] = time // s.TILE_US[2]
        wide[s.HEAD + 3] = time // s.TILE_US[3]
        return
    _roll(wide, whole, short, 0, s.TILE_COUNT[0], s.TILE_FIRST[0], time // s.TILE_US[0])
    _roll(wide, whole, short, 1, s.TILE_COUNT[1], s.TILE_FIRST[1], time // s.TILE_US[1])
    _roll(wide, whole, short, 2, s.TILE_COUNT[2], s.TILE_FIRST[2], time // s.TILE_US[2])
    _roll(wide, whole, short, 3, s.TILE_COUNT[3], s.TILE_FIRST[3], time // s.TILE_US[3])


@njit
def count_in_windows(wide, whole, short, time, amount, small, heat):  # type: ignore[no-untyped-def]
    """Count a transaction in all windows: its amount in base units, whether it was small, its heat."""
    fixed = np.int64(math.floor(amount * s.AMOUNT_SCALE + 0.5))
    k = _count(wide, whole, short, 0, s.TILE_COUNT[0], s.TILE_FIRST[0], time // s.TILE_US[0], fixed)
    if small and k >= 0 and short[s.TILE_SMALL + k] < _U16_MAX:
        short[s.TILE_SMALL + k] += 1
        whole[s.SMALL] += 1
    _count(wide, whole, short, 1, s.TILE_COUNT[1], s.TILE_FIRST[1], time // s.TILE_US[1], fixed)
    k = _count(wide, whole, short, 2, s.TILE_COUNT[2], s.TILE_FIRST[2], time // s.TILE_US[2], fixed)
    if heat > 0.0 and k >= 0:
        warm = np.int64(math.floor(heat * s.HEAT_SCALE + 0.5))
        if whole[s.TILE_HEAT + k] + warm < _I32_MAX:
            whole[s.TILE_HEAT + k] += warm
            wide[s.HEAT] += warm
    _count(wide, whole, short, 3, s.TILE_COUNT[3], s.TILE_FIRST[3], time // s.TILE_US[3], fixed)


@njit
def window_amounts(wide, whole, amount, mean, p, out):  # type: ignore[no-untyped-def]
    """Counts, amounts and means of the four windows: columns 1, 2 and 5 to 14."""
    for w in range(s.WINDOWS):
        out[5 + w] = whole[s.COUNT + w]
        out[9 + w] = wide[s.SUM + w] / s.AMOUNT_SCALE
    weight = p[q.AMOUNT_PRIOR]
    mean_30d = (wide[s.SUM + 3] / s.AMOUNT_SCALE + weight * mean) / (whole[s.COUNT + 3] + weight)
    mean_7d = (wide[s.SUM + 2] / s.AMOUNT_SCALE + weight * mean_30d) / (whole[s.COUNT + 2] + weight)
    out[1] = amount - mean_30d
    out[2] = amount / mean_30d
    out[13] = mean_30d
    out[14] = mean_7d / mean_30d


@njit
def amount_habit(real, amount, mean, cv2, p):  # type: ignore[no-untyped-def]
    """The card's shrunk mean, predictive standard deviation and z of the amount; then learn the clipped amount."""
    n, total, squares = real[s.HABIT_N], real[s.HABIT_SUM], real[s.HABIT_SQUARES]
    m = (total + p[q.AMOUNT_PRIOR] * mean) / (n + p[q.AMOUNT_PRIOR])
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
