"""A card's last transactions as features: what a sequence model reads, kept beside the other state of the card.

A specification asks for it by features like ``amount@2``: what ``amount`` was two transactions of the card ago, 0 where
there was none. Nothing is kept for a specification without them.
"""

import numpy as np
from numpy.typing import NDArray

from fraudline.features.compiling import cached


class CardHistory:
    """The last rows of some features of every card.

    Args:
        columns: (m,) positions of the features in the kernel's order.
        rows: transactions remembered, the longest lag.
        cards: room for so many, of which nothing is remembered.
    """

    def __init__(self, columns: NDArray[np.intp], rows: int, *, cards: int = 0) -> None:
        self._columns = columns
        self._of = rows
        self._width = len(columns) * rows
        self._kept = np.zeros((cards, self._width), np.float32)

    @property
    def card_bytes(self) -> int:
        """Bytes a card."""
        return self._width * 4

    def advance(self, slot: NDArray[np.int64], values: NDArray[np.float32], capacity: int) -> NDArray[np.float32]:
        """What each card's earlier rows were; they move on.

        Args:
            slot: (n,) the card's row of state.
            values: (n, kernel features) float32 of the transactions in their order.
            capacity: rows of state there are.

        Returns:
            (n, rows · m) float32: the last row's m features, then those of the row before it, and so on.
        """
        if capacity > len(self._kept):
            grown = np.zeros((capacity, self._width), np.float32)
            grown[: len(self._kept)] = self._kept
            self._kept = grown
        out = np.empty((len(slot), self._width), np.float32)
        _shift(slot, np.ascontiguousarray(values[:, self._columns]), self._kept, out)
        return out

    @property
    def rows(self) -> NDArray[np.float32]:
        """What is remembered, one row a card, by the card's row of state."""
        return self._kept

    def forgotten(self, cards: int) -> "CardHistory":
        """One of the same features that remembers nothing, with room for ``cards`` cards."""
        return CardHistory(self._columns, self._of, cards=cards)


def _shift_each(slot, values, kept, out):  # type: ignore[no-untyped-def]
    """Write the rows before each transaction, then put it in front of them."""
    m = values.shape[1]
    width = kept.shape[1]
    for i in range(len(slot)):
        row = slot[i]
        for k in range(width):
            out[i, k] = kept[row, k]
        for k in range(width - 1, m - 1, -1):
            kept[row, k] = kept[row, k - m]
        for k in range(m):
            kept[row, k] = values[i, k]


_shift = cached(_shift_each)
