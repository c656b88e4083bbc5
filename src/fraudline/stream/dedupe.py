"""Event ids that a partition has seen, so that the same event delivered again gives no second decision.

    seen = SeenIds(hours=24)
    first = seen.first(hash_ids(["t1", "t2", "t1"]), event_time)      # [True, True, False]

The memory is a table of 64-bit hashes, 9 bytes a slot and 14 to 28 bytes an id, in generations of one hour. The hour is
that of a clock which follows the event times: each event pulls it towards its own time, by a minute at most, so that
one absurd time cannot make the memory forget. An id is forgotten when the clock is more than ``hours`` past the end of
its generation, or, oldest first, when ``most`` ids are held. All of this depends on the events in their order and on
nothing else: a state that is built again from the log remembers the same ids, however the log is cut into batches.

Two different ids have the same hash with a probability of ids held / 2**64: 5e-13 a transaction at ten million ids.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import HOUR_US
from fraudline.core.errors import StateError
from fraudline.features.compiling import cached

_STEP_US = 60_000_000
_SMALLEST = 1 << 12
_SHARE = 8  # a generation ends early when it holds this part of the ids allowed: something old can then be forgotten

# A generation's number is one byte, and wraps at 256. The scalars that move with the events, in one int64 array
_CLOCK, _STARTED, _COUNT, _NEWEST, _OLDEST, _IN_NEWEST, _BEGUN = range(7)
_SCALARS = 7

_MULTIPLIER, _SEED, _SHIFT = np.uint64(0xC6A4A7935BD1E995), np.uint64(0x9E3779B97F4A7C15), np.uint64(47)
_ONE, _ZERO, _EIGHT = np.uint64(1), np.uint64(0), np.uint64(8)


def _hash_loop(content, ends, out):  # type: ignore[no-untyped-def]
    """MurmurHash64A (Austin Appleby, public domain) of each piece of ``content``; never 0, which means empty."""
    start = 0
    for i in range(len(ends)):
        end = ends[i]
        h = _SEED ^ (np.uint64(end - start) * _MULTIPLIER)
        at = start
        while at < end:
            size = min(8, end - at)
            word = _ZERO
            for k in range(size):
                word |= np.uint64(content[at + k]) << (_EIGHT * np.uint64(k))
            if size == 8:
                word *= _MULTIPLIER
                word ^= word >> _SHIFT
                word *= _MULTIPLIER
            h ^= word
            h *= _MULTIPLIER
            at += size
        h ^= h >> _SHIFT
        h *= _MULTIPLIER
        h ^= h >> _SHIFT
        out[i] = h if h != _ZERO else _ONE
        start = end


@cached
def _find(keys, key):  # type: ignore[no-untyped-def]
    """The slot of ``key``, or the empty one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != _ZERO and keys[slot] != key:
        slot = (slot + _ONE) & mask
    return slot


@cached
def _rebuilt(keys, generations, oldest, newest, capacity):  # type: ignore[no-untyped-def]
    """The table without the generations before ``oldest``, with room for ``capacity`` slots; and how many it holds."""
    kept_keys = np.zeros(capacity, np.uint64)
    kept_generations = np.zeros(capacity, np.uint8)
    span = (newest - oldest) % 256
    count = 0
    for i in range(len(keys)):
        if keys[i] != _ZERO and (newest - generations[i]) % 256 <= span:
            slot = _find(kept_keys, keys[i])
            kept_keys[slot] = keys[i]
            kept_generations[slot] = generations[i]
            count += 1
    return kept_keys, kept_generations, count


def _first_loop(keys, generations, scalars, hashes, times, hours, most, out):  # type: ignore[no-untyped-def]
    """Mark the ids that come for the first time; gives the table, which may be another than before."""
    for i in range(len(hashes)):
        if scalars[_BEGUN] == 0:
            scalars[_BEGUN] = 1
            scalars[_CLOCK] = times[i]
            scalars[_STARTED] = times[i]
        scalars[_CLOCK] += min(max(times[i] - scalars[_CLOCK], -_STEP_US), _STEP_US)
        if scalars[_CLOCK] - scalars[_STARTED] >= HOUR_US or scalars[_IN_NEWEST] * _SHARE >= most:
            scalars[_STARTED] = scalars[_CLOCK]
            scalars[_NEWEST] = (scalars[_NEWEST] + 1) % 256
            scalars[_IN_NEWEST] = 0
        full = scalars[_COUNT] >= most and scalars[_NEWEST] != scalars[_OLDEST]
        if full or (scalars[_NEWEST] - scalars[_OLDEST]) % 256 > hours:
            scalars[_OLDEST] = (scalars[_OLDEST] + 1) % 256
            keys, generations, scalars[_COUNT] = _rebuilt(
                keys, generations, scalars[_OLDEST], scalars[_NEWEST], len(keys)
            )
        if (scalars[_COUNT] + 1) * 20 > len(keys) * 13:
            keys, generations, scalars[_COUNT] = _rebuilt(
                keys, generations, scalars[_OLDEST], scalars[_NEWEST], 2 * len(keys)
            )
        slot = _find(keys, hashes[i])
        out[i] = keys[slot] == _ZERO
        if out[i]:
            keys[slot] = hashes[i]
            generations[slot] = np.uint8(scalars[_NEWEST])
            scalars[_COUNT] += 1
            scalars[_IN_NEWEST] += 1
    return keys, generations


