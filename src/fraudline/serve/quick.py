"""Right input, recognised at the speed of C.

A body passes here or is left to :mod:`fraudline.serve.payload`, which finds what is wrong with it and says so.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.serve.payload import FLOAT32_MAX, ID_FIELD, MAX_ROWS, Batch

_NUMBERS = frozenset((float, int))


def instances(body: Any, names: Sequence[str], max_rows: int = MAX_ROWS) -> Batch | None:
    """The rows of a V1 body whose rows are objects of all features, with or without a ``transaction_id``; else None."""
    rows = body.get("instances") if type(body) is dict and len(names) > 1 else None
    if type(rows) is not list or not 0 < len(rows) <= max_rows or set(map(type, rows)) != {dict}:
        return None
    try:
        values = list(chain.from_iterable(map(_getter(tuple(names)), rows)))
    except KeyError:
        return None
    ids = tuple(row.get(ID_FIELD) for row in rows)
    known = [len(names) + (ID_FIELD in row) for row in rows]
    if list(map(len, rows)) != known or not set(map(type, ids)) <= {str, type(None)}:
        return None
    matrix = numbers(values)
    if matrix is None or not (np.abs(matrix) <= FLOAT32_MAX).all():
        return None
    return Batch(matrix.astype(np.float32).reshape(len(rows), len(names)), ids)


def numbers(values: Any) -> NDArray[np.float64] | None:
    """A flat list of JSON numbers as an array; None for anything else, and for an integer that no float can hold."""
    if type(values) is not list or not values or not set(map(type, values)) <= _NUMBERS:
        return None
    try:
        return np.array(values, np.float64)
    except OverflowError:
        return None


@lru_cache(maxsize=8)
def _getter(names: tuple[str, ...]) -> Any:
    return itemgetter(*names)
