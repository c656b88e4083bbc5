"""The validation report as one HTML page that opens offline: no script, no font, no address."""

from html import escape

from fraudline.core.words import counted
from fraudline.data.expectations import Outcome, Report

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde3ea;
vertical-align:top}th{font-weight:600;background:#f4f6f9}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.ok{color:#1b7f4b}.critical{color:#b3261e;font-weight:600}.warning{color:#9a6700;font-weight:600}
.wide{overflow-x:auto}
.samples{overflow-x:auto;font-size:12px;margin:.4rem 0}.samples td,.samples th{white-space:nowrap;padding:.15rem .4rem}
@media(prefers-color-scheme:dark){body{color:#dfe6ee;background:#14181d}th{background:#20262d}
th,td{border-color:#333b44}.ok{color:#5cc98d}.critical{color:#ff8a80}.warning{color:#f0b849}}
"""


_FACTS = ("name", "start", "days", "transactions", "frauds", "currency")


def render(report: Report) -> str:
    """The page."""
    critical, warnings = report.failed("critical"), report.failed("warning")
    verdict = (
        f'<span class="critical">stopped: {counted(len(critical), "critical expectations")} failed</span>'
        if critical
        else '<span class="ok">valid</span>'
    )
    found = [(key, report.meta[key]) for key in _FACTS if report.meta.get(key) is not None]
    facts = "".join(
        f"<tr><th>{key}</th><td>{f'{value:,}' if isinstance(value, int) else escape(str(value))}</td></tr>"
        for key, value in found
    )
    compared = "compared with the previous version" if report.compared else "no previous version to compare with"
    tables = dict.fromkeys(outcome.table for outcome in report.outcomes)
    sections = "".join(_section(name, [o for o in report.outcomes if o.table == name]) for name in tables)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Data validation</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>Data validation: {verdict}</h1>"
        f"<p>{counted(len(report.outcomes), 'expectations')}; failed: {len(critical)} critical, "
        f"{counted(len(warnings), 'warnings')}; "
        f"{compared}.</p><table>{facts}</table>{sections}</main></body></html>\n"
    )


def _section(name: str, outcomes: list[Outcome]) -> str:
    ordered = sorted(outcomes, key=lambda o: (o.success, o.severity))
    head = '<th>Result</th><th>Expectation</th><th>Severity</th><th class="n">Unexpected</th><th class="n">Rows</th>'
    rows = "".join(_row(outcome) for outcome in ordered)
    return f'<h2>{escape(name)}</h2><div class="wide" tabindex="0"><table><tr>{head}</tr>{rows}</table></div>'


def _row(outcome: Outcome) -> str:
    kind = "ok" if outcome.success else outcome.severity
    word = {"ok": "met", "critical": "failed", "warning": "warning"}[kind]
    samples = _samples(outcome) if outcome.samples and not outcome.success else ""
    return (
        f'<tr><td class="{kind}">{word}</td><td>{escape(outcome.statement)}{samples}</td><td>{outcome.severity}</td>'
        f'<td class="n">{outcome.unexpected:,}</td><td class="n">{outcome.elements:,}</td></tr>'
    )


def _samples(outcome: Outcome) -> str:
    head = "".join(f"<th>{escape(key)}</th>" for key in outcome.samples[0])
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in sample.values())}</tr>" for sample in outcome.samples
    )
    return f'<div class="samples" tabindex="0"><table><tr>{head}</tr>{rows}</table></div>'
