"""The feature engine: one object per stream partition, or one for a whole file.

    engine = FeatureEngine(load_spec(), ProfileTable.load(folder, spec))
    x = engine.advance(columns_from_table(table))      # (n, d) float32, columns in the order of spec.names
    kept = engine.snapshot()                           # bytes; restore() continues bit for bit

Batch is one call over everything, the stream is a call a polled batch; the features are the same bits.
"""

import json
from collections.abc import Collection
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import StateError
from fraudline.features import kernel
from fraudline.features.cards import CardIndex
from fraudline.features.columns import TransactionColumns, base_amounts, fragments
from fraudline.features.frozen import DIGEST_BYTES, LENGTH, MAGIC, Frozen, Pieces, Thawing, damaged
from fraudline.features.history import CardHistory
from fraudline.features.parameters import PARAMETERS
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import KERNEL_FEATURES, FeatureSpec
from fraudline.features.state import LAYOUT, CardState

_SMALLEST = 1024
"""Cards that a fresh engine has room for; doubled whenever they do not suffice."""


class FeatureEngine:
    """Feature state of cards, and the kernel that advances it.

    Args:
        spec: which features, and their numbers.
        profiles: merchant tables; None when there are none yet (every merchant is then unknown).
    """

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None = None) -> None:
        self.spec = spec
        self.profiles = profiles if profiles is not None else ProfileTable.empty(spec)
        self._state = CardState.zeros(_SMALLEST)
        self._index = CardIndex()
        self._frozen: Frozen | None = None
        values = spec.parameters.model_dump()
        self._parameters = np.array([values[name] for name in PARAMETERS], np.float64)
        everything = spec.names == KERNEL_FEATURES
        self._columns = None if everything else np.array(spec.columns, np.intp)
        remembered, rows = spec.history
        self._history = CardHistory(np.array(remembered, np.intp), rows) if rows else None

    @property
    def cards(self) -> int:
        """Cards that have state."""
        return len(self._index)

    @property
    def card_bytes(self) -> int:
        """Bytes of state a card, its history with it, without its identifier and its place in the index."""
        return self._state.card_bytes + (self._history.card_bytes if self._history is not None else 0)

    @property
    def profile_version(self) -> str:
        """Version of the merchant tables in use."""
        return self.profiles.version

    def reserve(self, cards: int) -> None:
        """Make room for ``cards`` cards, so that they can come without a pause for growing."""
        capacity = _room(cards, self._state.capacity)
        if capacity > self._state.capacity:
            self._state = self._state.grown(capacity)
            self._frozen = None  # what is frozen reads the old rows, which change no more

    def use_profiles(self, profiles: ProfileTable) -> None:
        """Take newer merchant tables from the next transaction on.

        The population in a table also bounds what a card's habit learns, so that equal bits need equal tables: publish
        a table before the first transaction for which it holds.
        """
        self.profiles = profiles

    def advance(self, columns: TransactionColumns) -> NDArray[np.float32]:
        """Features of transactions in their order; the state of their cards moves on.

        Returns:
            ``(n, d) float32``, finite, columns in the order of ``spec.names``.

        Raises:
            SchemaError, MessageError: a currency has no rate (table, messages); no state has moved then.
        """
        amount = base_amounts(columns, self.spec)
        tables = self.profiles
        population_row, profile_row = tables.rows(columns.event_time, columns.merchant_code, columns.merchant_hash)
        out = np.empty((len(columns), len(KERNEL_FEATURES)), np.float32)
        slot = self._slots_of(columns)
        if self._frozen is not None:
            self._frozen.keep(slot)
            self._frozen = None if self._frozen.done else self._frozen
        kernel.advance(
            self._state,
            slot=slot,
            event_time=columns.event_time,
            amount=amount,
            category=columns.category,
            merchant=fragments(columns.merchant_hash)[columns.merchant_code],
            device=columns.device,
            country=columns.country,
            latitude=columns.latitude,
            longitude=columns.longitude,
            profile_row=profile_row,
            profiles=tables.values,
            population_row=population_row,
            populations=tables.population,
            parameters=self._parameters,
            out=out,
        )
        if self._history is not None:
            out = np.hstack([out, self._history.advance(slot, out, self._state.capacity)])
        return out if self._columns is None else np.ascontiguousarray(out[:, self._columns])

    def forget(self, cards: Collection[str]) -> int:
        """Drop the state of cards, their identifiers included; the other cards keep theirs, bit for bit.

        All cards are copied, however many are dropped, if any of them is there: give those that go together at once.

        Returns:
            Cards that were there.
        """
        gone = self._index.known(cards)
        if not len(gone):
            return 0
        ends, held = self._index.identifiers()
        stays = np.ones(len(ends), np.bool_)
        stays[gone] = False
        kept, sizes = np.flatnonzero(stays), np.diff(ends, prepend=0)
        rows = [array[kept] for array in self._rows()]
        self._state = CardState.zeros(_room(len(kept)))
        self._history = self._history.forgotten(len(kept)) if self._history is not None else None
        for array, old in zip(self._rows(), rows, strict=True):
            array[: len(old)] = old
        self._index = CardIndex.of(np.cumsum(sizes[kept]), held[np.repeat(stays, sizes)])
        self._frozen = None  # what is frozen reads the old rows, which change no more
        return len(gone)

    def freeze(self) -> Frozen:
        """The state as of now, to be read by another thread while this one advances. One at a time."""
        self._frozen = Frozen(self._rows(), self._index, self.spec.version)
        return self._frozen

    def snapshot(self) -> bytes:
        """All state as bytes: header, card identifiers, rows, SHA-256 of it all."""
        return b"".join(Frozen(self._rows(), self._index, self.spec.version).pieces())

    def _rows(self) -> tuple[NDArray[Any], ...]:
        return _rows_of(self._state, self._history)

    def restore(self, content: bytes | Pieces) -> None:
        """Take the state of a :meth:`snapshot`, whole or in pieces; on an error the engine is as it was.

        Raises:
            StateError: the bytes are damaged, or were made with another specification or layout.
        """
        thawing = Thawing(content)
        if thawing.read(len(MAGIC)) != MAGIC:
            raise damaged()
        n, cards_bytes = self._header(thawing)
        ends = np.frombuffer(thawing.read(8 * n), "<i8")
        held = np.frombuffer(thawing.read(cards_bytes), np.uint8)
        if thawing.left != n * self.card_bytes + DIGEST_BYTES:
            raise damaged()
        state = CardState.zeros(_room(n))
        history = self._history.forgotten(n) if self._history is not None else None
        thawing.rows(n, _rows_of(state, history))
        if not thawing.is_whole():
            raise damaged()
        self._state, self._history, self._index = state, history, CardIndex.of(ends, held)
        self._frozen = None

    def _header(self, thawing: Thawing) -> tuple[int, int]:
        """Cards, and bytes of their identifiers."""
        try:
            header = json.loads(thawing.read(*LENGTH.unpack(thawing.read(LENGTH.size))))
            found, sizes = (header["layout"], header["spec"]), (index(header["cards"]), index(header["cards_bytes"]))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged() from error
        wanted = LAYOUT, self.spec.version
        if found != wanted and thawing.is_whole():
            raise StateError(
                f"The feature state is of layout and specification {found}, not {wanted}.",
                "Use the model that it was made with, or replay the transactions to make it again.",
            )
        if found != wanted:
            raise damaged()
        return sizes

    def _slots_of(self, columns: TransactionColumns) -> NDArray[np.int64]:
        known = self._index.slots_of(columns.cards)
        self.reserve(len(self._index))
        return known[columns.card_code]


def _rows_of(state: CardState, history: CardHistory | None) -> tuple[NDArray[Any], ...]:
    """All arrays that have a row a card."""
    return (*state.arrays(), *(() if history is None else (history.rows,)))


def _room(cards: int, capacity: int = _SMALLEST) -> int:
    """``capacity``, doubled until it suffices for ``cards``."""
    while capacity < cards:
        capacity *= 2
    return capacity
