"""Every model of the registry, by the Handbook's protocol, over the successive weeks of the file.

    python -m benchmarks.quality                                  # run what is missing, write the report
    python -m benchmarks.quality --models fraudline --weeks choice validation
    python -m benchmarks.quality --list

Settings are chosen on the weeks of choice and validation. A test week is scored once by one state of a model (its
settings, its code, its features); after a change it is refused until --new-round says what changed, and the report says
so. Every finished cell is written at once: a run that was stopped goes on where it was.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.quality import protocol
from benchmarks.quality.family import Family
from benchmarks.quality.ledger import Ledger
from benchmarks.quality.models import families
from benchmarks.quality.report import show, write_report
from benchmarks.quality.rows import load_rows
from benchmarks.quality.run import Plan, plan, run
from benchmarks.quality.settings import SEEDS
from fraudline.core.errors import FraudlineError, UsageError

ROOT = Path(__file__).parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    console = Console(stderr=True)
    logging.getLogger("fraudline").setLevel(logging.WARNING)
    try:
        chosen = _chosen(arguments.models)
        if arguments.list:
            for family in chosen:
                print(f"{family.name}: {', '.join(family.outputs)}")
            return 0
        ledger = Ledger(arguments.results)
        if not arguments.report_only:
            _measure(arguments, chosen, ledger, console)
        show(ledger, Console())
        if not arguments.no_report:
            write_report(ledger, list(families().values()), arguments.docs)
    except FraudlineError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return error.exit_code
    return 0


def _measure(arguments: argparse.Namespace, chosen: list[Family], ledger: Ledger, console: Console) -> None:
    rows = load_rows(arguments.file, arguments.cache)
    starts = _starts(arguments.weeks, protocol.weeks(rows.first, rows.last))
    if arguments.new_round is not None:
        ledger.open_round(arguments.new_round)
    tasks = plan(chosen, rows, starts, arguments.seeds, ledger)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        shown = bar.add_task(_description(tasks), total=len(tasks))
        run(
            tasks,
            ledger,
            arguments.file,
            arguments.cache,
            arguments.jobs,
            lambda task: bar.update(shown, advance=1, description=f"{task.family}, {task.start}, seed {task.seed}"),
        )


def _description(tasks: Plan) -> str:
    return "nothing is missing" if not tasks else f"{len(tasks)} fits"


def _chosen(patterns: Sequence[str]) -> list[Family]:
    found = families()
    chosen = [f for name, f in found.items() if any(fnmatch(name, p) or f.group.startswith(p) for p in patterns)]
    if not chosen:
        raise UsageError(f"No model is called {' or '.join(patterns)}.", "See --list.")
    return chosen


def _starts(wanted: Sequence[str], known: Sequence[date]) -> list[date]:
    chosen = [day for day in known if protocol.role(day) in wanted or day.isoformat() in wanted]
    strange = [w for w in wanted if w not in protocol.ROLES and w not in {day.isoformat() for day in known}]
    if strange:
        weeks = ", ".join(day.isoformat() for day in known)
        raise UsageError(f"The file gives no week {strange[0]}.", f"Choose from {', '.join(protocol.ROLES)}, {weeks}.")
    return chosen


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = protocol.SHARED / protocol.FILE
    cache = Path(os.environ.get("FRAUDLINE_CACHE", ROOT / ".cache")) / "quality"
    parser.add_argument("--file", type=Path, default=shared, help="the Handbook's transactions")
    parser.add_argument("--models", nargs="+", default=["*"], help="families, shell patterns (default: all)")
    parser.add_argument(
        "--weeks", nargs="+", default=list(protocol.ROLES), help="choice, validation, test, or first days"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help=f"default: {SEEDS}")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--new-round", metavar="REASON", help="measure changed models on test weeks again; recorded")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "quality.json")
    parser.add_argument("--cache", type=Path, default=cache, help="features of the file, made once")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the report")
    parser.add_argument("--no-report", action="store_true", help="do not write docs/reference/quality.md")
    parser.add_argument("--report-only", action="store_true", help="write the report from the ledger, measure nothing")
    parser.add_argument("--list", action="store_true", help="say which families there are, and what each gives")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
