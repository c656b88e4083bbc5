"""State as it is at a moment, read in pieces by one thread while another goes on changing it.

    frozen = engine.freeze()
    for piece in frozen.pieces(): file.write(piece)      # as of freeze(), whatever engine.advance() does meanwhile

A card that is about to change and has not been read yet is copied first: a batch pays for its own cards, about a
kilobyte each, and never for the whole. Cards that come later are not part of it.
"""

import hashlib
import json
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import StateError
from fraudline.features.cards import CardIndex
from fraudline.features.state import LAYOUT

MAGIC = b"FRAUDLINE-STATE\n"
LENGTH = struct.Struct("<Q")
DIGEST_BYTES = 64
ROWS = 16_384
"""Cards a piece: sixteen megabytes, which the stream waits for while they are copied."""
_AT_ONCE = 1 << 20


class Frozen:
    """See the module. The pieces together are what :meth:`FeatureEngine.restore` takes.

    Args:
        arrays: with a row a card; the engine must call :meth:`keep` before it changes a row of them.
        index: of the same cards.
        spec_version: of the feature specification.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], index: CardIndex, spec_version: str) -> None:
        self._arrays = tuple(arrays)
        self._ends, self._held = index.identifiers()
        self._n = len(index)
        self._lock = threading.Lock()
        self._read = 0
        self._place = np.full(self._n, -1, np.int32)
        self._blocks: list[list[NDArray[Any]]] = []  # of ROWS copied rows each: one that grew would be copied itself
        self._count = 0
        header = {"layout": LAYOUT, "spec": spec_version, "cards": self._n, "cards_bytes": len(self._held)}
        head = json.dumps(header, sort_keys=True).encode()
        self._head = MAGIC + LENGTH.pack(len(head)) + head

    @property
    def done(self) -> bool:
        """Whether all cards are read: nothing needs to be kept any more."""
        return self._read >= self._n

    def keep(self, slots: NDArray[np.int64]) -> None:
        """Copy the rows that are about to change, as far as they are not read or copied yet.

        Args:
            slots: ``(n,)``, in any order, repeated or not.
        """
        with self._lock:
            old = slots[(slots < self._n) & (slots >= self._read)]
            old = np.unique(old[self._place[old] < 0])
            if not len(old):
                return
            end = self._count + len(old)
            while end > len(self._blocks) * ROWS:
                self._blocks.append([np.empty((ROWS, array.shape[1]), array.dtype) for array in self._arrays])
            places = np.arange(self._count, end)
            for block, within, chosen in _by_block(places):
                for kept, array in zip(self._blocks[block], self._arrays, strict=True):
                    kept[within] = array[old[chosen]]
            self._place[old] = places
            self._count = end

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Header, identifiers, rows a few thousand at a time, and the SHA-256 of it all; once."""
        digest = hashlib.sha256()
        for piece in self._body():
            digest.update(piece)
            yield piece
        yield digest.hexdigest().encode()

    def _body(self) -> Iterator[bytes | memoryview]:
        yield self._head
        yield little(self._ends).tobytes()
        yield self._held.tobytes()
        for begin in range(0, self._n, ROWS):
            yield from self._rows(begin, min(begin + ROWS, self._n))

    def _rows(self, begin: int, end: int) -> list[memoryview]:
        with self._lock:
            place = self._place[begin:end]
            changed = np.flatnonzero(place >= 0)
            copies = [array[begin:end].copy() for array in self._arrays]
            for block, within, chosen in _by_block(place[changed]):
                for copy, kept in zip(copies, self._blocks[block], strict=True):
                    copy[changed[chosen]] = kept[within]
            self._read = end
        return [little(copy).data.cast("B") for copy in copies]


def little(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same numbers, the least significant byte first."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


class Pieces(Protocol):
    """A state in pieces, cut anywhere, each of which may be made when it is asked for."""

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""

    def __iter__(self) -> Iterator[bytes]: ...


class Thawing:
    """What :class:`Frozen` wrote, read on piece by piece: no more of it is held than the piece that is read.

    Attributes:
        left: bytes not read yet.
    """

    def __init__(self, content: bytes | Pieces) -> None:
        self.left = len(content) if isinstance(content, bytes) else content.nbytes
        self._content = iter((content,) if isinstance(content, bytes) else content)
        self._piece = memoryview(b"")
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            StateError: there are not so many.
        """
        if not 0 <= size <= self.left:
            raise damaged()
        target = bytearray(size)
        self._fill(memoryview(target))
        return bytes(target)

    def rows(self, n: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Put the rows of ``n`` cards into ``arrays``.

        Raises:
            StateError: they are not all there.
        """
        for begin in range(0, n, ROWS):
            for array in arrays:
                some = array[begin : min(begin + ROWS, n)]
                self._fill(some.data.cast("B"))
                if sys.byteorder == "big":
                    some.byteswap(inplace=True)

    def is_whole(self) -> bool:
        """Whether the digest at the end is that of all before it; what is left is read."""
        while self.left > DIGEST_BYTES:
            self.read(min(self.left - DIGEST_BYTES, _AT_ONCE))
        digest = self._digest.hexdigest().encode()
        return self.read(self.left) == digest

    def _fill(self, target: memoryview) -> None:
        at = 0
        while at < len(target):
            while not len(self._piece):
                piece = next(self._content, None)
                if piece is None:
                    raise damaged()
                self._piece = memoryview(piece)
            some = min(len(target) - at, len(self._piece))
            target[at : at + some] = self._piece[:some]
            self._piece = self._piece[some:]
            at += some
        self.left -= at
        self._digest.update(target)


def damaged() -> StateError:
    """The error of a state that is not what was written."""
    return StateError(
        "The feature state is damaged or not a snapshot.", "Take an older checkpoint, or replay from the start."
    )


def _by_block(places: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """Each block that ``(n,)`` places lie in, where in it they lie, and which of them do."""
    blocks = places // ROWS
    for block in np.unique(blocks).tolist():
        chosen = blocks == block
        yield block, places[chosen] % ROWS, chosen
