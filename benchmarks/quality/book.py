"""The fifteen features of the Handbook, for the models that are compared on them.

Amount, weekend, night; of the card the number and the mean amount of its transactions over 1, 7 and 30 days, this one
included; of the terminal the number of transactions and the share of frauds among them over 1, 7 and 30 days, ending
seven days before (Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, chapter 3).
"""

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.quality.protocol import DELAY
from fraudline.core.clock import DAY_US

WINDOWS = (1, 7, 30)  # days
NIGHT_END_HOUR = 6
SATURDAY = 5

NAMES = (
    *("amount", "weekend", "night"),
    *(f"card_{what}_{days}d" for days in WINDOWS for what in ("count", "mean_amount")),
    *(f"terminal_{what}_{days}d" for days in WINDOWS for what in ("count", "risk")),
)


def book_features(table: pa.Table) -> NDArray[np.float32]:
    """The features of transactions in time order.

    Args:
        table: n rows with ``event_time``, ``card_id``, ``merchant_id``, ``amount_minor`` and ``is_fraud``.

    Returns:
        (n, 15) float32, columns as in :data:`NAMES`; a mean or a risk over no transaction is 0.
    """
    times = pc.cast(table["event_time"], pa.int64()).to_numpy()
    amounts = table["amount_minor"].to_numpy() / 100.0
    frauds = table["is_fraud"].to_numpy(zero_copy_only=False).astype(np.float64)
    day, hour = times // DAY_US, (times // 3_600_000_000) % 24
    columns = [amounts, (day + 3) % 7 >= SATURDAY, hour <= NIGHT_END_HOUR]  # the epoch's first day was a Thursday
    columns += _windows(_codes(table["card_id"]), times, amounts, 0)
    columns += _windows(_codes(table["merchant_id"]), times, frauds, DELAY)
    return np.column_stack(columns).astype(np.float32)


def _windows(
    code: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.float64], delay: int
) -> list[NDArray[np.float64]]:
    """Count and mean of ``values`` over each window that ends ``delay`` days ago."""
    order = np.argsort(code, kind="stable")
    columns = []
    for days in WINDOWS:
        count, total = np.zeros(len(code)), np.zeros(len(code))
        count[order], total[order] = _trailing(
            code[order], times[order], values[order], delay * DAY_US, (delay + days) * DAY_US
        )
        columns += [count, np.divide(total, count, out=np.zeros_like(total), where=count > 0)]
    return columns


@numba.njit(cache=False)  # type: ignore[untyped-decorator]
def _trailing(
    code: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.float64], newest: int, oldest: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Number and sum of a group's rows older than ``oldest`` is not and at least ``newest`` old, both in µs."""
    count, total = np.zeros(len(code)), np.zeros(len(code))
    first = last = 0  # rows [first, last) are inside
    running = 0.0
    for row in range(len(code)):
        if row and code[row] != code[row - 1]:
            first = last = row
            running = 0.0
        while last <= row and times[last] <= times[row] - newest:
            running += values[last]
            last += 1
        while first < last and times[first] <= times[row] - oldest:
            running -= values[first]
            first += 1
        count[row], total[row] = last - first, running if last > first else 0.0
    return count, total


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.to_numpy(), np.int64)
