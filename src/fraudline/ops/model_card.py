"""The model card: one HTML page that stands alone, made of what the artifact, the evaluation and the gate recorded.

The page holds no time and no path, so the same model gives the same page.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraudline.data.money import rounded, titled
from fraudline.model.bootstrap import too_few
from fraudline.model.card import counted
from fraudline.model.evaluation_report import is_known, made_up
from fraudline.model.figure_words import said

HEADLINES = ("ap", "roc_auc", "recall", "precision")
_KIND_FIGURES = ("frauds", "ap", "roc_auc", "recall")
_MONEY = frozenset({"money_saved"})
"""Figures in minor units of the base currency."""
_SKIPPED = frozenset({"rows", "frauds", "cards", "days"})

_STYLE = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#e2e6ec;--accent:#1f5fbf;--good:#1a7f4b;--bad:#b3261e;--panel:#f6f8fb}
*{box-sizing:border-box}body{margin:0;font:15px/1.55 system-ui,-apple-system,Segoe UI,sans-serif;color:var(--ink)}
main{max-width:1020px;margin:0 auto;padding:36px 24px 72px}h1{font-size:28px;margin:0 0 4px}
h2{font-size:18px;margin:38px 0 10px;padding-bottom:6px;border-bottom:1px solid var(--line)}
.sub{color:var(--soft);margin:0 0 20px}code{font:12.5px ui-monospace,Menlo,Consolas,monospace;word-break:break-all}
table{border-collapse:collapse;width:100%;font-size:13.5px}th{text-align:left;color:var(--soft);font-weight:600}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
td .ci{display:block}td:first-child code{word-break:normal}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin:22px 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:26px;line-height:1.2}.tile span,.ci{color:var(--soft);font-size:12.5px}
.badge{display:inline-block;border-radius:999px;padding:2px 12px;font-size:13px;font-weight:600;color:#fff}
.pass{background:var(--good)}.fail{background:var(--bad)}.na{background:var(--soft)}
.wide{overflow-x:auto}ul{margin:6px 0;padding-left:20px}
"""


@dataclass(frozen=True, slots=True)
class CardSource:
    """What a card is made of.

    Attributes:
        digest: the artifact's digest.
        meta: the content of ``model.json``.
        metrics: the content of ``metrics.json``.
        blessing: the content of ``blessing.json``.
        infra: the content of ``infra.json``.
        revision: the Git revision of the code.
    """

    digest: str
    meta: Mapping[str, Any]
    metrics: Mapping[str, Any]
    blessing: Mapping[str, Any]
    infra: Mapping[str, Any]
    revision: str


