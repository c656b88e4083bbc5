"""What a step of a pipeline costs: the processor and memory time that it used, by a table of prices.

    with Meter() as meter:
        train(...)
    meter.usage.price(CostParams())

A price is what the step *used*, not what its pod reserved: the difference is what smaller requests would save.
"""

import resource
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import Field

from fraudline.core.settings import Settings

_HOUR_S = 3600.0
_GIB = 1 << 30
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes a unit of ru_maxrss


class CostParams(Settings):
    """Prices of a node's hour; replace them by your own cloud's.

    Attributes:
        currency: of the prices.
        cpu_hour: one core for an hour.
        memory_gib_hour: one GiB of memory for an hour.
    """

    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    cpu_hour: float = Field(default=0.035, ge=0)
    memory_gib_hour: float = Field(default=0.004, ge=0)


class Usage(NamedTuple):
    """What a process and its children used.

    Attributes:
        wall_seconds: from start to end.
        cpu_seconds: user and system, all threads.
        memory_gib_seconds: the largest resident set of one process, for the whole time: an upper bound of the integral.
    """

    wall_seconds: float
    cpu_seconds: float
    memory_gib_seconds: float

    def price(self, prices: CostParams) -> float:
        """The cost in ``prices.currency``.

        >>> Usage(10.0, 3600.0, 7200.0).price(CostParams(cpu_hour=0.04, memory_gib_hour=0.01))
        0.06
        """
        return (self.cpu_seconds * prices.cpu_hour + self.memory_gib_seconds * prices.memory_gib_hour) / _HOUR_S


class Meter:
    """Measures this process and the children that end within a ``with`` block."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._cpu = 0.0
        self.usage = Usage(0.0, 0.0, 0.0)

    def __enter__(self) -> Self:
        self._begun, self._cpu = time.monotonic(), _cpu_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall = time.monotonic() - self._begun
        self.usage = Usage(wall, _cpu_seconds() - self._cpu, wall * _peak_bytes() / _GIB)


def table(costs: Mapping[str, Mapping[str, float]], prices: CostParams) -> str:
    """A Markdown table of steps, dearest first, with the sum.

    Args:
        costs: step to ``cpu_seconds``, ``memory_gib_seconds`` and ``price``.
        prices: what they were priced by.
    """
    lines = [
        "# Cost of this run",
        "",
        f"| step | CPU s | memory GiB·s | {prices.currency} |",
        "|---|---:|---:|---:|",
    ]
    dearest = sorted(costs, key=lambda step: (-costs[step]["price"], step))
    rows = [(step, costs[step]) for step in dearest] + [("**sum**", total(costs))]
    lines += [
        f"| {step} | {row['cpu_seconds']:.1f} | {row['memory_gib_seconds']:.1f} | {row['price']:.6f} |"
        for step, row in rows
    ]
    lines += [
        "",
        f"An hour of a core is {prices.cpu_hour:g} {prices.currency}, of a GiB {prices.memory_gib_hour:g}.",
        "A step that was answered from the cache shows what it cost when it ran.",
    ]
    return "\n".join(lines) + "\n"


def total(costs: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The sum over all steps, figure by figure."""
    names = ("cpu_seconds", "memory_gib_seconds", "price")
    return {name: sum(cost[name] for cost in costs.values()) for name in names}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(one.ru_maxrss for one in used) * _RSS_UNIT
