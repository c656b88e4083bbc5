"""The pictures of the report, as SVG: the same ledger gives the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.quality.summary import ModelFigures
from fraudline.core.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 8
"""Models that are drawn week by week: the best of each group."""

_COLOURS = ("#0b6e4f", "#c8553d", "#588b8b", "#8d6a9f", "#d98e04", "#3d5a80")


def draw(groups: dict[str, list[ModelFigures]], folder: Path) -> dict[str, str]:
    """Write ``ap.svg`` and ``weeks.svg``.

    Returns:
        File names with their titles.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fraudline"
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["font.family"] = "sans-serif"
    pictures = {
        "ap.svg": ("Average precision by model", _bars(groups)),
        "weeks.svg": ("Average precision week by week", _weeks(groups)),
    }
    for name, (_, figure) in pictures.items():
        with atomic_file(folder / name) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return {name: title for name, (title, _) in pictures.items()}


def _bars(groups: dict[str, list[ModelFigures]]) -> "Figure":
    from matplotlib.figure import Figure

    entries = [(group, model) for group, models in groups.items() for model in models]
    figure = Figure(figsize=(8, 0.26 * len(entries) + 1))
    axes = figure.subplots()
    colour = dict(zip(groups, _COLOURS * len(groups), strict=False))
    for row, (group, model) in enumerate(entries):
        values = [week.ap for week in model.weeks.values()]
        axes.barh(row, sum(values) / len(values), color=colour[group], height=0.7)
        axes.plot(values, [row] * len(values), ".", color="#222222", markersize=4)
    axes.set_yticks(range(len(entries)), [model.model for _, model in entries], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("average precision: bar, mean of the weeks measured; dots, the weeks")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _weeks(groups: dict[str, list[ModelFigures]]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    best = [max(models, key=lambda m: max(w.ap for w in m.weeks.values())) for models in groups.values()]
    for model, colour in zip(best[:LINES], _COLOURS * LINES, strict=False):
        weeks = list(model.weeks.values())
        axes.plot([w.week for w in weeks], [w.ap for w in weeks], "o-", color=colour, label=model.model)
        axes.fill_between(
            [w.week for w in weeks],
            [w.ap - w.spread for w in weeks],
            [w.ap + w.spread for w in weeks],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    axes.set_ylabel("average precision")
    axes.set_xlabel("first day of the week; the best model of each group, band: sd over seeds")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure
