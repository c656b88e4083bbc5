"""The report: ``docs/reference/quality.md`` with its pictures, from the ledger alone."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.quality.autoencoders import DEFAULT, WITHOUT
from benchmarks.quality.family import Family
from benchmarks.quality.ledger import Ledger
from benchmarks.quality.plots import draw
from benchmarks.quality.summary import ModelFigures, WeekFigures, summarise
from fraudline.core.files import write_text

NOTES = Path(__file__).parent / "notes.md"
Groups = dict[str, list[ModelFigures]]

_INTRODUCTION = """\
# Quality

Every model of the laboratory on the Fraud Detection Handbook's simulated transactions, by one protocol. This page is
written by the command that measures:

```
make bench-quality                       # python -m benchmarks.quality
python -m benchmarks.quality --models fraudline --weeks choice validation
```

A finished cell (one model, one week, one seed) is in `benchmarks/results/quality.json` at once; a second run does only
what is missing. How the rows are chosen is in `benchmarks/quality/protocol.py`: 35 days of history, as the file allows,
up to seven days before the week; labels as they had arrived on its first morning; known compromised cards left out.

| weeks from | what for |
|---|---|
{roles}

Models are refitted for every week. Figures are means over seeds; ± is the standard deviation over seeds, for the mean
of weeks over weeks. The interval is 5–95 % over resampled cards, of the first seed. Seconds are CPU seconds of a core.
Isolation forest, PCA and the other detectors see 20,000 known normals, kNN 5,000, supervised models 120,000 rows with
all known frauds. The kinds of autoencoder are compared on the weeks of choice and validation only, with fewer rows and
epochs than the default; which is the default is chosen there. With the full score none was better than another by more
than the seeds differ on both weeks, so the default is the one that trains in a third of the time: dense. Alone, the
denoising one was the better, which the surprises make up for.
"""

_ROLES = {
    "choice": "choice: settings may be chosen here",
    "validation": "validation: in view when settings were chosen, reported",
    "test": "test: scored once by one state of a model",
}


def show(ledger: Ledger, console: Console) -> None:
    """Print the figures of the validation week, the test week and the mean of the test weeks."""
    table = Table(
        "model", "AP choice", "AP validation", "AP test week", "mean of test weeks", "AUC", "CP@100", "1 / 2 / 3"
    )
    for model in summarise(ledger.cells).values():
        early = [week for week in model.weeks.values() if week.role == "choice"]
        at = model.test or model.validation or (early[-1] if early else None)
        table.add_row(
            model.model,
            _ap(early[-1]) if early else "–",
            _ap(model.validation),
            _ap(model.test),
            _mean(model),
            *((f"{at.auc:.3f}", f"{at.cp100:.3f}", _kinds(at)) if at else ("–", "–", "–")),
        )
    console.print(table)


def write_report(ledger: Ledger, families: Sequence[Family], docs: Path) -> None:
    """Write the page and its pictures.

    Args:
        ledger: the results.
        families: their groups and order.
        docs: the folder of the documentation.
    """
    found = summarise(ledger.cells)
    groups: Groups = {}
    for family in families:
        shown = [found[name] for name in family.outputs if name in found]
        groups.setdefault(family.group, []).extend(shown)
    groups = {group: models for group, models in groups.items() if models}
    pictures = draw(groups, docs / "assets" / "quality")
    parts = [
        _INTRODUCTION.format(roles=_role_rows(found)),
        *(f"![{title}](../assets/quality/{name})\n" for name, title in pictures.items()),
        _main_table(groups),
        _kind_table(groups),
        _week_table(groups),
        _difference(found),
        _unmeasured(found, families),
        _rounds(ledger),
        NOTES.read_text(encoding="utf-8") if NOTES.is_file() else "",
    ]
    write_text(docs / "reference" / "quality.md", "\n".join(part for part in parts if part))


def _main_table(groups: Groups) -> str:
    rows = ["## Figures\n", "Average precision; AUC and CP@100 are those of the test week.\n"]
    rows += ["| model | validation | test week | interval | mean of test weeks | AUC | CP@100 | fit s | µs a row |"]
    rows += ["|---|---|---|---|---|---|---|---|---|"]
    for group, models in groups.items():
        rows.append(f"| *{group}* | | | | | | | | |")
        for m in models:
            at = m.test
            auc, cp = (f"{_f(at.auc)}", f"{_f(at.cp100)}") if at else ("–", "–")
            name = f"**{m.model}**" if m.model == DEFAULT else m.model
            rows.append(
                f"| {name} | {_ap(m.validation)} | {_ap(at)} | {_interval(at)} | {_mean(m)} | {auc} | {cp} "
                f"| {_cost(m.fit_s)} | {_cost(m.row_us)} |"
            )
    return "\n".join(rows) + "\n"


def _cost(value: float) -> str:
    """A cost, if it was measured: a part of another model has none of its own."""
    return f"{value:.1f}" if value else "–"


def _kind_table(groups: Groups) -> str:
    rows = [
        "## By kind of fraud\n",
        "Average precision of each scenario's frauds against all normals, validation week and mean of the test weeks:",
        "1 is a large amount, 2 a compromised terminal, 3 stolen card details.\n",
        "| model | 1, validation | 2, validation | 3, validation | 1, test | 2, test | 3, test |",
        "|---|---|---|---|---|---|---|",
    ]
    for models in groups.values():
        for m in models:
            validation = _kind_cells([m.validation] if m.validation else [])
            rows.append(f"| {m.model} | {validation} | {_kind_cells(m.judged)} |")
    return "\n".join(rows) + "\n"


def _kind_cells(weeks: Sequence[WeekFigures]) -> str:
    kinds = [f"scenario_{number}" for number in (1, 2, 3)]
    return " | ".join(
        _f(sum(week.kinds.get(kind, 0.0) for week in weeks) / len(weeks)) if weeks else "–" for kind in kinds
    )


def _week_table(groups: Groups) -> str:
    weeks = sorted({week for models in groups.values() for m in models for week in m.weeks})
    rows = ["## Week by week\n", "Average precision.\n"]
    rows += [f"| model | {' | '.join(weeks)} |", f"|---|{'---|' * len(weeks)}"]
    for models in groups.values():
        for m in models:
            rows.append(f"| {m.model} | {' | '.join(_ap(m.weeks.get(week)) for week in weeks)} |")
    return "\n".join(rows) + "\n"


def _difference(found: dict[str, ModelFigures]) -> str:
    """What the autoencoder adds to the score."""
    if DEFAULT not in found or WITHOUT not in found:
        return ""
    full, rest = found[DEFAULT].weeks, found[WITHOUT].weeks
    shared = [week for week in full if week in rest]
    gaps = ", ".join(f"{full[week].ap - rest[week].ap:+.3f} ({week})" for week in shared)
    return f"## What the autoencoder adds\n\nAP of the full score minus the score without the autoencoder: {gaps}.\n"


def _unmeasured(found: dict[str, ModelFigures], families: Sequence[Family]) -> str:
    """What the registry has and the ledger has not."""
    names = [name for family in families for name in family.outputs if name not in found]
    return f"## Not measured yet\n\n{', '.join(names)}.\n" if names else ""


def _rounds(ledger: Ledger) -> str:
    rows = [
        "## Looks at the test weeks\n",
        "| round | opened because | models measured | replaced since |",
        "|---|---|---|---|",
    ]
    for entry in ledger.rounds:
        number = entry["number"]
        now = {cell["model"] for cell in ledger.cells if cell["role"] == "test" and cell["round"] == number}
        old = {cell["model"] for cell in ledger.superseded if cell["round"] == number}
        rows.append(f"| {number} | {entry['reason']} | {len(now | old)} | {len(old)} |")
    return "\n".join(rows) + "\n"


def _role_rows(found: dict[str, ModelFigures]) -> str:
    weeks = {week.week: week.role for model in found.values() for week in model.weeks.values()}
    return "\n".join(f"| {week} | {_ROLES[weeks[week]]} |" for week in sorted(weeks))


def _ap(week: WeekFigures | None) -> str:
    if week is None:
        return "–"
    return f"{_f(week.ap)} ± {_f(week.spread)}" if week.seeds > 1 else _f(week.ap)


def _interval(week: WeekFigures | None) -> str:
    return f"{_f(week.interval[0])}–{_f(week.interval[1])}" if week and week.interval else "–"


def _mean(model: ModelFigures) -> str:
    mean = model.prequential
    return f"{_f(mean[0])} ± {_f(mean[1])}" if mean else "–"


def _kinds(week: WeekFigures) -> str:
    return " / ".join(f"{value:.2f}" for _, value in sorted(week.kinds.items()))


def _f(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if 0 <= value < 1 else f"{value:.3f}"
