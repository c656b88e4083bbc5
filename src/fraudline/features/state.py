"""The layout of feature state: three arrays, one row a card, so that a snapshot is three copies and a header.

Windows are rings of tiles: 12 of 5 minutes (1 h), 24 of 1 hour (1 d), 28 of 6 hours (7 d) and 30 of 1 day (30 d),
aligned to the epoch. A window holds its current tile and the ``tiles - 1`` before, so it reaches back between ``tiles
- 1`` and ``tiles`` tile widths. Amounts are summed in integers (:data:`AMOUNT_SCALE` a base unit): exact, whatever
the order.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

LAYOUT = 2
"""Raised whenever a row means something else; a snapshot of another layout is refused."""

AMOUNT_SCALE = 10_000.0
HEAT_SCALE = 1_000.0

# A tile and a window are one integer: (sum of amounts in units of 1 / AMOUNT_SCALE) * 2**16 + (number of transactions),
# so that counting is one addition, forgetting one subtraction, and a card touches few cache lines.
COUNT_BITS = 16
COUNT_MAX = (1 << COUNT_BITS) - 1

# windows, from short to long; TILE_FIRST is the first tile of each in the shared tile columns
WINDOWS = 4
TILE_COUNT = (12, 24, 28, 30)
TILE_FIRST = (0, 12, 36, 64)
TILES = 94
TILE_US = (300_000_000, 3_600_000_000, 21_600_000_000, 86_400_000_000)

# wide (int64)
CLOCK = 0  # latest event time seen, microseconds
PLACE_TIME = 1  # event time of the last position
HEAD = 2  # newest tile number of each window
WINDOW = HEAD + WINDOWS  # sum and count of each window
HEAT = WINDOW + WINDOWS  # heat of the 7 d window, in units of 1 / HEAT_SCALE
TILE = HEAT + 1
WIDE = TILE + TILES

# real (float64)
HABIT_N, HABIT_SUM, HABIT_SQUARES = 0, 1, 2  # clipped amounts: count, sum, sum of squares
HOME_N, HOME = 3, 4  # positions counted; mean of their unit vectors (3 columns)
PLACE = 7  # unit vector of the last position (3 columns)
HOUR_N, HOUR_COS, HOUR_SIN = 10, 11, 12
REAL = 13

# whole (int32)
SEEN = 0  # transactions seen, saturating
SMALL = 1  # small transactions of the 1 h window
CATEGORY_SUM = 2
DEVICES = 8  # remembered, most recent first, as are merchants and countries
DEVICE = 3
COUNTRIES = 8
COUNTRY = DEVICE + DEVICES
CATEGORIES = 12
CATEGORY = COUNTRY + COUNTRIES  # pairs of category and count
MERCHANTS = 32
MERCHANT = CATEGORY + 2 * CATEGORIES  # pairs of hash fragment and minute of the card's clock when it was last seen
TILE_SMALL = MERCHANT + 2 * MERCHANTS
TILE_HEAT = TILE_SMALL + TILE_COUNT[0]
WHOLE = TILE_HEAT + TILE_COUNT[2]


@dataclass(slots=True)
class CardState:
    """Rows of state, ``(capacity, columns)`` each; a row of zeros is a card that was never seen."""

    wide: NDArray[np.int64]
    real: NDArray[np.float64]
    whole: NDArray[np.int32]

    @classmethod
    def zeros(cls, capacity: int) -> Self:
        """State for ``capacity`` cards."""
        return cls(
            np.zeros((capacity, WIDE), np.int64),
            np.zeros((capacity, REAL), np.float64),
            np.zeros((capacity, WHOLE), np.int32),
        )

    @property
    def capacity(self) -> int:
        """Cards that fit without growing."""
        return len(self.wide)

    @property
    def card_bytes(self) -> int:
        """Bytes of one card's row."""
        return sum(array[:1].nbytes for array in self.arrays()) if self.capacity else 0

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
        """The three arrays in the order in which they are written."""
        return self.wide, self.real, self.whole

    def grown(self, capacity: int) -> "CardState":
        """The same rows with room for ``capacity`` cards."""
        larger = CardState.zeros(capacity)
        for field in fields(self):
            old = getattr(self, field.name)
            getattr(larger, field.name)[: len(old)] = old
        return larger
