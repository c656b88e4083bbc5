"""The frame of every report: one HTML page with inline style and SVG, opens offline, light and dark.

A table that is wider than the window scrolls by itself, with the keyboard too: its ``tabindex`` lets it be reached.
"""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
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
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(400px,100%),1fr));gap:16px}
figure{margin:0;padding:14px 16px 10px}figcaption{font-size:13px;padding-bottom:6px}
svg{width:100%;height:auto;display:block}
.sheet{overflow-x:auto}.sheet+p{margin-top:16px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 7px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-size:13px;font-weight:600;color:var(--soft);white-space:normal}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}.facts td:first-child{white-space:nowrap}
tbody tr:last-child td{border-bottom:0}tr.main td{font-weight:650}
td small{display:block;color:var(--soft);font-weight:400;white-space:normal}td+td small{white-space:nowrap}
.curve{fill:none;stroke-width:2}.curve.dashed{stroke-dasharray:5 4;stroke-width:1.2}.grid{stroke:var(--line)}
.curve.c1,.whisker.c1{stroke:var(--c1)}.curve.c2,.whisker.c2{stroke:var(--c2)}.curve.c3,.whisker.c3{stroke:var(--c3)}
.curve.c4,.whisker.c4{stroke:var(--c4)}.c1.bar,.c1.key,.c1.dot{fill:var(--c1)}.c2.bar,.c2.key,.c2.dot{fill:var(--c2)}
.c3.bar,.c3.key,.c3.dot{fill:var(--c3)}.c4.bar,.c4.key,.c4.dot{fill:var(--c4)}.bar{opacity:.55}.whisker{stroke-width:3}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .name,svg .value{fill:var(--ink);font-size:13px}
@media print{body{background:none}main{max-width:none;padding:0}.sheet{overflow:visible}
figure,.tile,tr{break-inside:avoid}h2{break-after:avoid}}
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A complete HTML document of HTML sections."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def percent(share: float, digits: int, *, signed: bool = False) -> str:
    """A share as per cent.

    >>> percent(0.005, 2)
    '0.50 %'
    """
    return f"{share * 100:{'+' if signed else ''}.{digits}f} %"


def tile_row(tiles: Iterable[tuple[str, str, str]]) -> str:
    """Headline figures: each a figure, what it is, and a line below it (an interval, say)."""
    drawn = [
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span><span>{escape(below)}</span></div>'
        for value, text, below in tiles
    ]
    return f'<div class="tiles">{"".join(drawn)}</div>'


def figure(caption: str, svg: str) -> str:
    """A plot with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def sheet(titles: Sequence[str], rows: Iterable[str]) -> str:
    """A table of ``<tr>`` rows; a column without a title has no heading that would be read out."""
    head = "".join(f"<th>{escape(title)}</th>" if title else "<td></td>" for title in titles)
    lines = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="sheet" tabindex="0"><table>{lines}</table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what each is, however long."""
    lines = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="sheet facts" tabindex="0"><table><tbody>{lines}</tbody></table></div>'
