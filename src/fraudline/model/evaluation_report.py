"""The evaluation as one HTML page: inline style and SVG, opens offline, light and dark."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pyarrow as pa

from fraudline.core.words import counted
from fraudline.data import money
from fraudline.model.bootstrap import too_few
from fraudline.model.evaluation import GENERATED
from fraudline.model.evaluation_charts import Line, histogram, interval_chart, line_chart
from fraudline.model.figure_words import priced, resampled, said
from fraudline.model.page import STYLE, figure, page, percent, sheet, tile_row

_TILES = ("ap", "roc_auc", "cp", "recall_at_0.5pct", "precision", "recall", "f1", "money_saved_share")
_COUNTS = {"rows": "transactions", "cards": "cards", "days": "days", "frauds": "frauds"}
_FEW = 30


def report(document: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> str:
    """The page.

    Args:
        document: the content of ``metrics.json``.
        tables: ``roc``, ``pr`` and ``score_hist`` of :func:`fraudline.model.evaluation.curves`.

    Returns:
        A complete HTML document.
    """
    version = escape(str(document.get("model", {}).get("version", "")))
    sections = [
        f"<h1>Evaluation of model <code>{version}</code></h1>",
        _lead(document),
        _tiles(document),
        '<h2>Beside other models</h2><div class="plots">',
        figure("Average precision with its interval", _beside(document, "ap")),
        figure("ROC-AUC with its interval; 0.5 is chance", _beside(document, "roc_auc", least=0.5)),
        "</div><br>",
        _models(document),
        "<h2>Each fraud kind</h2>",
        _kinds(document),
        "<h2>Curves</h2>",
        _plots(tables),
        "<h2>At the threshold</h2>",
        _confusion(document),
        *_segments(document),
        *_policies(document),
        "<h2>Other thresholds</h2>",
        _thresholds(document),
        _notes(document),
    ]
    return page(f"Evaluation {version}", sections)


def _lead(document: Mapping[str, Any]) -> str:
    period = document.get("period", {})
    span = f"{period['start']} to {period['end']} (end excluded), " if period else ""
    rows, cards, days, frauds = (counted(document[what], things) for what, things in _COUNTS.items())
    few = f" Figures and intervals of fewer than {_FEW} frauds say little." if document["frauds"] < _FEW else ""
    few += made_up(document)
    few += too_few(document)
    if end := document.get("labels_end"):
        few += (
            f" The newest label is of {escape(end)}, and none came after the test days: frauds of the last days that "
            "nobody has reported yet count as false alarms, so the true figures may be better."
        )
    return (
        f'<p class="soft">{span}{rows} of {cards} on {days}, {frauds} '
        f"({percent(document['frauds'] / document['rows'], 2)}). "
        f"None of these days was seen in training or in choosing the threshold.{few}</p>"
    )


def made_up(document: Mapping[str, Any]) -> str:
    """For a page: that no figure of ``metrics.json`` is of a real payment; empty where that is not known."""
    generated = document.get("origin") == GENERATED
    return " The transactions are made up by a generator: no figure is of real payments." if generated else ""


def _tiles(document: Mapping[str, Any]) -> str:
    tiles = []
    for name in _TILES:
        key = f"cp{_k(document)}" if name == "cp" else name
        if document.get(key) is not None:
            tiles.append((f"{document[key]:.3f}", said(key), _interval(document["intervals"].get(key))))
    return tile_row(tiles)


def _compared(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    rows = [("this model", document, "c1")]
    champion = document.get("champion")
    if champion and "ap" in champion:
        rows.append((f"champion {champion['digest'][:8]}", champion, "c4"))
    return rows + [(name.replace("_", " "), figures, "c3") for name, figures in document["baselines"].items()]


def _beside(document: Mapping[str, Any], key: str, least: float = 0.0) -> str:
    rows = [(name, figures[key], *(figures["intervals"][key]), colour) for name, figures, colour in _compared(document)]
    return interval_chart(rows, x_label=said(key), least=least)


def _models(document: Mapping[str, Any]) -> str:
    keys = ["ap", "roc_auc", f"cp{_k(document)}", *[key for key in document if key.startswith("recall_at_")]]
    rows = []
    for name, figures, _ in _compared(document):
        cells = "".join(f"<td>{_with_interval(figures, key)}</td>" for key in keys)
        rows.append(f"<tr{' class=main' if figures is document else ''}><td>{escape(name)}</td>{cells}</tr>")
    return sheet(["model", *[said(key) for key in keys]], rows)


def _kinds(document: Mapping[str, Any]) -> str:
    if not document["kinds"]:
        return '<p class="soft">The data set names no fraud kinds.</p>'
    keys = ["ap", "roc_auc", "recall", "recall_at_0.5pct"]
    rows = [
        f"<tr><td>{escape(kind.replace('_', ' '))}</td><td>{figures['frauds']:,}</td>"
        + "".join(f"<td>{_with_interval(figures, key)}</td>" for key in keys if key in figures)
        + "</tr>"
        for kind, figures in document["kinds"].items()
    ]
    some = next(iter(document["kinds"].values()))
    return sheet(["kind", "frauds", *[said(key) for key in keys if key in some]], rows)


def plots(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """The plots of the page as SVG files that stand alone: ``roc``, ``pr`` and ``score_hist``.

    Args:
        tables: as :func:`report`.
    """
    return {name: svg.replace(">", f"><style>{STYLE}</style>", 1) for name, svg in _curves(tables).items()}


def _curves(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    roc, pr, hist = (tables[name].to_pydict() for name in ("roc", "pr", "score_hist"))
    chance = Line("chance", [0.0, 1.0], [0.0, 1.0], "c3", dashed=True)
    curve = line_chart(
        [Line("this model", roc["fpr"], roc["tpr"], "c1"), chance],
        x_label="false positive rate",
        y_label="true positive rate",
    )
    precision = line_chart(
        [Line("this model", pr["recall"], pr["precision"], "c1")],
        x_label="recall",
        y_label="precision",
        legend="right-top",
    )
    scores = histogram(
        hist["score"], {"normal": (hist["normal"], "c1"), "fraud": (hist["fraud"], "c2")}, x_label="score"
    )
    return {"roc": curve, "pr": precision, "score_hist": scores}


def _plots(tables: Mapping[str, pa.Table]) -> str:
    captions = {
        "roc": "ROC curve",
        "pr": "Precision and recall",
        "score_hist": "Scores of normals and frauds; the outermost bars hold what lies beyond",
    }
    drawn = _curves(tables)
    return '<div class="plots">' + "".join(figure(text, drawn[name]) for name, text in captions.items()) + "</div>"


def _confusion(document: Mapping[str, Any]) -> str:
    (true_negative, false_positive), (false_negative, true_positive) = document["confusion"]["matrix"]
    return sheet(
        ["", "allowed", "alerted"],
        [
            f"<tr><td>normal</td><td>{true_negative:,}</td><td>{false_positive:,}</td></tr>",
            f"<tr><td>fraud</td><td>{false_negative:,}</td><td>{true_positive:,}</td></tr>",
        ],
    )


def _thresholds(document: Mapping[str, Any]) -> str:
    currency, rows = document["currency"], []
    for row in document["thresholds"]:
        share = row["money_saved_share"]  # null where no amount is at stake, as in a table of another domain
        saved = "–" if share is None else percent(share, 1)
        mark = " class=main" if row["name"] in ("review", "block") else ""
        rows.append(
            f"<tr{mark}><td>{escape(row['name'])}</td><td>{row['threshold']:.4g}</td><td>{row['alerts_a_day']:,.1f}</td>"
            f"<td>{row['precision']:.3f}</td><td>{row['recall']:.3f}</td><td>{row['f1']:.3f}</td>"
            f"<td>{money.rounded(row['money_saved'], currency)}</td><td>{saved}</td></tr>"
        )
    titles = ["", "score", "alerts a day", "precision", "recall", "F1", money.titled("saved, net", currency)]
    return sheet([*titles, "of fraud losses"], rows)


def _segments(document: Mapping[str, Any]) -> list[str]:
    """Where the model is good and where it is not; nothing where it was not measured."""
    currency, rows = document["currency"], []
    for group, parts in document.get("segments", {}).items():
        for part, figures in parts.items():
            name = f"{group} {part}" if group != "week" else f"week from {part}"
            if group == "card":
                name = "cards first seen in the test period" if part == "new" else "cards seen before"
            if group == "amount":
                name = f"{money.money(figures['from'], currency)} to {money.money(figures['to'], currency)}"
            cells = "".join(f"<td>{_with_interval(figures, key)}</td>" for key in ("precision", "recall"))
            rows.append(
                f"<tr><td>{escape(name)}</td><td>{figures['rows']:,}</td><td>{figures['frauds']:,}</td>"
                f"<td>{percent(figures['alert_rate'], 2)}</td>{cells}</tr>"
            )
    titles = ["", "transactions", "frauds", "alerted", "precision", "recall"]
    note = f'<p class="soft"><br>At the review threshold. Parts with fewer than {_FEW} frauds say little of recall.</p>'
    return ["<h2>Parts of the test period</h2>", sheet(titles, rows), note] if rows else []


def _policies(document: Mapping[str, Any]) -> list[str]:
    """The rates that each policy was asked for and gave; nothing where they were not measured."""
    rows = []
    for entry in document.get("policies", []):
        name = f"{entry['policy'].replace('_', ' ')}{' (this model)' if entry['used'] else ''}"
        if "reason" in entry:
            rows.append(f"<tr><td>{escape(name)}</td><td colspan=8>{escape(entry['reason'])}</td></tr>")
            continue
        given, between = entry["test"], _interval(entry["test"]["interval"], lambda end: percent(end, 2))
        saved = "–" if entry["money_saved_share"] is None else percent(entry["money_saved_share"], 1)
        rows.append(
            f"<tr{' class=main' if entry['used'] else ''}><td>{escape(name)}</td><td>{entry['review']:.4g}</td>"
            f"<td>{percent(entry['asked']['review'], 2)}</td><td>{percent(entry['validation']['review'], 2)}</td>"
            f"<td>{percent(given['review'], 2)}<small>{between}</small></td>"
            f"<td>{percent(entry['asked']['block'], 2)}</td><td>{percent(given['block'], 2)}</td>"
            f"<td>{entry['precision']:.3f}</td><td>{entry['recall']:.3f}</td><td>{saved}</td></tr>"
        )
    if not rows:
        return []
    titles = ["", "review from", "review asked", "validation", "test", "block asked", "test", "precision", "recall"]
    note = (
        '<p class="soft"><br>Chosen on the validation days, replayed on the test. The quantile policy is asked for a '
        "share of known normals, the others for a share of all transactions.</p>"
    )
    return ["<h2>Threshold policies</h2>", sheet([*titles, "share of fraud losses saved, net"], rows), note]


def _notes(document: Mapping[str, Any]) -> str:
    return (
        f'<p class="soft"><br>{resampled(document["bootstrap"])}; all models are measured on the same '
        "resamples. Where all of them agree, as when no fraud is found, none is given. "
        f"{priced(document['cost'], document['currency'])} A kind's figures are its frauds against all "
        f"normals. Card precision is the compromised share of the {_k(document)} highest-scored cards of a day; cards "
        "found are removed from later days (Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud "
        "Detection).</p>"
    )


def _k(document: Mapping[str, Any]) -> int:
    return next(int(key[2:]) for key in document if key.startswith("cp") and key[2:].isdigit())


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    return "–" if value is None else f"{value:.3f}<small>{_interval(figures['intervals'].get(key))}</small>"


def _interval(interval: Any, shown: Callable[[float], str] = "{:.3f}".format) -> str:
    return " – ".join(map(shown, interval)) if is_known(interval) else ""


def is_known(interval: Any) -> bool:
    """Whether there is an interval to show: not where all resamples agree, which would look like certainty."""
    return bool(interval) and None not in interval and interval[0] != interval[1]
