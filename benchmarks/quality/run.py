"""What is missing, in what order, and in how many processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.quality import measure, protocol
from benchmarks.quality.family import Family
from benchmarks.quality.ledger import Ledger, Wanted
from benchmarks.quality.measure import Task, run_task
from benchmarks.quality.rows import Rows
from benchmarks.quality.sources import code_digest
from fraudline.core.digest import sha256_bytes
from fraudline.model import metrics

_EVERY = tuple(Path(str(module.__file__)) for module in (protocol, measure, metrics))
"""What decides the figures of every family: its rows, and how they are counted."""

Plan = dict[Task, dict[str, Wanted]]


def plan(families: Sequence[Family], rows: Rows, starts: Sequence[date], seeds: Sequence[int], ledger: Ledger) -> Plan:
    """The tasks that have a cell missing, week by week, with the cells of each.

    Raises:
        UsageError: one of them would look at a test week a second time.
    """
    tasks: Plan = {}
    digests = {family.name: digest_of(family, rows) for family in families}
    for start in starts:
        for family in (family for family in families if protocol.role(start) in family.roles):
            for number, seed in enumerate(seeds if family.seeded else seeds[:1]):
                wanted = {
                    name: Wanted(name, start.isoformat(), protocol.role(start), seed, digests[family.name])
                    for name in family.outputs
                }
                if ledger.missing(wanted.values()):
                    tasks[Task(family.name, start, seed, intervals=number == 0)] = wanted
    return tasks


def digest_of(family: Family, rows: Rows) -> str:
    """The state of a family: its settings, its code, that of the protocol and the figures, and its features.

    Raises:
        FileNotFoundError: one of its sources is not there.
    """
    settings = sorted((name, str(value)) for name, value in family.settings.items())
    content = f"{settings} {code_digest(*family.sources, *_EVERY)} {rows.sets[family.columns].digest}"
    return sha256_bytes(content.encode())[:12]


def run(tasks: Plan, ledger: Ledger, file: Path, cache: Path, jobs: int, done: Callable[[Task], None]) -> None:
    """Run every task and write its cells at once.

    Args:
        tasks: from :func:`plan`.
        ledger: takes the cells.
        file: the data.
        cache: where the rows are.
        jobs: processes at a time.
        done: called after each task.
    """
    for task, results in _results(tasks, file, cache, jobs):
        for name, cell in tasks[task].items():
            ledger.record(cell, results[name])
        done(task)


def _results(tasks: Plan, file: Path, cache: Path, jobs: int) -> Iterator[tuple[Task, dict[str, dict[str, Any]]]]:
    if jobs == 1:
        for task in tasks:
            yield task, run_task(file, cache, task)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run_task, file, cache, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