def render(source: CardSource) -> str:
    """The whole page."""
    version = source.digest[:12]
    blessed = bool(source.blessing.get("blessed"))
    parts = [
        f"<h1>{_text(source.meta.get('name', 'fraudline'))} {_badge(blessed, 'blessed', 'not blessed')}</h1>",
        f'<p class="sub">Model <code>{version}</code>, trained on {_window(source.meta)}</p>',
        _tiles(source.metrics),
        _section("What it is", _about(source.meta)),
        _section("Figures on later weeks", _figures(source.metrics)),
        _section("By fraud kind", _kinds(source.metrics)),
        _section("Beside baselines", _beside(source.metrics)),
        _section("Gate", _gate(source.blessing)),
        _section("Served as trained", _infra(source.infra)),
        _section("Thresholds", _thresholds(source.meta)),
        _section("Features", _features(source.meta)),
        _section("Limits", _LIMITS),
        _section("Provenance", _provenance(source)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Model card {version}</title><style>{_STYLE}</style></head><body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


_LIMITS = """<ul>
<li>It ranks transactions by how unlike known normal behaviour they are; a score is not a probability of fraud.</li>
<li>A new card or merchant has little history, so its first transactions are judged by the population's habits.</li>
<li>A fraud that looks like its card's own habits and happens at a merchant without a record cannot be seen.</li>
<li>Labels arrive days late: the newest days never taught it anything, and drift shows first in the monitors.</li>
<li>It advises: a blocked or reviewed customer needs a way to be heard. It has no attribute of a person beyond where,
when, how and how much a card was used; still, compare decision rates between groups before using it.</li></ul>"""


def _about(meta: Mapping[str, Any]) -> str:
    architecture = meta.get("architecture", {})
    if "trees" in architecture:
        inside = " They also see what an ensemble of autoencoders says." if architecture.get("autoencoder") else ""
        words = (
            f"{architecture['trees']} decision trees ({_text(architecture['kind'])}) trained on known frauds and known "
            f"normals.{inside} Every feature's Shapley value is exact, and is given as the reason of an alert."
        )
    else:
        networks = counted(architecture) if "members" in architecture else "autoencoders"
        words = (
            f"An ensemble of {networks} trained on transactions known to be normal. The score, in decades of rarity "
            "among them, joins how rare a large value or a pair of values is with how rare what the networks fail to "
            "rebuild is. "
            "Every feature's share of the score is exact, and is given as the reason of an alert."
        )
    return (
        f"<p>{words}</p>"
        "<p><b>Use it</b> to allow, review or block card transactions as they happen. <b>Do not use it</b> to judge a "
        "person or a merchant, to set credit, or without people behind the review queue.</p>"
    )


def _tiles(metrics: Mapping[str, Any]) -> str:
    tiles = [
        f'<div class="tile"><b>{_number(metrics[name])}</b>'
        f"<span>{said(name)}<br>{_interval(metrics, name)}</span></div>"
        for name in HEADLINES
        if metrics.get(name) is not None
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _figures(metrics: Mapping[str, Any]) -> str:
    facts = ", ".join(
        f"{_number(metrics[name])} {name}" for name in ("rows", "frauds", "cards", "days") if name in metrics
    )
    rows = [
        (_named(metrics, name), *_shown(metrics, name, value))
        for name, value in metrics.items()
        if _is_number(value) and name not in _SKIPPED
    ]
    return f"<p>{facts}. Brackets are bootstrap intervals.{too_few(metrics)}{made_up(metrics)}</p>" + _table(
        ("figure", "value", "interval"), rows, numeric={1}
    )


def _named(metrics: Mapping[str, Any], name: str) -> str:
    title = _text(said(name))
    return titled(title, _text(metrics.get("currency", ""))) if name in _MONEY else title


def _shown(metrics: Mapping[str, Any], name: str, value: float) -> tuple[str, str]:
    """A figure and its interval."""
    if name not in _MONEY:
        return _number(value), _interval(metrics, name)
    currency = str(metrics.get("currency", ""))
    ends = (metrics.get("intervals") or {}).get(name) or [None]
    interval = "" if None in ends else f"[{', '.join(rounded(end, currency) for end in ends)}]"
    return rounded(value, currency), interval


def _kinds(metrics: Mapping[str, Any]) -> str:
    rows = [
        (_text(kind.replace("_", " ")), *(_with_interval(figures, name) for name in _KIND_FIGURES))
        for kind, figures in sorted(metrics.get("kinds", {}).items())
    ]
    return _table(("fraud kind", *map(said, _KIND_FIGURES)), rows, numeric={1, 2, 3, 4}) if rows else ""


def _beside(metrics: Mapping[str, Any]) -> str:
    others = dict(metrics.get("baselines") or {})
    champion = metrics.get("champion")
    if isinstance(champion, Mapping) and _is_number(champion.get("ap")):
        others["champion"] = champion
    if not others:
        return ""
    names = [name for name in metrics if any(_is_number(other.get(name)) for other in others.values())]
    names = [name for name in names if name not in _SKIPPED]
    rows = [
        (_text(label.replace("_", " ")), *(_with_interval(of, n) for n in names))
        for label, of in {"this model": metrics, **others}.items()
    ]
    return _table(("", *(_text(said(n)) for n in names)), rows, numeric=set(range(1, len(names) + 1)))


def _gate(blessing: Mapping[str, Any]) -> str:
    rows = [
        (
            _text(said(rule["metric"])),
            _text(rule["bound"]),
            _number(rule.get("figure")),
            _number(rule.get("reference")),
            _number(rule.get("margin")),
            '<span class="badge na">n/a</span>'
            if rule.get("passed") is None
            else _badge(rule["passed"], "pass", "fail"),
            _text(rule.get("note", "")),
        )
        for rule in blessing.get("rules", [])
    ]
    heads = ("figure", "bound", "candidate", "champion", "margin", "", "note")
    return _table(heads, rows, numeric={2, 3, 4}) if rows else ""


def _infra(infra: Mapping[str, Any]) -> str:
    rows = [(_text(name), _number(value)) for name, value in sorted((infra.get("differences") or {}).items())]
    if not rows:
        return ""
    return (
        f"<p>The real server loaded the artifact and was asked for {_number(infra.get('rows'))} golden rows over every "
        f"protocol; a difference up to {_number(infra.get('tolerance'))} is allowed.</p>"
        + _table(("protocol", "largest difference of a score"), rows, numeric={1})
    )


def _thresholds(meta: Mapping[str, Any]) -> str:
    thresholds = meta.get("thresholds", {})
    policy = ", ".join(f"{_text(k)} {_text(v)}" for k, v in (thresholds.get("policy") or {}).items())
    rows = [
        ("review", _number(thresholds.get("review"))),
        ("block", _number(thresholds.get("block"))),
        ("policy", policy),
        ("version", f"<code>{_text(thresholds.get('version', ''))}</code>"),
    ]
    return _table(("", "a score at or above"), rows)


def _features(meta: Mapping[str, Any]) -> str:
    rows = [
        tuple(_text(feature.get(key, "")) for key in ("name", "meaning", "unit", "window", "source"))
        for feature in meta.get("feature_spec", {}).get("features", [])
    ]
    return _table(("feature", "meaning", "unit", "window", "source"), rows) if rows else ""


def _provenance(source: CardSource) -> str:
    rows = [
        ("artifact digest (SHA-256)", f"<code>{_text(source.digest)}</code>"),
        ("training data (MD5)", f"<code>{_text(source.meta.get('data_md5', ''))}</code>"),
        ("training window", _window(source.meta)),
        ("code revision", f"<code>{_text(source.revision)}</code>"),
        ("evaluation (SHA-256)", f"<code>{_text(source.blessing.get('evaluation_sha256', ''))}</code>"),
    ]
    return _table(("", ""), rows)


def _window(meta: Mapping[str, Any]) -> str:
    trained = meta.get("trained_on") or {}
    start, end = _text(trained.get("start", "?")), _text(trained.get("end", "?"))
    return f"{start} to {end}, {_number(trained.get('rows'))} normals"


def _section(title: str, body: str) -> str:
    return f'<section><h2>{title}</h2><div class="wide" tabindex="0">{body}</div></section>' if body else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numeric: set[int] | None = None) -> str:
    marks = ['class="n"' if i in (numeric or set()) else "" for i in range(len(heads))]

    def line(cells: Sequence[str], tag: str = "td") -> str:
        named = zip(marks, cells, (tag if cell else "td" for cell in cells), strict=True)
        return "<tr>" + "".join(f"<{kind} {mark}>{cell}</{kind}>" for mark, cell, kind in named) + "</tr>"

    return f"<table>{line(heads, 'th') if any(heads) else ''}{''.join(map(line, rows))}</table>"


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    interval = _interval(figures, name)
    return _number(figures.get(name)) + (f' <span class="ci">{interval}</span>' if interval else "")


def _interval(figures: Mapping[str, Any], name: str) -> str:
    ends = (figures.get("intervals") or {}).get(name)
    return f"[{_number(ends[0])}, {_number(ends[1])}]" if ends and is_known(ends) else ""


def _badge(good: bool, yes: str, no: str) -> str:
    return f'<span class="badge {"pass" if good else "fail"}">{yes if good else no}</span>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> str:
    if not _is_number(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.3g}"


def _text(value: object) -> str:
    return html.escape(str(value))