_hash = cached(_hash_loop)
_mark = cached(_first_loop)


class _Header(msgspec.Struct, frozen=True):
    scalars: list[int]
    capacity: int
    count: int


def hash_ids(ids: Sequence[str]) -> NDArray[np.uint64]:
    """64-bit hashes of identifiers, ``(n,)``: the same in every process and release, never 0."""
    pieces = [text.encode() for text in ids]
    out = np.empty(len(pieces), np.uint64)
    ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)))
    _hash(np.frombuffer(b"".join(pieces), np.uint8), ends, out)
    return out


class SeenIds:
    """The ids of one partition.

    Args:
        hours: of event time that an id is remembered, at most 168; 0 remembers nothing.
        most: ids held at most; the oldest are forgotten first.
    """

    def __init__(self, hours: int = 24, most: int = 4_000_000) -> None:
        self._hours = hours
        self._most = most
        self._keys: NDArray[np.uint64]
        self._generations: NDArray[np.uint8]
        self._scalars: NDArray[np.int64]
        self._clear()

    def __len__(self) -> int:
        return int(self._scalars[_COUNT])

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return int(self._keys.nbytes + self._generations.nbytes)

    def first(self, hashes: NDArray[np.uint64], event_time: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each event comes for the first time; from then on it is remembered.

        Args:
            hashes: ``(n,)``, of :func:`hash_ids`, in offset order.
            event_time: ``(n,)``, microseconds since the epoch.

        Returns:
            ``(n,) bool``.
        """
        out = np.ones(len(hashes), np.bool_)
        if self._hours:
            self._keys, self._generations = _mark(
                self._keys, self._generations, self._scalars, hashes, event_time, self._hours, self._most, out
            )
        return out

    def snapshot(self) -> bytes:
        """All that is remembered, as bytes: the length of a header, the header, hashes, generations."""
        used = self._keys != 0
        header = msgspec.json.encode(_Header(self._scalars.tolist(), len(self._keys), len(self)))
        keys = self._keys[used].astype("<u8", copy=False)
        return b"".join([len(header).to_bytes(8, "little"), header, keys.tobytes(), self._generations[used].tobytes()])

    def restore(self, content: bytes) -> None:
        """Remember what :meth:`snapshot` gave; no bytes are an empty memory.

        Raises:
            StateError: the bytes are no snapshot.
        """
        if not content:
            self._clear()
            return
        try:
            end = 8 + int.from_bytes(content[:8], "little")
            header = msgspec.json.decode(content[8:end], type=_Header)
            keys = np.frombuffer(content, "<u8", header.count, end).astype(np.uint64)
            generations = np.frombuffer(content, np.uint8, header.count, end + keys.nbytes)
            scalars = np.array(header.scalars, np.int64)
            if len(scalars) != _SCALARS or header.capacity & (header.capacity - 1) or header.capacity <= header.count:
                raise ValueError(f"{len(scalars)} scalars, {header.capacity} slots, {header.count} ids")
        except (msgspec.MsgspecError, ValueError) as error:
            problem = f"The memory of seen ids is damaged: {error}."
            raise StateError(problem, "Nothing to do: it is built again from the log.") from error
        self._scalars = scalars
        self._keys, self._generations, _ = _rebuilt(
            keys, generations, scalars[_OLDEST], scalars[_NEWEST], header.capacity
        )

    def _clear(self) -> None:
        self._keys = np.zeros(_SMALLEST, np.uint64)
        self._generations = np.zeros(_SMALLEST, np.uint8)
        self._scalars = np.zeros(_SCALARS, np.int64)
