"""The evaluation as one HTML page: inline style and SVG, opens offline, light and dark."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pyarrow as pa

from fraudline.model.evaluation_charts import Line, histogram, interval_chart, line_chart

_STYLE = """
:root{--ink:#1c2430;--soft:#5d6b7c;--line:#dfe5ec;--page:#f5f7fa;--card:#fff;--c1:#1463d8;--c2:#d9480f;--c3:#7c8ea3;
--c4:#0b8a5f;--good:#0b8a5f;--bad:#c92a2a}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf3;--soft:#9aa8b8;--line:#2c3744;--page:#11161c;--card:#1a212a;
--c1:#6ea8fe;--c2:#ff922b;--c3:#7c8ea3;--c4:#51cf9a;--good:#51cf9a;--bad:#ff8787}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 24px 64px}h1{font-size:27px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:18px;margin:40px 0 12px}p{margin:0 0 12px;max-width:72ch}.soft,figcaption{color:var(--soft)}
code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(152px,1fr));gap:12px;margin:24px 0 8px}
.tile,figure,.sheet{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}.tile b{display:block;font-size:27px;font-weight:650;letter-spacing:-.02em;line-height:1.25;
font-variant-numeric:tabular-nums}.tile span{font-size:13px;color:var(--soft);display:block}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(400px,1fr));gap:16px}
figure{margin:0;padding:14px 16px 10px}figcaption{font-size:13px;padding-bottom:6px}
svg{width:100%;height:auto;display:block}
.sheet{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-size:13px;font-weight:600;color:var(--soft)}
tr:last-child td{border-bottom:0}tr.main td{font-weight:650}td small{display:block;color:var(--soft);font-weight:400}
.curve{fill:none;stroke-width:2}.curve.dashed{stroke-dasharray:5 4;stroke-width:1.2}.grid{stroke:var(--line)}
.curve.c1,.whisker.c1{stroke:var(--c1)}.curve.c2,.whisker.c2{stroke:var(--c2)}.curve.c3,.whisker.c3{stroke:var(--c3)}
.curve.c4,.whisker.c4{stroke:var(--c4)}.c1.bar,.c1.key,.c1.dot{fill:var(--c1)}.c2.bar,.c2.key,.c2.dot{fill:var(--c2)}
.c3.bar,.c3.key,.c3.dot{fill:var(--c3)}.c4.bar,.c4.key,.c4.dot{fill:var(--c4)}.bar{opacity:.55}.whisker{stroke-width:3}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .name,svg .value{fill:var(--ink);font-size:13px}
"""

_TILES = (
    ("ap", "average precision", 3),
    ("roc_auc", "ROC-AUC", 3),
    ("cp", "card precision at {k}", 3),
    ("recall_at_0.5pct", "recall at 0.5 % alerted", 3),
    ("precision", "precision at the threshold", 3),
    ("recall", "recall at the threshold", 3),
    ("f1", "F1 at the threshold", 3),
    ("money_saved_share", "of fraud losses saved, net", 3),
)


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
        _figure("Average precision with its interval", _beside(document, "ap", "average precision")),
        _figure("ROC-AUC with its interval", _beside(document, "roc_auc", "ROC-AUC")),
        "</div><br>",
        _models(document),
        "<h2>Each fraud kind</h2>",
        _kinds(document),
        "<h2>Curves</h2>",
        _plots(tables),
        "<h2>At the threshold</h2>",
        _confusion(document),
        "<h2>Other thresholds</h2>",
        _thresholds(document),
        _notes(document),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Evaluation {version}</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def _lead(document: Mapping[str, Any]) -> str:
    period = document.get("period", {})
    span = f"{period['start']} to {period['end']} (end excluded), " if period else ""
    return (
        f'<p class="soft">{span}{document["rows"]:,} transactions of {document["cards"]:,} cards on {document["days"]} '
        f"days, {document['frauds']:,} frauds ({document['frauds'] / document['rows']:.2%}). "
        "None of these days was seen in training or in choosing the threshold.</p>"
    )


def _tiles(document: Mapping[str, Any]) -> str:
    k = _k(document)
    tiles = []
    for name, text, digits in _TILES:
        key = f"cp{k}" if name == "cp" else name
        if document.get(key) is None:
            continue
        interval = document["intervals"].get(key)
        tiles.append(
            f'<div class="tile"><b>{document[key]:.{digits}f}</b><span>{text.format(k=k)}</span>'
            f"<span>{_interval(interval)}</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _compared(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    rows = [("this model", document, "c1")]
    champion = document.get("champion")
    if champion and "ap" in champion:
        rows.append((f"champion {champion['digest'][:8]}", champion, "c4"))
    return rows + [(name.replace("_", " "), figures, "c3") for name, figures in document["baselines"].items()]


def _beside(document: Mapping[str, Any], key: str, label: str) -> str:
    rows = [(name, figures[key], *(figures["intervals"][key]), colour) for name, figures, colour in _compared(document)]
    return interval_chart(rows, x_label=label)


def _models(document: Mapping[str, Any]) -> str:
    keys = ["ap", "roc_auc", f"cp{_k(document)}", *[key for key in document if key.startswith("recall_at_")]]
    rows = []
    for name, figures, _ in _compared(document):
        cells = "".join(f"<td>{_with_interval(figures, key)}</td>" for key in keys)
        rows.append(f"<tr{' class=main' if figures is document else ''}><td>{escape(name)}</td>{cells}</tr>")
    return _sheet(["", *[_title(key) for key in keys]], rows)


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
    return _sheet(["kind", "frauds", *[_title(key) for key in keys if key in some]], rows)


def plots(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """The plots of the page as SVG files that stand alone: ``roc``, ``pr`` and ``score_hist``.

    Args:
        tables: as :func:`report`.
    """
    return {name: svg.replace(">", f"><style>{_STYLE}</style>", 1) for name, svg in _curves(tables).items()}


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
    return '<div class="plots">' + "".join(_figure(text, drawn[name]) for name, text in captions.items()) + "</div>"


def _confusion(document: Mapping[str, Any]) -> str:
    (true_negative, false_positive), (false_negative, true_positive) = document["confusion"]["matrix"]
    return _sheet(
        ["", "allowed", "alerted"],
        [
            f"<tr><td>normal</td><td>{true_negative:,}</td><td>{false_positive:,}</td></tr>",
            f"<tr><td>fraud</td><td>{false_negative:,}</td><td>{true_positive:,}</td></tr>",
        ],
    )


def _thresholds(document: Mapping[str, Any]) -> str:
    rows = []
    for row in document["thresholds"]:
        mark = " class=main" if row["name"] in ("review", "block") else ""
        rows.append(
            f"<tr{mark}><td>{escape(row['name'])}</td><td>{row['threshold']:.4g}</td><td>{row['alerts_a_day']:,.1f}</td>"
            f"<td>{row['precision']:.3f}</td><td>{row['recall']:.3f}</td><td>{row['f1']:.3f}</td>"
            f"<td>{row['money_saved'] / 100:,.0f}</td><td>{row['money_saved_share']:.1%}</td></tr>"
        )
    titles = ["", "score", "alerts a day", "precision", "recall", "F1", "saved, net", "of fraud losses"]
    return _sheet(titles, rows)


def _notes(document: Mapping[str, Any]) -> str:
    bootstrap, cost = document["bootstrap"], document["cost"]
    return (
        f'<p class="soft"><br>Intervals hold {bootstrap["confidence"]:.0%} of {bootstrap["resamples"]} resamples, '
        f"drawn by {bootstrap['unit']}; all models are measured on the same resamples. Money: an alert costs "
        f"{cost['review_cost_minor'] / 100:.2f}, a caught fraud keeps {cost['recovered_share']:.0%} of its amount "
        "from being lost. A kind's figures are its frauds against all normals. Card precision is the compromised share "
        f"of the {_k(document)} highest cards of a day, found cards leaving the next days (Le Borgne et al., "
        "Reproducible Machine Learning for Credit Card Fraud Detection).</p>"
    )


def _k(document: Mapping[str, Any]) -> int:
    return next(int(key[2:]) for key in document if key.startswith("cp") and key[2:].isdigit())


def _title(key: str) -> str:
    if key.startswith("recall_at_"):
        return f"recall at {key.removeprefix('recall_at_').removesuffix('pct')} %"
    if key.startswith("cp"):
        return f"CP@{key[2:]}"
    return {"ap": "AP", "roc_auc": "ROC-AUC", "recall": "recall at threshold"}.get(key, key)


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    return "–" if value is None else f"{value:.3f}<small>{_interval(figures['intervals'].get(key))}</small>"


def _interval(interval: Any) -> str:
    return f"{interval[0]:.3f} – {interval[1]:.3f}" if interval and None not in interval else ""


def _figure(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>"


def _sheet(titles: list[str], rows: list[str]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f'<div class="sheet"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
