"""Which row of the state is a card's: identifiers in one run of bytes, found through a table of slots.

    index = CardIndex()
    index.slots_of(["c1", "c2", "c1"])      # array([0, 1, 0]): slots in the order of first appearance

A card costs its identifier's bytes and about 17 more, a fifth of what a dictionary of texts takes. Identifiers are only
added, so that the first ``n`` of them never change and may be read while others are added.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.features.compiling import cached

_SMALLEST = 1024
_FULLEST = 0.6
"""Share of the table in use at most: above it a search meets too many other cards."""
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def _find_each(table, ends, held, count, room, asked, asked_ends, begin, slots):  # type: ignore[no-untyped-def]
    """Write the slots of ``asked`` from ``begin`` on, adding what is new; stop where ``room`` does not suffice.

    The hash is FNV-1a (Fowler, Noll and Vo), folded.

    Returns:
        Cards held, and the first of ``asked`` that is not written yet.
    """
    mask = np.uint64(len(table) - 1)
    for i in range(begin, len(asked_ends)):
        first = asked_ends[i - 1] if i else 0
        size = asked_ends[i] - first
        key = _FNV_OFFSET
        for k in range(first, first + size):
            key = (key ^ np.uint64(asked[k])) * _FNV_PRIME
        place = (key ^ (key >> np.uint64(29))) & mask
        while True:
            slot = table[place] - 1
            if slot < 0:
                break
            start = ends[slot - 1] if slot else 0
            same = ends[slot] - start == size
            k = 0
            while same and k < size:
                same = held[start + k] == asked[first + k]
                k += 1
            if same:
                break
            place = (place + np.uint64(1)) & mask
        if slot < 0:
            start = ends[count - 1] if count else 0
            if count >= room or start + size > len(held):
                return count, i
            held[start : start + size] = asked[first : first + size]
            ends[count] = start + size
            slot = count
            count += 1
            table[place] = count
        slots[i] = slot
    return count, len(asked_ends)


_find: Any = cached(_find_each)


class CardIndex:
    """Slots of card identifiers, from 0, in the order of first appearance."""

    def __init__(self) -> None:
        self._count = 0
        self._table = np.zeros(2 * _SMALLEST, np.int32)
        self._ends = np.empty(_SMALLEST, np.int64)
        self._held = np.empty(16 * _SMALLEST, np.uint8)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes in use, without the room for cards to come; the table counts whole."""
        used = int(self._ends[self._count - 1]) if self._count else 0
        return used + 8 * self._count + self._table.nbytes

    @classmethod
    def of(cls, ends: NDArray[np.int64], held: NDArray[np.uint8]) -> "CardIndex":
        """The index of the identifiers that :meth:`identifiers` gave."""
        index = cls()
        index._add(np.array(held), np.array(ends, np.int64))
        return index

    def identifiers(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """All identifiers: where each ends ``(n,)``, and their UTF-8 bytes one after the other; views, not copies."""
        ends = self._ends[: self._count]
        return ends, self._held[: int(ends[-1]) if self._count else 0]

    def slots_of(self, cards: Sequence[str]) -> NDArray[np.int64]:
        """The slot of each card, ``(n,)``; one never seen gets the next."""
        return self._add(*_run_of(cards))

    def known(self, cards: Collection[str]) -> NDArray[np.int64]:
        """The slots of those cards that have one, ``(k,)``, rising; none is added."""
        asked, ends = _run_of(sorted(set(cards)))
        slots, done = np.full(len(ends), -1, np.int64), 0
        while done < len(ends):  # the search stops at a card that is not there: there is no room for it
            _, done = _find(self._table, self._ends, self._held, self._count, 0, asked, ends, done, slots)
            done += 1
        return np.sort(slots[slots >= 0])

    def _add(self, asked: NDArray[np.uint8], asked_ends: NDArray[np.int64]) -> NDArray[np.int64]:
        slots = np.empty(len(asked_ends), np.int64)
        done = 0
        while True:
            room = min(len(self._ends), int(len(self._table) * _FULLEST))
            self._count, done = _find(
                self._table, self._ends, self._held, self._count, room, asked, asked_ends, done, slots
            )
            if done == len(asked_ends):
                return slots
            self._grow(int(asked_ends[done] - (asked_ends[done - 1] if done else 0)))

    def _grow(self, size: int) -> None:
        """Make room for one more card of ``size`` bytes, and for as many again as there are."""
        ends, held = self.identifiers()
        if self._count >= len(self._ends):
            self._ends = np.empty(2 * len(self._ends), np.int64)
            self._ends[: self._count] = ends
        if len(held) + size > len(self._held):
            self._held = np.empty(2 * len(self._held) + size, np.uint8)
            self._held[: len(held)] = held
        if self._count >= int(len(self._table) * _FULLEST):
            self._table = np.zeros(2 * len(self._table), np.int32)
            room, slots = self._count, np.empty(self._count, np.int64)
            _find(self._table, np.empty_like(ends), np.empty_like(held), 0, room, held, ends, 0, slots)


def _run_of(cards: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 bytes of identifiers one after the other, and where each ends ``(n,)``."""
    text = "".join(cards)
    if text.isascii():
        sizes, content = map(len, cards), text.encode()
    else:
        encoded = [card.encode() for card in cards]
        sizes, content = map(len, encoded), b"".join(encoded)
    ends = np.cumsum(np.fromiter(sizes, np.int64, len(cards)))
    return np.frombuffer(bytearray(content), np.uint8), ends  # writable, as all that is compiled for
