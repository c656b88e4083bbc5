"""Rows of float32 as JSON arrays, many at once: the shortest digits that give back the same 32 bits.

    rows_as_json(np.array([[1.5, 0.1]], np.float32))      # [b'[1.5,0.1]']

A number is tried with 6, 7, 8 and 9 significant digits; 9 always suffice for 32 bits. The test of each is exact: both
the digits and the power of ten that divides them are whole numbers that a double holds.
"""

from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from fraudline.features.compiling import cached

_POWERS = 10.0 ** np.arange(23)
_WHOLE_POWERS = 10 ** np.arange(19)
_LEAST, _MOST = 1e-7, 1e9
_WIDTH = 21
"""Bytes of a number at most: sign, ``0.``, six zeros, nine digits, and the comma."""
_ZERO, _DOT, _MINUS, _COMMA, _OPEN, _CLOSE = (np.uint8(ord(c)) for c in "0.-,[]")


@njit
def _decimal(size):  # type: ignore[no-untyped-def]
    """Digits and k with size = digits / 10**k in 32 bits, in few digits."""
    digits, k = np.int64(size), 0
    if size == np.float64(digits):
        return digits, k
    power = -7
    while size >= (_POWERS[power + 1] if power >= -1 else 1.0 / _POWERS[-power - 1]):
        power += 1
    for precision in range(6, 10):
        k = max(precision - 1 - power, 0)
        digits = np.int64(np.rint(size * _POWERS[k]))
        if np.float32(np.float64(digits) / _POWERS[k]) == np.float32(size):
            break
    while k > 0 and digits % 10 == 0:
        digits //= 10
        k -= 1
    return digits, k


@njit
def _put(out, at, digits, width):  # type: ignore[no-untyped-def]
    """Write the last ``width`` digits; gives the place after them."""
    for place in range(width - 1, -1, -1):
        out[at + place] = _ZERO + np.uint8(digits % 10)
        digits //= 10
    return at + width


def _write_each(values, out, ends):  # type: ignore[no-untyped-def]
    """Write each row at the end of the last; a row with a number out of range gets no bytes."""
    at = 0
    for i in range(values.shape[0]):
        begin = at
        out[at] = _OPEN
        at += 1
        for j in range(values.shape[1]):
            value = values[i, j]
            size = abs(np.float64(value))
            if size != 0.0 and not _LEAST <= size < _MOST:
                at = begin
                break
            if j:
                out[at] = _COMMA
                at += 1
            if value < 0.0 or (size == 0.0 and np.signbit(value)):
                out[at] = _MINUS
                at += 1
            digits, k = _decimal(size)
            whole = digits // _WHOLE_POWERS[k]
            width = 1
            while whole >= _WHOLE_POWERS[width]:
                width += 1
            at = _put(out, at, whole, width)
            if k > 0 or (size == 0.0 and np.signbit(value)):
                out[at] = _DOT
                at = _put(out, at + 1, digits, max(k, 1))
        if at > begin:
            out[at] = _CLOSE
            at += 1
        ends[i] = at


_write: Any = cached(_write_each)


def rows_as_json(values: NDArray[np.float32]) -> list[bytes]:
    """One JSON array a row.

    Args:
        values: ``(n, d)`` float32, finite.
    """
    rows, columns = values.shape
    out = np.empty(rows * (columns * _WIDTH + 2), np.uint8)
    ends = np.empty(rows, np.int64)
    _write(np.ascontiguousarray(values), out, ends)
    content, begin, texts = out[: int(ends[-1]) if rows else 0].tobytes(), 0, []
    for i, end in enumerate(ends.tolist()):
        texts.append(content[begin:end] or msgspec.json.encode(values[i].tolist()))
        begin = end
    return texts
