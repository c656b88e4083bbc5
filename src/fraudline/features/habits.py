"""Compiled parts of the kernel: places, hours, devices, merchants, countries and categories of a card."""

import math

import numpy as np
from numba import njit

from fraudline.features import parameters as q
from fraudline.features import state as s

EARTH_KM = 6371.0088
MINUTE_US = 60_000_000
DAY_MINUTES = 1_440
_ANGLE = 2.0 * np.pi * np.arange(1440) / 1440.0
COS_OF_MINUTE = np.cos(_ANGLE)
SIN_OF_MINUTE = np.sin(_ANGLE)
_CATEGORY_LIMIT = 4_096
"""Category counts are halved here, so that old habits fade."""


@njit
def _kilometres(x, y, z, u, v, w):  # type: ignore[no-untyped-def]
    chord = math.sqrt((x - u) * (x - u) + (y - v) * (y - v) + (z - w) * (z - w))
    return 2.0 * EARTH_KM * math.asin(min(1.0, 0.5 * chord))


@njit
def place(wide, real, time, latitude, longitude, p, out):  # type: ignore[no-untyped-def]
    """Distances and speed, columns 16 to 19; then move the last place and home."""
    out[16] = out[17] = out[18] = 0.0
    if not (abs(latitude) <= 90.0 and abs(longitude) <= 180.0):  # also NaN and infinity
        out[19] = 1.0
        return
    out[19] = 0.0
    a, b = math.radians(latitude), math.radians(longitude)
    x, y, z = math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)
    n = real[s.HOME_N]
    if n > 0.0:
        km = _kilometres(x, y, z, real[s.PLACE], real[s.PLACE + 1], real[s.PLACE + 2])
        seconds = max(abs(time - wide[s.PLACE_TIME]) / 1e6, p[q.SPEED_FLOOR])
        out[16] = km
        out[17] = min(km / seconds * 3600.0, p[q.SPEED_LIMIT])
        u, v, w = real[s.HOME], real[s.HOME + 1], real[s.HOME + 2]
        norm = math.sqrt(u * u + v * v + w * w)
        if norm > 1e-9:
            out[18] = _kilometres(x, y, z, u / norm, v / norm, w / norm)
    share = 1.0 / min(n + 1.0, p[q.HOME_MEMORY])
    real[s.HOME] += (x - real[s.HOME]) * share
    real[s.HOME + 1] += (y - real[s.HOME + 1]) * share
    real[s.HOME + 2] += (z - real[s.HOME + 2]) * share
    real[s.HOME_N] = min(n + 1.0, p[q.HOME_MEMORY])
    if n == 0.0 or time >= wide[s.PLACE_TIME]:
        real[s.PLACE], real[s.PLACE + 1], real[s.PLACE + 2] = x, y, z
        wide[s.PLACE_TIME] = time


@njit
def remember(whole, first, size, value):  # type: ignore[no-untyped-def]
    """Whether ``value`` is none of those remembered, among at least one; it becomes the most recent."""
    empty = whole[first] == 0
    k = 0
    while k < size and whole[first + k] != value and whole[first + k] != 0:
        k += 1
    known = k < size and whole[first + k] == value
    for j in range(min(k, size - 1), 0, -1):
        whole[first + j] = whole[first + j - 1]
    whole[first] = value
    return not known and not empty


@njit
def merchant_memory(whole, half, minutes, value, out):  # type: ignore[no-untyped-def]
    """Newness of the merchant and distinct merchants of the last day, columns 21 and 23; then remember it.

    ``minutes``: by how much the card's clock has moved. Ages grow along the list and stop at a day.
    """
    distinct, k = 0, 0
    while k < s.MERCHANTS and whole[s.MERCHANT + k] != 0 and half[s.MERCHANT_AGE + k] < DAY_MINUTES:
        age = min(half[s.MERCHANT_AGE + k] + minutes, DAY_MINUTES)
        half[s.MERCHANT_AGE + k] = age
        distinct += age < DAY_MINUTES
        k += 1
    out[23] = distinct
    k = 0
    while k < s.MERCHANTS and whole[s.MERCHANT + k] != value and whole[s.MERCHANT + k] != 0:
        k += 1
    known = k < s.MERCHANTS and whole[s.MERCHANT + k] == value
    out[21] = 1.0 if whole[s.SEEN] > 0 and not known else 0.0
    for j in range(min(k, s.MERCHANTS - 1), 0, -1):
        whole[s.MERCHANT + j] = whole[s.MERCHANT + j - 1]
        half[s.MERCHANT_AGE + j] = half[s.MERCHANT_AGE + j - 1]
    whole[s.MERCHANT] = value
    half[s.MERCHANT_AGE] = 0


@njit
def category_rarity(half, category):  # type: ignore[no-untyped-def]
    """Minus the logarithm of (count of the category + 1) / (count of all + 2); then count it."""
    value = np.uint16(category)
    end = s.CATEGORY + 2 * s.CATEGORIES
    place, smallest = -1, s.CATEGORY
    for k in range(s.CATEGORY, end, 2):
        n = half[k + 1]
        if n > 0 and half[k] == value:
            place = k
            break
        if n < half[smallest + 1]:
            smallest = k
    count = half[place + 1] if place >= 0 else 0
    rarity = -math.log((count + 1.0) / (half[s.CATEGORY_SUM] + 2.0))
    if place < 0:
        place = smallest
        half[s.CATEGORY_SUM] -= half[place + 1]
        half[place] = value
        half[place + 1] = 0
    half[place + 1] += 1
    half[s.CATEGORY_SUM] += 1
    if half[s.CATEGORY_SUM] >= _CATEGORY_LIMIT:
        half[s.CATEGORY_SUM] = 0
        for k in range(s.CATEGORY, end, 2):
            half[k + 1] //= 2
            half[s.CATEGORY_SUM] += half[k + 1]
    return rarity


@njit
def hour_habit(real, time, p, out):  # type: ignore[no-untyped-def]
    """Hour against habit, weekend and night, columns 26 to 28; then learn the hour."""
    minutes = time // MINUTE_US
    minute = minutes % 1440
    c, n = COS_OF_MINUTE[minute], real[s.HOUR_N]
    sine = SIN_OF_MINUTE[minute]
    out[26] = 1.0 - (c * real[s.HOUR_COS] + sine * real[s.HOUR_SIN]) / (n + 2.0)
    out[27] = 1.0 if (minutes // 1440 + 3) % 7 >= 5 else 0.0  # day 0 of the epoch is a Thursday
    out[28] = 1.0 if minute // 60 <= p[q.NIGHT_END] else 0.0
    keep = 1.0 if n + 1.0 <= p[q.HOUR_MEMORY] else (p[q.HOUR_MEMORY] - 1.0) / n
    real[s.HOUR_N] = n * keep + 1.0
    real[s.HOUR_COS] = real[s.HOUR_COS] * keep + c
    real[s.HOUR_SIN] = real[s.HOUR_SIN] * keep + sine
