"""The layout of feature state: four arrays, one row a card, so that a snapshot is four copies and a header.

Windows are rings of tiles: 12 of 5 minutes (1 h), 24 of 1 hour (1 d), 28 of 6 hours (7 d) and 15 of 2 days (30 d),
aligned to the epoch. A window holds its current tile and the ``tiles - 1`` before, so it reaches back between ``tiles
- 1`` and ``tiles`` tile widths. Amounts are summed in integers (:data:`AMOUNT_SCALE` a base unit, cents): exact,
whatever the order, until a tile's amount is full (21 million base units).
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LAYOUT = 4
"""Raised whenever a row means something else; a snapshot of another layout is refused."""

AMOUNT_SCALE = 100.0
HEAT_SCALE = 100.0

# A window is one integer: (sum of amounts in units of 1 / AMOUNT_SCALE) * 2**16 + (number of transactions). Its tiles
# hold the two apart, in four and two bytes, which is most of what a card costs.
COUNT_BITS = 16
COUNT_MAX = (1 << COUNT_BITS) - 1

# windows, from short to long; TILE_FIRST is the first tile of each in the shared tile columns
WINDOWS = 4
TILE_COUNT = (12, 24, 28, 15)
TILE_FIRST = (0, 12, 36, 64)
TILES = 79
TILE_US = (300_000_000, 3_600_000_000, 21_600_000_000, 172_800_000_000)

# wide (int64); the newest tile of a window is the one of CLOCK
CLOCK = 0  # latest event time seen, microseconds
PLACE_TIME = 1  # event time of the last position
WINDOW = 2  # sum and count of each window
HEAT = WINDOW + WINDOWS  # heat of the 7 d window, in units of 1 / HEAT_SCALE
WIDE = HEAT + 1

# real (float64)
HABIT_N, HABIT_SUM, HABIT_SQUARES = 0, 1, 2  # clipped amounts: count, sum, sum of squares
HOME_N, HOME = 3, 4  # positions counted; mean of their unit vectors (3 columns)
PLACE = 7  # unit vector of the last position (3 columns)
HOUR_N, HOUR_COS, HOUR_SIN = 10, 11, 12
REAL = 13

# whole (int32)
SEEN = 0  # transactions seen, saturating
DEVICES = 8  # remembered, most recent first, as are merchants and countries
DEVICE = 1
COUNTRIES = 8
COUNTRY = DEVICE + DEVICES
MERCHANTS = 32
MERCHANT = COUNTRY + COUNTRIES  # hash fragments
TILE = MERCHANT + MERCHANTS  # amounts
WHOLE = TILE + TILES

# half (uint16)
SMALL = 0  # small transactions of the 1 h window
CATEGORY_SUM = 1
CATEGORIES = 12
CATEGORY = 2  # pairs of category and count
MERCHANT_AGE = CATEGORY + 2 * CATEGORIES  # minutes between a merchant's last transaction and the card's clock
TILE_SMALL = MERCHANT_AGE + MERCHANTS
TILE_HEAT = TILE_SMALL + TILE_COUNT[0]
TILE_N = TILE_HEAT + TILE_COUNT[2]  # numbers of transactions
HALF = TILE_N + TILES
HALF_MAX = 65_535


@dataclass(slots=True)
class CardState:
    """Rows of state, ``(capacity, columns)`` each; a row of zeros is a card that was never seen."""

    wide: NDArray[np.int64]
    real: NDArray[np.float64]
    whole: NDArray[np.int32]
    half: NDArray[np.uint16]

    @classmethod
    def zeros(cls, capacity: int) -> Self:
        """State for ``capacity`` cards."""
        return cls(
            np.zeros((capacity, WIDE), np.int64),
            np.zeros((capacity, REAL), np.float64),
            np.zeros((capacity, WHOLE), np.int32),
            np.zeros((capacity, HALF), np.uint16),
        )

    @property
    def capacity(self) -> int:
        """Cards that fit without growing."""
        return len(self.wide)

    @property
    def card_bytes(self) -> int:
        """Bytes of one card's row."""
        return sum(array[:1].nbytes for array in self.arrays()) if self.capacity else 0

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays in the order in which they are written."""
        return self.wide, self.real, self.whole, self.half

    def grown(self, capacity: int) -> "CardState":
        """The same rows with room for ``capacity`` cards."""
        larger = CardState.zeros(capacity)
        for field in fields(self):
            old = getattr(self, field.name)
            getattr(larger, field.name)[: len(old)] = old
        return larger
