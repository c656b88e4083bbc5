"""The comparison of a window with the reference as one HTML page that opens offline."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fraudline.data.money import money
from fraudline.model.evaluation_charts import histogram
from fraudline.model.page import figure, page, percent, sheet, tile_row

_DRAWN = 6
_TITLES = {"stable": "No drift", "drift": "Drift", "inconclusive": "Too little to tell"}


def drift_page(document: Mapping[str, Any]) -> str:
    """The page of a ``drift.json``."""
    figures = document["figures"]
    window, model, learned = document["window"], document["model"], document["reference"]
    title = f"{_TITLES[document['verdict']]}: {window['first']} to {window['last']}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{window["rows"]:,} decisions of the model <code>{model["version"]}</code>, against the '
        f"traffic of its training, {escape(learned['start'])} to {escape(learned['end'])}, at the same hours and "
        f"weekdays: {escape(document['why'])}.</p>",
    ]
    if figures:
        sections += [tile_row(_tiles(document)), "<h2>Figures, most unusual first</h2>", _table(figures)]
        sections += ['<h2>How they lie</h2><div class="plots">', *map(_plot, figures[:_DRAWN]), "</div>"]
    sections += [_together(document["classifier"]), _performance(document["performance"]), _notes(document)]
    return page(title, sections)


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    figures = document["figures"]
    moved = [each for each in figures if each["drifted"]]
    largest = max((each for each in figures if each["judged"]), key=lambda each: each["psi"])
    tiles = [
        (
            str(len(moved)),
            f"of {len(figures)} figures drifted",
            f"at most {document['params']['false_alarms']:g} by chance",
        ),
        (f"{largest['psi']:.3f}", "largest stability index", largest["name"]),
    ]
    score = next((each for each in figures if each["name"] == "score"), None)
    if score is not None:
        before = f"before {_value(score['reference_mean'])}; stability index {score['psi']:.3f}"
        tiles.append((_value(score["mean"]), "mean score", before))
    return tiles


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for each in figures:
        said = "drift" if each["drifted"] else "" if each["judged"] else "follows the calendar"
        missing = f"{percent(each['missing'], 2)} missing" if each["missing"] else ""
        notes = ", ".join(word for word in (said, missing) if word)
        rows.append(
            f"<tr{' class=main' if each['drifted'] else ''}><td>{escape(each['name'])}"
            f"<small>{notes}</small></td>"
            f"<td>{each['psi']:.3f}</td><td>{each['wasserstein']:.3f}</td><td>{each['jensen_shannon']:.4f}</td>"
            f"<td>{each['p_value']:.2g}</td><td>{_range(each)}</td><td>{each['ratio']:.3g}</td>"
            f"<td>{each['ratio_p_value']:.2g}</td>"
            f"<td>{_value(each['mean'])}<small>before {_value(each['reference_mean'])}</small></td></tr>"
        )
    titles = [
        "feature",
        "PSI",
        "Wasserstein, sd",
        "Jensen-Shannon, bits",
        "p of these",
        "most moved values",
        "times as often",
        "p of this",
        "mean",
    ]
    words = (
        '<p class="soft">PSI: population stability index. p: how likely windows of ordinary days move as much in any '
        "figure. Times as often: how much more (or, below 1, less) frequent the most moved values are.</p>"
    )
    return sheet(titles, rows) + words


def _range(each: Mapping[str, Any]) -> str:
    """The values of the bin that moved most surely."""
    edges, at = each["edges"], each["ratio_bin"]
    if at > len(edges):
        return "missing"
    if not edges:
        return "all"
    if at == len(edges):
        return f"from {_value(edges[-1])}"
    low, high = _value(edges[max(at - 1, 0)]), _value(edges[at])
    if at == 0:
        return f"below {high}"
    return low if low == high else f"{low} to {high}"


def _value(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.3g}" if abs(value) < 1_000 else f"{value:.4g}"


def _together(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    if "why" in found:
        return f"<h2>Several features together</h2><p>Not measured: {found['why']}.</p>"
    who = "Drift: a classifier" if found["drifted"] else "A classifier"
    return (
        f"<h2>Several features together</h2><p>{who} tells the window from the reference with an area under the curve "
        f"of <b>{found['auc']:.3f}</b>; ordinary days with {found['ordinary']:.3f} (p {found['p_value']:.2g}).</p>"
    )


def _performance(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    head = (
        f"<h2>Matured labels</h2><p>{found['known']:,} labels have matured, {found['frauds']:,} frauds that were not "
        f"blocked among them.{_covers(found)}</p>"
    )
    rows = []
    for name, each in found["figures"].items():
        now, before = (_interval(each["interval"]), _interval(each["expected"]))
        worse = "worse" if each["worse"] else ""
        value = "–" if each["value"] is None else f"{each['value']:.3f}"
        rows.append(f"<tr><td>{name}</td><td>{value}</td><td>{now}</td><td>{before}</td><td>{worse}</td></tr>")
    table = sheet(["figure", "now", "interval", "in evaluation", ""], rows) if rows else ""
    return head + table + _money(found["money"], found["amounts_unknown"])


def _money(found: Mapping[str, Any], unknown: int) -> str:
    """What was stopped, missed and held up, a row a currency."""
    rows = []
    for code, sums in found.items():
        stopped, missed, held_up = (escape(money(sums[name], code)) for name in ("stopped", "missed", "held_up"))
        share, ends = sums["share"]["value"], _interval(sums["share"]["interval"])
        said = "–" if share is None else f"{percent(share, 1)}<small>{ends}</small>"
        rows.append(
            f"<tr><td>{escape(code)}</td><td>{stopped}</td><td>{missed}</td><td>{said}</td><td>{held_up}</td></tr>"
        )
    note = f"<p>The amounts of {unknown:,} transactions are not known.</p>" if unknown else ""
    titles = ["", "frauds stopped", "frauds missed", "share stopped", "good transactions held up"]
    return (sheet(titles, rows) if rows else "") + note


def _covers(found: Mapping[str, Any]) -> str:
    if found["sampled"]:
        return f" {found['sampled']:,} drawn ones stand for {found['blocked']:,} blocked ones."
    if found["blocked"]:
        return f" {found['blocked']:,} blocked ones are not in it, here and in evaluation: they have no label."
    return ""


def _interval(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _plot(each: Mapping[str, Any]) -> str:
    edges = each["edges"]
    shares = {"window": (each["shares"], "c2"), "reference": (each["expected"], "c1")}
    ends = f"first bin below {edges[0]:.4g}, last from {edges[-1]:.4g}" if edges else "one bin"
    return figure(
        f"{each['name']}: {ends}", histogram(range(len(each["shares"])), shares, x_label="bin of the reference")
    )


def _notes(document: Mapping[str, Any]) -> str:
    params = document["params"]
    return (
        f'<p class="soft"><br>A figure drifted when it is sure, by the reference\'s own days and over all figures '
        f"together, and large: its stability index at least {params['psi_min']:g} (the score's "
        f"{params['score_psi_min']:g}), or a value or range of values {params['ratio_min']:g} times as often or as "
        f"rare. Chance does as much in fewer than {params['false_alarms']:g} of windows. The last bin of each plot "
        "counts what is missing. A figure that follows the calendar in the reference is shown and not judged.</p>"
    )
