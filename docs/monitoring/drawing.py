"""A dashboard drawn from Prometheus' answers to its panels' queries: its grid, titles and units, without Grafana.

drawn = draw(DASHBOARDS["operations"], "http://127.0.0.1:9090", start=..., end=..., to=Path("operations.png"))
"""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from docs.monitoring.dashboards import HEIGHT, WIDTH
from fraudline.core.clock import from_us

PAGE, CARD, INK, SOFT, LINE = "#111217", "#181b1f", "#d8d9da", "#8e9299", "#2c3235"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#c8f2c2")
_CELL = (6.4, 2.55)
_POINTS = 240
_SHOWN = 6
"""Series with a place in a panel's legend."""


class Series(NamedTuple):
    """One line of a panel: its legend, times in seconds since the epoch, and values, none of them missing."""

    name: str
    times: list[float]
    values: list[float]


def draw(board: Mapping[str, Any], prometheus: str, *, start: float, end: float, to: Path) -> list[str]:
    """Draw every panel of a dashboard over a span of time.

    Args:
        board: its JSON.
        prometheus: base address.
        start: seconds since the epoch.
        end: the same.
        to: the picture to write.

    Returns:
        Titles of the panels that no data came for.
    """
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] for panel in panels) // HEIGHT + 1
    height = rows * _CELL[1] + 0.5
    sheet = Figure(figsize=(2 * _CELL[0], height), facecolor=PAGE)
    sheet.text(0.012, 1 - 0.28 / height, board["title"], color=INK, size=13, weight="bold", va="center")
    grid = sheet.add_gridspec(
        rows, 2, left=0.045, right=0.985, bottom=0.5 / height, hspace=0.55, wspace=0.12,
        top=1 - 0.85 / height,
    )  # fmt: skip
    empty = []
    for panel in panels:
        place = panel["gridPos"]
        axes = sheet.add_subplot(grid[place["y"] // HEIGHT, place["x"] // WIDTH])
        found = [each for target in panel["targets"] for each in answers(prometheus, target, start=start, end=end)]
        _panel(axes, panel, found)
        if not found:
            empty.append(panel["title"])
    to.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(to, dpi=100, facecolor=PAGE)
    return empty


def answers(prometheus: str, target: Mapping[str, Any], *, start: float, end: float) -> list[Series]:
    """What Prometheus answers to a panel's query over a span of time."""
    query = {"query": target["expr"], "start": start, "end": end, "step": max((end - start) / _POINTS, 1)}
    address = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - a Prometheus on loopback
        result = json.load(answer)["data"]["result"]
    found = []
    for each in result:
        points = [(float(at), float(value)) for at, value in each["values"] if math.isfinite(float(value))]
        if points:
            found.append(Series(_legend(target["legendFormat"], each["metric"]), *map(list, zip(*points, strict=True))))
    return sorted(found, key=lambda series: series.name)


def _legend(form: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace(f"{{{{{name}}}}}", value)
    return form


def _panel(axes: Axes, panel: Mapping[str, Any], found: list[Series]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.set_facecolor(CARD)
    axes.set_title(panel["title"], color=INK, size=9.5, loc="left", pad=7)
    for side in axes.spines.values():
        side.set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=7.5, length=0)
    if not found:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "No data", color=SOFT, ha="center", va="center", transform=axes.transAxes)
    elif panel["type"] == "stat":
        axes.set(xticks=[], yticks=[])
        text = shown(found[0].values[-1], unit)
        axes.text(0.5, 0.5, text, color=COLOURS[0], size=34, ha="center", va="center", transform=axes.transAxes)
    elif panel["type"] == "bargauge":
        _bars(axes, found, unit)
    else:
        _lines(axes, found, unit)


def _lines(axes: Axes, found: list[Series], unit: str) -> None:
    for number, series in enumerate(found):
        times = [from_us(int(at * 1e6)) for at in series.times]
        name = series.name if number < _SHOWN else None
        axes.plot(np.array(times), series.values, color=COLOURS[number % len(COLOURS)], linewidth=1.3, label=name)
    axes.grid(color=LINE, linewidth=0.6)
    low, high = (extreme(extreme(series.values) for series in found) for extreme in (min, max))
    axes.set_ylim(min(low, 0.0), max(high, 0.0) * 1.08 or 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.11), ncols=4, fontsize=7.5, frameon=False, labelcolor=SOFT,
        handlelength=1.2, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def _bars(axes: Axes, found: list[Series], unit: str) -> None:
    names, values = [series.name for series in found], [series.values[-1] for series in found]
    axes.barh(range(len(values)), values, color=COLOURS[2], height=0.32)
    axes.set(xticks=[], yticks=[], xlim=(0, max(*values, 1e-12) * 1.18), ylim=(len(values) - 0.6, -0.8))
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        axes.text(0, place - 0.26, f" {name}", color=SOFT, size=7.5, va="bottom")
        axes.text(value, place, f"  {shown(value, unit)}", color=INK, size=8, va="center")


def shown(value: float, unit: str) -> str:
    """A value in a panel's unit.

    >>> shown(0.0123, "percentunit"), shown(0.0042, "s"), shown(7_200, "s"), shown(2_500_000, "bytes")
    ('1.23%', '4.2 ms', '2 h', '2.5 MB')
    """
    if unit == "percentunit":
        return f"{100 * value:.3g}%"
    if unit == "s":
        for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1e6:.3g} us" if value else "0 s"
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}{'B' if unit == 'bytes' else ''}"
    return f"{value:.3g}{' B' if unit == 'bytes' else ''}"
