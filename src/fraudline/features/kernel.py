"""The one loop that turns transactions into features and advances the state of their cards.

Batch and stream call :func:`advance` with the same rows in the same order and get the same bits, wherever the calls are
cut. A transaction sees its card's past only: features are written first, the state learns from it afterwards.

Late transactions (event time before the card's clock, the latest event time it has seen) advance in the order in which
they come:

* they see the windows as of the clock, and ``seconds_since_last`` is 0;
* they are counted in the tile of their own time while that tile is still in its window, and nowhere once it has left;
* habits, home, devices, merchants, countries and categories learn from them as from any other;
* the clock and the last position do not go back; ``speed_from_last`` uses the absolute time between the two positions.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fraudline.features import parameters as q
from fraudline.features import state as s
from fraudline.features.compiling import cached, stamp
from fraudline.features.habits import MINUTE_US, category_rarity, hour_habit, merchant_memory, place, remember
from fraudline.features.windows import amount_habit, count_in_windows, roll_windows, window_amounts

# columns of a merchant's profile and of the population's
P_COUNT_7D, P_COUNT_30D, P_MEAN, P_RISK_1D, P_RISK_7D, P_RISK_30D, P_AGE = 0, 1, 2, 3, 4, 5, 6
P_FRAUD_WEIGHT, P_STREAK, P_STREAK_AGE, P_OUTBREAK, P_OUTBREAK_AGE = 7, 8, 9, 10, 11
G_MEAN, G_CV2 = 0, 1
_I32_MAX = 2_147_483_647
_SOURCES = ("kernel.py", "windows.py", "habits.py", "state.py", "parameters.py")


@njit
def _merchant_profile(profile, amount, out):  # type: ignore[no-untyped-def]
    """Columns 29 to 40."""
    out[29] = profile[P_COUNT_7D]
    out[30] = profile[P_COUNT_30D]
    out[31] = amount / profile[P_MEAN]
    out[32] = profile[P_RISK_1D]
    out[33] = profile[P_RISK_7D]
    out[34] = profile[P_RISK_30D]
    out[35] = profile[P_AGE]
    out[36] = profile[P_FRAUD_WEIGHT]
    out[37] = profile[P_STREAK]
    out[38] = profile[P_STREAK_AGE]
    out[39] = profile[P_OUTBREAK]
    out[40] = profile[P_OUTBREAK_AGE]


def _loop(sources: int) -> Any:
    """The loop, closed over the stamp of what it calls."""

    def _advance(  # type: ignore[no-untyped-def]
        wides, reals, wholes, halves, slots, times, amounts, categories, merchants, devices, countries,
        latitudes, longitudes, profile_rows, profiles, population_rows, populations, p, outs,
    ):  # fmt: skip
        assert sources  # noqa: S101 - a use, so that it belongs to the closure
        for i in range(len(slots)):
            slot, time, amount, out = slots[i], times[i], amounts[i], outs[i]
            wide, real, whole, half = wides[slot], reals[slot], wholes[slot], halves[slot]
            population = populations[population_rows[i]]
            roll_windows(wide, whole, half, time)
            first = whole[s.SEEN] == 0
            before = time if first else wide[s.CLOCK]
            clock = max(before, time)
            gap = (clock - before) / 1e6
            wide[s.CLOCK] = clock
            out[0] = amount
            window_amounts(wide, amount, population[G_MEAN], p, out)
            mean, z = amount_habit(real, amount, population[G_MEAN], population[G_CV2], p)
            out[3] = z
            out[4] = wide[s.HEAT] / s.HEAT_SCALE
            out[15] = p[q.GAP_LIMIT] if first else min(gap, p[q.GAP_LIMIT])
            place(wide, real, time, latitudes[i], longitudes[i], p, out)
            out[20] = 1.0 if devices[i] != 0 and remember(whole, s.DEVICE, s.DEVICES, devices[i]) else 0.0
            merchant_memory(whole, half, clock // MINUTE_US - before // MINUTE_US, merchants[i], out)
            out[22] = 1.0 if countries[i] != 0 and remember(whole, s.COUNTRY, s.COUNTRIES, countries[i]) else 0.0
            out[24] = half[s.SMALL]
            out[25] = category_rarity(half, categories[i])
            hour_habit(real, time, p, out)
            _merchant_profile(profiles[profile_rows[i]], amount, out)
            count_in_windows(wide, whole, half, time, amount, amount < p[q.SMALL_RATIO] * mean, z - p[q.HEAT_FROM])
            if whole[s.SEEN] < _I32_MAX:
                whole[s.SEEN] += 1

    return _advance


def compiled() -> Any:
    """The compiled loop, from numba's cache where there is a folder for it."""
    return cached(_loop(stamp(*_SOURCES)))


_advance = compiled()


def advance(
    state: s.CardState,
    *,
    slot: NDArray[np.int64],
    event_time: NDArray[np.int64],
    amount: NDArray[np.float64],
    category: NDArray[np.int32],
    merchant: NDArray[np.int32],
    device: NDArray[np.int32],
    country: NDArray[np.int32],
    latitude: NDArray[np.float32],
    longitude: NDArray[np.float32],
    profile_row: NDArray[np.int64],
    profiles: NDArray[np.float32],
    population_row: NDArray[np.int64],
    populations: NDArray[np.float64],
    parameters: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write the features of ``n`` transactions in their order and advance ``state`` in place.

    Args:
        state: rows of all cards; ``slot`` points into it.
        slot: ``(n,)``.
        event_time: ``(n,)`` microseconds since the epoch.
        amount: ``(n,)`` base units, not negative.
        category: ``(n,)``.
        merchant: ``(n,)`` hash fragments, never 0.
        device: ``(n,)`` hash fragments, 0 when missing.
        country: the same.
        latitude: ``(n,)`` degrees, NaN when missing.
        longitude: the same.
        profile_row: ``(n,)`` row of ``profiles``.
        profiles: ``(rows, len(VALUES))`` merchants as of a day.
        population_row: ``(n,)`` row of ``populations``.
        populations: ``(rows, 3)`` mean amount (base units), squared coefficient of variation and fraud rate of a day.
        parameters: values of :data:`parameters.PARAMETERS`.
        out: ``(n, len(KERNEL_FEATURES))``, written.
    """
    _advance(
        *state.arrays(), slot, event_time, amount, category, merchant, device, country, latitude, longitude,
        profile_row, profiles, population_row, populations, parameters, out,
    )  # fmt: skip
