"""The search as one HTML page: how it went, what mattered, and the best trials. Opens offline."""

import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fraudline.model.page import figure, page, sheet, tile_row
from fraudline.model.search import SearchSpace

_BLUE, _GREY, _ORANGE = "#1463d8", "#7c8ea3", "#d9480f"
_SHOWN = 8
"""Trials side by side that fit the page."""


def tune_page(result: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], space: SearchSpace) -> str:
    """The page.

    Args:
        result: what step ``tune`` returns.
        trials: number, state, value, params and rungs of each trial.
        space: what was tried.
    """
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    sections = [
        f"<h1>Search <code>{escape(result['study'])}</code></h1>",
        '<p class="soft">Objective: average precision on the later half of the validation days. No test day was read. '
        f"A trial below the median at {'a rung' if result['pruned'] else 'any rung'} was given up there.</p>",
        tile_row(_tiles(result)),
    ]
    if complete:
        sections += ['<h2>How it went</h2><div class="plots">', figure("Trials in order", history_plot(trials, result))]
        if result["importance"]:
            sections.append(figure("What the objective depends on", importance_plot(result["importance"])))
        sections += ["</div>", "<h2>Each parameter</h2>", figure("Finished trials", slices_plot(complete, space))]
        sections.append("<h2>Best parameters</h2>")
        if result["fragment"]:
            sections.append(f"<pre><code>{escape(result['fragment'])}</code></pre>")
        else:
            sections.append("<p>No trial is better than params.yaml as it is.</p>")
        sections += ["<h2>Best trials</h2>", _table(complete, space)]
    return page(f"Search {result['study']}", sections)


def history_plot(trials: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> str:
    """The value of each trial, and the best so far, as SVG."""
    figure_, axes = _axes(3.6)
    for state, colour in (("COMPLETE", _BLUE), ("PRUNED", _GREY)):
        chosen = [trial for trial in trials if trial["state"] == state and trial["value"] is not None]
        x, y = [trial["number"] for trial in chosen], [trial["value"] for trial in chosen]
        axes.scatter(x, y, s=22, color=colour, label="finished" if state == "COMPLETE" else "given up")
    best, steps = float("-inf"), []
    for trial in trials:
        if trial["state"] == "COMPLETE":
            best = max(best, trial["value"])
        steps.append(best)
    drawn = [(trial["number"], value) for trial, value in zip(trials, steps, strict=True) if value > float("-inf")]
    axes.step([x for x, _ in drawn], [y for _, y in drawn], where="post", color=_ORANGE, label="best so far")
    axes.axhline(result["default"], color=_GREY, linestyle="--", linewidth=1, label="params.yaml as it is")
    axes.set_xlabel("trial")
    axes.set_ylabel("validation AP")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure_)


def importance_plot(importance: Mapping[str, float]) -> str:
    """Shares of the objective's spread by parameter (fANOVA), as SVG."""
    names = sorted(importance, key=lambda name: importance[name])
    figure_, axes = _axes(0.34 * len(names) + 1.0)
    axes.barh(names, [importance[name] for name in names], color=_BLUE)
    axes.set_xlabel("share of the spread of validation AP")
    return _svg(figure_)


def slices_plot(complete: Sequence[Mapping[str, Any]], space: SearchSpace) -> str:
    """The objective over each parameter alone, as SVG."""
    import math

    from matplotlib.figure import Figure

    columns = 3
    rows = math.ceil(len(space.parameters) / columns)
    figure_ = Figure(figsize=(10, 2.4 * rows), layout="constrained")
    for place, entry in enumerate(space.parameters, 1):
        axes = figure_.add_subplot(rows, columns, place)
        x = [trial["params"][entry.name] for trial in complete]
        axes.scatter(
            [str(v) for v in x] if entry.kind == "choice" else x, [t["value"] for t in complete], s=14, color=_BLUE
        )
        if entry.log:
            axes.set_xscale("log")
            axes.set_xticks([min(x), max(x)], [f"{end:.2g}" for end in (min(x), max(x))])
            axes.minorticks_off()
        axes.set_title(entry.name, fontsize=9)
        axes.tick_params(labelsize=7)
    return _svg(figure_)


def _tiles(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    best = result["best"]
    tiles = [(f"{result['trials']}", "trials", f"{result['pruned']} given up early")]
    if best is not None:
        gain = best["value"] - result["default"]
        tiles.insert(0, (f"{best['value']:.3f}", "best validation AP", f"trial {best['trial']}"))
        tiles.insert(1, (f"{result['default']:.3f}", "params.yaml as it is", f"{gain:+.3f} by the search"))
    return tiles


def _table(complete: Sequence[Mapping[str, Any]], space: SearchSpace) -> str:
    ranked = sorted(complete, key=lambda trial: -trial["value"])[:_SHOWN]
    lines = {"validation AP": [f"{trial['value']:.4f}" for trial in ranked]}
    lines |= {entry.name: [_cell(trial["params"].get(entry.name)) for trial in ranked] for entry in space.parameters}
    rows = [
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in lines.items()
    ]
    return sheet(["trial", *(str(trial["number"]) for trial in ranked)], rows)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _axes(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure_ = Figure(figsize=(6.0, height), layout="constrained")
    axes = figure_.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure_, axes


def _svg(figure_: Any) -> str:
    """The drawing as inline SVG, the same bytes for the same trials."""
    import matplotlib as mpl

    sink = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "fraudline", "svg.fonttype": "none"}):
        figure_.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]
