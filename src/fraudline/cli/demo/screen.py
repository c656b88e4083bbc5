"""What the demo shows: a live screen on a terminal, a line every few seconds elsewhere, and the summary."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from fraudline.cli.demo.tally import Snapshot, Tally
from fraudline.core.clock import from_us

_LINE_EVERY_S = 5.0
_COLOUR = {"block": "bold red", "review": "yellow"}


def watch(console: Console, tally: Tally, total: int, running: Callable[[], bool], names: Mapping[str, str]) -> None:
    """Show the counts until ``running()`` is false.

    Args:
        console: a terminal gets the live screen, anything else plain lines.
        tally: what is shown.
        total: transactions that will come; 0 when there is no end to them.
        running: whether more may come.
        names: what to call each model version.
    """
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while running():
                live.update(screen(tally.snapshot(), total, names))
                time.sleep(0.25)
        console.print(screen(tally.snapshot(), total, names))
        return
    due = time.monotonic()
    while running():
        if time.monotonic() >= due:
            _line(console, tally.snapshot(), total)
            due += _LINE_EVERY_S
        time.sleep(0.25)
    _line(console, tally.snapshot(), total)


def screen(now: Snapshot, total: int, names: Mapping[str, str]) -> RenderableType:
    """The live screen at one moment."""
    head = Table.grid(padding=(0, 3))
    head.add_row(
        f"[bold]{now.decisions:,}[/]{_of(total)} decided",
        f"[bold]{now.rate:,.0f}[/]/s",
        f"p50 [bold]{now.p50_ms:.0f}[/] ms",
        f"p99 [bold]{now.p99_ms:.0f}[/] ms",
        f"[bold]{now.alerts}[/] alerts",
        split_text(now.split, names),
    )
    alerts = Table(box=None, padding=(0, 2), header_style="dim", expand=True)
    for column in ("event time", "card", "score", "decision"):
        alerts.add_column(column, no_wrap=True)
    alerts.add_column("why", ratio=1)
    for alert in now.recent:
        why = "; ".join(reason.text for reason in alert.reasons[:2])
        colour = _COLOUR.get(alert.decision, "")
        alerts.add_row(
            f"{from_us(alert.event_time):%m-%d %H:%M:%S}",
            alert.card_id,
            f"{alert.score:.2f}",
            f"[{colour}]{alert.decision}[/]",
            why,
        )
    bar = ProgressBar(total=total or None, completed=min(now.decisions, total))
    return Panel(Group(head, bar, "", alerts), title="fraudline", border_style="cyan")


def split_text(split: Mapping[str, int], names: Mapping[str, str]) -> str:
    """``champion 90.3 % · canary 9.7 %``."""
    total = sum(split.values())
    return " · ".join(
        f"{names.get(version, version)} {count / total:.1%}"
        for version, count in sorted(split.items(), key=lambda item: -item[1])
    )


def summary(console: Console, tally: Tally, sent: int, names: Mapping[str, str], reports: Mapping[str, Path]) -> None:
    """The end of the demo: what was decided, what was found, how fast, and where to read on."""
    now = tally.snapshot()
    figures = Table(box=None, show_header=False, padding=(0, 2))
    figures.add_row("transactions", f"{sent:,}")
    figures.add_row("decisions", f"{now.decisions:,}")
    figures.add_row("alerts", f"{now.alerts:,} (precision {_share(tally.precision())})")
    figures.add_row("dead letters", f"{now.dead_letters:,}")
    figures.add_row("append to committed decision", f"p50 {now.p50_ms:.1f} ms, p99 {now.p99_ms:.1f} ms")
    figures.add_row("split", split_text(now.split, names))
    kinds = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("fraud kind", "transactions", "caught", "recall", "cards", "cards caught"):
        kinds.add_column(column, justify="left" if column == "fraud kind" else "right")
    for row in tally.kinds():
        cells = (row.kind, str(row.frauds), str(row.caught), _share(row.recall), str(row.cards), str(row.cards_caught))
        kinds.add_row(*cells, style="bold" if row.kind == "all frauds" else "")
    pages = Table(box=None, show_header=False, padding=(0, 2))
    for name, path in reports.items():
        pages.add_row(name, str(path))
    console.print(Panel(Group(figures, "", kinds, "", pages), title="summary", border_style="green"))


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def _of(total: int) -> str:
    return f" of {total:,}" if total else ""


def _line(console: Console, now: Snapshot, total: int) -> None:
    console.print(
        f"  {now.decisions:,}{_of(total)} decided, {now.rate:,.0f}/s, p50 {now.p50_ms:.0f} ms, "
        f"p99 {now.p99_ms:.0f} ms, {now.alerts} alerts",
        soft_wrap=True,
    )
