"""The feature engine: one object per stream partition, or one for a whole file.

    engine = FeatureEngine(load_spec(), ProfileTable.load(folder, spec))
    x = engine.advance(columns_from_table(table))      # (n, d) float32, columns in the order of spec.names
    kept = engine.snapshot()                           # bytes; restore() continues bit for bit

Batch is one call over everything, the stream is a call a polled batch; the features are the same bits.
"""

import hashlib
import json
import struct

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import StateError
from fraudline.features import kernel
from fraudline.features.cards import CardIndex
from fraudline.features.columns import TransactionColumns, base_amounts, fragments
from fraudline.features.history import CardHistory
from fraudline.features.parameters import PARAMETERS
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import KERNEL_FEATURES, FeatureSpec
from fraudline.features.state import LAYOUT, CardState

_MAGIC = b"FRAUDLINE-STATE\n"
_LENGTH = struct.Struct("<Q")
_DIGEST_BYTES = 64
_SMALLEST = 1024
"""Cards that a fresh engine has room for; doubled whenever they do not suffice."""


class FeatureEngine:
    """Feature state of cards, and the kernel that advances it.

    Args:
        spec: which features, and their numbers.
        profiles: daily merchant tables; None when there are none yet (every merchant is then unknown).
    """

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None = None) -> None:
        self.spec = spec
        self.profiles = profiles if profiles is not None else ProfileTable.empty(spec)
        self._state = CardState.zeros(_SMALLEST)
        self._index = CardIndex()
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
        """Bytes of state a card, without its identifier, its place in the index and its history."""
        return self._state.card_bytes

    @property
    def history_bytes(self) -> int:
        """Bytes a card of the last transactions that the specification asks to remember; 0 without any."""
        return self._history.card_bytes if self._history is not None else 0

    @property
    def profile_version(self) -> str:
        """Version of the merchant tables in use."""
        return self.profiles.version

    def reserve(self, cards: int) -> None:
        """Make room for ``cards`` cards, so that they can come without a pause for growing."""
        capacity = self._state.capacity
        while capacity < cards:
            capacity *= 2
        if capacity > self._state.capacity:
            self._state = self._state.grown(capacity)

    def use_profiles(self, profiles: ProfileTable) -> None:
        """Take newer merchant tables from the next transaction on.

        The population in a table also bounds what a card's habit learns, so that equal bits need equal tables: publish
        a day's table before its first transaction.
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
        day_row, profile_row = self.profiles.rows(columns.event_time, columns.merchant_code, columns.merchant_hash)
        out = np.empty((len(columns), len(KERNEL_FEATURES)), np.float32)
        slot = self._slots_of(columns)
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
            profiles=self.profiles.values,
            population_row=day_row,
            populations=self.profiles.population,
            parameters=self._parameters,
            out=out,
        )
        if self._history is not None:
            out = np.hstack([out, self._history.advance(slot, out, self._state.capacity)])
        return out if self._columns is None else np.ascontiguousarray(out[:, self._columns])

    def snapshot(self) -> bytes:
        """All state as bytes: header, card identifiers, arrays, SHA-256 of it all."""
        n = self.cards
        ends, held = self._index.identifiers()
        header = {"layout": LAYOUT, "spec": self.spec.version, "cards": n, "cards_bytes": len(held)}
        head = json.dumps(header, sort_keys=True).encode()
        parts = [_MAGIC, _LENGTH.pack(len(head)), head]
        parts += [_little(array).tobytes() for array in (ends, held, *(rows[:n] for rows in self._state.arrays()))]
        if self._history is not None:
            parts.append(self._history.to_bytes(n))
        body = b"".join(parts)
        return body + hashlib.sha256(body).hexdigest().encode()

    def restore(self, content: bytes) -> None:
        """Take the state of a :meth:`snapshot`; on an error the engine is as it was.

        Raises:
            StateError: the bytes are damaged, or were made with another specification or layout.
        """
        view = memoryview(content)
        body, digest = view[:-_DIGEST_BYTES], bytes(view[-_DIGEST_BYTES:])
        if bytes(body[: len(_MAGIC)]) != _MAGIC or hashlib.sha256(body).hexdigest().encode() != digest:
            raise StateError(
                "The feature state is damaged or not a snapshot.", "Take an older checkpoint, or replay from the start."
            )
        at = len(_MAGIC) + _LENGTH.size
        end = at + _LENGTH.unpack_from(body, len(_MAGIC))[0]
        header = json.loads(bytes(body[at:end]))
        found, wanted = (header["layout"], header["spec"]), (LAYOUT, self.spec.version)
        if found != wanted:
            raise StateError(
                f"The feature state is of layout and specification {found}, not {wanted}.",
                "Use the model that it was made with, or replay the transactions to make it again.",
            )
        n = header["cards"]
        ends = np.frombuffer(body, "<i8", count=n, offset=end)
        held = np.frombuffer(body, np.uint8, count=header["cards_bytes"], offset=end + ends.nbytes)
        rows = body[end + ends.nbytes + held.nbytes :]
        kept = n * self.history_bytes
        if self._history is not None:
            self._history.read(rows[len(rows) - kept :], n)
        self._state = _read_state(rows[: len(rows) - kept], n)
        self._index = CardIndex.of(ends, held)

    def _slots_of(self, columns: TransactionColumns) -> NDArray[np.int64]:
        known = self._index.slots_of(columns.cards)
        self.reserve(len(self._index))
        return known[columns.card_code]


def _little(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _read_state(content: memoryview, n: int) -> CardState:
    capacity = _SMALLEST
    while capacity < n:
        capacity *= 2
    state = CardState.zeros(capacity)
    at = 0
    for array in state.arrays():
        size = n * array.shape[1]
        stored = np.frombuffer(content, array.dtype.newbyteorder("<"), count=size, offset=at)
        array[:n] = stored.reshape(n, array.shape[1])
        at += size * array.itemsize
    return state
