"""Time splits with the labels' delay honoured.

    |- warm-up -|------- train -------|- validation -|- delay -|--- test ---|
    first day                                                          last day

* warm-up: windows fill, nothing is learned from these rows; with ``train_days`` also what lies before that window;
* train: its known normals are learned from;
* validation: later normals for early stopping, and all rows for calibration and the choice of the threshold;
* delay: transactions whose labels had not arrived when model and threshold were made; no one learns from them;
* test: what is reported, by the model and threshold of the morning of its first day (``split.test.start``).

Everything is made on that one morning, so train and validation know exactly the labels that had arrived by then
(:meth:`Split.known_normal`), and no gap is needed between those two. The default on 90 days: warm-up 21, train 38,
validation 10, delay 7, test 14. All ranges are half-open ranges of UTC days.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from fraudline.core.clock import DAY_US, day_us
from fraudline.core.errors import DataError, UsageError
from fraudline.data.params import SplitParams
from fraudline.data.store import day_of


@dataclass(frozen=True)
class DayRange:
    """Half-open range of UTC days ``[start, end)``."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """Its length in days."""
        return (self.end - self.start).days

    @property
    def start_us(self) -> int:
        """Its first microsecond since the epoch."""
        return day_us(self.start)

    @property
    def end_us(self) -> int:
        """The microsecond after its last, since the epoch."""
        return day_us(self.end)

    def mask(self, event_time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the times (n,), in µs since the epoch, lie in the range: bool (n,)."""
        inside: npt.NDArray[np.bool_] = (event_time_us >= self.start_us) & (event_time_us < self.end_us)
        return inside

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def to_dict(self) -> dict[str, str]:
        """ISO dates of both ends."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}


@dataclass(frozen=True)
class Split:
    """The ranges of one data set; model and threshold are made on the morning of ``test.start``."""

    warmup: DayRange
    train: DayRange
    validation: DayRange
    test: DayRange
    label_delay_days: int

    @classmethod
    def of(cls, first: date, end: date, params: SplitParams, label_delay_days: int) -> "Split":
        """Lay the ranges over the days ``[first, end)``, counted back from the end.

        Args:
            first: the first day with data.
            end: the day after the last one.
            params: lengths.
            label_delay_days: days until a transaction without label counts as a known normal.

        Raises:
            DataError: the data is too short.
            UsageError: the rolling window is.
        """
        if 0 < params.train_days < params.min_train_days:
            raise UsageError(
                f"split.train_days is {params.train_days}, and split.min_train_days {params.min_train_days}.",
                "Lengthen the window of training, or ask for fewer days.",
            )
        delay = timedelta(days=label_delay_days)
        test = DayRange(end - timedelta(days=params.test_days), end)
        validation_end = test.start - delay
        validation = DayRange(validation_end - timedelta(days=params.validation_days), validation_end)
        begin = first + timedelta(days=params.warmup_days)
        if params.train_days:
            begin = max(begin, validation.start - timedelta(days=params.train_days))
        train = DayRange(begin, validation.start)
        if train.days < params.min_train_days:
            needed = (end - first).days + params.min_train_days - train.days
            raise DataError(
                f"The data has {(end - first).days} days, the time splits need {needed}.",
                "Bring more days or shorten the ranges in the section split of params.yaml.",
            )
        return cls(DayRange(first, train.start), train, validation, test, label_delay_days)

    @classmethod
    def over(cls, event_time_us: npt.NDArray[np.int64], params: SplitParams, label_delay_days: int) -> "Split":
        """Lay the ranges over the UTC days from the first to the last event.

        Args:
            event_time_us: (n,) µs since the epoch, n ≥ 1.
            params: lengths.
            label_delay_days: as in :meth:`of`.

        Raises:
            DataError: the data is too short.
            UsageError: the rolling window is.
        """
        first, last = (day_of(int(moment) // DAY_US) for moment in (event_time_us.min(), event_time_us.max()))
        return cls.of(first, last + timedelta(days=1), params, label_delay_days)

    def known_normal(
        self,
        event_time_us: npt.NDArray[np.int64],
        label_time_us: npt.NDArray[np.int64],
        is_fraud: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Rows that are known normals on the morning of ``test.start``: older than the delay and not reported by then.

        A fraud that is reported late counts as normal until its label arrives, as it would in production.

        Args:
            event_time_us: (n,) µs since the epoch.
            label_time_us: (n,) µs since the epoch; any value where ``is_fraud`` is false.
            is_fraud: (n,) the truth.
        """
        now = day_us(self.test.start)
        matured = event_time_us < now - self.label_delay_days * DAY_US
        reported = is_fraud & (label_time_us < now)
        result: npt.NDArray[np.bool_] = matured & ~reported
        return result

    def to_dict(self) -> dict[str, Any]:
        """The ranges as ISO dates."""
        names = ("warmup", "train", "validation", "test")
        return {name: getattr(self, name).to_dict() for name in names} | {"label_delay_days": self.label_delay_days}
